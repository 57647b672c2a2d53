//! The whole way of an application's metric in a real `flyball local`: a counter that begins to grow faster, until the autoscaler
//! asks for more pods; and a new metric, until it can be asked for.
//!
//! The application is this program again (`--counter`), scraped by annotation every 15 s as in a cluster. Each step is of a
//! workload of its own, for its rate needs two minutes to forget; steps are spread evenly over a scrape interval.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark of a whole process: starts it, writes files, reads the clock"
)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;

use crate::Figure;

const ROW: &str = "8";
/// Workloads, with a step each.
const STEPS: usize = 12;
/// How often the replicas are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Between two additions to a counter.
const TICK: Duration = Duration::from_millis(50);
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);
const SCRAPE_INTERVAL: Duration = Duration::from_secs(15);
/// Per second, before and after the step; the target is between.
const RATES: (f64, f64) = (5.0, 100.0);
const TARGET: &str = "10";
const PORT: u16 = 8080;

/// Serves a counter on `address` that grows as fast as the file `rate` says; and a gauge from when the file ends in a word,
/// its name: when that was scraped first is written into `rate` with the ending `.scraped`, Unix milliseconds.
///
/// # Errors
/// The address cannot be used.
pub async fn serve_counter(address: SocketAddr, rate: PathBuf) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let total = Arc::new(Mutex::new(0.0_f64));
    tokio::spawn(grow(total.clone(), rate.clone()));
    loop {
        let (stream, _) = listener.accept().await?;
        let (total, rate) = (total.clone(), rate.clone());
        let service = service_fn(move |_| {
            let body = exposition(*total.lock().unwrap_or_else(PoisonError::into_inner), &rate);
            let mut response = Response::new(Full::new(bytes::Bytes::from(body)));
            let kind = HeaderValue::from_static("text/plain; version=0.0.4");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            std::future::ready(Ok::<_, Infallible>(response))
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
    }
}

/// Lets the counter grow as fast as the file says, for ever.
async fn grow(total: Arc<Mutex<f64>>, file: PathBuf) {
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(TICK).await;
        let said = std::fs::read_to_string(&file).unwrap_or_default();
        let rate: f64 = said.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(RATES.0);
        *total.lock().unwrap_or_else(PoisonError::into_inner) += rate * last.elapsed().as_secs_f64();
        last = Instant::now();
    }
}

fn exposition(total: f64, file: &Path) -> String {
    let mut text = format!("# TYPE work_total counter\nwork_total {total}\n");
    let said = std::fs::read_to_string(file).unwrap_or_default();
    if let Some(name) = said.split_whitespace().nth(1) {
        let scraped = file.with_extension("scraped");
        if !scraped.exists() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            // Seen by its absence.
            let _ = std::fs::write(scraped, now.to_string());
        }
        text += &format!("# TYPE {name} gauge\n{name} 1\n");
    }
    text
}

/// The running cluster. Dropping it ends it.
struct Local {
    _process: tokio::process::Child,
    folder: tempfile::TempDir,
    client: kube::Client,
}

impl Local {
    async fn start(program: &Path, own: &Path) -> anyhow::Result<Local> {
        let folder = tempfile::tempdir()?;
        let mut process = tokio::process::Command::new(program)
            .args(["local", "--listen", "127.0.0.1:0", "--dir"])
            .arg(folder.path().join("cluster"))
            .arg("--map")
            .arg(format!("flyball.io/counter={}", own.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let out = process.stdout.take().context("it says nothing")?;
        let mut lines = BufReader::new(out).lines();
        let kubeconfig = loop {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await??;
            let line = line.context("flyball local ended before it was ready")?;
            if let Some(path) = line.strip_prefix("kubeconfig: ") {
                break path.to_owned();
            }
        };
        let config = Kubeconfig::read_from(kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        Ok(Local { _process: process, folder, client: kube::Client::try_from(config)? })
    }

    fn rate_file(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("rate-{number}"))
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let request =
            http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        let response =
            self.client.send(request.body(kube::client::Body::from(body.to_string().into_bytes()))?);
        let response = response.await?;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await?.to_bytes();
        Ok((code, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = http::Request::get(path).body(kube::client::Body::empty())?;
        let response = self.client.send(request).await?;
        let bytes = response.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn workload(&self, number: usize) -> anyhow::Result<()> {
        let name = name(number);
        std::fs::write(self.rate_file(number), RATES.0.to_string())?;
        let rate = self.rate_file(number).display().to_string();
        let labels = json!({"app": name});
        let annotations = json!({"prometheus.io/scrape": "true", "prometheus.io/port": PORT.to_string()});
        let container = json!({"name": "main", "image": "flyball.io/counter",
            "args": [format!("--counter=$(POD_IP):{PORT}"), format!("--rate-file={rate}")],
            "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]});
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}}});
        let target = json!({"type": "AverageValue", "averageValue": TARGET});
        let metric =
            json!({"type": "Pods", "pods": {"metric": {"name": "work_per_second"}, "target": target}});
        let hpa = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
            "spec": {"minReplicas": 1, "maxReplicas": 2, "metrics": [metric],
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}}});
        for (path, object) in [
            ("/apis/apps/v1/namespaces/default/deployments", deployment),
            ("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", hpa),
        ] {
            let (code, answer) = self.send("POST", path, &object).await?;
            ensure!(code == 201, "{path}: {code}: {answer}");
        }
        Ok(())
    }

