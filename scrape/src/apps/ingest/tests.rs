use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use super::super::STALE_NAN_BITS;
use super::super::config::Config;
use super::super::sink::Refused;
use super::*;

/// A sink that remembers everything.
#[derive(Default)]
struct Memory(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    series: Vec<String>,
    points: BTreeMap<(usize, i64), f64>,
    resolved: usize,
    /// Most series.
    limit: Option<usize>,
    /// Series that the next append does not know any more.
    forgotten: BTreeSet<usize>,
    fails: bool,
}

impl AppSink for Memory {
    type Series = usize;
    type Sample = (usize, i64, f64);

    fn resolve(&self, labels: &Labels, source: &str) -> Result<usize, Refused> {
        let mut inner = self.0.lock().unwrap();
        inner.resolved += 1;
        let shown =
            labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        if let Some(at) = inner.series.iter().position(|have| *have == shown) {
            inner.forgotten.remove(&at);
            return Ok(at);
        }
        if inner.limit.is_some_and(|limit| inner.series.len() >= limit) {
            return Err(Refused(format!("{source} has too many series")));
        }
        inner.series.push(shown);
        Ok(inner.series.len() - 1)
    }

    fn sample(series: usize, timestamp_ms: i64, value: f64) -> (usize, i64, f64) {
        (series, timestamp_ms, value)
    }

    fn append(&self, now_ms: i64, samples: &[(usize, i64, f64)]) -> Result<Appended, String> {
        let mut inner = self.0.lock().unwrap();
        if inner.fails {
            return Err("the disk is full".to_owned());
        }
        let mut appended = Appended::default();
        for (at, (series, ms, value)) in samples.iter().enumerate() {
            if inner.forgotten.contains(series) {
                appended.gone.push(at);
            } else if *ms > now_ms + 600_000 {
                appended.too_new += 1;
            } else if inner.points.get(&(*series, *ms)).is_some_and(|have| have.to_bits() != value.to_bits())
            {
                appended.conflicts += 1;
            } else {
                inner.points.insert((*series, *ms), *value);
            }
        }
        Ok(appended)
    }
}

/// One target of a job over a sink in memory; scrapes come every second.
struct Rig {
    job: Job,
    labels: Labels,
    memory: Memory,
    ingest: Ingest<Memory>,
    now_ms: i64,
}

impl Rig {
    fn new(lines: &str) -> Rig {
        let indented: String = lines.lines().map(|line| format!("  {line}\n")).collect();
        let text = format!("scrape_configs:\n- job_name: j\n{indented}");
        Rig {
            job: Config::parse(&text, Path::new("t.yml")).unwrap().jobs.remove(0),
            labels: Labels::from_pairs([("instance", "i"), ("job", "j")]).unwrap(),
            memory: Memory::default(),
            ingest: Ingest::default(),
            now_ms: 0,
        }
    }

    fn of(&self) -> Of<'_, Memory> {
        Of { job: &self.job, labels: &self.labels, source: "j http://i", sink: &self.memory }
    }

    fn scrape_as(&mut self, body: &str, format: Format) -> Ingested {
        self.now_ms += 1000;
        let mut ingest = std::mem::take(&mut self.ingest);
        let done = ingest.take(&self.of(), body, format, self.now_ms, self.now_ms);
        self.ingest = ingest;
        done
    }

    fn scrape(&mut self, body: &str) -> Ingested {
        self.scrape_as(body, Format::Text004)
    }

    fn fail(&mut self) {
        self.now_ms += 1000;
        let mut ingest = std::mem::take(&mut self.ingest);
        ingest.fail(&self.of(), self.now_ms, self.now_ms);
        self.ingest = ingest;
    }

    /// All points, each as `labels@seconds:value`, without the target's own labels.
    fn points(&self) -> Vec<String> {
        let inner = self.memory.0.lock().unwrap();
        let point = |((series, ms), value): (&(usize, i64), &f64)| {
            let labels = inner.series[*series]
                .replace("__name__=", "")
                .replace(" instance=i", "")
                .replace(" job=j", "");
            let value =
                if value.to_bits() == STALE_NAN_BITS { "stale".to_owned() } else { value.to_string() };
            format!("{labels}@{}:{value}", *ms as f64 / 1000.0)
        };
        inner.points.iter().map(point).collect()
    }

    fn resolved(&self) -> usize {
        self.memory.0.lock().unwrap().resolved
    }
}

fn counts(done: &Ingested) -> (usize, usize, usize) {
    (done.counts.scraped, done.counts.relabelled, done.counts.added)
}

