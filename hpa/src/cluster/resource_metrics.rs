//! metrics.k8s.io: usage of the pods behind a selector, or of all pods; by list, and by watch where that is offered.

use super::transport::Stream;
use super::{Api, Discovery, encode};
use crate::error::ApiError;
use crate::samples::{ListMeta, MetricsKey, Piece, Pieces, Sample, Unreadable, WirePod};
use flyball_model::resource_metrics::GROUP;
use std::sync::Arc;

/// Versions this program reads, the best first; both have the same fields.
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];
/// Objects of one part of a list. Only lists in parts name a version from which a watch can go on.
const PART: usize = 5_000;
/// Parts of one list.
const MAX_PARTS: usize = 1_000;
/// Upstream's text for an answer without pods.
pub(crate) const EMPTY: &str = "no metrics returned from resource metrics API";

/// What the API said about one selector. Failures are answers too: they decide as well.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// By the steady clock.
    pub(crate) fetched_ms: i64,
    pub(crate) samples: Result<Arc<Vec<Sample>>, String>,
}

impl Answer {
    /// End of the newest window among the pods.
    pub(crate) fn newest_ms(&self) -> Option<i64> {
        self.samples.as_ref().ok()?.iter().map(|sample| sample.timestamp_ms).max()
    }
}

impl From<Unreadable> for ApiError {
    fn from(Unreadable(text): Unreadable) -> ApiError {
        ApiError::unreadable(text)
    }
}

/// Asks metrics.k8s.io.
pub(crate) struct ResourceMetrics {
    api: Api,
    discovery: Arc<Discovery>,
}

impl ResourceMetrics {
    pub(crate) fn new(api: Api, discovery: Arc<Discovery>) -> Self {
        ResourceMetrics { api, discovery }
    }

    /// Whether samples can be watched.
    pub(crate) async fn offers_watch(&self) -> bool {
        let Ok(version) = self.version().await else { return false };
        self.discovery.offers(GROUP, version, "pods", "watch").await
    }

    /// Lists usage of the pods behind a selector, or of all pods, and hands it on object by object; gives the version of the
    /// list, if it has one.
    ///
    /// # Errors
    ///
    /// The server's text, or an answer that is no list; some objects may have been handed on.
    pub(crate) async fn list(
        &self,
        of: Option<&MetricsKey>,
        in_parts: bool,
        mut take: impl FnMut(&WirePod),
    ) -> Result<Option<String>, ApiError> {
        let version = self.version().await?;
        let mut path = path(version, of);
        if in_parts {
            path = format!("{path}{}limit={PART}", separator(&path));
        }
        let mut next = path.clone();
        for _ in 0..MAX_PARTS {
            let meta = self.part(&next, &mut take).await?;
            let Some(token) = meta.continue_token.filter(|token| !token.is_empty()) else {
                return Ok(meta.resource_version.filter(|version| !version.is_empty()));
            };
            next = format!("{path}{}continue={}", separator(&path), encode(&token));
        }
        Err(ApiError::unreadable(format!("a list of more than {MAX_PARTS} parts")))
    }

    async fn part(&self, path: &str, take: &mut impl FnMut(&WirePod)) -> Result<ListMeta, ApiError> {
        let (mut pieces, mut meta) = (Pieces::default(), ListMeta::default());
        let read = self.api.read(path, |bytes| {
            pieces.feed(bytes, |piece| {
                match piece {
                    Piece::Metadata(text) => meta = serde_json::from_slice(text)?,
                    Piece::Item(text) => take(&WirePod::read(text)?),
                }
                Ok(())
            })
        });
        if let Err(error) = read.await {
            if error.is_not_found() {
                self.discovery.forget(GROUP).await;
            }
            return Err(error);
        }
        match pieces.is_complete() {
            true => Ok(meta),
            false => Err(ApiError::unreadable("it is no complete list")),
        }
    }

    /// Watches the same from a version on.
    ///
    /// # Errors
    ///
    /// The server's text.
    pub(crate) async fn watch(&self, of: Option<&MetricsKey>, from: &str) -> Result<Stream, ApiError> {
        let path = path(self.version().await?, of);
        let from = encode(from);
        self.api.open(&format!("{path}{}watch=true&resourceVersion={from}", separator(&path))).await
    }

    async fn version(&self) -> Result<&'static str, ApiError> {
        let served = self.discovery.versions(GROUP).await?.unwrap_or_default();
        // Without discovery the older version is asked for, so that the failure reads as upstream's.
        Ok(VERSIONS.into_iter().find(|version| served.iter().any(|s| s == version)).unwrap_or("v1beta1"))
    }
}

fn path(version: &str, of: Option<&MetricsKey>) -> String {
    match of {
        None => format!("/apis/{GROUP}/{version}/pods"),
        Some((namespace, selector)) => {
            let (namespace, selector) = (encode(namespace), encode(selector));
            format!("/apis/{GROUP}/{version}/namespaces/{namespace}/pods?labelSelector={selector}")
        }
    }
}

fn separator(path: &str) -> char {
    if path.contains('?') { '&' } else { '?' }
}

/// The text of a failure, as upstream's client words it.
pub(crate) fn unable(error: ApiError) -> String {
    let error = super::generic_message(error, "get", "pods.metrics.k8s.io");
    format!("unable to fetch metrics from resource metrics API: {error}")
}
