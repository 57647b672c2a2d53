use std::time::Duration;

use super::super::job::{Authorization, Discovery, Kind, Protocol, Role, Secret};
use super::*;
use crate::tls::Versions;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/prometheus/prometheus.yml"))
}

#[track_caller]
fn job(text: &str) -> Job {
    let mut jobs = parse(text).unwrap().jobs;
    assert_eq!(jobs.len(), 1);
    jobs.remove(0)
}

/// A file with one job that says this.
fn with(lines: &str) -> String {
    let indented: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("scrape_configs:\n  - job_name: j\n{indented}")
}

#[test]
fn defaults_are_prometheus() {
    for empty in ["", "# nothing\n", "global:\n", "scrape_configs: []\n", "rule_files: []\nalerting: {}\n"] {
        assert!(parse(empty).unwrap().jobs.is_empty(), "{empty}");
    }
    let job = job("scrape_configs:\n- job_name: j\n");
    assert_eq!((job.interval, job.timeout), (Duration::from_secs(60), Duration::from_secs(10)));
    assert_eq!((job.scheme.as_str(), job.metrics_path.as_str()), ("http", "/metrics"));
    assert!(job.honor_timestamps && !job.honor_labels && !job.track_timestamps_staleness && job.compression);
    assert_eq!(
        job.protocols,
        [Protocol::OpenMetrics1, Protocol::OpenMetrics0, Protocol::Text1, Protocol::Text0]
    );
    assert_eq!((job.escaping, job.legacy_names, job.fallback), ("allow-utf-8", false, None));
    assert!(job.access.follow_redirects && job.access.authorization == Authorization::None);
    assert!(job.discovery.is_empty() && job.relabel.is_empty() && job.metric_relabel.is_empty());
    assert_eq!((job.limits.samples, job.limits.targets, job.limits.dropped_targets), (None, None, 1000));
}

#[test]
fn global_is_inherited() {
    let text = "global:\n  scrape_interval: 15s\n  sample_limit: 10\n  label_limit: 5\n  body_size_limit: 1MB\n  \
        scrape_protocols: [PrometheusText0.0.4]\n  external_labels: {a: b}\n  evaluation_interval: 1m\n\
        scrape_configs:\n- job_name: a\n- job_name: b\n  scrape_interval: 5s\n  sample_limit: 7\n  body_size_limit: 2KB\n\
        - job_name: c\n  scrape_timeout: 3s\n";
    let jobs = parse(text).unwrap().jobs;
    let shown = |job: &Job| {
        let limits = &job.limits;
        (
            job.interval.as_secs(),
            job.timeout.as_secs(),
            limits.samples.map_or(0, |limit| limit.get()),
            limits.body_bytes,
        )
    };
    assert_eq!(shown(&jobs[0]), (15, 10, 10, 1 << 20));
    assert_eq!(shown(&jobs[1]), (5, 5, 7, 2048), "the time-out is cut to the interval");
    assert_eq!(shown(&jobs[2]), (15, 3, 10, 1 << 20));
    assert!(jobs.iter().all(|job| job.protocols == [Protocol::Text0]));
    assert!(jobs.iter().all(|job| job.limits.labels.is_some_and(|limit| limit.get() == 5)));
}

#[test]
fn what_says_nothing_of_scraping_is_taken() {
    // The file that Prometheus is shipped with: it names no Alertmanager and no rules.
    let shipped = "global:\n  scrape_interval: 15s\n  evaluation_interval: 15s\nalerting:\n  alertmanagers:\n    \
        - static_configs:\n        - targets:\n          # - alertmanager:9093\nrule_files:\n  # - \"first_rules.yml\"\n\
        scrape_configs:\n  - job_name: \"prometheus\"\n    static_configs:\n      - targets: [\"localhost:9090\"]\n        \
        labels:\n          app: \"prometheus\"\n";
    assert_eq!(parse(shipped).unwrap().jobs.len(), 1);
    let named = "alerting: {alertmanagers: [{static_configs: [{targets: [a]}]}]}";
    let refused = parse(named).unwrap_err().to_string();
    assert!(
        refused.contains(":1: alerting: it is not supported: alerting stays with Prometheus"),
        "{refused}"
    );
    // Of several formats that may be asked for, those that are texts are.
    let protocols = |list: &str| {
        parse(&with(&format!("scrape_protocols: {list}"))).map(|config| config.jobs[0].protocols.clone())
    };
    assert_eq!(protocols("[PrometheusProto, PrometheusText0.0.4]").unwrap(), [Protocol::Text0]);
    assert!(protocols("[PrometheusProto]").unwrap_err().to_string().contains("texts are"));
    assert_eq!(job(&with("fallback_scrape_protocol: ''")).fallback, None);
    assert_eq!(job(&with("sample_limit: 0x10")).limits.samples.map_or(0, |limit| limit.get()), 16);
    assert!(parse("runtime: {gogc: 75}").is_ok());
    let unknown = parse("runtime: {gog: 75}").unwrap_err().to_string();
    assert!(unknown.contains("runtime.gog: there is no such field"), "{unknown}");
    let text = "global: {extra_scrape_metrics: true}\nscrape_configs: [{job_name: a}, {job_name: b, extra_scrape_metrics: false}]";
    let extra: Vec<bool> = parse(text).unwrap().jobs.iter().map(|job| job.extra_metrics).collect();
    assert_eq!(extra, [true, false]);
}

