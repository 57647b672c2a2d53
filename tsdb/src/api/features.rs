//! What this server can, as `/features` lists it: clients that know of a feature ask there whether they may use it. Pure.
//!
//! Promise: a name is Prometheus' (release 3.9 on), and true only where it works here.

use serde_json::{Map, Value, json};

use super::Data;
use crate::promql::ast::{AggregateOp, BinaryOp};
use crate::promql::functions::FUNCTIONS;

/// Operators that are none of numbers, and stand in queries all the same.
const OTHER_OPERATORS: [&str; 3] = ["=~", "!~", "@"];

pub(super) fn all() -> Data {
    Data::of(
        json!({
            "api": {
                "admin": true,
                "exclude_alerts": true,
                "label_values_match": true,
                "lifecycle": true,
                "otlp_write_receiver": false,
                "query_stats": true,
                "query_warnings": true,
                "remote_write_receiver": false,
                "search": false,
                "time_range_labels": true,
                "time_range_series": true,
            },
            "promql": {
                "anchored": false,
                "at_modifier": true,
                "bool": true,
                "by": true,
                "delayed_name_removal": false,
                "duration_expr": true,
                "fill": false,
                "group_left": true,
                "group_right": true,
                "ignoring": true,
                "negative_offset": true,
                "offset": true,
                "on": true,
                "per_query_lookback_delta": true,
                "per_step_stats": false,
                "smoothed": false,
                "subqueries": true,
                "type_and_unit_labels": false,
                "without": true,
            },
            "promql_functions": FUNCTIONS.iter().map(|known| known.name).map(works).collect::<Map<_, _>>(),
            "promql_operators": operators().map(works).collect::<Map<_, _>>(),
            "scrape": {
                "extra_scrape_metrics": true,
                "start_timestamp_zero_ingestion": false,
                "type_and_unit_labels": false,
            },
            "service_discovery_providers": {"kubernetes": true, "static": true},
            "tsdb": {"exemplar_storage": false, "native_histograms": false},
        })
        .to_string(),
    )
}

fn works(name: &str) -> (String, Value) {
    (name.to_owned(), true.into())
}

fn operators() -> impl Iterator<Item = &'static str> {
    let binary = BinaryOp::ALL.iter().map(|(name, _)| *name);
    binary.chain(AggregateOp::ALL.iter().map(|(name, _)| *name)).chain(OTHER_OPERATORS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_operators_are_those_of_the_language() {
        let all: Value = serde_json::from_str(&all().json).unwrap();
        for (group, name) in [
            ("promql_functions", "rate"),
            ("promql_functions", "ts_of_max_over_time"),
            ("promql_operators", "topk"),
            ("promql_operators", "unless"),
            ("promql_operators", "=~"),
        ] {
            assert_eq!(all[group][name], true, "{name}");
        }
        assert_eq!(all["promql_functions"].get("sum"), None);
    }
}
