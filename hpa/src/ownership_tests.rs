//! Stories of evidence, second by second, and when HPA `u` is ours.

use super::*;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Plays a story: `loop_at` says whether another loop lives at a second; it answers probes after `delay` seconds and writes
/// the status of HPA `u` at the seconds of `marks`. Gives the seconds in which writing `u` began or ended.
fn play(
    mut ownership: Ownership,
    seconds: u64,
    lives: impl Fn(u64) -> bool,
    delay: u64,
    marks: &[u64],
) -> Vec<(u64, bool)> {
    let mut turns = Vec::new();
    let (mut acted, mut made) = (false, 0);
    for second in 0..seconds {
        let at = s(second);
        if marks.contains(&second) {
            ownership.marked("u", "kube-controller-manager", at);
        }
        if ownership.wants_probe(at) {
            ownership.probe_made(at);
            made = second;
        }
        if ownership.is_asking() && lives(second) && second >= made + delay {
            ownership.probe_answered("kube-controller-manager", at);
        }
        ownership.probe_over(at);
        let acts = ownership.acts("u");
        if acts != acted {
            turns.push((second, acts));
            acted = acts;
        }
    }
    turns
}

fn begun(mode: Mode, inherited: bool) -> Ownership {
    let mut ownership = Ownership::new(mode, s(15), false);
    ownership.begin(inherited, s(0));
    ownership
}

#[test]
fn without_another_loop_auto_scales_within_two_sync_periods() {
    let turns = play(begun(Mode::Auto, false), 600, |_| false, 0, &[]);
    assert_eq!(turns, [(27, true)]);
}

#[test]
fn beside_another_loop_auto_never_scales() {
    for delay in [0, 1, 15, 20, 26] {
        assert_eq!(play(begun(Mode::Auto, false), 1200, |_| true, delay, &[]), [], "answers after {delay} s");
    }
    assert_eq!(play(begun(Mode::Auto, false), 20, |_| false, 0, &[3]), [], "a mark speaks for itself");
}

#[test]
fn a_loop_that_is_gone_is_missed_after_two_silent_probes() {
    // The last answer is at 80; asked again at 140, silent at 167 and, asked anew a second later, at 195.
    let turns = play(begun(Mode::Auto, false), 600, |second| second < 100, 10, &[]);
    assert_eq!(turns, [(195, true)]);
    // A loop that only restarts is not replaced.
    assert_eq!(play(begun(Mode::Auto, false), 600, |second| !(100..150).contains(&second), 10, &[]), []);
}

#[test]
fn a_loop_that_comes_back_is_left_the_work_at_its_first_write() {
    let turns = play(begun(Mode::Auto, false), 600, |second| second >= 100, 10, &[103]);
    assert_eq!(turns, [(27, true), (103, false)]);
    // One write by hand: nobody answers the probe made at once, so it was nothing.
    let turns = play(begun(Mode::Auto, false), 600, |_| false, 0, &[103]);
    assert_eq!(turns, [(27, true), (103, false), (130, true)]);
}

#[test]
fn a_loop_that_comes_back_and_writes_nothing_is_found_too() {
    // Probes end at 27, 174, 321: every two minutes and their own length.
    let turns = play(begun(Mode::Auto, false), 600, |second| second >= 100, 15, &[]);
    assert_eq!(turns, [(27, true), (162, false)]);
}

#[test]
fn replace_leaves_only_what_another_writes() {
    let turns = play(begun(Mode::Replace, false), 600, |_| true, 0, &[50]);
    assert_eq!(turns, [(0, true), (50, false)]);
    let mut ownership = begun(Mode::Replace, false);
    assert!(ownership.marked("u", "other", s(1)), "was ours");
    assert!(!ownership.marked("u", "other", s(2)), "is not any more");
    assert!(ownership.acts("v"), "others stay ours");
    assert_eq!((ownership.left(), ownership.standing()), (1, Standing::Acting));
    ownership.forget("u");
    assert_eq!(ownership.left(), 0);
    // The other loop ends: after a minute of quiet a probe is made, and its silence gives the HPA back.
    let turns = play(begun(Mode::Replace, false), 600, |second| second < 60, 0, &[50]);
    assert_eq!(turns, [(0, true), (50, false), (137, true)]);
}

#[test]
fn a_successor_goes_on_at_once_and_asks_nevertheless() {
    assert_eq!(play(begun(Mode::Auto, true), 600, |_| false, 0, &[]), [(0, true)]);
    assert_eq!(play(begun(Mode::Auto, true), 600, |second| second > 5, 0, &[]), [(0, true), (6, false)]);
}

#[test]
fn a_probe_that_is_refused_decides_nothing() {
    let mut ownership = begun(Mode::Auto, false);
    ownership.probe_refused("forbidden", s(0));
    assert_eq!(ownership.standing(), Standing::CannotTell { reason: "forbidden".into() });
    assert!(!ownership.wants_probe(s(14)) && ownership.wants_probe(s(15)) && !ownership.acts("u"));
    ownership.probe_made(s(15));
    assert_eq!(ownership.standing(), Standing::Looking);
    ownership.probe_over(s(42));
    assert_eq!(ownership.standing(), Standing::Acting);
    ownership.probe_answered("late", s(43));
    assert_eq!(ownership.standing(), Standing::Acting, "nobody was asked");
}

#[test]
fn another_flyball_has_precedence_over_everything() {
    for mode in [Mode::Auto, Mode::Replace] {
        let mut ownership = Ownership::new(mode, s(15), true);
        ownership.begin(false, s(0));
        ownership.probe_made(s(0));
        ownership.probe_over(s(27));
        assert_eq!(ownership.standing(), Standing::Looking, "nobody has looked yet");
        let rival = Rival { namespace: "ns".into(), holder: "pod".into() };
        ownership.rival(Some(rival.clone()));
        assert_eq!(ownership.standing(), Standing::OtherFlyball(rival));
        assert!(!ownership.acts("u"));
        ownership.rival(None);
        assert!(ownership.acts("u"));
    }
    assert_eq!(begun(Mode::Shadow, true).standing(), Standing::Shadow);
}

#[test]
fn a_slow_loop_is_waited_for_though_our_own_period_is_short() {
    let mut ownership = Ownership::new(Mode::Auto, s(5), false);
    ownership.begin(false, s(0));
    assert_eq!(play(ownership, 60, |_| false, 0, &[]), [(27, true)]);
}
