//! Requests to the query API, from a path and a form to the answer: nothing panics, limits hold, and an answer is JSON of
//! Prometheus' envelope with a code that fits. The first line of the input is the path, the rest the form.

#![no_main]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use flyball_model::labels::Labels;
use flyball_tsdb::api::facts::NoFacts;
use flyball_tsdb::api::{Api, Clock, Params, Request};
use flyball_tsdb::memory::MemorySource;
use flyball_tsdb::promql::engine::{Options, Stop, Watch};
use flyball_tsdb::promql::{parse, print};
use flyball_tsdb::series::Point;
use libfuzzer_sys::fuzz_target;

/// Stops a query that asks this often whether to go on.
struct Patience(AtomicU32);

impl Watch for Patience {
    fn stop(&self) -> Option<Stop> {
        (self.0.fetch_add(1, Ordering::Relaxed) > 10_000).then_some(Stop::TimedOut)
    }
}

static SOURCE: LazyLock<MemorySource> = LazyLock::new(|| {
    let mut source = MemorySource::default();
    for (name, le) in [("up", ""), ("x_total", ""), ("h_bucket", "1"), ("h_bucket", "+Inf")] {
        let labels = Labels::from_pairs([("__name__", name), ("le", le), ("job", "j")]).expect("labels");
        let labels = Arc::new(labels);
        for step in 0..20_i64 {
            source.add(&labels, Point { timestamp_ms: step * 15_000, value: (step % 7) as f64 });
        }
    }
    source
});

fuzz_target!(|text: &str| {
    let (path, form) = text.split_once('\n').unwrap_or(("/query", text));
    let options = Options { max_samples: 20_000, max_series: 100, ..Options::default() };
    for method in ["GET", "POST"] {
        let watch = Patience(AtomicU32::new(0));
        let clock = Clock::starts();
        let api = Api { source: &*SOURCE, facts: &NoFacts, options, now_ms: 300_000, watch: &watch, clock };
        let answer = api.answer(&Request { method, path, params: Params::new(form, "") });
        if answer.is_json {
            let code = answer.code;
            let json: serde_json::Value = serde_json::from_slice(&answer.whole()).expect("JSON");
            assert_eq!(json["status"] == "success", code == 200, "{json}");
        }
    }
    // The form is a query, too; what is written anew means the same.
    if let Ok(expr) = parse(form) {
        let written = print::pretty(&expr);
        let again = parse(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
        assert_eq!(print::pretty(&again), written);
    }
});