#[test]
fn a_job_says_everything() {
    let job = job(&with(
        "honor_labels: true\nhonor_timestamps: false\ntrack_timestamps_staleness: yes\nscrape_interval: 1h30m\n\
         scrape_timeout: 30s\nmetrics_path: /probe\nscheme: https\nparams: {module: [http, 010], x: []}\n\
         enable_compression: false\nenable_http2: true\nfollow_redirects: false\nfallback_scrape_protocol: OpenMetricsText1.0.0\n\
         metric_name_validation_scheme: legacy\nmetric_name_escaping_scheme: dots\nkeep_dropped_targets: 3\ntarget_limit: 9\n\
         label_name_length_limit: 1\nlabel_value_length_limit: 2\n\
         static_configs:\n- targets: ['a:1', b]\n  labels: {env: prod, \"utf.8\": 'yes'}\n- targets: [c]\n\
         authorization: {type: Token, credentials_file: token}\n\
         tls_config: {ca_file: ca.pem, cert_file: /c.pem, key: inline, server_name: s, insecure_skip_verify: true}\n\
         http_headers: {X-Tenant: {values: [a, b], files: [h]}}",
    ));
    assert!(job.honor_labels && !job.honor_timestamps && job.track_timestamps_staleness && !job.compression);
    assert_eq!((job.interval.as_secs(), job.timeout.as_secs()), (5400, 30));
    assert_eq!((job.scheme.as_str(), job.metrics_path.as_str()), ("https", "/probe"));
    assert_eq!(job.params["module"], ["http", "010"], "text as it was written");
    assert_eq!((job.fallback, job.legacy_names, job.escaping), (Some(Protocol::OpenMetrics1), true, "dots"));
    assert_eq!(job.limits.dropped_targets, 3);
    let Discovery::Static(groups) = &job.discovery[0] else { panic!("{:?}", job.discovery) };
    assert_eq!(groups[0].targets, ["a:1", "b"]);
    assert_eq!(groups[0].labels.iter().collect::<Vec<_>>(), [("env", "prod"), ("utf.8", "yes")]);
    assert_eq!(groups[1].targets, ["c"]);
    let folder = |name: &str| Secret::File(Path::new("/etc/prometheus").join(name));
    let Authorization::Scheme { scheme, credentials } = &job.access.authorization else { panic!() };
    assert_eq!((scheme.as_str(), credentials), ("Token", &folder("token")));
    let tls = &job.access.tls;
    assert_eq!(tls.authority, Some(folder("ca.pem")));
    assert_eq!(tls.identity, Some((folder("/c.pem"), Secret::Text("inline".to_owned()))));
    assert_eq!(
        (tls.server_name.as_deref(), tls.insecure, job.access.follow_redirects),
        (Some("s"), true, false)
    );
    assert_eq!(job.access.headers.len(), 3);
}

#[test]
fn versions_of_tls() {
    for (lines, expected) in [
        ("tls_config: {}", Versions::Both),
        ("tls_config: {min_version: TLS10, max_version: TLS13}", Versions::Both),
        ("tls_config: {min_version: TLS13}", Versions::Tls13),
        ("tls_config: {max_version: TLS12}", Versions::Tls12),
    ] {
        assert_eq!(job(&with(lines)).access.tls.versions, expected, "{lines}");
    }
}