#[test]
fn a_series_that_vanishes_ends() {
    let mut rig = Rig::new("");
    assert_eq!(counts(&rig.scrape("a 1\nb{x=\"y\"} 2\n")), (2, 2, 2));
    assert_eq!(counts(&rig.scrape("a 3\n")), (1, 1, 0));
    assert_eq!(counts(&rig.scrape("a 4\n")), (1, 1, 0));
    assert_eq!(counts(&rig.scrape("b{x=\"y\"} 5\na 6\n")), (2, 2, 1), "it is new once more");
    assert_eq!(rig.points(), ["a@1:1", "a@2:3", "a@3:4", "a@4:6", "b x=y@1:2", "b x=y@2:stale", "b x=y@4:5"]);
}

#[test]
fn a_failed_scrape_ends_everything_once() {
    let mut rig = Rig::new("");
    rig.scrape("a 1\nb 2\n");
    rig.fail();
    rig.fail();
    let done = rig.scrape("a 3\n");
    assert_eq!(counts(&done), (1, 1, 0), "what is remembered is not new");
    assert_eq!(rig.points(), ["a@1:1", "a@2:stale", "a@4:3", "b@1:2", "b@2:stale"]);
}

#[test]
fn an_answer_counts_whole_or_not_at_all() {
    let mut rig = Rig::new("");
    rig.scrape("a 1\nb 2\n");
    let done = rig.scrape("a 3\nc 4\nb x\n");
    assert_eq!(
        done.error.unwrap().to_string(),
        "the answer cannot be read: line 3: value \"x\" is no number"
    );
    assert_eq!(rig.points(), ["a@1:1", "a@2:stale", "b@1:2", "b@2:stale"]);
    rig.scrape("a 5\n");
    assert_eq!(rig.points(), ["a@1:1", "a@2:stale", "a@3:5", "b@1:2", "b@2:stale"]);
}

#[test]
fn an_empty_answer_is_a_good_one() {
    let mut rig = Rig::new("");
    rig.scrape("a 1\n");
    assert!(rig.scrape("").error.is_none());
    assert_eq!(rig.points(), ["a@1:1", "a@2:stale"]);
    assert!(rig.scrape_as("", Format::OpenMetrics10).error.is_none());
    assert!(rig.scrape_as("a 1\n", Format::OpenMetrics10).error.is_some(), "without # EOF");
}

#[test]
fn times_of_their_own() {
    let mut rig = Rig::new("");
    rig.scrape("a 1 500\nb 2\n");
    rig.scrape("b 3\n");
    assert_eq!(rig.points(), ["a@0.5:1", "b@1:2", "b@2:3"], "no marker");
    let mut rig = Rig::new("track_timestamps_staleness: true");
    rig.scrape("a 1 500\n");
    rig.scrape("b 3\n");
    assert_eq!(rig.points(), ["a@0.5:1", "a@2:stale", "b@2:3"]);
    let mut rig = Rig::new("honor_timestamps: false");
    rig.scrape("a 1 500\n");
    rig.scrape("b 3\n");
    assert_eq!(rig.points(), ["a@1:1", "a@2:stale", "b@2:3"]);
    let mut rig = Rig::new("");
    rig.scrape_as("a 1 0.25\n# EOF\n", Format::OpenMetrics10);
    assert_eq!(rig.points(), ["a@0.25:1"]);
}

#[test]
fn twice_in_one_answer() {
    let mut rig = Rig::new("");
    let done = rig.scrape("a 1\na 2\nb 1 100\nb 2 200\n");
    assert_eq!((counts(&done), done.faults), ((4, 4, 2), vec![(Fault::Duplicate, 1)]));
    assert_eq!(
        rig.points(),
        ["a@1:1", "b@0.1:1", "b@0.2:2"],
        "the first counts; other times are other samples"
    );
    // The same series under another text is seen by the sink.
    let done = rig.scrape("c{x=\"1\",y=\"2\"} 1\nc{y=\"2\",x=\"1\"} 3\n");
    assert_eq!(done.faults, vec![(Fault::Duplicate, 1)]);
    assert!(done.error.is_none());
}

#[test]
fn too_far_ahead() {
    let mut rig = Rig::new("");
    let done = rig.scrape("a 1 900000000\nb 1\n");
    assert_eq!(done.faults, vec![(Fault::TooNew, 1)]);
    assert!(done.error.is_none());
}

