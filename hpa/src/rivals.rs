//! Other installations of Flyball in the cluster, seen by their Leases. Pure.
//!
//! An installation that scales says so on its Lease by the annotation [`ACTING`]. A lease counts as alive while it changes:
//! nobody's clock is believed. Two that say so at the same time settle it by the age of their Leases, which is the API
//! server's word and the same for both.

use std::collections::HashMap;
use std::time::Duration;

/// Annotation of a Lease whose holder writes scales.
pub(crate) const ACTING: &str = "hpa.flyball.io/acting";
/// A lease is believed to be alive for at least this long after it changed, or was first seen.
const ALIVE: Duration = Duration::from_secs(20);
/// Leases of other namespaces that are remembered.
const MAX_REMEMBERED: usize = 64;

/// A Lease of our name, in any namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sighting {
    pub(crate) namespace: String,
    pub(crate) holder: String,
    pub(crate) renewed: String,
    pub(crate) duration_seconds: i64,
    /// `metadata.creationTimestamp`, which sorts as text.
    pub(crate) created: String,
    pub(crate) acting: bool,
}

/// Another installation that scales.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rival {
    pub(crate) namespace: String,
    pub(crate) holder: String,
}

struct Seen {
    holder: String,
    renewed: String,
    changed_at: Duration,
}

/// What is remembered from look to look.
#[derive(Default)]
pub(crate) struct Rivals {
    seen: HashMap<String, Seen>,
}

impl Rivals {
    /// Takes in all Leases of our name; gives the installation that we have to leave the work to. `acting`: we scale
    /// already, and say so.
    pub(crate) fn look(
        &mut self,
        sightings: &[Sighting],
        own_namespace: &str,
        acting: bool,
        at: Duration,
    ) -> Option<Rival> {
        self.seen.retain(|namespace, _| sightings.iter().any(|s| s.namespace == *namespace));
        let own_age = sightings.iter().find(|s| s.namespace == own_namespace).map(|s| &s.created);
        let mut found: Option<&Sighting> = None;
        for sighting in sightings.iter().filter(|s| s.namespace != own_namespace) {
            let alive = self.is_alive(sighting, at);
            // Of two that scale, the one whose Lease is older goes on.
            let older = match own_age {
                Some(own) => (&sighting.created, &sighting.namespace) < (own, &own_namespace.to_owned()),
                None => true,
            };
            if alive && sighting.acting && (!acting || older) {
                found = found.or(Some(sighting));
            }
        }
        found.map(|s| Rival { namespace: s.namespace.clone(), holder: s.holder.clone() })
    }

    fn is_alive(&mut self, sighting: &Sighting, at: Duration) -> bool {
        let fresh =
            || Seen { holder: sighting.holder.clone(), renewed: sighting.renewed.clone(), changed_at: at };
        let room = self.seen.len() < MAX_REMEMBERED;
        match self.seen.get_mut(&sighting.namespace) {
            Some(seen) if seen.renewed == sighting.renewed && seen.holder == sighting.holder => {}
            Some(seen) => *seen = fresh(),
            None if room => drop(self.seen.insert(sighting.namespace.clone(), fresh())),
            None => return false,
        }
        let duration = Duration::from_secs(u64::try_from(sighting.duration_seconds).unwrap_or(0)).max(ALIVE);
        self.seen.get(&sighting.namespace).is_some_and(|seen| at < seen.changed_at + duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(namespace: &str, created: &str, renewed: u64, acting: bool) -> Sighting {
        Sighting {
            namespace: namespace.into(),
            holder: format!("{namespace}-pod"),
            renewed: renewed.to_string(),
            duration_seconds: 15,
            created: created.into(),
            acting,
        }
    }

    #[test]
    fn only_a_living_lease_that_says_so_is_a_rival() {
        // Own acting, other acting, other older, other renewed: seconds in which it is a rival, of 0, 10, 20, 30, 40.
        let cases = [
            ("the second one yields", false, true, true, true, [true; 5]),
            ("age does not matter to one that does not scale yet", false, true, false, true, [true; 5]),
            ("a shadow is no rival", false, false, true, true, [false; 5]),
            ("of two, the older goes on", true, true, false, true, [false; 5]),
            ("of two, the younger yields", true, true, true, true, [true; 5]),
            (
                "one that is gone is waited for once",
                false,
                true,
                true,
                false,
                [true, true, false, false, false],
            ),
        ];
        for (name, acting, other_acting, older, renewed, expected) in cases {
            let mut rivals = Rivals::default();
            let created = if older { "2026-01-01" } else { "2026-03-03" };
            let seen: Vec<bool> = (0..5)
                .map(|step| {
                    let time = if renewed { step } else { 0 };
                    let all = [
                        lease("own", "2026-02-02", step, acting),
                        lease("other", created, time, other_acting),
                    ];
                    rivals.look(&all, "own", acting, Duration::from_secs(step * 10)).is_some()
                })
                .collect();
            assert_eq!(seen, expected, "{name}");
        }
    }

    #[test]
    fn exactly_one_of_two_goes_on() {
        let all = [lease("a", "2026-01-01", 1, true), lease("b", "2026-01-01", 1, true)];
        let look = |own: &str| Rivals::default().look(&all, own, true, Duration::ZERO);
        assert_eq!(look("a"), None);
        assert_eq!(look("b").expect("a is first by name").namespace, "a");
    }
}