#[test]
fn ways_to_say_who_we_are() {
    let access = |lines: &str| job(&with(lines)).access.authorization;
    let text = |text: &str| Secret::Text(text.to_owned());
    assert_eq!(
        access("basic_auth: {username: u, password: p}"),
        Authorization::Basic { username: text("u"), password: text("p") }
    );
    let bearer = |credentials| Authorization::Scheme { scheme: "Bearer".to_owned(), credentials };
    assert_eq!(access("bearer_token: t"), bearer(text("t")));
    assert_eq!(access("bearer_token_file: /t"), bearer(Secret::File("/t".into())));
    assert_eq!(access("authorization: {credentials: t}"), bearer(text("t")));
    assert!(!format!("{:?}", job(&with("basic_auth: {username: u, password: hidden}"))).contains("hidden"));
}

#[test]
fn kubernetes() {
    let job = job(&with(
        "kubernetes_sd_configs:\n- role: endpoints\n  namespaces: {own_namespace: true, names: [a, b, a]}\n  \
         selectors:\n  - {role: service, label: 'app in (x,y)'}\n  - {role: pod, field: 'spec.nodeName=n'}\n  \
         attach_metadata: {node: true}\n- role: node\n- role: pod\n",
    ));
    let roles: Vec<Role> = job
        .discovery
        .iter()
        .map(|one| match one {
            Discovery::Kubernetes(of) => of.role,
            Discovery::Static(_) => panic!("static"),
        })
        .collect();
    assert_eq!(roles, [Role::Endpoints, Role::Node, Role::Pod]);
    let Discovery::Kubernetes(of) = &job.discovery[0] else { panic!() };
    assert_eq!(
        (of.namespaces.as_slice(), of.own_namespace, of.attach_node),
        (&["a".to_owned(), "b".to_owned()][..], true, true)
    );
    let kinds: Vec<Kind> = of.selectors.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Service, Kind::Pod]);
    assert_eq!(
        (of.selectors[0].1.label.as_str(), of.selectors[1].1.field.as_str()),
        ("app in (x,y)", "spec.nodeName=n")
    );
}

/// The sentence that a file is refused with.
#[track_caller]
fn refused(text: &str) -> String {
    let error = parse(text).expect_err(text).to_string();
    error.strip_prefix("/etc/prometheus/prometheus.yml:").expect("the file's name").to_owned()
}

#[test]
fn what_is_refused_names_line_and_field() {
    for (text, expected) in [
        (
            "scrape_configs:\n- job_name: a\n  metric_path: /x\n",
            "3: scrape_configs[0].metric_path: there is no such field",
        ),
        ("nothing: 1\n", "1: nothing: there is no such field"),
        ("global: {scrap_interval: 1s}\n", "1: global.scrap_interval: there is no such field"),
        ("scrape_configs:\n- {}\n", "2: scrape_configs[0].job_name: it is missing"),
        ("scrape_configs:\n- job_name: ''\n", "2: scrape_configs[0].job_name: it is empty"),
        ("scrape_configs:\n-\n", "2: scrape_configs[0]: it is empty"),
        (
            "scrape_configs:\n- job_name: a\n- job_name: a\n",
            "3: scrape_configs[1]: there is another job of the name \"a\"",
        ),
        ("scrape_configs: {a: b}\n", "1: scrape_configs: a list was expected"),
        ("rule_files: [x.yml]\n", "1: rule_files: it is not supported: there is no engine for rules here"),
        (
            "alerting:\n  alertmanagers: [{static_configs: [{targets: [a]}]}]\n",
            "1: alerting: it is not supported: alerting stays with Prometheus",
        ),
        ("remote_write:\n- url: x\n", "1: remote_write: it is not supported"),
        (
            "scrape_config_files: [x]\n",
            "1: scrape_config_files: it is not supported: put the jobs into this file",
        ),
        (
            "storage: {tsdb: {out_of_order_time_window: 1h}}\n",
            "1: storage: it is not supported: the store is configured by flags",
        ),
        (
            "global: {scrape_interval: 1s, scrape_timeout: 2s}\n",
            "1: global.scrape_timeout: it is longer than the scrape interval",
        ),
        ("a: [\n", "1: this is no YAML: "),
    ] {
        let shown = refused(text);
        assert!(shown.starts_with(expected), "{text}\n{shown}");
    }
}