#[test]
fn order_of_lines_and_labels_does_not_end_a_series() {
    let mut rig = Rig::new("");
    rig.scrape("a{x=\"1\",y=\"2\"} 1\nb 1\nc 1\n");
    rig.scrape("c 2\na{y=\"2\",x=\"1\"} 2\nb 2\n");
    rig.scrape("c 3\nb 3\na{x=\"1\",y=\"2\"} 3\n");
    let points = rig.points();
    assert_eq!(points.len(), 9, "{points:?}");
    assert!(points.iter().all(|point| !point.contains("stale")), "{points:?}");
}

#[test]
fn series_are_resolved_once() {
    let mut rig = Rig::new("metric_relabel_configs: [{action: drop, source_labels: [__name__], regex: d.*}]");
    let body = "# HELP a x\na{q=\"1\"} 1\na{q=\"2\"} 1\n# TYPE d gauge\nd 1\nd2 1\nz 1\n";
    assert_eq!(counts(&rig.scrape(body)), (5, 3, 3));
    for _ in 0..3 {
        assert_eq!(counts(&rig.scrape(body)), (5, 3, 0));
    }
    assert_eq!(rig.resolved(), 3);
}

#[test]
fn conflicting_labels() {
    let body = "a{job=\"x\",instance=\"\",exported_job=\"y\"} 1\n";
    let only = |lines: &str| {
        let mut rig = Rig::new(lines);
        rig.scrape(body);
        let inner = rig.memory.0.lock().unwrap();
        inner.series.join(";")
    };
    assert_eq!(only(""), "__name__=a exported_exported_job=x exported_job=y instance=i job=j");
    // An exposed label that is empty wins as well: the target's is not set.
    assert_eq!(only("honor_labels: true"), "__name__=a exported_job=y job=x");
}

#[test]
fn bounds_are_normal() {
    let mut rig = Rig::new("");
    rig.scrape(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n# TYPE g gauge\ng{le=\"1\"} 3\n",
    );
    assert_eq!(rig.points(), ["h_bucket le=1.0@1:1", "h_bucket le=+Inf@1:2", "g le=1@1:3"]);
}

#[test]
fn limits_fail_the_whole_answer() {
    let drop_b = "metric_relabel_configs: [{action: drop, source_labels: [__name__], regex: b}]";
    for (lines, body, expected, fault) in [
        (
            "sample_limit: 2".to_owned(),
            "a 1\nb 2\nc 3\n",
            "sample_limit exceeded: there are 3 samples after relabelling, 2 are allowed",
            Fault::SampleLimit,
        ),
        (
            "label_limit: 3".to_owned(),
            "a{x=\"1\"} 1\n",
            "label_limit exceeded: a has 4 labels, 3 are allowed",
            Fault::LabelLimit,
        ),
        (
            "label_name_length_limit: 8".to_owned(),
            "a{x23456789=\"1\"} 1\n",
            "label_name_length_limit exceeded: label x23456789 of a has a name of 9 bytes, 8 are allowed",
            Fault::LabelLimit,
        ),
        (
            "label_value_length_limit: 1".to_owned(),
            "a{x=\"12\"} 1\n",
            "label_value_length_limit exceeded: label x of a has a value of 2 bytes, 1 are allowed",
            Fault::LabelLimit,
        ),
    ] {
        let mut rig = Rig::new(&lines);
        let done = rig.scrape(body);
        assert_eq!(done.error.unwrap().to_string(), expected);
        assert_eq!(done.faults, vec![(fault, 1)]);
        assert!(rig.points().is_empty());
    }
    let mut rig = Rig::new(&format!("sample_limit: 2\n{drop_b}"));
    assert!(rig.scrape("a 1\nb 2\nc 3\n").error.is_none(), "what is dropped does not count");
    // What was there ends, as with any failure.
    rig.scrape("a 1\nc 3\nd 4\n");
    assert_eq!(rig.points(), ["a@1:1", "a@2:stale", "c@1:3", "c@2:stale"]);
}

#[test]
fn names_that_cannot_be() {
    let mut rig = Rig::new(
        "metric_relabel_configs: [{target_label: __name__, replacement: '', source_labels: [x], regex: n}]",
    );
    let done = rig.scrape("a{x=\"n\"} 1\n");
    assert!(done.error.unwrap().to_string().starts_with("a series has no name after relabelling (instance="));
    let mut rig = Rig::new("metric_name_validation_scheme: legacy");
    assert_eq!(rig.scrape("{\"a.b\"} 1\n").error.unwrap().to_string(), "\"a.b\" is no valid name");
    assert!(Rig::new("").scrape("{\"a.b\"} 1\n").error.is_none());
}

