//! A list of pods in JSON, in the order of keys and the escapes that [`flyball_model::resource_metrics`] has.

use std::ops::Range;

use flyball_apiserver::encode::escaped_for_html;
use flyball_apiserver::pieces::Pieces;

use super::text::{Times, push_bytes, push_nanocores, push_window};
use super::{Address, ListedPod, Place, PodSource, WritePod, address};
use crate::cluster::ObjectLabels;

/// The list while it is written.
pub(crate) struct JsonList {
    source: PodSource,
    version: &'static str,
    place: Place,
    begun: bool,
    write: JsonPods,
}

impl JsonList {
    /// A list in a version of the group.
    pub(crate) fn new(source: PodSource, version: &'static str) -> JsonList {
        let mut created = Vec::new();
        Times::new().push(&mut created, source.now_ms);
        let write = JsonPods { created, times: Times::new(), labels: None, any: false };
        JsonList { source, version, place: None, begun: false, write }
    }
}

impl Pieces for JsonList {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(br#"{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/"#);
            out.extend_from_slice(self.version.as_bytes());
            out.extend_from_slice(br#"","metadata":{},"items":["#);
        }
        let more = self.source.piece(&mut self.place, out, &mut self.write, true);
        if !more {
            out.extend_from_slice(b"]}\n");
        }
        more
    }
}

struct JsonPods {
    created: Vec<u8>,
    times: Times,
    /// The labels written last in this piece, and where.
    labels: Option<(Address, Range<usize>)>,
    any: bool,
}

impl WritePod for JsonPods {
    fn piece_begins(&mut self) {
        self.labels = None;
    }

    fn pod(&mut self, out: &mut Vec<u8>, pod: &ListedPod<'_>) {
        if std::mem::replace(&mut self.any, true) {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"metadata":{"name":"#);
        push_text(out, pod.name);
        out.extend_from_slice(br#","namespace":"#);
        push_text(out, pod.namespace);
        out.extend_from_slice(br#","creationTimestamp":""#);
        out.extend_from_slice(&self.created);
        out.push(b'"');
        self.push_labels(out, pod.labels);
        out.extend_from_slice(br#"},"timestamp":"#);
        match pod.usage.timestamp_ns() {
            Some(timestamp_ns) => {
                out.push(b'"');
                self.times.push(out, timestamp_ns.div_euclid(1_000_000));
                out.push(b'"');
            }
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(br#","window":""#);
        push_window(out, pod.usage.window_ns());
        out.extend_from_slice(br#"","containers":["#);
        let mut separator: &[u8] = b"";
        for (name, usage) in pod.usage.containers() {
            out.extend_from_slice(separator);
            separator = b",";
            out.extend_from_slice(br#"{"name":"#);
            push_text(out, name);
            out.extend_from_slice(br#","usage":{"cpu":""#);
            push_nanocores(out, usage.cpu_nanocores);
            out.extend_from_slice(br#"","memory":""#);
            push_bytes(out, usage.working_set_bytes);
            out.extend_from_slice(br#""}}"#);
        }
        out.extend_from_slice(b"]}");
    }
}

impl JsonPods {
    /// With the comma before them; nothing when there are none.
    fn push_labels(&mut self, out: &mut Vec<u8>, labels: &ObjectLabels) {
        let address = address(labels);
        if let Some((known, range)) = &self.labels
            && *known == address
        {
            return out.extend_from_within(range.clone());
        }
        let begin = out.len();
        let mut before: &[u8] = br#","labels":{"#;
        for (name, value) in &**labels {
            out.extend_from_slice(before);
            before = b",";
            push_text(out, name);
            out.push(b':');
            push_text(out, value);
        }
        if !labels.is_empty() {
            out.push(b'}');
        }
        self.labels = Some((address, begin..out.len()));
    }
}

/// In quotes, escaped where needed; what is hardly ever needed is left to the library.
fn push_text(out: &mut Vec<u8>, text: &str) {
    let plain = text.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&'));
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing text into memory does not fail.
        out.extend(escaped_for_html(serde_json::to_vec(text).unwrap_or_default()));
    }
}
