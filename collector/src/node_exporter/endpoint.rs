#![allow(clippy::disallowed_methods, reason = "watches the clock")]
//! Requests for `/metrics/node`.
//!
//! One reading at a time, on a thread that may wait, whatever the number of requests. A request that comes while another
//! reads waits for its turn and then takes the other's answer, if that is of the last [`SHARED_FOR`]: so a crowd of
//! scrapers costs ten readings a second at most for each of the two formats, and no value is older than that.

use super::{NodeExporter, Places};
use crate::cost::{Cost, Meter};
use bytes::Bytes;
use flyball_model::exposition::Format;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long an answer is given to further requests.
pub const SHARED_FOR: Duration = Duration::from_millis(100);

/// A body as it was asked for.
#[derive(Clone)]
pub struct Body {
    /// The bytes.
    pub bytes: Bytes,
    /// Whether they are compressed.
    pub gzip: bool,
}

/// Compresses a body, or not.
pub type Gzip = fn(&[u8]) -> Option<Vec<u8>>;

struct Recent {
    when: Instant,
    plain: Bytes,
    compressed: Option<Bytes>,
}

struct State {
    exporter: Option<NodeExporter>,
    places: Places,
    /// By format.
    recent: [Option<Recent>; 2],
    /// Is told what each reading cost.
    observe: Box<dyn Fn(Cost) + Send>,
}

/// Reads the machine for requests.
#[derive(Clone)]
pub struct NodeEndpoint {
    state: Arc<Mutex<State>>,
    gzip: Gzip,
}

impl NodeEndpoint {
    /// Opens nothing before the first request.
    pub fn new(places: Places, gzip: Gzip, observe: impl Fn(Cost) + Send + 'static) -> NodeEndpoint {
        let state = State { exporter: None, places, recent: [None, None], observe: Box::new(observe) };
        NodeEndpoint { state: Arc::new(Mutex::new(state)), gzip }
    }

    /// The body of a request; nothing when this process has no thread left for it.
    pub async fn body(&self, format: Format, compress: bool) -> Option<Body> {
        let mut state = self.state.clone().lock_owned().await;
        let gzip = self.gzip;
        // Goes on when the request is given up: the answer may serve the next one.
        tokio::task::spawn_blocking(move || state.body(format, compress, gzip)).await.ok()
    }
}

impl State {
    fn body(&mut self, format: Format, compress: bool, gzip: Gzip) -> Body {
        let recent = &mut self.recent[usize::from(format == Format::OpenMetrics10)];
        let recent = match recent {
            Some(recent) if recent.when.elapsed() < SHARED_FOR => recent,
            other => {
                let exporter = self.exporter.get_or_insert_with(|| NodeExporter::new(&self.places));
                let mut meter = Meter::start();
                let plain = Bytes::from(exporter.render(format));
                (self.observe)(meter.lap());
                other.insert(Recent { when: Instant::now(), plain, compressed: None })
            }
        };
        if compress && recent.compressed.is_none() {
            recent.compressed = gzip(&recent.plain).map(Bytes::from);
        }
        match &recent.compressed {
            Some(bytes) if compress => Body { bytes: bytes.clone(), gzip: true },
            _ => Body { bytes: recent.plain.clone(), gzip: false },
        }
    }
}
