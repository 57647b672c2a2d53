//! Which events are recorded, and in which form: client-go's rules for repeated, similar and too many ones. Pure; times are
//! milliseconds of a steady clock.
//!
//! * The same event again is counted in place; whatever the cadence of evaluations, once per sync period.
//! * From the tenth different message of one reason about one object on, within ten minutes, they are one event, which says
//!   so and bears the last message.
//! * One object has so many events in a row, and then one every five minutes. Rescales are always told: each is a write that
//!   somebody will want to understand.

use crate::report::Note;
use std::collections::{BTreeSet, HashMap};

/// Objects remembered; beyond it half of them, those not told of for longest, are forgotten.
const MAX_OBJECTS: usize = 4_096;
/// Events remembered of one object.
const MAX_EVENTS: usize = 64;
/// Different messages of one reason, and the time without any after which they are counted anew.
const MAX_SIMILAR: usize = 10;
const SIMILAR_MS: i64 = 600_000;
/// Events of one object in a row, and the time in which it may have one more.
const BURST: i64 = 25;
const REFILL_MS: i64 = 300_000;
/// How one event that stands for many begins.
const COMBINED: &str = "(combined from similar events): ";

/// Reason, and the message unless the event stands for many.
type EventKey = (&'static str, Option<String>);

/// What is to be done about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Skip,
    /// It is recorded with this message, unless an earlier one is counted again.
    Record { message: String, again: Option<Again> },
}

/// An event that was recorded before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Again {
    /// Its name.
    pub(crate) event: String,
    /// How often it happened, this time included.
    pub(crate) count: u32,
}

struct Known {
    event: String,
    count: u32,
    last_ms: i64,
}

#[derive(Default)]
struct Similar {
    messages: BTreeSet<String>,
    last_ms: i64,
}

struct Object {
    known: HashMap<EventKey, Known>,
    similar: HashMap<&'static str, Similar>,
    /// What it may have before it is full: milliseconds of [`REFILL_MS`] each.
    used_ms: i64,
    last_ms: i64,
}

impl Object {
    fn new(now_ms: i64) -> Self {
        Object { known: HashMap::new(), similar: HashMap::new(), used_ms: 0, last_ms: now_ms }
    }

    /// The key of an event, and its message.
    fn combine(&mut self, note: &Note, now_ms: i64) -> (EventKey, String) {
        let similar = self.similar.entry(note.reason).or_default();
        if now_ms - std::mem::replace(&mut similar.last_ms, now_ms) > SIMILAR_MS {
            similar.messages.clear();
        }
        if !similar.messages.contains(&note.message) {
            if similar.messages.len() + 1 >= MAX_SIMILAR {
                return ((note.reason, None), format!("{COMBINED}{}", note.message));
            }
            similar.messages.insert(note.message.clone());
        }
        ((note.reason, Some(note.message.clone())), note.message.clone())
    }

    /// Whether it may have one more event.
    fn spend(&mut self, now_ms: i64) -> bool {
        self.used_ms = (self.used_ms - (now_ms - self.last_ms).max(0)).max(0);
        self.last_ms = now_ms;
        let allowed = self.used_ms + REFILL_MS <= BURST * REFILL_MS;
        if allowed {
            self.used_ms += REFILL_MS;
        }
        allowed
    }

    fn make_room(&mut self) {
        while self.known.len() >= MAX_EVENTS {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.last_ms).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            self.known.remove(&oldest);
        }
    }
}

/// What was told lately.
pub(crate) struct Correlator {
    repeat_after_ms: i64,
    objects: HashMap<String, Object>,
    numbers: u64,
}

impl Correlator {
    pub(crate) fn new(repeat_after_ms: i64) -> Self {
        Correlator { repeat_after_ms, objects: HashMap::new(), numbers: 0 }
    }

    /// Takes in an event about the object with this UID.
    pub(crate) fn judge(&mut self, uid: &str, note: &Note, now_ms: i64) -> Verdict {
        if !self.objects.contains_key(uid) {
            self.make_room();
        }
        let object = self.objects.entry(uid.to_owned()).or_insert_with(|| Object::new(now_ms));
        let is_rescale = matches!(note.reason, "SuccessfulRescale" | "FailedRescale");
        let (key, message) = object.combine(note, now_ms);
        let known = object.known.get(&key);
        if !is_rescale && known.is_some_and(|known| now_ms - known.last_ms < self.repeat_after_ms) {
            return Verdict::Skip;
        }
        if !object.spend(now_ms) && !is_rescale {
            return Verdict::Skip;
        }
        let again = object.known.get_mut(&key).map(|known| {
            known.count += 1;
            known.last_ms = now_ms;
            Again { event: known.event.clone(), count: known.count }
        });
        Verdict::Record { message, again }
    }

