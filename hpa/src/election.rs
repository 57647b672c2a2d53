//! Leader election over a Lease, as client-go's `leaderelection` does it. Pure.
//!
//! A candidate trusts no clock but its own: it remembers when *it* saw the record change, and takes a held lease only after
//! it has not seen a change for the record's duration. Times here are durations since any fixed moment of a steady clock.

use crate::error::HpaError;
use std::time::Duration;

/// client-go's `JitterFactor`: a pause between attempts is longer by up to this share, at random.
pub(crate) const JITTER_FACTOR: f64 = 1.2;

/// Settings of the election, kube-controller-manager's flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Election {
    /// Who this process is; no two processes may have the same.
    pub identity: String,
    /// `--leader-elect-resource-namespace`; `None` takes the namespace of the checkpoints.
    pub namespace: Option<String>,
    /// `--leader-elect-resource-name`.
    pub name: String,
    /// `--leader-elect-lease-duration`: others wait this long after the last renewal they saw. Whole seconds count.
    pub lease_duration: Duration,
    /// `--leader-elect-renew-deadline`: the leader stops when it could not renew for this long.
    pub renew_deadline: Duration,
    /// `--leader-elect-retry-period`: pause between attempts.
    pub retry_period: Duration,
}

/// Sixteen hexadecimal digits at random, for identities.
pub fn unique_id() -> String {
    format!("{:016x}", fastrand::u64(..))
}

impl Election {
    /// Upstream's times and the default name, for this identity.
    pub fn new(identity: String) -> Self {
        Election {
            identity,
            namespace: None,
            name: "flyball-hpa".into(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }

    /// Checks the values by upstream's rules.
    ///
    /// # Errors
    ///
    /// The first value that cannot work, named by its flag.
    pub fn check(&self) -> Result<(), HpaError> {
        let rules = [
            (self.lease_duration.as_secs() == 0, "--leader-elect-lease-duration", "must be at least 1s"),
            (self.renew_deadline.is_zero(), "--leader-elect-renew-deadline", "must be greater than zero"),
            (self.retry_period.is_zero(), "--leader-elect-retry-period", "must be greater than zero"),
            (
                self.lease_seconds() <= self.renew_deadline,
                "--leader-elect-lease-duration",
                "must be greater than --leader-elect-renew-deadline",
            ),
            (
                self.renew_deadline <= self.retry_period.mul_f64(JITTER_FACTOR),
                "--leader-elect-renew-deadline",
                "must be greater than 1.2 times --leader-elect-retry-period",
            ),
            (self.name.is_empty(), "--leader-elect-resource-name", "must not be empty"),
            (
                self.namespace.as_ref().is_some_and(String::is_empty),
                "--leader-elect-resource-namespace",
                "must not be empty",
            ),
            (self.identity.is_empty(), "identity of the leader election", "must not be empty"),
        ];
        match rules.into_iter().find(|(broken, ..)| *broken) {
            Some((_, flag, reason)) => Err(HpaError::Setting { flag, reason: reason.into() }),
            None => Ok(()),
        }
    }

    /// The lease duration as it stands in the Lease: whole seconds.
    pub(crate) fn lease_seconds(&self) -> Duration {
        Duration::from_secs(self.lease_duration.as_secs())
    }
}

/// What a Lease says about its holder. Times are texts, passed on as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Record {
    /// Empty: nobody.
    pub(crate) holder: String,
    pub(crate) duration_seconds: i64,
    pub(crate) acquired: String,
    pub(crate) renewed: String,
    pub(crate) transitions: i64,
}

/// What to do about a lease that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Someone else holds it.
    Held,
    /// Write this record.
    Write(Record),
}

/// One candidate.
#[derive(Debug)]
pub(crate) struct Candidate {
    settings: Election,
    observed: Option<Record>,
    /// When the observed record was first seen.
    observed_at: Duration,
}

impl Candidate {
    pub(crate) fn new(settings: Election) -> Self {
        Candidate { settings, observed: None, observed_at: Duration::ZERO }
    }

    /// Who holds the lease, as far as is known.
    pub(crate) fn holder(&self) -> &str {
        self.observed.as_ref().map_or("", |record| &record.holder)
    }

    /// Whether the last record seen or written is our own.
    pub(crate) fn is_leader(&self) -> bool {
        self.holder() == self.settings.identity
    }

    fn is_valid(&self, now: Duration) -> bool {
        let duration = self.observed.as_ref().map_or(0, |record| record.duration_seconds);
        self.observed_at + Duration::from_secs(u64::try_from(duration).unwrap_or(0)) > now
    }

    fn record(&self, wall: &str) -> Record {
        Record {
            holder: self.settings.identity.clone(),
            duration_seconds: i64::try_from(self.settings.lease_duration.as_secs()).unwrap_or(i64::MAX),
            acquired: wall.to_owned(),
            renewed: wall.to_owned(),
            transitions: 0,
        }
    }

    /// The record to write without reading first: only a leader whose lease still holds may.
    pub(crate) fn renewal(&self, now: Duration, wall: &str) -> Option<Record> {
        let observed = self.observed.as_ref().filter(|_| self.is_leader() && self.is_valid(now))?;
        Some(Record {
            acquired: observed.acquired.clone(),
            transitions: observed.transitions,
            ..self.record(wall)
        })
    }

