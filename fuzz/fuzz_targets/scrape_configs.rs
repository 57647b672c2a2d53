//! Configuration files of others: whatever stands in one, it is read or refused with a line and a reason; and whatever is
//! discovered, the rules of its jobs make of it a target that can be asked, or none.

#![no_main]

use std::path::Path;

use flyball_scrape::apps::Config;
use flyball_scrape::apps::labelset::LabelSet;
use flyball_scrape::apps::target::{ADDRESS, Made, discovered, make};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let config = match Config::parse(text, Path::new("fuzz.yml")) {
        Ok(config) => config,
        Err(error) => {
            // A lone carriage return ends a line of YAML, too.
            let lines = text.split(['\n', '\r']).count() as u64;
            assert!(error.line >= 1 && error.line <= lines + 1, "{error}");
            assert!(!error.reason.is_empty());
            return;
        }
    };
    for job in &config.jobs {
        assert!(job.timeout <= job.interval && !job.timeout.is_zero());
        let found: LabelSet = [(ADDRESS, "10.0.0.1:80"), ("__meta_kubernetes_pod_name", "web-0"), ("a", "b")]
            .into_iter()
            .collect();
        if let Made::Target(target) = make(job, discovered(job, found)) {
            assert!(!target.url.path.contains(|c: char| c.is_whitespace() || c.is_control()));
            assert!(target.timeout <= target.interval);
            assert!(target.labels.iter().all(|(name, value)| !name.starts_with("__") && !value.is_empty()));
        }
    }
});
