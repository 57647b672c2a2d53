//! Whether someone else writes the replica counts that we write: seen by the field managers of targets that are watched.

use super::Shared;
use super::state::HpaState;
use crate::cluster::FIELD_MANAGER;
use crate::sentinel::CONTROLLER_MANAGER;
use crate::watch::{HpaEntry, Watched, Writer};

/// A count of ours that is replaced this often is someone else's to write. Once may be a person.
const OFTEN: u32 = 2;
/// What is older than this was something else.
const MEMORY_MS: i64 = 600_000;
/// KEDA writes zero and one by itself, and leaves the rest to us.
const KEDA: &str = "keda";

/// The field manager that overwrites our counts, if there is one.
pub(super) fn overwriter(
    shared: &Shared,
    entry: &HpaEntry,
    state: &mut HpaState,
    now_ms: i64,
) -> Option<String> {
    let (group, kind) = entry.target_kind.as_ref()?;
    let target = shared.targets.get(Watched::of(group, kind)?, &entry.target)?;
    judge(state, target.writer.as_ref()?, now_ms)
}

fn judge(state: &mut HpaState, writer: &Writer, now_ms: i64) -> Option<String> {
    if state.writer.as_ref() == Some(writer) {
        return None;
    }
    let before = state.writer.replace(writer.clone());
    let ours_before =
        std::mem::take(&mut state.rescaled) || before.is_some_and(|w| w.manager == FIELD_MANAGER);
    if writer.manager == FIELD_MANAGER {
        state.rescaled = ours_before;
        return None;
    }
    if !ours_before || writer.manager.to_lowercase().starts_with(KEDA) {
        return None;
    }
    let (count, last_ms) = state.overwritten;
    let count = if now_ms - last_ms > MEMORY_MS { 1 } else { count + 1 };
    state.overwritten = (count, now_ms);
    // It writes scales for no other purpose.
    let is_loop = writer.by_scale && writer.manager == CONTROLLER_MANAGER;
    (is_loop || count >= OFTEN).then(|| writer.manager.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writers in turn, each a second after the other; gives the one that is named, and at which step.
    fn named(writers: &[(&str, bool)]) -> Option<(usize, String)> {
        let mut state = HpaState::default();
        writers.iter().enumerate().find_map(|(step, (manager, by_scale))| {
            let at_ms = step as i64 * 1000;
            let writer = Writer { manager: (*manager).into(), at_ms, by_scale: *by_scale };
            Some((step, judge(&mut state, &writer, at_ms)?))
        })
    }

    #[test]
    fn who_overwrites_us_is_named_within_two_decisions() {
        /// Who wrote, whether by the scale; the write at which who is named.
        type Case = (&'static [(&'static str, bool)], Option<(usize, &'static str)>);
        const US: (&str, bool) = (FIELD_MANAGER, true);
        let cases: [Case; 6] = [
            (&[("kubectl", false), US], None),
            (&[US, ("kube-controller-manager", true)], Some((1, "kube-controller-manager"))),
            (&[US, ("kubectl", true), US], None),
            (&[US, ("argocd", false), US, ("argocd", false)], Some((3, "argocd"))),
            (&[US, ("keda-operator", true), US, ("keda-operator", true)], None),
            (&[("helm", false), ("helm", false), ("helm", false)], None),
        ];
        for (writers, expected) in cases {
            let found = named(writers);
            assert_eq!(found.as_ref().map(|(step, who)| (*step, who.as_str())), expected, "{writers:?}");
        }
    }

    #[test]
    fn a_write_of_ours_that_the_watch_never_showed_counts_too() {
        let mut state = HpaState::default();
        let argo = |at_ms| Writer { manager: "argocd".into(), at_ms, by_scale: false };
        assert_eq!(judge(&mut state, &argo(0), 0), None);
        for (at_ms, expected) in [(1_000, None), (2_000, Some("argocd".to_owned()))] {
            state.rescaled = true;
            assert_eq!(judge(&mut state, &argo(at_ms), at_ms), expected);
        }
        state.rescaled = true;
        assert_eq!(judge(&mut state, &argo(9_000_000), 9_000_000), None, "long ago is forgotten");
    }
}