#[test]
fn what_is_refused_in_a_job() {
    for (lines, expected) in [
        ("oauth2: {client_id: x}", "oauth2: it is not supported"),
        ("proxy_url: http://p", "proxy_url: it is not supported"),
        ("proxy_from_environment: true", "proxy_from_environment: it is not supported"),
        (
            "consul_sd_configs: [{server: x}]",
            "consul_sd_configs: it is not supported: static_configs and kubernetes_sd_configs are",
        ),
        ("dns_sd_configs:\n- names: [x]", "dns_sd_configs: it is not supported"),
        ("file_sd_configs:\n- files: [x]", "file_sd_configs: it is not supported"),
        ("other_sd_configs: []", "other_sd_configs: there is no such field"),
        (
            "scrape_protocols: [PrometheusProto]",
            "scrape_protocols[0]: PrometheusProto is not supported: texts are",
        ),
        ("scrape_protocols: [x]", "scrape_protocols[0]: there is no format \"x\""),
        ("scrape_protocols: []", "scrape_protocols: it is empty"),
        (
            "scrape_protocols: [PrometheusText0.0.4, PrometheusText0.0.4]",
            "scrape_protocols[1]: it is there twice",
        ),
        (
            "scrape_native_histograms: true",
            "scrape_native_histograms: it is not supported: there are no native histograms",
        ),
        (
            "convert_classic_histograms_to_nhcb: true",
            "convert_classic_histograms_to_nhcb: it is not supported",
        ),
        ("scrape_failure_log_file: x", "scrape_failure_log_file: it is not supported"),
        ("scrape_timeout: 2m", "scrape_timeout: it is longer than the scrape interval"),
        ("scrape_interval: 1.5s", "scrape_interval: \"1.5s\" is no duration"),
        ("honor_labels: 'true'", "honor_labels: true or false was expected"),
        ("honor_labels: maybe", "honor_labels: true or false was expected, not \"maybe\""),
        ("sample_limit: -1", "sample_limit: a number that is not negative was expected, not \"-1\""),
        ("body_size_limit: 5X", "body_size_limit: \"5X\" is no size"),
        ("body_size_limit: 2GB", "body_size_limit: 1073741824 bytes are the most that an answer can have"),
        ("scheme: ftp", "scheme: http or https was expected, not \"ftp\""),
        ("params: [a]", "params: a mapping was expected"),
        (
            "static_configs: [{targets: ['http://a/b']}]",
            "static_configs[0].targets[0]: \"http://a/b\" is no host with a port",
        ),
        ("static_configs: [{target: [a]}]", "static_configs[0].target: there is no such field"),
        ("static_configs: [~]", "static_configs[0]: it is empty"),
        (
            "kubernetes_sd_configs: [{}]",
            "kubernetes_sd_configs[0].role: it is missing: pod, node or endpoints",
        ),
        (
            "kubernetes_sd_configs: [{role: ingress}]",
            "kubernetes_sd_configs[0].role: role ingress is not supported",
        ),
        ("kubernetes_sd_configs: [{role: pods}]", "kubernetes_sd_configs[0].role: there is no role \"pods\""),
        (
            "kubernetes_sd_configs: [{role: pod, api_server: 'https://x'}]",
            "kubernetes_sd_configs[0].api_server: it is not supported: the API server is the one",
        ),
        (
            "kubernetes_sd_configs: [{role: pod, tls_config: {ca_file: x}}]",
            "kubernetes_sd_configs[0].tls_config: it is not supported",
        ),
        (
            "kubernetes_sd_configs: [{role: pod, selectors: [{role: node}]}]",
            "kubernetes_sd_configs[0].selectors[0].role: this role has selectors for pod only",
        ),
        (
            "kubernetes_sd_configs: [{role: pod, selectors: [{role: pod}, {role: pod}]}]",
            "kubernetes_sd_configs[0].selectors[1]: there is another selector of this role",
        ),
        (
            "kubernetes_sd_configs: [{role: pod, selectors: [{role: pod, label: 'a in'}]}]",
            "kubernetes_sd_configs[0].selectors[0].label: ",
        ),
        (
            "kubernetes_sd_configs: [{role: pod, namespaces: {names: [A_b]}}]",
            "kubernetes_sd_configs[0].namespaces.names[0]: \"A_b\" is no namespace",
        ),
        ("basic_auth: {username: u}\nbearer_token: t", "bearer_token: there is basic_auth already"),
        (
            "basic_auth: {username: u, password: p, password_file: f}",
            "basic_auth.password_file: there is password already",
        ),
        (
            "authorization: {type: Basic, credentials: x}",
            "authorization.type: basic has a section of its own: basic_auth",
        ),
        (
            "authorization: {credentials: x, credentials_file: y}",
            "authorization.credentials_file: there is credentials already",
        ),
        ("tls_config: {cert_file: x}", "tls_config.key_file: it is missing: there is a certificate"),
        ("tls_config: {max_version: TLS11}", "tls_config.max_version: \"TLS11\" is not supported"),
        (
            "tls_config: {min_version: TLS13, max_version: TLS12}",
            "tls_config.max_version: it is less than min_version",
        ),
        ("http_headers: {Host: {values: [x]}}", "http_headers.Host: this header cannot be set"),
        ("http_headers: {'a b': {values: [x]}}", "http_headers.a b: \"a b\" is no name of a header"),
        ("http_headers: {X-A: {values: [\"a\\nb\"]}}", "http_headers.X-A.values[0]: it holds characters"),
        ("relabel_configs: [~]", "relabel_configs[0]: it is empty"),
        ("relabel_configs: [{action: replce}]", "relabel_configs[0].action: there is no action \"replce\""),
        (
            "relabel_configs: [{source_labels: [a]}]",
            "relabel_configs[0].target_label: the action replace needs one",
        ),
        (
            "relabel_configs: [{action: keep, regex: '('}]",
            "relabel_configs[0].regex: invalid regular expression \"(\"",
        ),
        ("relabel_configs: [{action: keep, regexp: x}]", "relabel_configs[0].regexp: there is no such field"),
        (
            "metric_relabel_configs: [{action: labeldrop, separator: ','}]",
            "metric_relabel_configs[0].separator: the action labeldrop takes only regex",
        ),
        (
            "metric_name_validation_scheme: legacy\nmetric_name_escaping_scheme: allow-utf-8",
            "metric_name_escaping_scheme: allow-utf-8 and",
        ),
    ] {
        let shown = refused(&with(lines));
        let (line, rest) = shown.split_once(": ").unwrap();
        assert!(line.parse::<u64>().unwrap() >= 2, "{shown}");
        let rest = rest.strip_prefix("scrape_configs[0].").unwrap_or(rest);
        assert!(rest.starts_with(expected), "{lines}\n{rest}");
    }
}

