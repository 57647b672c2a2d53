//! Upstream's metrics-server and ours, asked the same questions over the same kubelets: the same answers, byte for byte
//! where upstream's are deterministic.
//!
//! Kubelets are simulated, the API server is a few lines of this test. Upstream's program is built by `cargo xtask e2e`
//! (or named by `FLYBALL_E2E_METRICS_SERVER`).
#![allow(clippy::disallowed_methods, reason = "edge: a test of whole programs")]

mod api;
mod ask;
mod odd;
mod questions;
mod sides;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use flyball_e2e::eventually;
use serde_json::Value;

use ask::{Answer, Question};
use sides::{OddSides, Side, Sides};

/// Both look at the kubelets every 10 s, and kubelets at their containers as often: answers that hold different looks
/// become the same within a few rounds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is compared, by name.
type Part = (&'static str, fn(&Sides));

/// All parts over one pair of programs; each is tried, whatever came of the ones before.
#[test]
fn upstream_and_ours_answer_alike() {
    let Some(sides) = Sides::start() else { return };
    let parts: [Part; 10] = [
        ("objects and lists in every form", objects_and_lists_in_every_form),
        ("refusals", refusals),
        ("callers", callers),
        ("large lists are compressed", large_lists_are_compressed),
        ("probes", probes),
        ("what has no metrics", what_has_no_metrics),
        ("discovery", discovery),
        ("own metrics", own_metrics),
        ("kubectl prints the same", kubectl_prints_the_same),
        ("the doctor finds the same kubelets", the_doctor_finds_the_same_kubelets),
    ];
    let failed = |part: &&Part| {
        let outcome = catch_unwind(AssertUnwindSafe(|| part.1(&sides)));
        eprintln!("{}: {}", part.0, if outcome.is_ok() { "the same" } else { "DIFFERENT" });
        outcome.is_err()
    };
    let failed: Vec<&str> = parts.iter().filter(failed).map(|part| part.0).collect();
    assert!(failed.is_empty(), "different: {failed:?}");
}

/// Kubelets that answer oddly are read alike.
#[test]
fn odd_kubelets_are_read_alike() {
    let Some(sides) = OddSides::start() else { return };
    let mut served = 0;
    for node in 0..odd::NODES {
        let name = odd::name(node);
        eventually(PATIENCE, &format!("both read {name} alike"), String::new, || {
            let (ours, theirs) = (read_of(&sides.ours, &name), read_of(&sides.theirs, &name));
            let alike = ours == theirs;
            served += if alike { theirs.1.len() } else { 0 };
            if alike { Ok(()) } else { Err(format!("upstream: {theirs:#?}\nours: {ours:#?}")) }
        });
    }
    assert!(served > 3 * odd::NODES as usize, "{served} pods were compared");
}

/// What is known of a node and of its pods, without the time of the answer, containers sorted.
fn read_of(side: &Side, name: &str) -> (Value, Vec<Value>) {
    let at = |path: String| side.ask(&Question::get(&format!("/apis/metrics.k8s.io/v1beta1/{path}"))).json();
    let node = without_creation(at(format!("nodes/{name}")));
    let pods = at(format!("namespaces/{name}/pods"));
    let pods = pods["items"].as_array().cloned().unwrap_or_default();
    let sorted = |pod: Value| {
        let mut pod = without_creation(pod);
        if let Some(containers) = pod["containers"].as_array_mut() {
            containers.sort_by_key(|container| container["name"].to_string());
        }
        pod
    };
    (node, pods.into_iter().map(sorted).collect())
}

fn without_creation(mut object: Value) -> Value {
    object["metadata"]["creationTimestamp"] = Value::Null;
    object
}

/// Asks both until they say the same; at the end of patience, what still differs.
fn same(sides: &Sides, questions: &[Question], seen: impl Fn(Answer) -> Answer) {
    let mut differences = Vec::new();
    for question in questions {
        let mut last = String::new();
        let started = std::time::Instant::now();
        let agreed = loop {
            let ours = seen(sides.ours.ask(question).without_own_paths());
            let theirs = seen(sides.theirs.ask(question).without_own_paths());
            if ours == theirs {
                break true;
            }
            last = format!("{question}\n  upstream: {theirs:?}\n  ours:     {ours:?}");
            // What does not depend on the moment differs for ever.
            if started.elapsed() > PATIENCE
                || (!question.depends_on_time && started.elapsed() > Duration::from_secs(3))
            {
                break false;
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        if !agreed {
            differences.push(last);
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        questions.len(),
        differences.join("\n")
    );
}

fn objects_and_lists_in_every_form(sides: &Sides) {
    same(sides, &questions::objects(), |answer| answer);
}

fn refusals(sides: &Sides) {
    same(sides, &questions::refusals(), |answer| answer);
}

fn callers(sides: &Sides) {
    same(sides, &questions::callers(&sides.people), |answer| answer);
}

fn large_lists_are_compressed(sides: &Sides) {
    same(sides, &questions::large(), |answer| {
        assert!(answer.body.len() > 131_072, "{} bytes", answer.body.len());
        answer
    });
}

fn probes(sides: &Sides) {
    same(sides, &questions::probes(), |answer| answer);
}

/// Both can read them with the authority of the kubelets; without it the doctor says what is missing.
fn the_doctor_finds_the_same_kubelets(sides: &Sides) {
    let good = sides.doctor(true);
    assert!(good.success() && good.stdout.ends_with("2 of 2 kubelets can be read\n"), "{good}");
    let bad = sides.doctor(false);
    assert!(!bad.success() && bad.stdout.contains("FAIL  certificate"), "{bad}");
    assert!(bad.stdout.contains("--kubelet-certificate-authority"), "{bad}");
}

/// Where upstream only knows that there is nothing, ours says why; the rest is the same.
fn what_has_no_metrics(sides: &Sides) {
    let question = Question::get("/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/unseen");
    let (ours, theirs) = (sides.ours.ask(&question), sides.theirs.ask(&question));
    let (mut our_status, their_status) = (ours.json(), theirs.json());
    let (ours_said, theirs_said) = (our_status["message"].clone(), their_status["message"].clone());
    let (ours_said, theirs_said) = (ours_said.as_str().expect("text"), theirs_said.as_str().expect("text"));
    assert!(ours_said.starts_with(&format!("{theirs_said}: ")), "{ours_said} and {theirs_said}");
    our_status["message"] = their_status["message"].clone();
    assert_eq!((our_status, ours.code), (their_status, theirs.code));
}

/// Ours has v1 and watches beside what upstream has.
fn discovery(sides: &Sides) {
    for question in questions::discovery() {
        let of = |answer: Answer| (answer.code, answer.content_type);
        assert_eq!(of(sides.ours.ask(&question)), of(sides.theirs.ask(&question)), "{question}");
    }
    let ask = |path: &str| {
        let question = Question::get(path);
        (sides.ours.ask(&question), sides.theirs.ask(&question))
    };
    let (ours, theirs) = ask("/apis/metrics.k8s.io/v1beta1");
    let mut expected = theirs.json();
    for resource in expected["resources"].as_array_mut().expect("resources") {
        resource["verbs"] = serde_json::json!(["get", "list", "watch"]);
    }
    assert_eq!((ours.json(), ours.content_type), (expected, theirs.content_type));
    let (ours, theirs) = ask("/apis");
    let (mut ours, theirs) = (ours.json(), theirs.json());
    let versions = ours["groups"][0]["versions"].as_array_mut().expect("versions");
    assert_eq!(versions.remove(0)["version"], "v1");
    ours["groups"][0]["preferredVersion"] = ours["groups"][0]["versions"][0].clone();
    // Each says its own port.
    ours["groups"][0]["serverAddressByClientCIDRs"] =
        theirs["groups"][0]["serverAddressByClientCIDRs"].clone();
    assert_eq!(ours, theirs);
    let (ours, theirs) = ask("/version");
    let keys = |answer: &Answer| -> Vec<String> {
        answer.json().as_object().expect("an object").keys().cloned().collect()
    };
    assert_eq!((keys(&ours), &ours.content_type), (keys(&theirs), &theirs.content_type));
    let (ours, theirs) = ask("/openapi/v2");
    let definitions = |answer: &Answer| -> Vec<String> {
        let document = answer.json();
        let names = document["definitions"].as_object().expect("definitions").keys();
        names.filter(|name| name.contains("v1beta1")).cloned().collect()
    };
    assert_eq!(definitions(&ours), definitions(&theirs));
}

/// Families of upstream that have nothing to count in a program like ours: Go's runtime, its work queues, parts of the
/// generic API server that no metrics server uses, and clients' details.
const NOT_OURS: [&str; 27] = [
    "aggregator_discovery_",
    "apiserver_audit_",
    "apiserver_envelope_encryption_",
    "apiserver_impersonation_",
    "apiserver_request_filter_duration_seconds",
    "apiserver_storage_",
    "apiserver_validation_",
    "apiserver_webhooks_",
    "authentication_token_cache_",
    "cardinality_enforcement_",
    "disabled_metrics_total",
    "field_validation_",
    "go_",
    "hidden_metrics_total",
    "kubernetes_feature_enabled",
    "kubernetes_build_info",
    "leader_election_",
    "registered_metrics_total",
    "rest_client_exec_plugin_",
    "rest_client_rate_limiter_",
    "rest_client_request_size_",
    "rest_client_response_size_",
    "rest_client_transport_",
    "running_managed_controllers",
    "version_info",
    "watch_cache_",
    "workqueue_",
];

/// All families of upstream but those, with their types and the names of their labels.
fn all_own_metrics(ours: &Answer, theirs: &Answer) {
    let families = |answer: &Answer| -> BTreeMap<String, (String, BTreeSet<String>)> {
        let mut all = BTreeMap::new();
        for line in answer.body.lines() {
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                all.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
            } else if let Some((series, _)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) {
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let suffixes = ["_bucket", "_sum", "_count"];
                let stem = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
                let name = stem.filter(|stem| all.contains_key(*stem)).unwrap_or(name);
                let names = labels.split("=\"").filter_map(|part| part.rsplit([',', '{', ' ']).next());
                let labels = labels.matches("=\"").count();
                let (_, known) = all.get_mut(name).unwrap_or_else(|| panic!("no type of {name}"));
                known.extend(names.take(labels).map(str::to_owned));
            }
        }
        all
    };
    let (ours, theirs) = (families(ours), families(theirs));
    let wanted = theirs.iter().filter(|(name, _)| !NOT_OURS.iter().any(|start| name.starts_with(start)));
    let missing: Vec<String> = wanted
        .filter(|(name, family)| ours.get(*name) != Some(*family))
        .map(|(name, family)| format!("{name}: upstream {family:?}, ours {:?}", ours.get(name)))
        .collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Upstream's own metrics, which dashboards and alerts are made of.
fn own_metrics(sides: &Sides) {
    let families = |answer: &Answer| -> Vec<String> {
        let lines = answer.body.lines().filter(|line| line.starts_with("# TYPE metrics_server_"));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let question = Question::get("/metrics");
    let (ours, theirs) = (sides.ours.ask(&question), sides.theirs.ask(&question));
    assert_eq!(families(&ours), families(&theirs));
    all_own_metrics(&ours, &theirs);
    let names = |answer: &Answer, start: &str| -> Vec<String> {
        let lines = answer.body.lines().filter(|line| line.starts_with(start));
        let mut all: Vec<String> =
            lines.map(|line| line.rsplit_once(' ').map_or("", |(series, _)| series).to_owned()).collect();
        all.sort();
        all
    };
    for start in [
        "metrics_server_storage_points",
        "metrics_server_api_metric_freshness_seconds_bucket",
        "metrics_server_kubelet_last_request_time_seconds",
        "metrics_server_kubelet_request_total{success=\"true\"}",
    ] {
        assert_eq!(names(&ours, start), names(&theirs, start), "{start}");
    }
}

/// kubectl through the aggregation layer's credentials: the same tables.
fn kubectl_prints_the_same(sides: &Sides) {
    for kubectl in sides::kubectls() {
        let version = sides.ours.kubectl(&kubectl, &["version", "--client"]).0;
        eprintln!("{} commands of {}", questions::kubectl().len(), version.lines().next().unwrap_or(""));
        for arguments in questions::kubectl() {
            let arguments: Vec<&str> = arguments.split_whitespace().collect();
            eventually(
                PATIENCE,
                &format!("{} {arguments:?} prints the same", kubectl.display()),
                String::new,
                || {
                    let ours = sides.ours.kubectl(&kubectl, &arguments);
                    let theirs = sides.theirs.kubectl(&kubectl, &arguments);
                    if ours == theirs { Ok(()) } else { Err(format!("upstream: {theirs:?}\nours: {ours:?}")) }
                },
            );
        }
    }
}
