//! Scripts of our own, in Prometheus' language for tests of PromQL: what its semantics promise, in our words.

#![allow(clippy::disallowed_methods, reason = "reads the scripts beside it")]

mod promqltest;

fn check(name: &str) {
    let path = format!("{}/tests/promql/{name}.test", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let outcomes = promqltest::run(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(!outcomes.is_empty(), "{path}: no statements");
    let failed: Vec<String> = outcomes
        .iter()
        .filter_map(|outcome| {
            let reason = outcome.result.as_ref().err()?;
            Some(format!("{name}.test:{}: {}\n    {reason}", outcome.line, outcome.query))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn selectors() {
    check("selectors");
}

#[test]
fn operators() {
    check("operators");
}

#[test]
fn aggregations() {
    check("aggregations");
}

#[test]
fn functions() {
    check("functions");
}

#[test]
fn histograms() {
    check("histograms");
}

/// The runner itself must be able to say no.
#[test]
fn wrong_expectations_fail() {
    for script in [
        "load 1m\n  x 1\n\neval instant at 0 x\n  x 2\n",
        "load 1m\n  x 1\n\neval instant at 0 x\n  y 1\n",
        "load 1m\n  x 1\n\neval instant at 0 x\n",
        "eval instant at 0 1\n  2\n",
        "eval instant at 0 1\n  {} 1\n",
        "eval instant at 0 x\n  expect fail\n",
        "eval_fail instant at 0 rate(x)\n  expected_fail_message something else\n",
        "load 1m\n  x 1\n\neval instant at 0 quantile(2, x)\n  expect no_warn\n  {} Inf\n",
        "load 1m\n  x 1\n\neval_warn instant at 0 quantile(1, x)\n  {} 1\n",
        "load 1m\n  x{a=\"1\"} 1\n  x{a=\"2\"} 2\n\neval_ordered instant at 0 sort_desc(x)\n  x{a=\"1\"} 1\n  x{a=\"2\"} 2\n",
        "load 1m\n  x 1x2\n\neval range from 0 to 2m step 1m x\n  x 1 1\n",
    ] {
        let outcomes = promqltest::run(script).unwrap();
        assert!(outcomes.iter().any(|outcome| outcome.result.is_err()), "{script}");
    }
    assert!(promqltest::run("load 1m\n  x 1y\n").is_err());
    assert!(promqltest::run("evaluate x\n").is_err());
}
