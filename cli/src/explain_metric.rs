//! `flyball explain-metric`: a value down to the text of the kernel's files, as the node's collector tells it.
//!
//! The collector wants to know who asks, and the API server's proxies do not pass that on: they ask without credentials.
//! So the way from a laptop is a port forward to the collector's pod, as `kubectl port-forward` makes it, and the
//! kubeconfig's own credentials through it. The asker needs `create pods/portforward` in the collectors' namespace, `list
//! pods` there, `get pods` for the pod's node, and `get nodes/stats` for the answer. The other end of the forward is the
//! pod that the API server names, so its certificate is not checked again. A collector that is no pod (`flyball local`)
//! is asked at its node's address, with the cluster's CA.

#![allow(clippy::disallowed_methods, reason = "listens for the near end of the port forward, and reads a CA")]

use std::net::Ipv4Addr;

use anyhow::{Context, bail};
use http::Request;
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Pod;
use kube::client::Body;
use kube::{Api, Client, Config};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use crate::flags::{ExplainMetricArgs, Output};
use crate::{output, query};

/// Port of collectors.
const COLLECTOR_PORT: u16 = 4194;
/// Label of their pods.
const COLLECTOR_LABEL: &str = "app.kubernetes.io/name=flyball-collector";
/// Longest answer taken.
const ANSWER_LIMIT: usize = 4 << 20;

/// Asks and prints.
///
/// # Errors
/// One sentence: nobody to ask, not allowed, no such metric or group.
pub async fn run(args: ExplainMetricArgs) -> anyhow::Result<()> {
    let (collector, namespace) = collector(&args).await?;
    let answer = ask(&collector, &path(&args, &namespace)).await?;
    match args.output {
        Output::Table => output::text(&told(&answer))?,
        other => output::print(&answer, other)?,
    }
    Ok(())
}

fn path(args: &ExplainMetricArgs, namespace: &str) -> String {
    let mut path = format!("/stats/explain?metric={}", query::encode(&args.metric));
    if let Some(pod) = &args.pod {
        path += &format!("&pod={}/{}", query::encode(namespace), query::encode(pod));
    }
    if let Some(container) = &args.container {
        path += &format!("&container={}", query::encode(container));
    }
    if let Some(id) = &args.id {
        path += &format!("&id={}", query::encode(id));
    }
    path
}

/// A client of the collector, and the namespace of the pod.
async fn collector(args: &ExplainMetricArgs) -> anyhow::Result<(Client, String)> {
    if let Some(address) = &args.address {
        return at(args, address).await;
    }
    let config = query::config(&args.cluster).await?;
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config.clone()).context("cannot set up a client from the kubeconfig")?;
    let node = node(args, &client, &namespace).await?;
    let pods = format!(
        "/api/v1/namespaces/{}/pods?labelSelector={}&fieldSelector={}",
        query::encode(&args.collector_namespace),
        query::encode(COLLECTOR_LABEL),
        query::encode(&format!("spec.nodeName={node},status.phase=Running"))
    );
    let pods = query::get(&client, &pods).await.context("cannot look for the node's collector")?;
    let config = match pods["items"][0]["metadata"]["name"].as_str() {
        Some(pod) => forwarded(config, client, &args.collector_namespace, pod).await?,
        None => at_the_node(config, &client, &node).await?,
    };
    Ok((Client::try_from(config).context("cannot set up a client for the collector")?, namespace))
}

async fn at(args: &ExplainMetricArgs, address: &str) -> anyhow::Result<(Client, String)> {
    let url = format!("https://{address}")
        .parse()
        .with_context(|| format!("--address {address}: not HOST:PORT"))?;
    let mut config = match &args.token_file {
        Some(token) => {
            let mut config = Config::new(url);
            config.auth_info.token_file = Some(token.to_string_lossy().into_owned());
            config
        }
        None => {
            let mut config = query::config(&args.cluster).await?;
            (config.cluster_url, config.root_cert, config.proxy_url) = (url, None, None);
            config
        }
    };
    config.root_cert_file.clone_from(&args.certificate_authority);
    config.tls_server_name.clone_from(&args.tls_server_name);
    config.accept_invalid_certs = args.insecure_skip_tls_verify;
    let namespace = args.cluster.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    Ok((Client::try_from(config).context("cannot set up a client for --address")?, namespace))
}

async fn node(args: &ExplainMetricArgs, client: &Client, namespace: &str) -> anyhow::Result<String> {
    if let Some(node) = &args.node {
        return Ok(node.clone());
    }
    let pod = args.pod.as_deref().unwrap_or_default();
    let path = format!("/api/v1/namespaces/{}/pods/{}", query::encode(namespace), query::encode(pod));
    let object = query::get(client, &path).await?;
    match object["spec"]["nodeName"].as_str() {
        Some(node) => Ok(node.to_owned()),
        None => bail!("pod {namespace}/{pod} is not on a node yet"),
    }
}

