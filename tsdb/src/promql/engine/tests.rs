use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flyball_model::labels::Labels;

use super::super::annotations::Level;
use super::super::{MAX_DEPTH, parse};
use super::*;
use crate::memory::MemorySource;

/// `x_total{i="0"}` … with a sample every 10 s for 10 minutes that grows by `i` each time.
fn source(series: usize) -> MemorySource {
    let mut source = MemorySource::default();
    for index in 0..series {
        let labels = Labels::from_pairs([("__name__", "x_total"), ("i", &index.to_string())]).unwrap();
        let labels = Arc::new(labels);
        for step in 0..=60 {
            source.add(&labels, Point { timestamp_ms: step * 10_000, value: (step * index as i64) as f64 });
        }
    }
    source
}

fn at(query: &str, time_ms: i64, options: &Options) -> Result<Value, Error> {
    instant(&source(4), &parse(query).unwrap(), time_ms, options, &Unwatched).map(|outcome| outcome.value)
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Scalar(point) => vec![point.value],
        Value::Vector(series) | Value::Matrix(series) => {
            series.iter().flat_map(|series| series.points.iter().map(|point| point.value)).collect()
        }
        Value::Text(..) => Vec::new(),
    }
}

#[test]
fn ranges_and_lookback_are_open_to_the_left() {
    let options = Options::default();
    assert_eq!(numbers(&at("count_over_time(x_total{i='1'}[1m])", 60_000, &options).unwrap()), [6.0]);
    assert_eq!(numbers(&at("x_total{i='1'}", 600_000 + 299_999, &options).unwrap()), [60.0]);
    assert_eq!(numbers(&at("x_total{i='1'}", 900_000, &options).unwrap()), [] as [f64; 0]);
}

#[test]
fn one_to_one_means_one_whatever_it_is_called() {
    let mut source = MemorySource::default();
    for name in ["a", "b", "c"] {
        let labels = Labels::from_pairs([("__name__", name), ("i", "1")]).unwrap();
        source.add(&Arc::new(labels), Point { timestamp_ms: 0, value: f64::from(name.as_bytes()[0]) });
    }
    let ask = |query: &str| {
        instant(&source, &parse(query).unwrap(), 0, &Options::default(), &Unwatched)
            .map(|outcome| numbers(&outcome.value))
            .map_err(|error| error.to_string())
    };
    // Two of the left side are larger than the one on the right; one is.
    let explicit =
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
    assert_eq!(ask("{__name__=~\"b|c\"} > a"), Err(explicit.into()));
    assert_eq!(ask("{__name__=~\"b|c\"} > on (i) (a + 1)"), Ok(vec![99.0]));
}

#[test]
fn a_quantile_in_parentheses_stands_where_prometheus_sees_it() {
    let query = "quantile_over_time((1 + 1), x_total[1m]) + quantile((1234567 + 0), x_total)";
    let outcome =
        instant(&source(1), &parse(query).unwrap(), 60_000, &Options::default(), &Unwatched).unwrap();
    let texts = outcome.annotations.shown(Level::Warning, query);
    let text = |number: &str, place: &str| {
        format!("PromQL warning: quantile value should be between 0 and 1, got {number} ({place})")
    };
    assert_eq!(texts, [text("2", "1:20"), text("1.234567e+06", "1:54")]);
}

#[test]
fn bounds_are_floats_and_no_literals() {
    let mut source = MemorySource::default();
    for (le, count) in [("0x2", 1.0), ("017", 5.0), ("+Inf", 10.0)] {
        let labels = Labels::from_pairs([("__name__", "h_bucket"), ("le", le)]).unwrap();
        source.add(&Arc::new(labels), Point { timestamp_ms: 0, value: count });
    }
    let expr = parse("histogram_quantile(0.5, h_bucket)").unwrap();
    let outcome = instant(&source, &expr, 0, &Options::default(), &Unwatched).unwrap();
    assert_eq!(numbers(&outcome.value), [17.0]);
    assert_eq!(outcome.annotations.texts(Level::Warning).len(), 1);
}

#[test]
fn factors_matter_where_there_is_something_to_smooth() {
    let options = Options::default();
    let smooth = |metric: &str| format!("double_exponential_smoothing({metric}[1m], 1, 0.5)");
    let error = at(&smooth("x_total"), 60_000, &options).unwrap_err();
    assert_eq!(error.to_string(), "invalid smoothing factor. Expected: 0 < sf < 1, got: 1.000000");
    assert_eq!(numbers(&at(&smooth("none"), 60_000, &options).unwrap()), [] as [f64; 0]);
}

