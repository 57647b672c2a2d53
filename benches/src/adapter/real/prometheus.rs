//! A real Prometheus, and the target that it scrapes.

#![allow(clippy::disallowed_methods, reason = "a benchmark: serves, starts a program, writes its file")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::world;

/// Longest wait for so many scrapes.
const SCRAPES_PATIENCE: Duration = Duration::from_secs(120);

#[derive(Default)]
struct Said {
    /// Metrics that came later, and when each was scraped first.
    added: Vec<(&'static str, Option<Instant>)>,
}

/// What is scraped.
pub(super) struct Target {
    address: SocketAddr,
    said: Arc<Mutex<Said>>,
    scrapes: watch::Sender<u64>,
}

impl Target {
    pub(super) async fn start() -> anyhow::Result<Target> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (said, scrapes) = (Arc::<Mutex<Said>>::default(), watch::Sender::new(0));
        let target = Target { address, said: said.clone(), scrapes: scrapes.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (said, scrapes) = (said.clone(), scrapes.clone());
                let service = service_fn(move |_| {
                    let body = scrape(&said, &scrapes);
                    std::future::ready(Ok::<_, Infallible>(text(body)))
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Ok(target)
    }

    /// Waits for so many scrapes.
    pub(super) async fn scraped(&self, count: u64) -> anyhow::Result<()> {
        let mut scrapes = self.scrapes.subscribe();
        let enough = scrapes.wait_for(|scrapes| *scrapes >= count);
        tokio::time::timeout(SCRAPES_PATIENCE, enough).await.context("Prometheus does not scrape")??;
        Ok(())
    }

    /// Adds a metric of the long namespace; returns when it was scraped first.
    pub(super) async fn add(&self, name: &'static str) -> anyhow::Result<Instant> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).added.push((name, None));
        let next = *self.scrapes.borrow() + 1;
        self.scraped(next).await?;
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let found = said.added.iter().find(|(added, _)| *added == name);
        found.and_then(|(_, at)| *at).context("the metric was not scraped")
    }
}

/// An exposition; Prometheus 3 takes none that does not say so.
fn text(body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn scrape(said: &Mutex<Said>, scrapes: &watch::Sender<u64>) -> String {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    let names: Vec<&'static str> = said.added.iter().map(|(name, _)| *name).collect();
    let text = world::exposition(*scrapes.borrow() + 1, &names);
    for (_, at) in &mut said.added {
        at.get_or_insert_with(Instant::now);
    }
    drop(said);
    scrapes.send_modify(|scrapes| *scrapes += 1);
    text
}

/// The server. Dropping it ends it.
pub(super) struct Prometheus {
    _process: tokio::process::Child,
    _folder: tempfile::TempDir,
    url: String,
}

impl Prometheus {
    pub(super) async fn start(
        program: &Path,
        target: &Target,
        interval: Duration,
    ) -> anyhow::Result<Prometheus> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("prometheus.yml");
        let seconds = interval.as_secs();
        let config = format!(
            "global: {{scrape_interval: {seconds}s}}\nscrape_configs:\n- job_name: world\n  honor_labels: true\n  static_configs: [{{targets: ['{}']}}]\n",
            target.address
        );
        std::fs::write(&file, config)?;
        // Nothing else asks for this port in the moment until the program does.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = tokio::process::Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Prometheus { _process: process, _folder: folder, url: format!("http://127.0.0.1:{port}") })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Instant queries that it has answered.
    pub(super) async fn queries(&self) -> anyhow::Result<u64> {
        let mut config = kube::Config::new(self.url.parse()?);
        config.default_retry = false;
        let client = kube::Client::try_from(config)?;
        let text = client.request_text(http::Request::get("/metrics").body(Vec::new())?).await?;
        let of_queries = |line: &&str| {
            line.starts_with("prometheus_http_requests_total{") && line.contains("handler=\"/api/v1/query\"")
        };
        let counts =
            text.lines().filter(of_queries).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        let count: f64 = counts.sum();
        ensure!(text.contains("prometheus_build_info"), "this is no Prometheus: {text:.100}");
        Ok(count as u64)
    }
}
