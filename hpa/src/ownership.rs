//! Which HPAs are ours to scale. Pure: evidence in, a standing out.
//!
//! Evidence about another HPA loop (kube-controller-manager's, or another Flyball):
//!
//! * a **mark**: a foreign field manager's entry for the status subresource of an HPA *changed while we watched*. Entries
//!   that were there before prove nothing: the loop that left them may be gone;
//! * the **probe**: an HPA of our own whose target does not exist. A loop that lives writes a condition on it within its
//!   sync period. It wakes a loop that has nothing to write, and its silence proves that there is none.
//!
//! Mode `auto` writes nothing before a probe stayed silent, stops when one is answered, and asks again from time to time.
//! In both writing modes an HPA with a mark is left to the other writer at once, until a probe stays silent. KEDA writes
//! specs and scales, never an HPA's status, so it leaves no marks.
//!
//! Times are durations since any fixed moment of a steady clock.

use crate::config::Mode;
use crate::rivals::Rival;
use std::collections::HashMap;
use std::time::Duration;

/// kube-controller-manager's default sync period; a loop may be slower than ours.
const USUAL_PERIOD: Duration = Duration::from_secs(15);
/// A probe is believed to be unanswered after this many sync periods: below two, so that `auto` has decided within two.
const PROBE_PERIODS: f64 = 1.8;
/// While another loop is thought to run and shows nothing, it is asked every so many sync periods.
const ASK_PERIODS: u32 = 4;
/// While nobody else is thought to run, that is made sure of every so many sync periods: a loop that came back shows itself
/// by marks only once it has something to write.
const ASSURE_PERIODS: u32 = 8;
/// A loop that was there is believed to be gone after this many silent probes in a row: it may only be restarting.
const SILENT_PROBES: u32 = 2;
/// Pause after a probe that could not be made.
const REFUSED_PAUSE: Duration = Duration::from_secs(15);

/// What is thought about other HPA loops in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Others {
    Unknown,
    Run { manager: String },
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// Not asking; the next one at the earliest then.
    Idle { not_before: Duration },
    /// Asking since then.
    Asking { since: Duration },
}

/// What the autoscaler does as a whole, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Mode `shadow`.
    Shadow,
    /// Not yet decided.
    Looking,
    /// It scales.
    Acting,
    /// Another loop runs.
    OtherLoop { manager: String },
    /// Another Flyball scales.
    OtherFlyball(Rival),
    /// Whether another loop runs cannot be found out.
    CannotTell { reason: String },
}

/// All evidence, and what follows from it.
#[derive(Debug)]
pub(crate) struct Ownership {
    mode: Mode,
    window: Duration,
    ask_every: Duration,
    assure_every: Duration,
    /// When a probe last ended.
    last_probe: Duration,
    others: Others,
    /// When a mark or an answer was last seen.
    last_sign: Duration,
    silent_in_row: u32,
    /// A mark or a new term since the last silent probe.
    doubt: bool,
    probe: Probe,
    refused: Option<String>,
    /// HPAs left to another writer: by UID, its field manager and when it was last seen.
    left: HashMap<String, (String, Duration)>,
    /// `None`: not looked yet.
    rival: Option<Option<Rival>>,
}

impl Ownership {
    /// `looks_for_rivals`: whether [`Ownership::rival`] will be told.
    pub(crate) fn new(mode: Mode, sync_period: Duration, looks_for_rivals: bool) -> Self {
        let period = sync_period.max(USUAL_PERIOD);
        Ownership {
            mode,
            window: period.mul_f64(PROBE_PERIODS),
            ask_every: period * ASK_PERIODS,
            assure_every: period * ASSURE_PERIODS,
            last_probe: Duration::ZERO,
            others: Others::Unknown,
            last_sign: Duration::ZERO,
            silent_in_row: 0,
            doubt: true,
            probe: Probe::Idle { not_before: Duration::ZERO },
            refused: None,
            left: HashMap::new(),
            rival: if looks_for_rivals { None } else { Some(None) },
        }
    }

    /// A term of leadership begins. `inherited`: the replica before us was scaling until just now, so no pause is made for
    /// finding out; the probe follows all the same.
    pub(crate) fn begin(&mut self, inherited: bool, at: Duration) {
        self.others = match self.mode {
            Mode::Replace | Mode::OwnKind => Others::None,
            Mode::Auto if inherited => Others::None,
            Mode::Auto | Mode::Shadow => Others::Unknown,
        };
        self.last_sign = at;
        self.silent_in_row = 0;
        self.doubt = true;
        self.probe = Probe::Idle { not_before: at };
        self.refused = None;
        self.left.clear();
        if inherited {
            self.rival = Some(None);
        }
    }

