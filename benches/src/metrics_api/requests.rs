//! The questions that a server in use is asked, and how long they take.

#![allow(clippy::disallowed_methods, reason = "edge: waits between requests")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::ask::{Answered, Client, How};
use super::world::World;

/// All pods.
pub const ALL_PODS: &str = "/apis/metrics.k8s.io/v1beta1/pods";
/// Full lists of one form.
const LISTS: usize = 9;
/// A program that does not look like a browser, or JSON would be indented.
pub const JSON: &str = "user-agent: bench\r\naccept: application/json\r\n";
const PROTOBUF: &str = "user-agent: bench\r\naccept: application/vnd.kubernetes.protobuf\r\n";
const GZIP: &str = "user-agent: bench\r\naccept: application/json\r\naccept-encoding: gzip\r\n";
/// Pause between two requests of an autoscaler's kind.
const PAUSE: Duration = Duration::from_millis(10);
/// The slow reader's pace.
const SLOW_BYTES_PER_SECOND: usize = 2_000_000;
/// How long the slow reader is waited for.
const SLOW_LIMIT: Duration = Duration::from_secs(12);
/// Full lists at once.
const PARALLEL: usize = 4;

/// Medians of a number of full lists.
#[derive(Debug, Clone, Copy)]
pub struct Lists {
    /// To the first byte, milliseconds.
    pub first_byte_ms: f64,
    /// To the last byte, milliseconds.
    pub total_ms: f64,
    /// As sent.
    pub bytes: usize,
}

/// The forms of a full list that are measured, with their names.
pub const FORMS: [(&str, &str); 3] = [("JSON", JSON), ("protobuf", PROTOBUF), ("gzip", GZIP)];

/// Asks for all pods several times in one form.
pub async fn lists(address: SocketAddr, headers: &str) -> anyhow::Result<Lists> {
    let mut client = Client::connect(address).await?;
    let how = How { headers, ..How::default() };
    let mut all = Vec::with_capacity(LISTS);
    for _ in 0..LISTS {
        let answered = client.get(ALL_PODS, how).await?;
        anyhow::ensure!(answered.status == 200, "status {} for a full list", answered.status);
        all.push(answered);
    }
    Ok(Lists {
        first_byte_ms: median(all.iter().map(|answered| ms(answered.first_byte))),
        total_ms: median(all.iter().map(|answered| ms(answered.total))),
        bytes: all.last().map_or(0, |answered| answered.bytes),
    })
}

/// Times of lists as an autoscaler asks for them, sorted, milliseconds.
pub async fn autoscaler(address: SocketAddr, world: World, during: Duration) -> anyhow::Result<Vec<f64>> {
    let mut client = Client::connect(address).await?;
    let apps = world.pods() / super::world::APP_PODS;
    let (started, mut took) = (Instant::now(), Vec::new());
    while started.elapsed() < during {
        let pod = (took.len() % apps) * super::world::APP_PODS;
        let path = format!(
            "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods?labelSelector=app.kubernetes.io%2Fname%3D{}",
            World::namespace(pod),
            World::app(pod)
        );
        let answered = client.get(&path, How { headers: PROTOBUF, ..How::default() }).await?;
        anyhow::ensure!(answered.status == 200, "status {} for {path}", answered.status);
        took.push(ms(answered.total));
        tokio::time::sleep(PAUSE).await;
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}

/// Times of lists in which nothing is, sorted, milliseconds: what the connection, its TLS and the questions who asks and
/// whether they may take, with the machine's own delays.
pub async fn empty_lists(address: SocketAddr, during: Duration) -> anyhow::Result<Vec<f64>> {
    let mut client = Client::connect(address).await?;
    let (started, mut took) = (Instant::now(), Vec::new());
    while started.elapsed() < during {
        let path =
            "/apis/metrics.k8s.io/v1beta1/namespaces/none/pods?labelSelector=app.kubernetes.io%2Fname%3Dnone";
        let answered = client.get(path, How { headers: PROTOBUF, ..How::default() }).await?;
        anyhow::ensure!(answered.status == 200, "status {} for an empty list", answered.status);
        took.push(ms(answered.total));
        tokio::time::sleep(PAUSE).await;
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}

/// Four full lists at once, beside a reader that takes its time.
pub async fn crowd(address: SocketAddr) -> anyhow::Result<()> {
    let list = |bytes_per_second| async move {
        let mut client = Client::connect(address).await?;
        client.get(ALL_PODS, How { headers: JSON, bytes_per_second, ..How::default() }).await
    };
    let slow = tokio::spawn(tokio::time::timeout(SLOW_LIMIT, list(Some(SLOW_BYTES_PER_SECOND))));
    let fast: Vec<_> = (0..PARALLEL).map(|_| tokio::spawn(list(None))).collect();
    for one in fast {
        let answered: Answered = one.await??;
        anyhow::ensure!(answered.status == 200, "status {} in the crowd", answered.status);
    }
    // It is cut off in the middle.
    let _ = slow.await?;
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The middle one.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    quantile(&all, 0.5)
}

/// Of sorted values.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (share * sorted.len() as f64) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
