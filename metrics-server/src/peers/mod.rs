//! What replicas tell one another: a new one takes over the last points of one that runs, and is ready at once instead
//! of after two scrapes of its own.
//!
//! # The endpoint
//!
//! `GET /peer/points` answers with one line of JSON a node ([`wire`]), in the order of their names.
//!
//! # Who is who
//!
//! The asking replica shows a service account token that was made for the audience [`AUDIENCE`] (a projected volume, see
//! `deploy/`; `--peer-token-file`). Such a token is worth nothing to any other server, the API server included. The
//! answering replica has it checked by a TokenReview for that audience and lets its own account in; others need `get` on the
//! non-resource URL `/peer/points`. The asking replica verifies the other's certificate by `--peer-certificate-authority`;
//! without it, it believes whoever answers at an address that `--peers` resolves to.
//!
//! # What is taken
//!
//! Only nodes that the new replica has not scraped yet; their points keep their times, and their age counts from the other
//! replica's last good scrape, so nothing lives longer by being handed over.

mod same_account;
mod take;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use flyball_apiserver::{BoxError, Response, stream};
use http::{HeaderValue, header};

use crate::store::Store;

pub(crate) use same_account::SameAccount;
pub(crate) use take::take_over;

/// The path of the endpoint.
pub const PATH: &str = "/peer/points";
/// The audience of the tokens that replicas show one another.
pub const AUDIENCE: &str = "flyball-metrics-server";

/// Where the other replicas are, and how they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers {
    /// `--peers`: host and port; the host may be a name with many addresses, our own among them.
    pub address: String,
    /// `--peer-token-file`: a token for [`AUDIENCE`].
    pub token: PathBuf,
    /// `--peer-certificate-authority`: who signs the replicas' serving certificates.
    pub authority: Option<PathBuf>,
}

/// Takes over what another replica says of a node, in one line of its answer, as [`take_over`] does with all of them. Whether
/// it was taken: a node of which this replica has usage of its own is not.
///
/// # Errors
/// It is no such line.
pub fn take_line(store: &Store, line: &[u8], now_ms: i64) -> serde_json::Result<bool> {
    Ok(store.take_over(wire::read(line)?, now_ms))
}

/// Answers with everything there is, node by node.
pub(crate) fn answer(store: &Arc<Store>) -> Response {
    let store = store.clone();
    let lines = store.measured_nodes().into_iter().filter_map(move |node| store.history(&node));
    let lines = lines.map(|history| Ok::<_, BoxError>(Bytes::from(wire::write(&history))));
    let mut response = http::Response::new(stream(futures_util::stream::iter(lines)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}
