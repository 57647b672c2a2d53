//! Two metrics servers behind one Service: metrics.k8s.io goes on when one is killed and when both are replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flyball_e2e::plane::{Needs, Plane};
use flyball_e2e::{Kubectl, MINUTE, SHORT, Signal};

use super::stage::{Server, Stage};
use super::workload::workload;

const PLACE: &str = "behaviour-available";

/// Longest time from a change of the Service's endpoints to the first request that follows it.
const ENDPOINTS_LIMIT: Duration = Duration::from_secs(5);

/// Longest answer, good or bad, of a healthy group: a request that hangs is worse than one that fails.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Answers in a row that show a state of affairs.
const ENOUGH: usize = 15;

/// Someone who runs `kubectl top pods` again and again.
struct Asker {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<Asked>>,
}

/// One run of `kubectl top pods`.
struct Asked {
    began: Instant,
    ended: Instant,
    error: Option<String>,
}

impl Asker {
    fn start(kubectl: Kubectl) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, count) = (stop.clone(), asked.clone());
        let thread = std::thread::spawn(move || {
            let mut all = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                let finished = kubectl.run(&["top", "pods"]);
                let good = finished.success() && finished.stdout.contains("web-");
                let error = (!good).then(|| finished.to_string());
                all.push(Asked { began, ended: Instant::now(), error });
                count.fetch_add(1, Ordering::Relaxed);
            }
            all
        });
        Self { stop, asked, thread }
    }

    /// Waits until enough more runs have ended.
    #[track_caller]
    fn runs_on(&self, plane: &Plane) {
        let wanted = self.asked.load(Ordering::Relaxed) + ENOUGH;
        plane.admin().eventually(MINUTE, "kubectl top is run on and on", || {
            let asked = self.asked.load(Ordering::Relaxed);
            if asked >= wanted { Ok(()) } else { Err(format!("{asked} of {wanted}")) }
        });
    }

    fn end(self) -> Vec<Asked> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the asker does not panic")
    }
}

/// Requests for metrics that a server has answered.
fn answered(server: &Server, token: &str) -> Result<u64, String> {
    let answer = super::direct::Caller::default().token(token).get(server.address, "/metrics")?;
    let counts = answer.body.lines().filter(|line| line.starts_with("apiserver_request_total{"));
    let metrics = counts.filter(|line| line.contains("metrics.k8s.io"));
    let sum: f64 = metrics.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    Ok(sum as u64)
}

/// A token that may read `/metrics`.
fn scraper(plane: &Plane, place: &Kubectl) -> String {
    place.ok(&["create", "serviceaccount", "scraper"]);
    let binding = "e2e-available-scraper";
    plane.admin().ok(&["delete", "clusterrolebinding", binding, "--ignore-not-found"]);
    let account = format!("--serviceaccount={PLACE}:scraper");
    plane.admin().ok(&[
        "create",
        "clusterrolebinding",
        binding,
        "--clusterrole=flyball:metrics-scraper",
        &account,
    ]);
    plane.token_of(PLACE, "scraper", &[])
}

#[test]
fn one_of_two_killed_and_both_replaced() {
    let Some(plane) = Plane::shared(Needs::light()) else { return };
    let stage = Stage::set(&plane, 1);
    let place = stage.place(PLACE);
    place.apply(&workload("Deployment", "web", 2, "300m"));
    place.eventually_available(MINUTE, "web", 2);
    let start = || stage.metrics_server(&["--metric-resolution=1s"], &[]);
    let (one, two) = (start(), start());
    stage.serve(&[&one, &two]);
    stage.eventually_available();
    let (mut one, two) = (one.ready(), two.ready());
    let token = scraper(&plane, &place);
    for server in [&one, &two] {
        let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{PLACE}/pods");
        let reader = plane.token_of("flyball-system", "flyball-hpa", &[]);
        plane.admin().eventually(MINUTE, "each server knows both pods", || {
            let answer = super::direct::Caller::default().token(&reader).get(server.address, &path)?;
            if answer.body.matches("150").count() >= 2 { Ok(()) } else { Err(format!("{answer:?}")) }
        });
    }

    let asker = Asker::start(place.clone());
    asker.runs_on(&plane);
    for server in [&one, &two] {
        let count = answered(server, &token).expect("metrics of its own");
        assert!(count > 0, "both servers are asked: {}", server.program.state());
    }
    one.program.signal(Signal::KILL);
    one.program.wait(SHORT);
    let killed = Instant::now();
    asker.runs_on(&plane);
    // What a cluster does when the pod is gone.
    stage.lead_to(&[&two]);
    let removed = Instant::now();
    asker.runs_on(&plane);
    stage.available().expect("the APIServices stay Available");

    // A rolling restart: a new one first, and the old one leaves when nobody asks it any more.
    let three = start().ready();
    stage.lead_to(&[&two, &three]);
    asker.runs_on(&plane);
    stage.lead_to(&[&three]);
    let mut last = u64::MAX;
    plane.admin().eventually(MINUTE, "nobody asks the old server any more", || {
        asker.runs_on(&plane);
        let count = answered(&two, &token)?;
        let quiet = count == last;
        last = count;
        if quiet { Ok(()) } else { Err(format!("{count} requests")) }
    });
    let mut two = two;
    two.program.signal(Signal::TERM);
    let status = two.program.wait(SHORT);
    assert!(status.is_some_and(|status| status.success()), "{status:?}: {}", two.program.state());
    asker.runs_on(&plane);
    stage.available().expect("the APIServices stay Available");

    let all = asker.end();
    let failed: Vec<_> = all.iter().filter_map(|it| Some((it, it.error.as_ref()?))).collect();
    for (asked, error) in &failed {
        let between = asked.ended >= killed && asked.began <= removed + ENDPOINTS_LIMIT;
        let after = asked.began.duration_since(removed);
        assert!(between, "failed while nothing was wrong, {after:?} after the endpoint was removed: {error}");
        let said = ["ServiceUnavailable", "unable to handle the request", "Metrics API not available"];
        assert!(said.iter().any(|said| error.contains(said)), "{error}");
    }
    let slowest = all.iter().map(|it| it.ended - it.began).max().unwrap_or_default();
    assert!(slowest < ANSWER_LIMIT, "kubectl top took {slowest:?}");
    eprintln!(
        "kubectl top: {} runs, {} failed, all between the kill and the removal of the endpoint; slowest {slowest:?}",
        all.len(),
        failed.len()
    );
}
