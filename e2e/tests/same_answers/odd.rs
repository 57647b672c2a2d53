//! Kubelets whose answers are odd, the same to both programs: spelling, order, completeness, restarts and times of samples
//! differ from container to container, by chance that depends on nothing but numbers.
//!
//! Left out is what ours reads differently on purpose: no numbers (NaN, negative ones), a working set of zero, a start time alone.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use flyball_apiserver::own_metrics::ServerMetrics;
use flyball_apiserver::{
    Authenticators, CertificateAuthority, DenyAnonymous, Handler, Limits, LiveAuthenticators, Request,
    Response, Server, ServingTls, full, serve,
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::api::{Anyone, World};

pub const NODES: u64 = 12;
const PODS: u64 = 8;
/// How often a sample is new.
const STEP_SECONDS: i64 = 10;
const HOUR_SECONDS: i64 = 3600;

/// Name of an odd node, and of the namespace of its pods.
pub fn name(node: u64) -> String {
    format!("odd-{node}")
}

/// Starts all kubelets and writes their authority to a file. What the API server knows of them.
pub async fn start(authority_file: &Path, authentication: Value, stop: &CancellationToken) -> World {
    let authority = CertificateAuthority::new("odd kubelets").expect("an authority");
    std::fs::write(authority_file, authority.certificate_pem()).expect("a file");
    let mut world = World { nodes: Vec::new(), pods: Vec::new(), authentication };
    for node in 0..NODES {
        let address = kubelet(node, &authority, stop.clone()).await;
        world.nodes.push(json!({
            "kind": "Node", "apiVersion": "v1",
            "metadata": {"name": name(node), "resourceVersion": "1"},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": address.ip().to_string()}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": address.port()}},
            },
        }));
        world.pods.extend((0..PODS).map(|pod| {
            json!({
                "kind": "Pod", "apiVersion": "v1",
                "metadata": {"name": format!("p-{pod}"), "namespace": name(node), "resourceVersion": "1"},
                "spec": {"nodeName": name(node), "containers": []},
                "status": {"phase": "Running"},
            })
        }));
    }
    world
}

async fn kubelet(node: u64, authority: &CertificateAuthority, stop: CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let issued = authority.issue_server(&["localhost"], &[address.ip()]).expect("a certificate");
    let server = Server {
        tls: ServingTls::new(issued.resolver().expect("a key")),
        authenticators: LiveAuthenticators::new(Authenticators {
            front_proxy: None,
            client_ca: None,
            tokens: Some(Arc::new(Anyone)),
            anonymous: false,
        }),
        authorizer: Arc::new(DenyAnonymous::default()),
        handler: Arc::new(Kubelet { node, started_seconds: now_seconds() }),
        limits: Limits::default(),
        metrics: ServerMetrics::default(),
    };
    tokio::spawn(serve(listener, Arc::new(server), stop));
    address
}

struct Kubelet {
    node: u64,
    started_seconds: i64,
}

impl Handler for Kubelet {
    fn handle<'a>(&'a self, _: Request) -> BoxFuture<'a, Response> {
        let body = full(body(self.node, now_seconds() / STEP_SECONDS, self.started_seconds / STEP_SECONDS));
        let mut response = http::Response::new(body);
        let kinds =
            ["text/plain; version=0.0.4; charset=utf-8", "text/plain", "application/json", "text/html"];
        let kind = kinds[self.node as usize % kinds.len()];
        response.headers_mut().insert("content-type", kind.parse().expect("a value"));
        Box::pin(std::future::ready(response))
    }
}

fn now_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    i64::try_from(since.as_secs()).expect("a time")
}