    /// A foreign manager wrote the status of an HPA. True if that HPA was ours until now.
    pub(crate) fn marked(&mut self, uid: &str, manager: &str, at: Duration) -> bool {
        let was_ours = self.acts(uid);
        self.last_sign = at;
        self.silent_in_row = 0;
        self.doubt = true;
        self.left.insert(uid.to_owned(), (manager.to_owned(), at));
        if self.others == Others::Unknown && self.mode == Mode::Auto {
            self.others = Others::Run { manager: manager.to_owned() };
        }
        was_ours
    }

    /// An HPA is gone.
    pub(crate) fn forget(&mut self, uid: &str) {
        self.left.remove(uid);
    }

    /// Whether a probe is to be made now.
    pub(crate) fn wants_probe(&self, at: Duration) -> bool {
        let Probe::Idle { not_before } = self.probe else { return false };
        let curious = match self.mode {
            Mode::Shadow => false,
            Mode::Replace => !self.left.is_empty() && self.is_quiet(at),
            // Nobody else answers for this kind, so there is nobody to ask.
            Mode::OwnKind => false,
            Mode::Auto => match &self.others {
                Others::Unknown => true,
                // At once after a mark: the one HPA is left alone already, the probe says whether all must be.
                Others::None => self.doubt || at.saturating_sub(self.last_probe) >= self.assure_every,
                Others::Run { .. } => self.silent_in_row > 0 || self.is_quiet(at),
            },
        };
        curious && at >= not_before
    }

    fn is_quiet(&self, at: Duration) -> bool {
        at.saturating_sub(self.last_sign) >= self.ask_every
    }

    /// The probe was made.
    pub(crate) fn probe_made(&mut self, at: Duration) {
        self.probe = Probe::Asking { since: at };
        self.refused = None;
    }

    /// The probe could not be made.
    pub(crate) fn probe_refused(&mut self, reason: &str, at: Duration) {
        self.probe = Probe::Idle { not_before: at + REFUSED_PAUSE };
        self.refused = Some(reason.to_owned());
    }

    /// Whether a probe is out.
    pub(crate) fn is_asking(&self) -> bool {
        matches!(self.probe, Probe::Asking { .. })
    }

    /// Someone wrote the status of the probe.
    pub(crate) fn probe_answered(&mut self, manager: &str, at: Duration) {
        if !self.is_asking() {
            return;
        }
        self.others = Others::Run { manager: manager.to_owned() };
        self.last_sign = at;
        self.silent_in_row = 0;
        self.probe = Probe::Idle { not_before: at + self.ask_every };
    }

    /// Time passes: a probe that nobody answered says that nobody is there. True if it ended.
    pub(crate) fn probe_over(&mut self, at: Duration) -> bool {
        let Probe::Asking { since } = self.probe else { return false };
        if at < since + self.window {
            return false;
        }
        self.last_probe = at;
        self.silent_in_row += 1;
        let needed = if matches!(self.others, Others::Run { .. }) { SILENT_PROBES } else { 1 };
        if self.silent_in_row >= needed {
            self.others = Others::None;
            self.silent_in_row = 0;
            self.left.retain(|_, (_, seen)| *seen > since);
            self.doubt = !self.left.is_empty();
        }
        // Someone who goes on writing but answers no probe is asked with pauses.
        let pause = if self.left.is_empty() { Duration::ZERO } else { self.ask_every };
        self.probe = Probe::Idle { not_before: at + pause };
        true
    }

    /// Another Flyball that scales, or none.
    pub(crate) fn rival(&mut self, rival: Option<Rival>) {
        self.rival = Some(rival);
    }

    /// Whether this HPA may be written.
    pub(crate) fn acts(&self, uid: &str) -> bool {
        self.standing() == Standing::Acting && !self.left.contains_key(uid)
    }

    /// HPAs left to another writer.
    pub(crate) fn left(&self) -> usize {
        self.left.len()
    }

    /// What follows for all.
    pub(crate) fn standing(&self) -> Standing {
        if self.mode == Mode::Shadow {
            return Standing::Shadow;
        }
        match &self.rival {
            None => return Standing::Looking,
            Some(Some(rival)) => return Standing::OtherFlyball(rival.clone()),
            Some(None) => {}
        }
        match (&self.others, &self.refused) {
            (Others::None, _) => Standing::Acting,
            // In `replace` the operator has said that there is none; only HPAs with marks are left alone.
            _ if matches!(self.mode, Mode::Replace | Mode::OwnKind) => Standing::Acting,
            (Others::Run { manager }, _) => Standing::OtherLoop { manager: manager.clone() },
            (Others::Unknown, Some(reason)) => Standing::CannotTell { reason: reason.clone() },
            (Others::Unknown, None) => Standing::Looking,
        }
    }
}

#[cfg(test)]
#[path = "ownership_tests.rs"]
mod tests;