/// Listens on a port of this machine's own and passes what comes to the pod, for as long as the program runs.
async fn forwarded(mut config: Config, client: Client, namespace: &str, pod: &str) -> anyhow::Result<Config> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on 127.0.0.1")?;
    config.cluster_url = format!("https://{}", listener.local_addr()?).parse()?;
    config.root_cert = None;
    config.root_cert_file = None;
    config.tls_server_name = None;
    config.proxy_url = None;
    config.accept_invalid_certs = true;
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let mut forward = pods
        .portforward(pod, &[COLLECTOR_PORT])
        .await
        .with_context(|| format!("cannot forward a port to pod {namespace}/{pod}"))?;
    let mut far = forward.take_stream(COLLECTOR_PORT).context("the port forward has no stream")?;
    tokio::spawn(async move {
        // One connection is all a command needs; the forward lives as long as this task.
        let passed = async {
            let (mut near, _): (TcpStream, _) = listener.accept().await?;
            tokio::io::copy_bidirectional(&mut near, &mut far).await
        };
        if let Err(error) = passed.await {
            tracing::debug!(%error, "port forward ended");
        }
        drop(forward);
    });
    Ok(config)
}

async fn at_the_node(mut config: Config, client: &Client, name: &str) -> anyhow::Result<Config> {
    let node = query::get(client, &format!("/api/v1/nodes/{}", query::encode(name))).await?;
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    let none = Vec::new();
    let addresses = node["status"]["addresses"].as_array().unwrap_or(&none);
    let internal = addresses.iter().find(|address| address["type"] == "InternalIP");
    match (internal.and_then(|address| address["address"].as_str()), port) {
        (Some(address), Some(port)) => {
            let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
            config.cluster_url = format!("https://{host}:{port}").parse()?;
            Ok(config)
        }
        _ => bail!("no collector runs on node {name}: install it, or name one with --address"),
    }
}

async fn ask(client: &Client, path: &str) -> anyhow::Result<Value> {
    let response =
        client.send(Request::get(path).body(Body::empty())?).await.context("cannot reach the collector")?;
    let status = response.status();
    let body = http_body_util::Limited::new(response.into_body(), ANSWER_LIMIT);
    let body =
        body.collect().await.map_err(|error| anyhow::anyhow!("the collector's answer broke off: {error}"))?;
    let body = body.to_bytes();
    let value: Option<Value> = serde_json::from_slice(&body).ok();
    match value {
        Some(answer) if status.is_success() => Ok(answer),
        Some(answer) => match answer["error"].as_str().or(answer["message"].as_str()) {
            Some(why) => bail!("{why}"),
            None => bail!("the collector answered {status}"),
        },
        None => bail!("the collector answered {status}: {}", String::from_utf8_lossy(&body).trim()),
    }
}

/// The answer for people.
fn told(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut out = String::new();
    let mut line = |name: &str, value: String| out += &format!("{name:<12}{value}\n");
    let metric = &answer["metric"];
    line("Metric:", format!("{} ({})", text(&metric["name"]), text(&metric["type"])));
    line("Help:", text(&metric["help"]));
    line("Node:", text(&answer["node"]));
    if answer["pod"].is_object() {
        line("Pod:", format!("{}/{}", text(&answer["pod"]["namespace"]), text(&answer["pod"]["name"])));
    }
    for (name, key) in
        [("Container:", "container"), ("Group:", "group"), ("Made of:", "madeOf"), ("Formula:", "formula")]
    {
        if !answer[key].is_null() {
            line(name, text(&answer[key]));
        }
    }
    let none = Vec::new();
    for reading in answer["readings"].as_array().unwrap_or(&none) {
        line("\nReading:", text(&reading["time"]));
        for file in reading["files"].as_array().unwrap_or(&none) {
            line("  File:", text(&file["path"]));
            let shown = if file["text"].is_null() { &file["error"] } else { &file["text"] };
            for said in text(shown).lines() {
                line("", said.to_owned());
            }
        }
        if !reading["value"].is_null() {
            line("  Value:", text(&reading["value"]));
        }
        for endpoint in ["/metrics/cadvisor", "/metrics/resource", "/metrics/node", "/stats/summary"] {
            for series in reading["exposed"][endpoint].as_array().unwrap_or(&none) {
                line("  Exposed:", format!("{} (at {endpoint})", text(series)));
            }
        }
    }
    if !answer["ratePerSecond"].is_null() {
        line("\nRate:", format!("{} per second between the two", text(&answer["ratePerSecond"])));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_for_people() {
        let answer = serde_json::json!({
            "metric": {"name": "a_total", "type": "counter", "help": "Help."},
            "node": "n", "pod": {"namespace": "shop", "name": "web"}, "group": "/g", "formula": "f x; as it is",
            "readings": [{"time": "T", "files": [{"path": "/g/f", "text": "x 1"}, {"path": "/g/h", "error": "no"}],
                          "value": 1.0, "exposed": {"/metrics/cadvisor": ["a_total 1"], "/metrics/resource": []}}],
            "ratePerSecond": 2.5,
        });
        let expected = "\
Metric:     a_total (counter)
Help:       Help.
Node:       n
Pod:        shop/web
Group:      /g
Formula:    f x; as it is

Reading:   T
  File:     /g/f
            x 1
  File:     /g/h
            no
  Value:    1.0
  Exposed:  a_total 1 (at /metrics/cadvisor)

Rate:      2.5 per second between the two
";
        assert_eq!(told(&answer), expected);
    }
}
