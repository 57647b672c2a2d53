//! Two replicas of the autoscaler: one acts, and the other takes over with all that is known.

use std::time::{Duration, Instant};

use flyball_e2e::plane::Plane;
use flyball_e2e::{Signal, full};

use super::alone_at_scaling;
use super::audit::{keep, only_the_leader_wrote, rise_and_fall, writes};
use super::stage::{HPA, Server, Stage};
use super::workload::{SCALE_LIMIT, autoscaler, eventually_replicas, replicas, workload};

const PLACE: &str = "behaviour-hand-over";

/// What is added to every limit for programs to start and requests to be answered on a busy machine.
const SLACK: Duration = Duration::from_secs(10);

/// The timing of the election.
struct Timing {
    flags: &'static [&'static str],
    /// After a crash, the others wait for so long.
    lease: Duration,
    /// How long recommendations hold back scaling down.
    window_seconds: u32,
}

impl Timing {
    fn now() -> Self {
        if full() {
            return Self { flags: &["--mode=replace"], lease: Duration::from_secs(15), window_seconds: 90 };
        }
        const SHORT: &[&str] = &[
            "--mode=replace",
            "--leader-elect-lease-duration=6s",
            "--leader-elect-renew-deadline=4s",
            "--leader-elect-retry-period=1s",
        ];
        Self { flags: SHORT, lease: Duration::from_secs(6), window_seconds: 25 }
    }
}

/// The one of `replicas` that holds the Lease, taken out of them.
fn take_leader(replicas: &mut Vec<(String, Server)>, holder: &str) -> Server {
    let found = replicas.iter().position(|(name, _)| holder.starts_with(name.as_str()));
    let found = found.unwrap_or_else(|| {
        panic!("{holder} is none of {:?}", replicas.iter().map(|it| &it.0).collect::<Vec<_>>())
    });
    replicas.remove(found).1
}

/// Starts a replica; its name is what its identity begins with.
fn replica(stage: &Stage<'_>, timing: &Timing, name: &str) -> (String, Server) {
    let server = stage.hpa_named(timing.flags, name).ready();
    (format!("{name}_"), server)
}

#[test]
fn another_replica_takes_over_and_knows_the_past() {
    let Some(plane) = Plane::shared(alone_at_scaling()) else { return };
    keep(&plane);
    let before = writes(&plane).len();
    let timing = Timing::now();
    let stage = Stage::set(&plane, 1);
    let place = stage.place(PLACE);
    let _metrics = stage.metrics();
    let mut standing = vec![replica(&stage, &timing, "one")];
    let first = stage.eventually_leads(SLACK, "");
    standing.push(replica(&stage, &timing, "two"));
    place.apply(&workload("Deployment", "web", 1, "190m"));
    place.apply(&autoscaler("apps/v1", "Deployment", "web", 8, timing.window_seconds));
    eventually_replicas(&place, SCALE_LIMIT, "deployment/web", 4);

    // From here on one replica would do, and none may go before the window is over, whoever decides.
    stage.sim.set_load_cpu(PLACE, "web", "50m").expect("an amount");
    let dropped = Instant::now();
    let window = Duration::from_secs(timing.window_seconds.into());
    let kept = || {
        let count = replicas(&place, "deployment/web");
        // Looked at before the clock: a late look must not count as an early change.
        assert!(
            count == 4 || dropped.elapsed() >= window,
            "{count} replicas after {:?} of {window:?}",
            dropped.elapsed()
        );
    };

    let mut leader = take_leader(&mut standing, &first);
    leader.program.signal(Signal::TERM);
    let second = place.eventually(timing.lease.min(SLACK), "the Lease is handed over at once", || {
        kept();
        let holder = stage.leader();
        if holder.is_empty() || holder == first { Err(format!("holder: {holder:?}")) } else { Ok(holder) }
    });
    let status = leader.program.wait(SLACK * 2);
    assert!(status.is_some_and(|status| status.success()), "{status:?}: {}", leader.program.state());

    standing.push(replica(&stage, &timing, "three"));
    kept();
    let mut leader = take_leader(&mut standing, &second);
    leader.program.signal(Signal::KILL);
    leader.program.wait(SLACK);
    let killed = Instant::now();
    place.eventually(timing.lease + SLACK, "the Lease is taken within its time", || {
        kept();
        let holder = stage.leader();
        if holder.is_empty() || holder == second { Err(format!("holder: {holder:?}")) } else { Ok(()) }
    });
    eprintln!(
        "hand-over: {:.1} s after the crash, with a lease of {:?}",
        killed.elapsed().as_secs_f64(),
        timing.lease
    );
    place.eventually(window * 2 + SLACK * 2, "what is not needed goes when the window is over", || {
        kept();
        let count = replicas(&place, "deployment/web");
        if count == 1 { Ok(()) } else { Err(format!("{count} replicas")) }
    });

    let writes = writes(&plane).split_off(before);
    let counts: Vec<_> = writes.iter().filter(|it| it.name == "web").filter_map(|it| it.replicas()).collect();
    assert!(rise_and_fall(&counts, 4) && counts.last() == Some(&1), "{counts:?} of {writes:#?}");
    let holders = only_the_leader_wrote(&writes, HPA);
    assert!(holders >= 3, "{holders} processes held the Lease");
}
