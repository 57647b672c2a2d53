//! The requests: to history.flyball.io, through the API server.

use anyhow::{Context, bail};
use flyball_tsdb::server::{GROUP, VERSION};
use http::{Method, Request, StatusCode, header};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use super::{parameter, times};
use crate::flags::{ClusterArgs, QueryArgs};
use crate::query;

/// Longer queries are sent as a form: proxies in between take no endless URLs.
const URL_BYTES_MAX: usize = 4000;

/// How the history is reached.
pub(super) struct History {
    client: Client,
    base: String,
    in_namespace: bool,
}

/// One question.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    path: &'static str,
    form: String,
}

impl Asked {
    /// What the flags ask for.
    pub(super) fn of(args: &QueryArgs, now_ms: i64) -> anyhow::Result<Asked> {
        let text = args.query.as_deref().unwrap_or("");
        let seconds = |ms: i64| format!("{}", ms as f64 / 1e3);
        let mut form = vec![parameter("query", text)];
        let Some(range) = times::range(args, now_ms)? else {
            let at_ms = match &args.time {
                Some(time) => times::moment(time, now_ms).context("--time")?,
                None => now_ms,
            };
            form.push(parameter("time", &seconds(at_ms)));
            return Ok(Asked { path: "query", form: form.join("&") });
        };
        form.push(parameter("start", &seconds(range.start_ms)));
        form.push(parameter("end", &seconds(range.end_ms)));
        form.push(parameter("step", &seconds(range.step_ms)));
        Ok(Asked { path: "query_range", form: form.join("&") })
    }
}

impl History {
    /// The history of the cluster, or of the namespace that the flags name.
    pub(super) async fn of(cluster: &ClusterArgs) -> anyhow::Result<History> {
        let client = Client::try_from(query::config(cluster).await?)
            .context("cannot set up a client from the kubeconfig")?;
        let mut base = format!("/apis/{GROUP}/{VERSION}");
        if let Some(namespace) = &cluster.namespace {
            base = format!("{base}/namespaces/{}", query::encode(namespace));
        }
        Ok(History { client, base, in_namespace: cluster.namespace.is_some() })
    }

    /// The whole answer to a question.
    pub(super) async fn ask(&self, asked: &Asked) -> anyhow::Result<Value> {
        if asked.form.len() <= URL_BYTES_MAX {
            return self.get(&format!("{}?{}", asked.path, asked.form)).await;
        }
        self.send(Method::POST, asked.path, asked.form.clone().into_bytes()).await
    }

    /// The whole answer at a path below the API.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, Vec::new()).await
    }

    /// The whole answer to a POST.
    pub(super) async fn post(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::POST, path, Vec::new()).await
    }

    async fn send(&self, method: Method, path: &str, form: Vec<u8>) -> anyhow::Result<Value> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.base))
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form))?;
        let response = self.client.send(request).await.context("cannot reach the API server")?;
        let status = response.status();
        let body = response.into_body().collect_bytes().await.context("the answer breaks off")?;
        self.read(status, &body)
    }

    fn read(&self, status: StatusCode, body: &[u8]) -> anyhow::Result<Value> {
        let Ok(answer) = serde_json::from_slice::<Value>(body) else {
            let text = String::from_utf8_lossy(body);
            bail!("the API server answers {status}: {}", text.trim());
        };
        if answer["status"] == "success" {
            return Ok(answer);
        }
        let text = |name: &str| answer[name].as_str().unwrap_or("").to_owned();
        if answer["kind"] != "Status" {
            bail!("{}: {}", text("errorType"), text("error"));
        }
        let hint = match status {
            StatusCode::NOT_FOUND => {
                "; nothing serves history in this cluster: `flyball server` does, and `flyball local` runs it"
            }
            StatusCode::FORBIDDEN if !self.in_namespace => {
                "; with -n NAMESPACE permission for the namespace is enough"
            }
            _ => "",
        };
        bail!("Error from server ({}): {}{hint}", text("reason"), text("message"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::{Cli, Command};

    fn asked(arguments: &[&str]) -> Asked {
        let cli = Cli::try_parse_from(["flyball", "query"].iter().chain(arguments)).unwrap();
        let Command::Query(args) = cli.command else { panic!("another command") };
        Asked::of(&args, 1_700_000_000_500).unwrap()
    }

    #[test]
    fn flags_become_prometheus_parameters() {
        for (arguments, path, form) in [
            (&["a{b=\"c\"}"][..], "query", "query=a%7Bb%3D%22c%22%7D&time=1700000000.5"),
            (&["up", "--time", "-1m"], "query", "query=up&time=1699999940.5"),
            (&["up", "--since", "1h"], "query_range", "query=up&start=1699996440&end=1700000040&step=60"),
            (
                &["up", "--start", "10", "--end", "1970-01-01T00:00:30Z", "--step", "5s"],
                "query_range",
                "query=up&start=10&end=30&step=5",
            ),
        ] {
            assert_eq!(asked(arguments), Asked { path, form: form.to_owned() }, "{arguments:?}");
        }
    }
}
