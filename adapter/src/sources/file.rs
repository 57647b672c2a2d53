//! The file that lists sources (`--sources`): YAML, unknown keys are errors. `docs/adapter-sources.md` describes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use flyball_model::time::parse_go_duration;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Group, Names};
use crate::backends::{ClientCertificate, HttpSettings, Pem, Token, Verb};

/// Most sources.
pub const MAX_SOURCES: usize = 32;
/// Longest file, bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// What is wrong with the file, with the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct SourcesError {
    /// Counted from 1.
    pub line: u64,
    /// One sentence.
    pub message: String,
}

/// A source as the file describes it.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// Its name; rules name it as their `source`.
    pub name: String,
    /// What it is.
    pub kind: SourceKind,
    /// Names of metrics that it may be asked for.
    pub metrics: Names,
}

/// What a source is.
#[derive(Debug, Clone)]
pub enum SourceKind {
    /// The process's own store.
    Store {
        /// Whether metrics are made from what is scraped. Unset: where no rule names this source.
        automatic: Option<bool>,
    },
    /// A server with Prometheus' HTTP API.
    Prometheus {
        /// How it is spoken to.
        http: Box<HttpSettings>,
        /// As above.
        automatic: Option<bool>,
    },
    /// Another server of the metrics APIs.
    Server(Box<ProxiedSettings>),
}

/// How another metrics server is asked.
#[derive(Debug, Clone)]
pub struct ProxiedSettings {
    /// How it is spoken to.
    pub http: HttpSettings,
    /// Whether the user who asks is stated in headers, under our client certificate.
    pub front_proxy: bool,
    /// Which APIs it is asked for.
    pub groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sources: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    store: Option<Empty>,
    prometheus: Option<Server>,
    server: Option<Server>,
    automatic: Option<bool>,
    #[serde(default)]
    metrics: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Server {
    url: String,
    verb: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    #[serde(default)]
    insecure_skip_verify: bool,
    timeout: Option<String>,
    max_connections: Option<usize>,
    scrape_interval: Option<String>,
    #[serde(default)]
    front_proxy: bool,
}

/// Reads the file.
///
/// # Errors
/// Everything that is wrong, each with its line.
pub fn parse(text: &str) -> Result<Vec<SourceSettings>, Vec<SourcesError>> {
    let whole = |line: u64, message: String| vec![SourcesError { line, message }];
    if text.len() > MAX_FILE_BYTES {
        return Err(whole(1, format!("the file is longer than {MAX_FILE_BYTES} bytes")));
    }
    let file: File = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        whole(line, error.to_string())
    })?;
    if file.sources.is_empty() || file.sources.len() > MAX_SOURCES {
        return Err(whole(1, format!("sources: between 1 and {MAX_SOURCES} are allowed")));
    }
    let (mut sources, mut errors, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for entry in file.sources {
        let line = entry.referenced.line().max(1);
        let name = entry.value.name.clone();
        if !names.insert(name.clone()) {
            errors.push(SourcesError { line, message: format!("source {name:?}: the name stands twice") });
        }
        match source(entry.value) {
            Ok(source) => sources.push(source),
            Err(message) => {
                errors.push(SourcesError { line, message: format!("source {name:?}: {message}") });
            }
        }
    }
    if errors.is_empty() { Ok(sources) } else { Err(errors) }
}

fn source(entry: Entry) -> Result<SourceSettings, String> {
    if entry.name.is_empty() {
        return Err("name: it must not be empty".to_owned());
    }
    let metrics = Names::new(&entry.metrics).map_err(|error| format!("metrics: {error}"))?;
    let automatic = entry.automatic;
    let kind = match (entry.store, entry.prometheus, entry.server) {
        (Some(Empty {}), None, None) => SourceKind::Store { automatic },
        (None, Some(server), None) => {
            if server.front_proxy {
                return Err("prometheus.frontProxy: that is for another metrics server".to_owned());
            }
            SourceKind::Prometheus { http: Box::new(http("prometheus", server)?), automatic }
        }
        (None, None, Some(server)) => {
            if automatic.is_some() {
                return Err("automatic: another metrics server makes its metrics itself".to_owned());
            }
            let front_proxy = server.front_proxy;
            if front_proxy && server.cert_file.is_none() {
                return Err(
                    "server.frontProxy: it needs certFile and keyFile, by which the other server knows \
                            that it may believe us"
                        .to_owned(),
                );
            }
            let http = http("server", server)?;
            SourceKind::Server(Box::new(ProxiedSettings {
                http,
                front_proxy,
                groups: groups(&entry.groups)?,
            }))
        }
        _ => return Err("exactly one of store, prometheus and server has to be given".to_owned()),
    };
    if !entry.groups.is_empty() && !matches!(kind, SourceKind::Server(_)) {
        return Err("groups: they are for another metrics server".to_owned());
    }
    Ok(SourceSettings { name: entry.name, kind, metrics })
}