#[test]
fn refused_series_cost_nothing_else() {
    let mut rig = Rig::new("");
    rig.memory.0.lock().unwrap().limit = Some(2);
    for round in 1..4 {
        let done = rig.scrape("a 1\nb 1\nc 1\nd 1\n");
        assert_eq!(done.refused.unwrap(), ("j http://i has too many series".to_owned(), 2));
        assert_eq!(done.faults, vec![(Fault::Refused, 2)]);
        assert!(done.error.is_none());
        assert_eq!(done.counts.scraped, 4);
        assert_eq!(rig.points().len(), 2 * round);
    }
}

#[test]
fn what_the_sink_forgot_is_named_again() {
    let mut rig = Rig::new("");
    rig.scrape("a{x=\"1\"} 1\nb 1\n");
    rig.memory.0.lock().unwrap().forgotten = BTreeSet::from([0]);
    assert!(rig.scrape("a{x=\"1\"} 2\nb 2\n").error.is_none());
    assert_eq!(rig.points().len(), 4);
    assert_eq!(rig.resolved(), 3);
}

#[test]
fn a_sink_that_fails_fails_the_scrape() {
    let mut rig = Rig::new("");
    rig.memory.0.lock().unwrap().fails = true;
    assert_eq!(
        rig.scrape("a 1\n").error.unwrap().to_string(),
        "the samples were not stored: the disk is full"
    );
    rig.memory.0.lock().unwrap().fails = false;
    rig.scrape("a 1\n");
    assert_eq!(rig.points(), ["a@2:1"]);
}

#[test]
fn entries_do_not_pile_up() {
    let mut rig = Rig::new("");
    for round in 0..20 {
        let lines: String = (0..200).map(|n| format!("a{{n=\"{}\"}} 1\n", round * 200 + n)).collect();
        assert_eq!(counts(&rig.scrape(&lines)).2, 200);
        assert_eq!(rig.ingest.cache.len(), 200);
    }
    // Nor while no answer is good.
    for round in 0..50 {
        let lines: String = (0..200).map(|n| format!("b{{n=\"{}\"}} 1\n", round * 200 + n)).collect();
        assert!(rig.scrape(&format!("{lines}oops\n")).error.is_some());
        assert!(rig.ingest.cache.len() <= 2 * 200 + 1000 + 200, "{}", rig.ingest.cache.len());
    }
}

#[test]
fn reports() {
    let rig = Rig::new("");
    let mut reports = Reports::default();
    assert!(!reports.have_told());
    let counts = Counts { scraped: 3, relabelled: 2, added: 1 };
    let (timeout, body) = (Duration::from_secs(10), BodySize::Bytes(99));
    let measured = Measured { success: true, duration: Duration::from_millis(250), counts, timeout, body };
    reports.tell(&rig.of(), measured, 1000, 1000).unwrap();
    rig.memory.0.lock().unwrap().forgotten = BTreeSet::from([0]);
    let failed = Measured { success: false, counts: Counts::default(), ..measured };
    reports.tell(&rig.of(), failed, 2000, 2000).unwrap();
    reports.end(&rig.of(), 3000, 3000).unwrap();
    assert!(reports.have_told());
    assert_eq!(
        rig.points(),
        [
            "up@1:1",
            "up@2:0",
            "up@3:stale",
            "scrape_duration_seconds@1:0.25",
            "scrape_duration_seconds@2:0.25",
            "scrape_duration_seconds@3:stale",
            "scrape_samples_scraped@1:3",
            "scrape_samples_scraped@2:0",
            "scrape_samples_scraped@3:stale",
            "scrape_samples_post_metric_relabeling@1:2",
            "scrape_samples_post_metric_relabeling@2:0",
            "scrape_samples_post_metric_relabeling@3:stale",
            "scrape_series_added@1:1",
            "scrape_series_added@2:0",
            "scrape_series_added@3:stale",
        ]
    );
}

#[test]
fn further_reports_are_told_where_they_are_asked_for() {
    let rig = Rig::new("extra_scrape_metrics: true\nsample_limit: 7");
    let mut reports = Reports::default();
    let (timeout, body) = (Duration::from_secs(10), BodySize::Bytes(99));
    let counts = Counts::default();
    let measured = Measured { success: true, duration: Duration::ZERO, counts, timeout, body };
    reports.tell(&rig.of(), measured, 1000, 1000).unwrap();
    reports.tell(&rig.of(), Measured { body: BodySize::TooLarge, ..measured }, 2000, 2000).unwrap();
    reports.end(&rig.of(), 3000, 3000).unwrap();
    let points = rig.points();
    for expected in [
        "scrape_timeout_seconds@1:10",
        "scrape_sample_limit@1:7",
        "scrape_body_size_bytes@1:99",
        "scrape_body_size_bytes@2:-1",
        "scrape_body_size_bytes@3:stale",
    ] {
        assert!(points.iter().any(|point| point == expected), "{expected}: {points:?}");
    }
}