    /// Waits until an autoscaler has a value and sees no reason to scale.
    async fn at_rest(&self, number: usize) -> anyhow::Result<()> {
        let path =
            format!("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/{}", name(number));
        let began = Instant::now();
        loop {
            let hpa = self.get(&path).await?;
            let value = &hpa["status"]["currentMetrics"][0]["pods"]["current"]["averageValue"];
            if value.is_string() {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "no value: {}", hpa["status"]);
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn replicas(&self, number: usize) -> anyhow::Result<i64> {
        let path = format!("/apis/apps/v1/namespaces/default/deployments/{}", name(number));
        let deployment = self.get(&path).await?;
        deployment["spec"]["replicas"].as_i64().with_context(|| format!("{deployment}"))
    }
}

fn name(number: usize) -> String {
    format!("step-{number}")
}

/// Runs it. `program` is `flyball`, `own` this program.
///
/// # Errors
/// A program does not start, or nothing is scaled.
pub async fn figures(program: &Path, own: &Path) -> anyhow::Result<Vec<Figure>> {
    let local = Local::start(program, own).await?;
    for number in 0..STEPS {
        local.workload(number).await?;
    }
    for number in 0..STEPS {
        local.at_rest(number).await?;
    }
    // Every rate is made of as many samples as it will ever see before the step counts.
    tokio::time::sleep(2 * SCRAPE_INTERVAL).await;
    let steps = (0..STEPS).map(|number| step(&local, number));
    let mut times = futures_util::future::try_join_all(steps).await?;
    times.sort_unstable();
    let new = new_metric(&local).await?;
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64();
    Ok(vec![
        Figure::new(
            ROW,
            "step of an application's counter to scale request, `flyball local`, scraped every 15 s, p50",
            at(0.5),
            "s",
        )
        .beside(format!(
            "{STEPS} steps, spread over a scrape interval: {:.1} to {:.1} s",
            at(0.0),
            at(1.0)
        )),
        Figure::new(
            ROW,
            "a new metric usable after its first scrape, own store (`flyball local`)",
            new.as_secs_f64(),
            "s",
        )
        .promise("≤ 2 s"),
    ])
}

async fn step(local: &Local, number: usize) -> anyhow::Result<Duration> {
    tokio::time::sleep(SCRAPE_INTERVAL / u32::try_from(STEPS)? * u32::try_from(number)?).await;
    ensure!(local.replicas(number).await? == 1, "{} is scaled before its step", name(number));
    std::fs::write(local.rate_file(number), RATES.1.to_string())?;
    let began = Instant::now();
    while local.replicas(number).await? == 1 {
        if began.elapsed() > PATIENCE {
            bail!("{} is not scaled", name(number));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(began.elapsed())
}

/// From the first scrape of a gauge to its first value.
async fn new_metric(local: &Local) -> anyhow::Result<Duration> {
    let file = local.rate_file(0);
    std::fs::write(&file, format!("{} news", RATES.1))?;
    let path =
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods/*/news?labelSelector=app%3Dstep-0";
    let began = Instant::now();
    loop {
        let answer = local.get(path).await?;
        if answer["items"].as_array().is_some_and(|items| !items.is_empty()) {
            break;
        }
        ensure!(began.elapsed() < PATIENCE, "no value: {answer}");
        tokio::time::sleep(LOOK).await;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let scraped: u64 = std::fs::read_to_string(file.with_extension("scraped"))?.parse()?;
    Ok(now.saturating_sub(Duration::from_millis(scraped)))
}
