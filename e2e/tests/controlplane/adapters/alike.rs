//! prometheus-adapter and ours answer alike: each configuration in `adapter/testdata/configs` (those published with
//! prometheus-adapter and twenty written by hand), over the same objects and the same Prometheus at the same moment.
//!
//! Bodies are compared but for times (upstream's are of the answer, ours of the sample) and for the order of containers (upstream has
//! them in any). A refusal has the same code and reason; its
//! message begins with upstream's and may go on with why. [`meant`] lists what differs on purpose. `FLYBALL_E2E_ADAPTER_CONFIG`
//! compares one configuration alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use flyball_e2e::plane::{Needs, Plane};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::prometheus::Prometheus;
use super::serving::{Target, at_one_moment};
use super::sides::{Answer, Side};
use super::{prometheus_program, questions, sides, upstream_program, world};

const CONFIGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../adapter/testdata/configs");
/// Questions at a time.
const AT_ONCE: usize = 8;
/// Longest time until both have found what there is.
const LIST_LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);
/// Differences that are shown of one configuration.
const SHOWN: usize = 12;

#[test]
fn answers_are_those_of_prometheus_adapter() {
    let (Some(prometheus), Some(upstream)) = (prometheus_program(), upstream_program()) else { return };
    let Some(plane) = Plane::alone(Needs::light().no_hpa_loop().own_control_plane()) else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    world::make(&plane);
    sides::account(&plane);
    let target = Target::start((plane.address(), 80).into(), Box::new(world::exposition));
    let prometheus = Prometheus::start(&plane, &prometheus, &target);
    let still = (plane.address(), 9090).into();
    at_one_moment(still, prometheus.address, prometheus.now());
    let url = format!("http://{still}");
    let mut faults = Vec::new();
    for (name, config) in configs() {
        let file = plane.folder().join(format!("{name}.yaml"));
        std::fs::write(&file, config).expect("a file");
        let compared = compare(&plane, &runtime, &upstream, &url, &file);
        eprintln!("{name}: {} questions, {} answers differ", compared.questions, compared.different.len());
        for (why, count) in &compared.on_purpose {
            eprintln!("    {count} on purpose: {why}");
        }
        let shown = compared.different.iter().take(SHOWN).map(|difference| format!("{name}: {difference}"));
        faults.extend(shown);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

fn configs() -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(CONFIGS).unwrap_or_else(|error| panic!("{CONFIGS}: {error}"));
    entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&path).expect("a configuration");
            (path.file_stem().expect("a name").to_string_lossy().into_owned(), text)
        })
        .filter(|(name, _)| match std::env::var("FLYBALL_E2E_ADAPTER_CONFIG") {
            Ok(only) => *name == only,
            Err(_) => true,
        })
        .collect()
}

#[derive(Default)]
struct Compared {
    questions: usize,
    different: Vec<String>,
    /// By reason.
    on_purpose: BTreeMap<&'static str, usize>,
}

