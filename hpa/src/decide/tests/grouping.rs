use super::*;

#[test]
fn classes() {
    let settings = settings();
    let ready = |status, ago: i64| Some(Ready { status, transition_ms: NOW - ago });
    let started = |ago: i64, ready: Option<Ready>| {
        let mut case = pod(1);
        case.pod.start_ms = Some(NOW - ago);
        case.pod.ready = ready;
        case
    };
    let window = |mut case: Case, ago: i64, window_ms: i64| {
        case.sample = Some(PodSample { value_milli: 1, timestamp_ms: NOW - ago, window_ms });
        case
    };
    let class = |case: &Case, cpu| classify(&case.pod, case.sample.as_ref(), cpu, &settings, NOW).class();
    let is =
        |id: &str, case: Case, cpu: bool, expected: Class| assert_eq!(class(&case, cpu), expected, "{id}");

    is("G1", started(MINUTE, None), true, Class::Unready);
    let fresh = started(MINUTE, ready(Tristate::True, 30 * SECOND));
    is("G2", window(fresh.clone(), 0, 30 * SECOND), true, Class::Ready);
    is("G3", window(fresh, 0, 60 * SECOND), true, Class::Unready);
    let old = |since: i64| started(10 * MINUTE, ready(Tristate::False, since));
    is("G4", old(9 * MINUTE + 54 * SECOND), true, Class::Unready);
    is("G5", old(9 * MINUTE + 50 * SECOND), true, Class::Ready);
    is("G6", old(9 * MINUTE), true, Class::Ready);
    let stale = started(3 * MINUTE, ready(Tristate::True, 3 * MINUTE));
    is("G7", window(stale, 2 * MINUTE, MINUTE), true, Class::Ready);
    let mut bare = started(MINUTE, None);
    bare.pod.start_ms = None;
    is("G8", bare.clone(), false, Class::Ready);
    is("no start time", bare, true, Class::Unready);
    is("G9", pod(1).missing(), true, Class::Missing);
    is("G10", pod(1).missing().phase(Phase::Pending), true, Class::Unready);
    is("G11", pod(1).deleting().phase(Phase::Pending), true, Class::Ignored);
    is("G12", pod(1).phase(Phase::Failed), true, Class::Ignored);
    is("G12", pod(1).phase(Phase::Succeeded), true, Class::Ignored);
    is("Ready Unknown", started(10 * MINUTE, ready(Tristate::Unknown, 0)), true, Class::Ready);
}

#[test]
fn ready_pods_of_whole_metrics() {
    let mut unknown = pod(0);
    unknown.pod.ready = Some(Ready { status: Tristate::Unknown, transition_ms: NOW });
    let cases = [pod(0), pod(0).deleting(), pod(0).not_ready(), pod(0).phase(Phase::Pending), unknown];
    assert_eq!(pods_of(&cases).iter().filter(|pod| pod.is_running_and_ready()).count(), 2);
}