#[test]
fn lines_are_those_of_the_field() {
    let text = "scrape_configs:\n\n- job_name: a\n  relabel_configs:\n  - action: keep\n    regex: x\n  - action: hashmod\n    \
        target_label: t\n    modulus: 0\n";
    assert!(
        refused(text).starts_with("9: scrape_configs[0].relabel_configs[1].modulus: "),
        "{}",
        refused(text)
    );
}

#[test]
fn anchors_and_merges_work() {
    let text = "scrape_configs:\n- &base\n  job_name: a\n  scheme: https\n  static_configs: [{targets: [x]}]\n\
        - <<: *base\n  job_name: b\n";
    let jobs = parse(text).unwrap().jobs;
    assert_eq!((jobs[1].name.as_str(), jobs[1].scheme.as_str(), jobs[1].discovery.len()), ("b", "https", 1));
}

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever stands in the file: it is read, or refused with a line of the file.
    #[test]
    fn any_file(pieces in proptest::collection::vec(prop_oneof![
        Just("scrape_configs:\n"), Just("- job_name: a\n"), Just("  "), Just("global:"), Just("\n"), Just("- "),
        Just("relabel_configs: "), Just("{regex: '(', action: keep}"), Just("&a "), Just("*a"), Just("<<: "),
        Just("["), Just("]"), Just("{"), Just("}"), Just("'"), Just("\""), Just("|\n"), Just("x: 1"), Just("é"),
        Just("static_configs: [{targets: [a]}]"), Just("\t"), Just("---\n"), Just("scrape_interval: 1s\n"),
    ], 0..30)) {
        let text = pieces.concat();
        if let Err(error) = parse(&text) {
            prop_assert!(error.line >= 1 && error.line <= text.lines().count() as u64 + 1, "{error}");
            prop_assert!(!error.reason.is_empty());
        }
    }
}