/// One answer that differs, and why, if that is known.
type Difference = (String, Option<&'static str>);

/// Compares lists and answers. Where a template's form does not show it, upstream learns the label of namespaces by the first query
/// that needs it and lists their metrics from its next look on; so where the lists differ, all is asked, and compared once more.
fn compare(plane: &Plane, runtime: &Runtime, upstream: &Path, url: &str, config: &Path) -> Compared {
    let theirs = Side::theirs(plane, runtime, upstream, url, config);
    let ours = Side::ours(plane, runtime, url, config);
    let mut compared = Compared::default();
    let first = round(runtime, &theirs, &ours, &mut compared);
    if !first.is_empty() {
        let still = round(runtime, &theirs, &ours, &mut compared);
        compared.different.extend(still);
    }
    compared
}

/// Lists, and answers to questions about what is listed; gives how the lists differ.
fn round(runtime: &Runtime, theirs: &Side, ours: &Side, compared: &mut Compared) -> Vec<String> {
    let mut disagreements = Vec::new();
    let lists: Vec<Value> = questions::discovery()
        .iter()
        .map(|path| {
            let (list, disagreement) = listed(runtime, theirs, ours, path);
            disagreements.extend(disagreement);
            list
        })
        .collect();
    let mut asked: Vec<(&str, String)> = questions::refused(&lists[0]);
    let paths = questions::custom(&lists[0]).into_iter().chain(questions::external(&lists[1]));
    asked.extend(paths.chain(questions::usage()).map(|path| ("GET", path)));
    let found = runtime.block_on(async {
        let answers = asked.iter().map(|(method, path)| async move {
            match both(theirs, ours, method, path).await {
                Ok((theirs, ours)) => difference(&theirs, &ours).map(|what| {
                    let text = format!("{method} {path}: {what}\ntheirs {theirs:?}\nours   {ours:?}");
                    (text, meant(path, &theirs, &ours))
                }),
                Err(error) => Some((format!("{method} {path}: {error}"), None)),
            }
        });
        let answers: Vec<Option<Difference>> =
            futures_util::stream::iter(answers).buffered(AT_ONCE).collect().await;
        answers
    });
    compared.questions += asked.len();
    for (text, why) in found.into_iter().flatten() {
        match why {
            Some(why) => *compared.on_purpose.entry(why).or_default() += 1,
            None => compared.different.push(text),
        }
    }
    disagreements
}

/// What upstream lists, and how ours differs from it when it has had the time to find the same.
fn listed(runtime: &Runtime, theirs: &Side, ours: &Side, path: &str) -> (Value, Option<String>) {
    let start = Instant::now();
    loop {
        let (theirs, ours) = runtime.block_on(both(theirs, ours, "GET", path)).expect("both answer");
        // Without rules for them there is no such group.
        let same = match (theirs.code, ours.code) {
            (200, 200) => same_list(&theirs.body, &ours.body),
            (404, 200) => ours.body["resources"].as_array().is_some_and(Vec::is_empty),
            (theirs, ours) => theirs == ours,
        };
        if same || start.elapsed() > LIST_LIMIT {
            let disagreement = (!same).then(|| format!("{path}\ntheirs {theirs:?}\nours   {ours:?}"));
            return (theirs.body, disagreement);
        }
        std::thread::sleep(PAUSE);
    }
}

async fn both(theirs: &Side, ours: &Side, method: &str, path: &str) -> Result<(Answer, Answer), String> {
    let (theirs, ours) = tokio::join!(theirs.ask(method, path), ours.ask(method, path));
    Ok((theirs.map_err(|error| format!("theirs: {error}"))?, ours.map_err(|error| format!("ours: {error}"))?))
}

/// Discovery in any order. Upstream lists a metric without a name where a rule makes none; nobody can ask for it.
fn same_list(theirs: &Value, ours: &Value) -> bool {
    let names = |list: &Value| {
        let named = |one: &&Value| one["name"].as_str().is_some_and(|name| !name.is_empty());
        let listed = list["resources"].as_array().into_iter().flatten().filter(named);
        let mut all: Vec<String> = listed.map(ToString::to_string).collect();
        all.sort();
        all
    };
    names(theirs) == names(ours)
}

/// What differs, if anything does.
fn difference(theirs: &Answer, ours: &Answer) -> Option<&'static str> {
    if theirs.code != ours.code {
        return Some("codes");
    }
    if theirs.code < 400 {
        return (settled(&theirs.body) != settled(&ours.body)).then_some("bodies");
    }
    let text = |answer: &Answer, field: &str| answer.body[field].as_str().unwrap_or_default().to_owned();
    let begins = text(ours, "message").starts_with(&text(theirs, "message"));
    match () {
        () if text(theirs, "reason") != text(ours, "reason") => Some("reasons"),
        () if !begins => Some("messages"),
        () => None,
    }
}

/// A body with every time made equal, and containers in one order: upstream has them in any.
fn settled(body: &Value) -> Value {
    match body {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match (key.as_str(), value) {
                ("timestamp" | "creationTimestamp", Value::String(_)) => (key.clone(), "T".into()),
                ("containers", Value::Array(all)) => {
                    let mut all: Vec<Value> = all.iter().map(settled).collect();
                    all.sort_by_key(|one| one["name"].to_string());
                    (key.clone(), all.into())
                }
                _ => (key.clone(), settled(value)),
            })
            .collect(),
        Value::Array(all) => all.iter().map(settled).collect(),
        other => other.clone(),
    }
}

/// Why an answer differs on purpose, if it does; `docs/adapter.md` says so to users.
fn meant(path: &str, theirs: &Answer, ours: &Answer) -> Option<&'static str> {
    let message = |answer: &Answer| answer.body["message"].as_str().unwrap_or_default().to_owned();
    let (upstream, own) = (message(theirs), message(ours));
    let codes = (theirs.code, ours.code);
    let reasons = [
        (
            theirs.code == 404 && theirs.body["paths"].is_array(),
            "without rules for it upstream does not serve the group; after a reload, or elsewhere, ours may have some",
        ),
        (
            codes == (500, 200) && upstream.contains("is not a valid label selector operator"),
            "upstream's own client cannot say != on the way from the selector to the answer",
        ),
        (
            codes == (500, 400) && path.contains("metricLabelSelector"),
            "a selector that nobody can understand is the client's fault",
        ),
        (
            codes == (404, 400) && path.contains("metricLabelSelector=a%3E3"),
            "a selector that PromQL cannot say is told so",
        ),
        (
            codes == (500, 404) && own.contains("the cluster has no resource"),
            "an unknown resource is not there, which is no failure of ours",
        ),
        (
            path.contains("watch=true") && own.starts_with("watch is not supported"),
            "upstream takes a watch for a list, which no client that watches can read",
        ),
    ];
    reasons.into_iter().find(|(holds, _)| *holds).map(|(_, why)| why)
}
