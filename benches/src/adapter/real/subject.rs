//! An adapter that is measured, ours or upstream's, as a process of its own; and what it is asked.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark: starts programs, writes their files, reads the clock"
)]

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http_body_util::BodyExt as _;

use super::cluster::Cluster;
use super::prometheus::Prometheus;
use super::world;
use crate::process;

/// How long one may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time to end after a request to do so.
const END: Duration = Duration::from_secs(10);

/// Whose adapter.
pub(super) enum Subject {
    /// `flyball`.
    Ours(PathBuf),
    /// prometheus-adapter.
    Theirs(PathBuf),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Subject::Ours(_) => "flyball",
            Subject::Theirs(_) => "prometheus-adapter",
        })
    }
}

/// It runs. Dropping it ends it.
pub(super) struct Running {
    _process: tokio::process::Child,
    _folder: tempfile::TempDir,
    pid: u32,
    client: kube::Client,
}

/// How the questions of autoscalers went.
#[derive(Default)]
pub(super) struct Load {
    /// How long those waited that got what they asked for.
    pub(super) times: Vec<Duration>,
    /// How many did not.
    pub(super) failed: usize,
    /// What the first of them was told.
    pub(super) failure: Option<String>,
}

impl Load {
    pub(super) fn add(&mut self, more: Load) {
        self.times.extend(more.times);
        self.failed += more.failed;
        self.failure = self.failure.take().or(more.failure);
    }
}

impl Running {
    pub(super) async fn start(
        subject: &Subject,
        cluster: &Cluster,
        prometheus: &Prometheus,
    ) -> anyhow::Result<Running> {
        let folder = tempfile::tempdir()?;
        let (kubeconfig, config) = (folder.path().join("kubeconfig"), folder.path().join("config.yaml"));
        std::fs::write(&kubeconfig, cluster.kubeconfig())?;
        std::fs::write(&config, world::config())?;
        // Nothing else asks for this port in the moment until the program does.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = std::fs::File::create(folder.path().join("log"))?;
        let mut command = match subject {
            Subject::Ours(program) => {
                let mut command = tokio::process::Command::new(program);
                command.arg("adapter");
                command
            }
            Subject::Theirs(program) => {
                let mut command = tokio::process::Command::new(program);
                // By default it asks the API server five times a second, and it asks for the pods of every request.
                command.args(["--client-qps=1000", "--client-burst=2000"]);
                command
            }
        };
        let mut process = command
            .arg(format!("--lister-kubeconfig={}", kubeconfig.display()))
            .arg(format!("--authentication-kubeconfig={}", kubeconfig.display()))
            .arg(format!("--authorization-kubeconfig={}", kubeconfig.display()))
            .arg(format!("--cert-dir={}", folder.path().join("certificates").display()))
            .arg(format!("--config={}", config.display()))
            .arg(format!("--prometheus-url={}", prometheus.url()))
            // Half of what upstream's manifests say, so that new metrics are found within two scrapes.
            .args(["--metrics-relist-interval=30s", "--bind-address=127.0.0.1"])
            .arg(format!("--secure-port={port}"))
            .env("KUBECONFIG", &kubeconfig)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {subject}"))?;
        let pid = process.id().context("it has ended")?;
        let mut config = kube::Config::new(format!("https://127.0.0.1:{port}").parse()?);
        config.accept_invalid_certs = true;
        config.default_retry = false;
        config.auth_info.token = Some("secret".to_owned().into());
        let client = kube::Client::try_from(config)?;
        let began = Instant::now();
        let ready = Running::path_of(world::LONG, &world::metric(0), "app=long");
        let running = loop {
            if let Some(status) = process.try_wait()? {
                let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                anyhow::bail!("{subject} ended with {status}: {:?}", log.lines().last());
            }
            let answer = ask(&client, &ready).await;
            if matches!(answer, Ok((200, _))) {
                break Running { _process: process, _folder: folder, pid, client };
            }
            ensure!(began.elapsed() < PATIENCE, "{subject} is not ready: {answer:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        Ok(running)
    }

    /// Path of the list of a metric over the pods of a namespace with a label.
    pub(super) fn path(&self, namespace: &str, metric: &str, selector: &str) -> String {
        Running::path_of(namespace, metric, selector)
    }

    fn path_of(namespace: &str, metric: &str, selector: &str) -> String {
        let selector = selector.replace('=', "%3D");
        format!(
            "/apis/custom.metrics.k8s.io/v1beta1/namespaces/{namespace}/pods/*/{metric}?labelSelector={selector}"
        )
    }

    /// Code and body.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        ask(&self.client, path).await
    }

    /// How long a list of so many values takes.
    pub(super) async fn list(
        &self,
        namespace: &str,
        metric: &str,
        selector: &str,
        count: usize,
    ) -> anyhow::Result<Duration> {
        list(&self.client, &Running::path_of(namespace, metric, selector), count).await
    }

    /// Each autoscaler asks once within an interval, evenly spread.
    pub(super) async fn autoscalers(&self, interval: Duration) -> anyhow::Result<Load> {
        let began = tokio::time::Instant::now();
        let pause = interval / u32::try_from(world::AUTOSCALERS)?;
        let mut asked = tokio::task::JoinSet::new();
        for number in 0..world::AUTOSCALERS {
            tokio::time::sleep_until(began + pause * u32::try_from(number)?).await;
            let (team, metric) = (number / world::METRICS, number % world::METRICS);
            let selector = format!("app=app-{team}");
            let path = Running::path_of(&world::team(team), &world::metric(metric), &selector);
            let client = self.client.clone();
            asked.spawn(async move { list(&client, &path, world::TEAM_PODS).await });
        }
        let mut load = Load::default();
        while let Some(answer) = asked.join_next().await {
            match answer? {
                Ok(took) => load.times.push(took),
                Err(error) => {
                    load.failed += 1;
                    load.failure.get_or_insert_with(|| format!("{error:#}"));
                }
            }
        }
        tokio::time::sleep_until(began + interval).await;
        Ok(load)
    }

    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        process::cpu_seconds(self.pid)
    }

    pub(super) fn resident_mb(&self) -> anyhow::Result<f64> {
        Ok(process::resident_kb(self.pid)? as f64 * 1.024e-3)
    }
}

async fn list(client: &kube::Client, path: &str, count: usize) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let (code, body) = ask(client, path).await?;
    let took = began.elapsed();
    let values = body.matches("\"value\":").count();
    ensure!(code == 200 && values == count, "{path}: {code}, {values} values: {body:.200}");
    Ok(took)
}

async fn ask(client: &kube::Client, path: &str) -> anyhow::Result<(u16, String)> {
    let request = http::Request::get(path).body(kube::client::Body::empty())?;
    let response = tokio::time::timeout(END, client.send(request)).await.context("no answer")??;
    let code = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((code, String::from_utf8_lossy(&body).into_owned()))
}