    /// There is no lease yet.
    pub(crate) fn absent(&self, wall: &str) -> Record {
        self.record(wall)
    }

    /// A lease was read.
    pub(crate) fn seen(&mut self, record: Record, now: Duration, wall: &str) -> Step {
        if self.observed.as_ref() != Some(&record) {
            self.observed = Some(record.clone());
            self.observed_at = now;
        }
        if !record.holder.is_empty() && self.is_valid(now) && !self.is_leader() {
            return Step::Held;
        }
        let own = self.record(wall);
        Step::Write(match self.is_leader() {
            true => Record { acquired: record.acquired, transitions: record.transitions, ..own },
            false => Record { transitions: record.transitions + 1, ..own },
        })
    }

    /// Our record was stored.
    pub(crate) fn stored(&mut self, record: Record, now: Duration) {
        self.observed = Some(record);
        self.observed_at = now;
    }

    /// The record that gives the lease up: nobody holds it, and it is over in a second.
    pub(crate) fn release(&self, transitions: i64, wall: &str) -> Record {
        Record { holder: String::new(), duration_seconds: 1, transitions, ..self.record(wall) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: &str = "2026-01-01T00:00:00.000000Z";

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn held_by(holder: &str, renewed: &str) -> Record {
        Record {
            holder: holder.into(),
            duration_seconds: 15,
            acquired: "a".into(),
            renewed: renewed.into(),
            transitions: 3,
        }
    }

    fn candidate() -> Candidate {
        Candidate::new(Election::new("me".into()))
    }

    #[test]
    fn settings_are_checked_as_upstream_does() {
        let good = Election::new("me".into());
        assert!(good.check().is_ok());
        let cases = [
            (Election { lease_duration: seconds(10), ..good.clone() }, "--leader-elect-lease-duration"),
            (
                Election { lease_duration: Duration::from_millis(10_900), ..good.clone() },
                "--leader-elect-lease-duration",
            ),
            (
                Election { lease_duration: Duration::from_millis(900), ..good.clone() },
                "--leader-elect-lease-duration",
            ),
            (Election { renew_deadline: Duration::ZERO, ..good.clone() }, "--leader-elect-renew-deadline"),
            (Election { retry_period: Duration::ZERO, ..good.clone() }, "--leader-elect-retry-period"),
            (
                Election { retry_period: Duration::from_millis(8_334), ..good.clone() },
                "--leader-elect-renew-deadline",
            ),
            (Election { name: String::new(), ..good.clone() }, "--leader-elect-resource-name"),
            (
                Election { namespace: Some(String::new()), ..good.clone() },
                "--leader-elect-resource-namespace",
            ),
        ];
        for (settings, flag) in cases {
            let error = settings.check().expect_err(flag).to_string();
            assert!(error.starts_with(flag), "{error}");
        }
    }

    #[test]
    fn a_free_lease_is_taken() {
        let mut me = candidate();
        assert_eq!(me.absent(WALL).transitions, 0);
        let free = Record { holder: String::new(), duration_seconds: 1, ..held_by("", "r") };
        let Step::Write(record) = me.seen(free, seconds(0), WALL) else {
            panic!("released leases are free at once")
        };
        assert_eq!((record.holder.as_str(), record.transitions, record.duration_seconds), ("me", 4, 15));
        assert!(!me.is_leader(), "not before it is stored");
        me.stored(record, seconds(0));
        assert!(me.is_leader());
    }

    #[test]
    fn a_held_lease_is_taken_only_after_its_duration_without_a_change() {
        let mut me = candidate();
        let old = held_by("other", "1970-01-01T00:00:00.000000Z");
        assert_eq!(me.seen(old.clone(), seconds(100), WALL), Step::Held, "its clock is not believed");
        assert_eq!(me.seen(old.clone(), seconds(114), WALL), Step::Held);
        let renewed = held_by("other", "1970-01-01T00:00:02.000000Z");
        assert_eq!(me.seen(renewed.clone(), seconds(114), WALL), Step::Held, "a change starts the time anew");
        assert_eq!(me.seen(renewed.clone(), seconds(128), WALL), Step::Held);
        let Step::Write(record) = me.seen(renewed, seconds(129), WALL) else { panic!("it has run out") };
        assert_eq!(record.transitions, 4);
    }

    #[test]
    fn the_leader_renews_without_reading_while_its_lease_holds() {
        let mut me = candidate();
        assert_eq!(me.renewal(seconds(0), WALL), None);
        me.stored(held_by("me", "r"), seconds(10));
        let renewal = me.renewal(seconds(24), WALL).expect("still held");
        assert_eq!(
            (renewal.acquired.as_str(), renewal.transitions, renewal.renewed.as_str()),
            ("a", 3, WALL)
        );
        assert_eq!(me.renewal(seconds(25), WALL), None, "run out: read first");
        let Step::Write(record) = me.seen(held_by("me", "r"), seconds(25), WALL) else { panic!("ours") };
        assert_eq!((record.acquired.as_str(), record.transitions), ("a", 3), "the term goes on");
        assert_eq!(me.seen(held_by("other", "r2"), seconds(26), WALL), Step::Held, "another took it");
        assert!(!me.is_leader());
    }
}