#[test]
fn a_metric_has_one_name() {
    let mut rig = Rig::new("");
    let done = rig.scrape("a 1\nb{__name__=\"c\"} 1\n");
    assert_eq!(
        done.error.map(|error| error.to_string()).as_deref(),
        Some("label name \"__name__\" is not unique: b")
    );
    assert_eq!((done.counts.scraped, done.counts.relabelled), (2, 1));
    assert_eq!(rig.points(), [""; 0]);
}

#[test]
fn a_series_that_begins_beyond_what_is_stored_is_not_added() {
    let mut rig = Rig::new("");
    let done = rig.scrape("a 1 1000\nb 1 99999999\nc 1\n");
    assert_eq!((done.counts.scraped, done.counts.added), (3, 2), "{done:?}");
    assert_eq!(done.faults, [(Fault::TooNew, 1)]);
    // It is known from now on, and new no more.
    assert_eq!(rig.scrape("a 1 2000\nb 1 2000\nc 1\n").counts.added, 0);
    assert_eq!(rig.points(), ["a@1:1", "a@2:1", "b@2:1", "c@1:1", "c@2:1"]);
}

#[test]
fn the_sample_that_fails_an_answer_was_scraped() {
    let mut rig = Rig::new("label_limit: 3");
    let done = rig.scrape("a 1\nb{x=\"1\",y=\"2\",z=\"3\"} 1\nc 1\n");
    assert!(matches!(done.error, Some(IngestError::Series(_))), "{done:?}");
    assert_eq!((done.counts.scraped, done.counts.relabelled), (2, 1));
}

#[test]
fn metadata_is_read_when_it_changes() {
    let books = Books::default();
    let (mut one, mut other) = (None, None);
    let body =
        "# HELP a_seconds Text.\n# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds 1\n# EOF\n";
    let first = books.read(body, Format::OpenMetrics10, &mut one).unwrap();
    let described = &first["a_seconds"];
    assert_eq!(
        (described.kind, described.help.as_str(), described.unit.as_str()),
        (MetricType::Gauge, "Text.", "seconds")
    );
    assert!(books.read(&body.replace(" 1", " 2"), Format::OpenMetrics10, &mut one).is_none());
    let shared = books.read(body, Format::OpenMetrics10, &mut other).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &shared), "targets that say the same share it");
    assert!(
        books.read(&body.replace("Text", "Other"), Format::OpenMetrics10, &mut one).unwrap()["a_seconds"]
            .help
            == "Other."
    );
    let long = format!("# HELP a {}\n# HELP b x\n", "y".repeat(60_000)).repeat(20);
    assert!(books.read(&long, Format::Text004, &mut one).unwrap().len() <= 2);
}

use proptest::prelude::*;

proptest! {
    /// Whatever a target answers from scrape to scrape: the points are those of an ingestion without a memory for texts,
    /// and every series that is not in an answer has ended.
    #[test]
    fn the_cache_changes_nothing(bodies in proptest::collection::vec(proptest::collection::vec((0..5_u8, 0..3_u8), 0..8), 1..6)) {
        let mut rig = Rig::new("");
        let mut expected: BTreeMap<(String, i64), String> = BTreeMap::new();
        let mut before: BTreeSet<String> = BTreeSet::new();
        for body in &bodies {
            let text: String = body.iter().map(|(name, value)| format!("m{name}{{l=\"{name}\"}} {value}\n")).collect();
            let done = rig.scrape(&text);
            prop_assert!(done.error.is_none());
            let mut now: BTreeSet<String> = BTreeSet::new();
            for (name, value) in body {
                let labels = format!("m{name} l={name}");
                if now.insert(labels.clone()) {
                    expected.insert((labels, rig.now_ms), value.to_string());
                }
            }
            for gone in before.difference(&now) {
                expected.insert((gone.clone(), rig.now_ms), "stale".to_owned());
            }
            before = now;
        }
        let expected: BTreeSet<String> =
            expected.into_iter().map(|((labels, ms), value)| format!("{labels}@{}:{value}", ms as f64 / 1000.0)).collect();
        let points: BTreeSet<String> = rig.points().into_iter().collect();
        prop_assert_eq!(points, expected);
    }
}