    /// A number that no event had before.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// An event that [`Correlator::judge`] let through is recorded anew, under this name.
    pub(crate) fn recorded(&mut self, uid: &str, note: &Note, message: &str, event: &str, now_ms: i64) {
        let Some(found) = self.objects.get_mut(uid) else { return };
        found.make_room();
        let own = (!message.starts_with(COMBINED)).then(|| note.message.clone());
        let known = Known { event: event.to_owned(), count: 1, last_ms: now_ms };
        found.known.insert((note.reason, own), known);
    }

    fn make_room(&mut self) {
        if self.objects.len() < MAX_OBJECTS {
            return;
        }
        let mut times: Vec<i64> = self.objects.values().map(|object| object.last_ms).collect();
        times.sort_unstable();
        let median = times[times.len() / 2];
        self.objects.retain(|_, object| object.last_ms > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(reason: &'static str, message: &str) -> Note {
        Note { warning: true, reason, message: message.to_owned() }
    }

    /// Judges and, where it is new, names; gives message and count.
    fn tell(correlator: &mut Correlator, note: &Note, now_ms: i64) -> Option<(String, u32)> {
        match correlator.judge("u", note, now_ms) {
            Verdict::Skip => None,
            Verdict::Record { message, again: Some(again) } => Some((message, again.count)),
            Verdict::Record { message, again: None } => {
                correlator.recorded("u", note, &message, "web.1", now_ms);
                Some((message, 1))
            }
        }
    }

    #[test]
    fn the_same_again_is_counted_once_per_period() {
        let mut correlator = Correlator::new(15_000);
        let failed = note("FailedGetScale", "gone");
        let counts: Vec<Option<u32>> = [0, 1_000, 14_999, 15_000, 30_000]
            .map(|at_ms| tell(&mut correlator, &failed, at_ms).map(|(_, count)| count))
            .to_vec();
        assert_eq!(counts, [Some(1), None, None, Some(2), Some(3)]);
    }

    #[test]
    fn many_different_messages_become_one_event() {
        let mut correlator = Correlator::new(15_000);
        let mut last = None;
        for index in 0..12 {
            last = tell(&mut correlator, &note("FailedGetScale", &format!("pod {index}")), index * 16_000);
            assert_eq!(
                last.as_ref().map(|(_, count)| *count),
                Some(if index < 9 { 1 } else { index as u32 - 8 })
            );
        }
        assert_eq!(last.unwrap().0, "(combined from similar events): pod 11");
        let known = tell(&mut correlator, &note("FailedGetScale", "pod 3"), 200_000);
        assert_eq!(known, Some(("pod 3".into(), 2)), "one that was told by itself still is");
        let other = tell(&mut correlator, &note("FailedRescale", "pod 99"), 200_000);
        assert_eq!(other, Some(("pod 99".into(), 1)), "of another reason");
        let later = tell(&mut correlator, &note("FailedGetScale", "pod 50"), 900_000);
        assert_eq!(later, Some(("pod 50".into(), 1)), "after a quiet time");
    }

    #[test]
    fn too_many_events_of_one_object_are_dropped_but_rescales_are_not() {
        let mut correlator = Correlator::new(1);
        let failed = note("FailedGetScale", "gone");
        let told = (0..100).filter(|index| tell(&mut correlator, &failed, index * 1_000).is_some()).count();
        assert_eq!(told, 25);
        for size in 0..5 {
            let rescale = note("SuccessfulRescale", &format!("New size: {size}"));
            assert!(tell(&mut correlator, &rescale, 100_000).is_some());
        }
        assert!(tell(&mut correlator, &failed, 101_000).is_none());
        assert!(tell(&mut correlator, &failed, 100_000 + 2 * REFILL_MS).is_some(), "one more after a while");
    }

    #[test]
    fn memory_is_bounded() {
        let mut correlator = Correlator::new(1);
        for index in 0..2 * MAX_OBJECTS {
            let (uid, note) = (index.to_string(), note("FailedGetScale", "gone"));
            let now_ms = index as i64 / 10;
            correlator.judge(&uid, &note, now_ms);
            correlator.recorded(&uid, &note, "gone", "web.1", now_ms);
            assert!(correlator.objects.len() <= MAX_OBJECTS);
        }
        for index in 0..1_000 {
            tell(&mut correlator, &note("SuccessfulRescale", &index.to_string()), index * 700_000);
        }
        assert!(correlator.objects["u"].known.len() <= MAX_EVENTS);
    }
}
