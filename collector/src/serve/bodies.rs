//! How bodies are made and sent: whole where they are small, in pieces while they are sent where they are large.

use super::text_of;
use crate::cadvisor::PIECE_BYTES;
use crate::cost::{Cost, Meter, Stage};
use crate::disk::DiskMeter;
use crate::machine::MachineFacts;
use crate::own::SweepMetrics;
use crate::sample::Sweep;
use crate::selection::Selection;
use crate::summary::Extent;
use crate::{cadvisor, explain, node, resource, summary};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use flyball_apiserver::pieces::{self, Pieces};
use flyball_apiserver::{BoxError, Response, full};
use flyball_model::exposition::Format;
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedSemaphorePermit;

/// What bodies are made of beside a sweep.
pub(super) struct Facts {
    pub(super) node_name: String,
    pub(super) machine: MachineFacts,
    pub(super) selection: Selection,
    pub(super) disk: Option<DiskMeter>,
    pub(super) files: explain::Files,
    pub(super) proc_root: PathBuf,
    pub(super) metrics: SweepMetrics,
    /// The order of the last `/metrics/resource`, which hardly changes.
    pub(super) order: Mutex<Arc<resource::Order>>,
}

impl Facts {
    /// The body of `/metrics/resource`.
    pub(super) fn resource(&self, sweep: &Sweep, format: Format) -> String {
        if sweep.sequence == 0 {
            return resource::render_error(format);
        }
        let known = self.order.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if known.fits(sweep) {
            return resource::render_in(&known, sweep, format);
        }
        let order = Arc::new(resource::Order::of(sweep));
        let body = resource::render_in(&order, sweep, format);
        *self.order.lock().unwrap_or_else(PoisonError::into_inner) = order;
        body
    }

    /// Begins a large body, which holds nothing of the sweep when this returns: whoever takes it slowly takes no sweep's memory.
    /// `place`: is given back with its last byte.
    pub(super) fn begin(
        self: &Arc<Facts>,
        wanted: Large,
        sweep: &Sweep,
        gzip: bool,
        place: OwnedSemaphorePermit,
    ) -> Body {
        let mut meter = Meter::start();
        let disk = self.disk.as_ref().map(|disk| disk.latest().get()).unwrap_or_default();
        match wanted {
            Large::Cadvisor(format) if sweep.sequence == 0 => Body::new(cadvisor::render_error(format), gzip),
            Large::Cadvisor(format) => {
                let machine = self.machine.get();
                let writing = cadvisor::Writing::new(sweep, &disk, &machine, &self.selection, format);
                let spent = meter.lap();
                let metrics = self.metrics.clone();
                Body::in_pieces(Sending { writing, metrics, spent, _place: place }, gzip)
            }
            Large::Summary(extent) => {
                let rlimit = node::rlimit(&self.proc_root, sweep.finished_unix_ms);
                let summary = summary::summary(sweep, &disk, &self.node_name, rlimit, extent);
                let body = Body::json(&summary, gzip, place);
                self.metrics.observe_cost(Stage::Render, meter.lap());
                body
            }
        }
    }
}

/// A body of tens of megabytes, or some.
#[derive(Debug, Clone, Copy)]
pub(super) enum Large {
    Cadvisor(Format),
    Summary(Extent),
}

impl Large {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Large::Cadvisor(format) => format.content_type(),
            Large::Summary(_) => "application/json",
        }
    }
}

/// A body on its way that is made while it is sent.
pub(super) struct Sending {
    pub(super) writing: cadvisor::Writing,
    pub(super) metrics: SweepMetrics,
    pub(super) spent: Cost,
    pub(super) _place: OwnedSemaphorePermit,
}

impl Pieces for Sending {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let mut meter = Meter::start();
        let more = next_piece(&mut self.writing, out);
        self.spent.add(meter.lap());
        more
    }
}

/// Whether more is to come.
fn next_piece(writing: &mut cadvisor::Writing, out: &mut Vec<u8>) -> bool {
    while out.len() < PIECE_BYTES {
        match writing.next_piece() {
            Some(piece) if out.is_empty() => *out = piece.into_bytes(),
            Some(piece) => out.extend_from_slice(piece.as_bytes()),
            None => return false,
        }
    }
    true
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.metrics.observe_cost(Stage::Render, self.spent);
    }
}

/// A body as the client takes it.
pub(super) struct Body {
    body: flyball_apiserver::Body,
    gzip: bool,
}

impl Body {
    /// For a client that takes gzip, or not.
    pub(super) fn new(body: String, gzip: bool) -> Body {
        match gzip.then(|| self::gzip(body.as_bytes())).flatten() {
            Some(compressed) => Body { body: full(compressed), gzip: true },
            None => Body { body: full(body), gzip: false },
        }
    }

    /// Made by someone else; whether it is compressed.
    pub(super) fn made(bytes: Bytes, gzip: bool) -> Body {
        Body { body: full(bytes), gzip }
    }

    /// Made at once, packed where that is wanted. `place`: is given back when the client has all of it.
    pub(super) fn json(value: &impl Serialize, gzip: bool, place: OwnedSemaphorePermit) -> Body {
        // Numbers and text only, into memory: nothing that could fail.
        let written = match gzip {
            true => {
                let encoder = GzEncoder::new(Vec::new(), Compression::fast());
                let mut encoder = BufWriter::with_capacity(PIECE_BYTES, encoder);
                let written = serde_json::to_writer(&mut encoder, value).map_err(std::io::Error::from);
                written.and_then(|()| encoder.into_inner()?.finish())
            }
            false => serde_json::to_vec(value).map_err(std::io::Error::from),
        };
        let whole = written.map(Bytes::from).map_err(BoxError::from);
        let sent = futures_util::stream::unfold((Some(whole), place), async |(whole, place)| {
            Some((whole?, (None, place)))
        });
        Body { body: flyball_apiserver::stream(sent), gzip }
    }

    /// Whole if it is one piece, else made while it is sent.
    pub(super) fn in_pieces(mut pieces: impl Pieces, gzip: bool) -> Body {
        let mut first = Vec::new();
        if pieces.next(&mut first) {
            return Body { body: pieces::streamed(first, pieces, gzip), gzip };
        }
        match gzip.then(|| self::gzip(&first)).flatten() {
            Some(compressed) => Body { body: full(compressed), gzip: true },
            None => Body { body: full(first), gzip: false },
        }
    }
}

pub(super) fn answer(body: Body, content_type: &'static str) -> Response {
    let mut response = http::Response::new(body.body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if body.gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Whether the client of a request takes gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    accepts_gzip(text_of(headers, header::ACCEPT_ENCODING))
}

/// Whether a header `Accept-Encoding` takes gzip.
pub fn accepts_gzip(accept_encoding: &str) -> bool {
    accept_encoding.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let refused =
            || parts.clone().any(|p| p.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32)));
        let refused = refused();
        parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("gzip")) && !refused
    })
}

/// Level 1: about a tenth of the size for exposition text at a fraction of the usual cost.
pub(super) fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}
