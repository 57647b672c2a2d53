//! What Grafana's Prometheus data source asks, as it asks it, and the answers it must get.

use std::collections::BTreeMap;
use std::sync::Arc;

use flyball_model::labels::Labels;

use super::facts::{BookVisitor, Dropped, DroppedTarget, Health, Metadata, Runtime, Target};
use super::*;
use crate::memory::MemorySource;
use crate::promql::engine::Unwatched;
use crate::series::Point;

struct TestFacts;

impl Facts for TestFacts {
    fn targets(&self) -> Vec<Target> {
        vec![Target {
            discovered_labels: BTreeMap::from([("__address__".into(), "10.0.0.1:80".into())]),
            labels: BTreeMap::from([("job".into(), "pods".into())]),
            scrape_pool: "pods".into(),
            scrape_url: "http://10.0.0.1:80/metrics".into(),
            global_url: "http://10.0.0.1:80/metrics".into(),
            last_error: String::new(),
            last_scrape: "2026-01-02T03:04:05Z".into(),
            last_scrape_duration: 0.25,
            health: Health::Up,
            scrape_interval: "15s".into(),
            scrape_timeout: "10s".into(),
        }]
    }

    fn dropped(&self) -> Dropped {
        let discovered_labels = BTreeMap::from([("__address__".into(), "10.0.0.2:80".into())]);
        let target = DroppedTarget { discovered_labels, scrape_pool: "pods".into() };
        Dropped { targets: vec![target], counts: BTreeMap::from([("pods".into(), 3), ("idle".into(), 0)]) }
    }

    fn metadata(&self) -> BTreeMap<String, Vec<Metadata>> {
        let entry =
            |kind: &str, help: &str| Metadata { kind: kind.into(), help: help.into(), unit: String::new() };
        BTreeMap::from([
            ("http_requests_total".into(), vec![entry("counter", "Requests."), entry("counter", "Calls.")]),
            ("up".into(), vec![entry("gauge", "Up.")]),
        ])
    }

    fn each_book(&self, visit: &mut BookVisitor<'_>) {
        let up = Metadata { kind: "gauge".into(), help: "Up.".into(), unit: String::new() };
        let book = BTreeMap::from([("up".into(), up.clone()), ("x".into(), up)]);
        for job in ["pods", "nodes"] {
            if visit(&BTreeMap::from([("job".into(), job.into())]), &book).is_break() {
                return;
            }
        }
    }

    fn runtime(&self) -> Runtime {
        Runtime {
            start_time: "2026-01-01T00:00:00Z".into(),
            folder: "/".into(),
            hostname: "here".into(),
            server_time: "2026-01-02T00:00:00Z".into(),
            reload_config_success: true,
            last_config_time: "2026-01-01T00:00:00Z".into(),
            corruption_count: 0,
            threads: 8,
            processors: 2,
            storage_retention: "15d".into(),
        }
    }

    fn flags(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("query.timeout".into(), "2m".into())])
    }

    fn config(&self) -> String {
        "scrape_configs: []\n".into()
    }

    fn chunks(&self) -> Option<u64> {
        Some(4)
    }
}

fn source() -> MemorySource {
    let mut source = MemorySource::default();
    for (path, factor) in [("/a", 1.0), ("/b<", 2.0)] {
        let pairs = [("__name__", "http_requests_total"), ("path", path)];
        let labels = Arc::new(Labels::from_pairs(pairs).unwrap());
        for step in 0..5_i64 {
            let point = Point { timestamp_ms: 1_000_500 + step * 15_000, value: step as f64 * factor };
            source.add(&labels, point);
        }
    }
    source
}

fn ask(method: &str, path: &str, form: &str, url: &str) -> (u16, String) {
    let source = source();
    let api = Api {
        source: &source,
        facts: &TestFacts,
        options: Options::default(),
        now_ms: 1_060_500,
        watch: &Unwatched,
        clock: Clock::starts(),
    };
    let answer = api.answer(&Request { method, path, params: Params::new(form, url) });
    (answer.code, String::from_utf8(answer.whole()).unwrap())
}