#[test]
fn too_many_samples_are_refused_with_one_error() {
    let options = Options { max_samples: 100, ..Options::default() };
    for query in ["x_total[10m]", "sum(sum_over_time(x_total[10m:1s]))"] {
        let error = at(query, 600_000, &options).unwrap_err();
        assert!(matches!(error, Error::TooManySamples { limit: 100 }), "{query}: {error}");
    }
    let expr = parse("vector(1)").unwrap();
    let times = (0, 1_000_000_000_000, 1);
    let error = range(&source(1), &expr, times, &Options::default(), &Unwatched).unwrap_err();
    assert!(error.to_string().contains("too many samples"), "{error}");
    let options = Options { max_series: 3, ..Options::default() };
    assert!(matches!(at("x_total", 0, &options), Err(Error::Read(_))));
}

#[test]
fn a_query_stops_when_told() {
    struct StopAfter(AtomicUsize);
    impl Watch for StopAfter {
        fn stop(&self) -> Option<Stop> {
            (self.0.fetch_sub(1, Ordering::Relaxed) == 1).then_some(Stop::TimedOut)
        }
    }
    let expr = parse("sum(rate(x_total[1m]))").unwrap();
    // One look per expression, and one per few hundred series.
    let error = instant(&source(600), &expr, 60_000, &Options::default(), &StopAfter(3.into())).unwrap_err();
    assert_eq!(error, Error::TimedOut);
}

#[test]
fn the_deepest_query_needs_little_stack() {
    let text = format!("{}x_total{}", "-(".repeat(MAX_DEPTH / 2), ")".repeat(MAX_DEPTH / 2));
    let chain = vec!["x_total"; MAX_DEPTH].join("+");
    let calls = format!("{}x_total{}", "abs(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH));
    let run = move || {
        for text in [text, chain, calls] {
            let expr = parse(&text).unwrap();
            instant(&source(1), &expr, 0, &Options::default(), &Unwatched).unwrap();
            assert!(!super::super::print::pretty(&expr).is_empty());
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn annotations_name_their_place_once() {
    let expr = parse("rate(x_total[1m]) + on(i) rate(y[1m]) and quantile(2, x_total)").unwrap();
    let mut both = source(2);
    for i in ["0", "1"] {
        let labels = Arc::new(Labels::from_pairs([("__name__", "y"), ("i", i)]).unwrap());
        both.add(&labels, Point { timestamp_ms: 10_000, value: 1.0 });
        both.add(&labels, Point { timestamp_ms: 20_000, value: 1.0 });
    }
    let outcome = instant(&both, &expr, 60_000, &Options::default(), &Unwatched).unwrap();
    let text = "rate(x_total[1m]) + on(i) rate(y[1m]) and quantile(2, x_total)";
    assert_eq!(
        outcome.annotations.shown(Level::Info, text),
        [
            "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"y\" (1:32)"
        ]
    );
    assert_eq!(
        outcome.annotations.shown(Level::Warning, text),
        ["PromQL warning: quantile value should be between 0 and 1, got 2 (1:52)"]
    );
}

#[test]
fn names_go_at_once_or_at_the_end() {
    let query = "sum by (__name__) (rate(x_total[1m]))";
    let names = |delayed_name_removal| {
        let options = Options { delayed_name_removal, ..Options::default() };
        match at(query, 600_000, &options).unwrap() {
            Value::Vector(series) => series[0].labels.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((names(false), names(true)), (0, 0));
}

/// A source whose series are made while they are read, so that nobody has to hold them.
struct Endless;

impl SeriesSource for Endless {
    fn select(
        &self,
        _: &[crate::series::Matcher],
        _: i64,
        _: i64,
        _: crate::series::ReadLimits,
    ) -> Result<Vec<crate::series::Series>, ReadError> {
        panic!("queries read series one by one");
    }

    fn scan(
        &self,
        _: &[crate::series::Matcher],
        start_ms: i64,
        _: i64,
        _: crate::series::ReadLimits,
        visit: &mut dyn FnMut(&Arc<Labels>, &[Point]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        for index in 0_u64.. {
            let labels = Labels::from_pairs([("__name__", "x"), ("i", &index.to_string())]).unwrap();
            let points = [Point { timestamp_ms: start_ms, value: 1.0 }];
            if visit(&Arc::new(labels), &points).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn label_names(&self, _: &[crate::series::Matcher], _: i64, _: i64) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    fn label_values(
        &self,
        _: &str,
        _: &[crate::series::Matcher],
        _: i64,
        _: i64,
    ) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    fn series(&self, _: &[crate::series::Matcher], _: i64, _: i64) -> Result<Vec<Arc<Labels>>, ReadError> {
        Ok(Vec::new())
    }
}

#[test]
fn reading_ends_where_the_limit_is() {
    let options = Options { max_samples: 1000, ..Options::default() };
    let error = instant(&Endless, &parse("x").unwrap(), 0, &options, &Unwatched).unwrap_err();
    assert_eq!(error, Error::TooManySamples { limit: 1000 });
}