/// A number by chance, the same for the same things.
fn chance(of: impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// What a kubelet says in a step of time; `first` is the step in which it began.
pub fn body(node: u64, step: i64, first: i64) -> String {
    let ms = step * STEP_SECONDS * 1000;
    let memory = 1_000_000 + chance(("memory", node)) % 1_000_000_000_000;
    let mut lines = vec![
        "# HELP node_cpu_usage_seconds_total [STABLE] Cumulative".to_owned(),
        "# TYPE node_cpu_usage_seconds_total counter".to_owned(),
        format!(
            "node_cpu_usage_seconds_total {} {ms}",
            seconds(10_000_000_000, chance(node) % 3_000_000_000, step - first)
        ),
        format!("node_memory_working_set_bytes {memory} {ms}"),
        "scrape_error 0".to_owned(),
        String::new(),
        "# a comment".to_owned(),
        format!("pod_cpu_usage_seconds_total{{namespace=\"{}\",pod=\"p-0\"}} 1 {ms}", name(node)),
    ];
    for pod in 0..PODS {
        for container in 0..=chance(("containers", node, pod)) % 2 {
            lines.extend(Container { node, pod, container }.lines(step, first));
        }
    }
    if node % 2 == 1 {
        let keyed = |line: &String| chance((line, step));
        lines.sort_by_key(keyed);
    }
    let mut text = lines.join("\n");
    if node % 3 != 2 {
        text.push('\n');
    }
    text
}

/// CPU time after so many steps at so many nanocores.
fn seconds(start_ns: u64, nanocores: u64, steps: i64) -> f64 {
    let steps = u64::try_from(steps).unwrap_or(0);
    (start_ns + nanocores * steps * STEP_SECONDS as u64) as f64 / 1e9
}

struct Container {
    node: u64,
    pod: u64,
    container: u64,
}

impl Container {
    fn lines(&self, step: i64, first: i64) -> Vec<String> {
        let Container { node, pod, container } = *self;
        let luck = chance((node, pod, container));
        let (oddity, rate) = (luck % 14, luck / 100 % 3_000_000_000);
        // The same sample twice; one that is older than the one before; times that are not whole.
        let taken = match oddity {
            9 => step / 2 * 2,
            10 if step % 2 == 1 => step - 3,
            _ => step,
        };
        let ms = taken * STEP_SECONDS * 1000 + if oddity == 11 { (luck % 1000) as i64 } else { 0 };
        // Three looks, then it starts anew.
        let (age, start_seconds) = match oddity {
            8 => (taken % 3, (taken - taken % 3) * STEP_SECONDS - 5),
            _ => (taken - first + 100, first * STEP_SECONDS - HOUR_SECONDS),
        };
        let cpu = seconds(1_000_000_000, rate, age);
        let memory = 1 + luck / 7 % 10_u64.pow(3 + u32::try_from(luck % 12).unwrap_or(0));
        let pairs = [
            format!("container=\"c{container}\""),
            format!("namespace=\"{}\"", name(node)),
            format!("pod=\"p-{pod}\""),
        ];
        let labels = match oddity {
            1 => [&pairs[2], &pairs[0], &pairs[1]].map(String::as_str).join(","),
            2 => format!("{},id=\"/a/b\",image=\"i:1\"", pairs.join(",")),
            _ => pairs.join(","),
        };
        let cpu_text = match oddity {
            3 => format!("{cpu:e}"),
            4 => "0".to_owned(),
            _ => format!("{cpu}"),
        };
        let memory_text = if oddity == 3 { format!("{memory:e}") } else { memory.to_string() };
        let line = |name: &str, value: &str| {
            let separator = if oddity == 12 { "\t" } else { " " };
            let mut line = format!("{name}{{{labels}}}");
            write!(line, "{separator}{value}{separator}{ms}").expect("memory");
            line
        };
        let cpu_line = line("container_cpu_usage_seconds_total", &cpu_text);
        let memory_line = line("container_memory_working_set_bytes", &memory_text);
        let start_line = line("container_start_time_seconds", &start_seconds.to_string());
        match oddity {
            5 => vec![memory_line, start_line],
            6 => vec![cpu_line, start_line],
            7 => vec![cpu_line, memory_line],
            // The same line twice.
            13 => vec![cpu_line.clone(), memory_line.clone(), start_line, cpu_line, memory_line],
            _ => vec![cpu_line, memory_line, start_line],
        }
    }
}