#[track_caller]
fn get(path: &str, url: &str, data: &str) {
    let expected = format!(r#"{{"status":"success","data":{data}}}"#);
    assert_eq!(ask("GET", path, "", url), (200, expected));
}

#[track_caller]
fn refused(path: &str, url: &str, code: u16, kind: &str, message: &str) {
    let expected = format!(r#"{{"status":"error","errorType":"{kind}","error":"{message}"}}"#);
    assert_eq!(ask("GET", path, "", url), (code, expected));
}

#[test]
fn save_and_test() {
    get("/query", "query=1%2B1&time=4", r#"{"resultType":"scalar","result":[4,"2"]}"#);
    let (code, text) = ask("GET", "/status/buildinfo", "", "");
    assert_eq!(code, 200);
    let info: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(info["data"]["version"], "3.5.0");
    assert_eq!(info["data"].get("features"), None);
}

#[test]
fn on_load() {
    get("/rules", "", r#"{"groups":[]}"#);
    get("/rules", "type=Alert", r#"{"groups":[]}"#);
    refused("/rules", "type=x", 400, "bad_data", r#"invalid parameter \"type\": not supported value \"x\""#);
    refused("/rules", "match[]=x(", 400, "bad_data", r#"1:2: parse error: unexpected \"(\""#);
    refused(
        "/rules",
        "exclude_alerts=x",
        400,
        "bad_data",
        r#"invalid parameter \"exclude_alerts\": error converting exclude_alerts: strconv.ParseBool: parsing \"x\": invalid syntax"#,
    );
    refused(
        "/rules",
        "group_limit=x",
        400,
        "bad_data",
        r#"invalid parameter \"group_limit\": group_limit needs to be a valid number: strconv.ParseInt: parsing \"x\": invalid syntax"#,
    );
    refused(
        "/rules",
        "group_next_token=x",
        400,
        "bad_data",
        r#"invalid parameter \"group_next_token\": group_limit needs to be present in order to paginate over the groups"#,
    );
    get("/rules", "group_limit=1&exclude_alerts=TRUE", r#"{"groups":[]}"#);
    get("/status/walreplay", "", r#"{"min":0,"max":0,"current":0}"#);
    get("/notifications", "", "[]");
    get("/alerts", "", r#"{"alerts":[]}"#);
    get("/query_exemplars", "query=test&start=1&end=2", "[]");
    refused(
        "/query_exemplars",
        "query=%29",
        400,
        "bad_data",
        "1:2: parse error: unexpected right parenthesis ')'",
    );
}

#[test]
fn panels_post_a_form() {
    let form =
        "query=rate%28http_requests_total%7Bpath%3D%22%2Fa%22%7D%5B30s%5D%29&start=1030.5&end=1060.5&step=15";
    let values = r#"[[1030.500,"0.06666666666666667"],[1045.500,"0.06666666666666667"],[1060.500,"0.06666666666666667"]]"#;
    let expected = format!(
        r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{"path":"/a"}},"values":{values}}}]}}}}"#
    );
    assert_eq!(ask("POST", "/query_range", form, ""), (200, expected.clone()));
    assert_eq!(ask("GET", "/query_range", "", form), (200, expected));
}

#[test]
fn instant_panels_tables_and_texts() {
    get(
        "/query",
        "query=http_requests_total&time=1970-01-01T00%3A17%3A40.5Z",
        r#"{"resultType":"vector","result":[{"metric":{"__name__":"http_requests_total","path":"/a"},"value":[1060.500,"4"]},{"metric":{"__name__":"http_requests_total","path":"/b<"},"value":[1060.500,"8"]}]}"#,
    );
    get("/query", "query=%22a%22&time=1", r#"{"resultType":"string","result":[1,"a"]}"#);
    get(
        "/query",
        "query=http_requests_total%7Bpath%3D%22%2Fa%22%7D%5B20s%5D&time=1060.5",
        r#"{"resultType":"matrix","result":[{"metric":{"__name__":"http_requests_total","path":"/a"},"values":[[1045.500,"3"],[1060.500,"4"]]}]}"#,
    );
    get(
        "/query",
        "query=vector(1)/0&time=1",
        r#"{"resultType":"vector","result":[{"metric":{},"value":[1,"+Inf"]}]}"#,
    );
    get("/query", "query=none&time=1", r#"{"resultType":"vector","result":[]}"#);
}

#[test]
fn editor_and_variables() {
    let range = "start=1000&end=1100";
    get("/label/__name__/values", range, r#"["http_requests_total"]"#);
    get("/labels", &format!("match[]=http_requests_total&{range}"), r#"["__name__","path"]"#);
    get("/label/path/values", &format!("match%5B%5D=http_requests_total&{range}"), r#"["/a","/b\u003c"]"#);
    get("/label/path/values", "start=1&end=2", "[]");
    get(
        "/series",
        &format!("match[]=%7Bpath%3D%22%2Fa%22%7D&match[]=http_requests_total&{range}"),
        r#"[{"__name__":"http_requests_total","path":"/a"},{"__name__":"http_requests_total","path":"/b<"}]"#,
    );
    get("/metadata", "metric=up", r#"{"up":[{"type":"gauge","unit":"","help":"Up."}]}"#);
    get(
        "/metadata",
        "limit=1&limit_per_metric=1",
        r#"{"http_requests_total":[{"type":"counter","unit":"","help":"Requests."}]}"#,
    );
    get("/format_query", "query=sum(x)by(y)", r#""sum by (y) (x)""#);
}

#[test]
fn limits_cut_and_say_so() {
    let (code, text) = ask("GET", "/query", "", "query=http_requests_total&limit=1");
    assert_eq!(code, 200);
    assert!(
        text.ends_with(r#"],"warnings":["results truncated due to limit"]}"#)
            || text.ends_with(r#"]},"warnings":["results truncated due to limit"]}"#),
        "{text}"
    );
    let (_, text) = ask("GET", "/labels", "", "limit=1");
    assert_eq!(
        text,
        r#"{"status":"success","data":["__name__"],"warnings":["results truncated due to limit"]}"#
    );
    refused(
        "/labels",
        "limit=-1",
        400,
        "bad_data",
        r#"invalid parameter \"limit\": limit must be non-negative"#,
    );
}

#[test]
fn infos_travel_beside_the_result() {
    let (_, text) =
        ask("GET", "/query", "", "query=rate(up[1m])%20or%20quantile(2,http_requests_total)&time=1060.5");
    assert!(
        text.ends_with(
            r#""warnings":["PromQL warning: quantile value should be between 0 and 1, got 2 (1:26)"]}"#
        ),
        "{text}"
    );
}

#[test]
fn what_is_wrong_has_prometheus_types_and_codes() {
    refused(
        "/query",
        "query=&time=1",
        400,
        "bad_data",
        r#"invalid parameter \"query\": unknown position: parse error: no expression found in input"#,
    );
    refused(
        "/query",
        "query=x&time=y",
        400,
        "bad_data",
        r#"invalid parameter \"time\": invalid time value for 'time': cannot parse \"y\" to a valid timestamp"#,
    );
    refused(
        "/query",
        "query=x&timeout=y",
        400,
        "bad_data",
        r#"invalid parameter \"timeout\": cannot parse \"y\" to a valid duration"#,
    );
    refused(
        "/query_range",
        "query=x&start=2&end=1&step=1",
        400,
        "bad_data",
        r#"invalid parameter \"end\": end timestamp must not be before start time"#,
    );
    refused(
        "/query_range",
        "query=x&start=1&end=2&step=0",
        400,
        "bad_data",
        r#"invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer"#,
    );
    refused(
        "/query_range",
        "query=x&start=0&end=11001&step=1",
        400,
        "bad_data",
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
    );
    refused(
        "/query_range",
        "query=x[1m]&start=0&end=1&step=1",
        400,
        "bad_data",
        r#"invalid parameter \"query\": invalid expression type \"range vector\" for range query, must be Scalar or instant Vector"#,
    );
    refused(
        "/query",
        "query=label_replace(http_requests_total,%22path%22,%22%22,%22%22,%22%22)",
        422,
        "execution",
        "vector cannot contain metrics with the same labelset",
    );
    refused("/series", "", 400, "bad_data", "no match[] parameter provided");
    refused(
        "/series",
        "match[]=%7Ba%3D%22%22%7D",
        400,
        "bad_data",
        r#"invalid parameter \"match[]\": match[] must contain at least one non-empty matcher"#,
    );
    assert_eq!(ask("GET", "/nothing", "", "").0, 404);
    assert_eq!(ask("POST", "/metadata", "", "").0, 405);
    assert_eq!(ask("DELETE", "/query", "", "").0, 405);
}

#[test]
fn the_status_pages() {
    get(
        "/targets",
        "state=active",
        r#"{"activeTargets":[{"discoveredLabels":{"__address__":"10.0.0.1:80"},"labels":{"job":"pods"},"scrapePool":"pods","scrapeUrl":"http://10.0.0.1:80/metrics","globalUrl":"http://10.0.0.1:80/metrics","lastError":"","lastScrape":"2026-01-02T03:04:05Z","lastScrapeDuration":0.25,"health":"up","scrapeInterval":"15s","scrapeTimeout":"10s"}],"droppedTargets":[],"droppedTargetCounts":null}"#,
    );
    get(
        "/targets",
        "state=dropped",
        r#"{"activeTargets":[],"droppedTargets":[{"discoveredLabels":{"__address__":"10.0.0.2:80"},"scrapePool":"pods"}],"droppedTargetCounts":{"idle":0,"pods":3}}"#,
    );
    get(
        "/targets",
        "scrapePool=x",
        r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{"idle":0,"pods":3}}"#,
    );
    get("/scrape_pools", "", r#"{"scrapePools":["idle","pods"]}"#);
    let (code, page) = ask("GET", "/targets/page", "", "");
    assert!(
        code == 200 && page.starts_with("idle: 0 of 0 up, 0 dropped\n\npods: 1 of 1 up, 3 dropped\nSTATE"),
        "{page}"
    );
    assert_eq!(ask("POST", "/targets/page", "", "").0, 405);
    get("/status/flags", "", r#"{"query.timeout":"2m"}"#);
    get("/status/config", "", r#"{"yaml":"scrape_configs: []\n"}"#);
    get(
        "/status/tsdb",
        "limit=1",
        r#"{"headStats":{"numSeries":2,"numLabelPairs":3,"chunkCount":4,"minTime":-9739500,"maxTime":1060500},"seriesCountByMetricName":[{"name":"http_requests_total","value":2}],"labelValueCountByLabelName":[{"name":"path","value":2}],"memoryInBytesByLabelName":[{"name":"__name__","value":19}],"seriesCountByLabelValuePair":[{"name":"__name__=http_requests_total","value":2}]}"#,
    );
    let (_, text) = ask("GET", "/status/runtimeinfo", "", "");
    assert!(text.contains(r#""CWD":"/","hostname":"here""#) && text.contains(r#""GOMAXPROCS":2"#), "{text}");
}

#[test]
fn what_each_target_says_of_its_metrics() {
    let of = |job: &str, metric: &str| {
        let metric = if metric.is_empty() { String::new() } else { format!(r#","metric":"{metric}""#) };
        format!(r#"{{"target":{{"job":"{job}"}}{metric},"type":"gauge","help":"Up.","unit":""}}"#)
    };
    let path = "/targets/metadata";
    get(path, "metric=up", &format!("[{},{}]", of("pods", ""), of("nodes", "")));
    get(
        path,
        "match_target=%7Bjob%3D%22nodes%22%7D",
        &format!("[{},{}]", of("nodes", "up"), of("nodes", "x")),
    );
    // A target is told whole.
    get(path, "limit=1", &format!("[{},{}]", of("pods", "up"), of("pods", "x")));
    get(path, "metric=none", "[]");
    get(path, "limit=0", "[]");
    refused(path, "limit=x", 400, "bad_data", "limit must be a number");
    refused(
        path,
        "match_target=x(",
        400,
        "bad_data",
        r#"invalid parameter \"match_target\": 1:2: parse error: unexpected \"(\""#,
    );
}

#[test]
fn statistics_have_times_and_samples() {
    let (_, text) = ask("GET", "/query", "", "query=http_requests_total&stats=all");
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let timings = answer["data"]["stats"]["timings"].as_object().unwrap();
    let names: Vec<&str> = timings.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "evalTotalTime",
            "execQueueTime",
            "execTotalTime",
            "innerEvalTime",
            "queryPreparationTime",
            "resultSortTime"
        ]
    );
    assert!(timings.values().all(|seconds| seconds.as_f64().is_some_and(|seconds| seconds >= 0.0)), "{text}");
    assert!(answer["data"]["stats"]["samples"]["totalQueryableSamples"].is_u64(), "{text}");
}

#[test]
fn odd_times_and_steps() {
    // What is no series has its time as a number is written.
    get("/query", "query=1&time=.5", r#"{"resultType":"scalar","result":[0.5,"1"]}"#);
    get("/query", "query=%22a%22&time=1.25", r#"{"resultType":"string","result":[1.25,"a"]}"#);
    get(
        "/query",
        "query=vector(1)&time=.5",
        r#"{"resultType":"vector","result":[{"metric":{},"value":[0.500,"1"]}]}"#,
    );
    let range = "query=1&start=0&end=20&step=";
    let (fine, none) = (format!("{range}0.0001"), format!("{range}NaN"));
    let too_fine = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
    refused("/query_range", &fine, 400, "bad_data", too_fine);
    refused(
        "/query_range",
        &none,
        400,
        "bad_data",
        r#"invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer"#,
    );
    refused(
        "/query",
        "query=1&limit=99999999999999999999",
        400,
        "bad_data",
        r#"invalid parameter \"limit\": strconv.Atoi: parsing \"99999999999999999999\": value out of range"#,
    );
}

#[test]
fn selectors_are_refused_in_the_words_of_prometheus() {
    let series = |selector: &str, reason: &str| {
        refused(
            "/series",
            &format!("match[]={selector}"),
            400,
            "bad_data",
            &format!(r#"invalid parameter \"match[]\": {reason}"#),
        );
        // At other paths the parameter is not named.
        refused("/labels", &format!("match[]={selector}"), 400, "bad_data", reason);
        refused("/label/x/values", &format!("match[]={selector}"), 400, "bad_data", reason);
    };
    series("", "unknown position: parse error: unexpected end of input");
    series("sum(up)", r#"1:4: parse error: unexpected \"(\""#);
    series("up[5m]", r#"1:3: parse error: unexpected \"[\""#);
    series("up%20offset%205m", r"1:4: parse error: unexpected \u003coffset\u003e");
    series("up%20other", r#"1:4: parse error: unexpected identifier \"other\""#);
    series("%7B%7D", "match[] must contain at least one non-empty matcher");
}

#[test]
fn a_tree_and_what_is_known_here() {
    get("/parse_query", "query=1", r#"{"type":"numberLiteral","val":"1"}"#);
    assert_eq!(ask("POST", "/parse_query", "query=1", "").0, 200);
    refused(
        "/parse_query",
        "query=x(",
        400,
        "bad_data",
        r#"invalid parameter \"query\": 1:3: parse error: unclosed left parenthesis"#,
    );
    let (code, text) = ask("GET", "/features", "", "");
    assert!(code == 200 && text.contains(r#""query_stats":true"#), "{text}");
    assert_eq!(ask("OPTIONS", "/query", "", ""), (204, String::new()));
    assert_eq!(ask("PUT", "/query", "", "").0, 405);
}