fn groups(names: &[String]) -> Result<Vec<Group>, String> {
    if names.is_empty() {
        return Ok(vec![Group::Custom, Group::External]);
    }
    names
        .iter()
        .map(|name| {
            Group::of(name).ok_or_else(|| {
                format!("groups: {name:?} is neither custom.metrics.k8s.io nor external.metrics.k8s.io")
            })
        })
        .collect()
}

fn http(key: &str, server: Server) -> Result<HttpSettings, String> {
    let mut http = HttpSettings::new(&server.url).map_err(|error| format!("{key}.url: {error}"))?;
    http.verb = match server.verb.as_deref() {
        None | Some("GET") => Verb::Get,
        Some("POST") => Verb::Post,
        Some(other) => return Err(format!("{key}.verb: {other:?} is neither GET nor POST")),
    };
    for (name, value) in &server.headers {
        http.header(name, value).map_err(|error| format!("{key}.headers: {error}"))?;
    }
    http.ca = server.ca_file.map(Pem::File);
    http.insecure = server.insecure_skip_verify;
    http.client_certificate = match (server.cert_file, server.key_file) {
        (Some(certificate), Some(key)) => {
            Some(ClientCertificate { certificate: Pem::File(certificate), key: Pem::File(key) })
        }
        (None, None) => None,
        _ => return Err(format!("{key}: certFile and keyFile belong together")),
    };
    http.token = server.token_file.map_or(Token::None, Token::File);
    let length = |name: &str, text: &Option<String>, default: Duration| match text {
        None => Ok(default),
        Some(text) => parse_go_duration(text)
            .filter(|length| !length.is_zero())
            .ok_or_else(|| format!("{key}.{name}: {text:?} is no length of time such as 10s or 1m30s")),
    };
    http.timeout = length("timeout", &server.timeout, http.timeout)?;
    http.scrape_interval = length("scrapeInterval", &server.scrape_interval, http.scrape_interval)?;
    http.max_connections = match server.max_connections {
        Some(0) => return Err(format!("{key}.maxConnections: at least 1 is needed")),
        Some(most) => most,
        None => http.max_connections,
    };
    Ok(http)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file() {
        let text = r#"
sources:
- name: own
  store: {}
- name: mimir
  prometheus:
    url: https://mimir.monitoring/prometheus
    verb: POST
    headers: {X-Scope-OrgID: shop}
    caFile: /etc/ca.pem
    certFile: /etc/tls.crt
    keyFile: /etc/tls.key
    tokenFile: /etc/token
    timeout: 5s
    maxConnections: 4
    scrapeInterval: 30s
  automatic: true
  metrics: ["shop_.*"]
- name: keda
  server: {url: "https://keda.keda.svc", insecureSkipVerify: true, tokenFile: /etc/token}
  groups: [external.metrics.k8s.io]
"#;
        let sources = parse(text).unwrap();
        assert_eq!(
            sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>(),
            ["own", "mimir", "keda"]
        );
        assert!(sources[1].metrics.hold("shop_carts") && !sources[1].metrics.hold("my_shop_carts"));
        let SourceKind::Prometheus { http, automatic: Some(true) } = &sources[1].kind else { panic!() };
        assert_eq!(
            (http.timeout.as_secs(), http.max_connections, http.scrape_interval.as_secs()),
            (5, 4, 30)
        );
        let SourceKind::Server(server) = &sources[2].kind else { panic!() };
        assert_eq!(server.groups, [Group::External]);
    }

    #[test]
    fn mistakes_name_source_and_field() {
        let list = |entry: &str| format!("sources:\n- name: good\n  store: {{}}\n- {entry}\n");
        for (entry, expected) in [
            ("{name: x}", "line 4: source \"x\": exactly one of store, prometheus and server"),
            ("{name: x, store: {}, server: {url: \"http://y\"}}", "exactly one"),
            ("{name: good, store: {}}", "source \"good\": the name stands twice"),
            ("{name: x, prometheus: {url: y}}", "prometheus.url"),
            ("{name: x, prometheus: {url: \"http://y\", verb: PUT}}", "prometheus.verb"),
            ("{name: x, prometheus: {url: \"http://y\", timeout: soon}}", "prometheus.timeout"),
            (
                "{name: x, prometheus: {url: \"http://y\", keyFile: k}}",
                "certFile and keyFile belong together",
            ),
            ("{name: x, prometheus: {url: \"http://y\", maxConnections: 0}}", "maxConnections"),
            ("{name: x, prometheus: {url: \"http://y\", uri: z}}", "uri"),
            ("{name: x, store: {}, metrics: [\"(\"]}", "metrics: "),
            ("{name: x, store: {}, groups: [external.metrics.k8s.io]}", "groups: "),
            ("{name: x, server: {url: \"http://y\"}, groups: [metrics.k8s.io]}", "groups: "),
            ("{name: x, server: {url: \"http://y\", frontProxy: true}}", "server.frontProxy"),
            ("{name: x, server: {url: \"http://y\"}, automatic: true}", "automatic"),
        ] {
            let errors = parse(&list(entry)).unwrap_err();
            assert!(errors[0].to_string().contains(expected), "{entry}: {}", errors[0]);
        }
        assert!(parse("sources: []").is_err() && parse("").is_err() && parse("a: [").is_err());
    }
}
