//! Whatever is asked, there is an answer or an error, never a panic; and what is written back means the same.

#[allow(dead_code, reason = "only its queries are wanted here")]
#[path = "peer/generate.rs"]
mod generate;

use std::sync::Arc;

use flyball_model::labels::Labels;
use flyball_tsdb::memory::MemorySource;
use flyball_tsdb::promql::engine::{self, Options, Unwatched};
use flyball_tsdb::promql::{parse, print};
use flyball_tsdb::series::Point;
use generate::{Generator, STEP_MS};
use proptest::prelude::*;

fn source() -> MemorySource {
    let mut source = MemorySource::default();
    for (name, job) in [("req_total", "a"), ("req_total", "b"), ("gauge", "a"), ("info", "a")] {
        let pairs = [("__name__", name), ("job", job), ("instance", "1"), ("le", "1")];
        let labels = Arc::new(Labels::from_pairs(pairs).expect("labels"));
        for step in 0..20 {
            source.add(&labels, Point { timestamp_ms: step * STEP_MS, value: step as f64 });
        }
    }
    source
}

/// Evaluates whatever parses, in little room.
fn ask(source: &MemorySource, text: &str) {
    let Ok(expr) = parse(text) else { return };
    let options = Options { max_samples: 20_000, ..Options::default() };
    // Errors are answers too.
    let _ = engine::instant(source, &expr, 200_000, &options, &Unwatched);
    let _ = engine::range(source, &expr, (100_000, 300_000, 50_000), &options, &Unwatched);
    assert!(!print::pretty(&expr).is_empty());
}

#[test]
fn what_is_written_back_means_the_same() {
    let mut generator = Generator::new(7);
    let mut sound = 0;
    for _ in 0..2_000 {
        let text = generator.question().query;
        // Some are mistyped.
        let Ok(expr) = parse(&text) else { continue };
        sound += 1;
        let line = expr.to_string();
        let again = parse(&line).unwrap_or_else(|error| panic!("{text} was written as {line}: {error}"));
        assert_eq!(line, again.to_string(), "{text}");
        let lines = print::pretty(&expr);
        assert_eq!(line, parse(&lines).unwrap().to_string(), "{lines}");
    }
    assert!(sound > 1_500, "{sound}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in "\\PC{0,60}") {
        ask(&source(), &text);
    }

    #[test]
    fn pieces_of_the_language(pieces in prop::collection::vec(prop::sample::select(vec![
        "req_total", "{", "}", "job", "=~", "!=", "\"a|b\"", "'\\x41'", "`a", "[", "]", "5m", ":", "1h30m", "0x1f", "1e3", "(",
        ")", "sum", "by", "without", "rate", "topk", "count_values", "+", "-", "*", "/", "%", "^", "==", "bool", "on", "ignoring",
        "group_left", "and", "or", "unless", "offset", "@", "start", "end", "step", "()", ",", "NaN", "Inf", "#", "\n", "_1", "é",
        "histogram_quantile", "label_replace", "absent", "vector", "scalar", "time()", "atan2", "-5m", "__name__",
    ]), 0..14)) {
        ask(&source(), &pieces.join(" "));
        ask(&source(), &pieces.concat());
    }

    #[test]
    fn broken_queries(seed in 0_u64..1_000_000, cut in 0_usize..200, insert in "[\\[\\](){}\"'@:,=+-]{0,2}") {
        let mut text = Generator::new(seed).question().query;
        let mut at = cut.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.insert_str(at, &insert);
        ask(&source(), &text);
        text.truncate(at);
        ask(&source(), &text);
    }
}
