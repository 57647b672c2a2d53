//! A list of pods in protobuf, as [`crate::protobuf`] writes it.
//!
//! A document begins with the length of the list in it. A list up to [`WHOLE_BYTES`] is kept until it is complete, and
//! its bytes are upstream's. Those of a longer one are counted before they are written: for a list of everything while pods and
//! samples come, for another one by looking at its pods once more. Pods may come meanwhile, so some room is announced on top, and
//! what is not needed is filled with a field that no message has, which every reader of protobuf passes over.

use flyball_apiserver::pieces::Pieces;

use super::text::{bytes_len, nanocores_len};
use super::{Address, ListedPod, Place, PodSource, WritePod, address};
use crate::cluster::ObjectLabels;
use crate::window::{SECOND_NS, Usage};

/// Lists up to here are written once.
const WHOLE_BYTES: usize = 1024 * 1024;
/// One part in so many is announced on top of a longer list.
const ROOM_PARTS: usize = 64;
/// And this much, however long it is.
const ROOM_BYTES: usize = 64 * 1024;
const MAGIC: &[u8] = b"k8s\0";
/// `ListMeta` of a list: field 1 with its three empty texts.
const LIST_META: &[u8] = &[0x0a, 0x06, 0x0a, 0x00, 0x12, 0x00, 0x1a, 0x00];
/// The end of a document: empty contentEncoding and contentType.
const END: &[u8] = &[0x1a, 0x00, 0x22, 0x00];
/// The field that fills the room: far beyond those of any message here.
const FILLER_FIELD: u64 = 1000;
/// Longest that tag and length of the filler get.
const FILLER_HEAD_BYTES: usize = 8;
/// What stands before a list, and behind it, takes less.
const HEAD_ROOM_BYTES: usize = 128;
/// Filler is sent in pieces of this size.
const FILLER_PIECE_BYTES: usize = 64 * 1024;

/// The list while it is written.
pub(crate) struct ProtobufList {
    source: PodSource,
    api_version: String,
    /// The time of the answer, Unix seconds.
    created: i64,
    place: Place,
    write: ProtobufPods,
    state: State,
}

enum State {
    /// Kept so far.
    Whole(Vec<u8>),
    /// Too long to be kept: what was kept is followed by so much at most, as far as it was measured up to a place.
    Measuring { kept: Vec<u8>, rest: usize, place: Place },
    /// So much of what was announced is left.
    Sending { left: usize },
    /// So much filler is left.
    Filling { left: usize },
}

impl ProtobufList {
    /// A list in a version of the group: `metrics.k8s.io/v1`.
    pub(crate) fn new(source: PodSource, api_version: &str) -> ProtobufList {
        let created = source.now_ms.div_euclid(1000);
        let (write, state) = (ProtobufPods::new(created), State::Whole(LIST_META.to_vec()));
        ProtobufList { source, api_version: api_version.to_owned(), created, place: None, write, state }
    }

    /// Begins to send what was kept, before pods that take so many bytes at most.
    fn send(&mut self, out: &mut Vec<u8>, kept: &[u8], rest: usize) {
        let left = rest + rest / ROOM_PARTS + ROOM_BYTES;
        self.begin(out, kept.len() + left);
        out.extend_from_slice(kept);
        self.state = State::Sending { left };
    }

    /// Magic, type, and the head of the field that holds the list.
    fn begin(&self, out: &mut Vec<u8>, length: usize) {
        out.extend_from_slice(MAGIC);
        nested(out, 1, |out| {
            push_bytes(out, 1, self.api_version.as_bytes());
            push_bytes(out, 2, b"PodMetricsList");
        });
        push_head(out, 2, length);
    }
}

impl Pieces for ProtobufList {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        match &mut self.state {
            State::Whole(list) => {
                if self.source.piece(&mut self.place, list, &mut self.write, true) {
                    if list.len() > WHOLE_BYTES {
                        let kept = std::mem::take(list);
                        match self.source.bytes_of_all(self.created) {
                            Some(all) => self.send(out, &kept, all.saturating_sub(kept.len())),
                            None => {
                                self.state = State::Measuring { kept, rest: 0, place: self.place.clone() };
                            }
                        }
                    }
                    return true;
                }
                let list = std::mem::take(list);
                out.reserve_exact(list.len() + HEAD_ROOM_BYTES);
                self.begin(out, list.len());
                out.extend_from_slice(&list);
                out.extend_from_slice(END);
                false
            }
            State::Measuring { kept, rest, place } => {
                let mut measure = Measure::new(self.created);
                let more = self.source.piece(place, &mut Vec::new(), &mut measure, false);
                *rest += measure.sum;
                if !more {
                    let (kept, rest) = (std::mem::take(kept), *rest);
                    self.send(out, &kept, rest);
                }
                true
            }
            State::Sending { left } => {
                let begin = out.len();
                let more = self.source.piece(&mut self.place, out, &mut self.write, true);
                let written = out.len() - begin;
                // Never more than was announced: the list then ends too early, which its reader sees as broken.
                let Some(rest) = left.checked_sub(written).filter(|rest| *rest >= FILLER_HEAD_BYTES) else {
                    return false;
                };
                *left = rest;
                if !more {
                    let filler = push_filler_head(out, rest);
                    self.state = State::Filling { left: filler };
                }
                true
            }
            State::Filling { left } => {
                let piece = (*left).min(FILLER_PIECE_BYTES);
                out.resize(out.len() + piece, 0);
                *left -= piece;
                if *left == 0 {
                    out.extend_from_slice(END);
                }
                *left > 0
            }
        }
    }
}

/// Writes tag and length so that they and the zeros behind them are `room` bytes; how many zeros.
fn push_filler_head(out: &mut Vec<u8>, room: usize) -> usize {
    let begin = out.len();
    push_key(out, FILLER_FIELD, LENGTH_DELIMITED);
    let key = out.len() - begin;
    // A length of fixed width: five bytes of seven bits.
    let zeros = room - key - 5;
    for shift in [0, 7, 14, 21] {
        out.push((zeros >> shift) as u8 | 0x80);
    }
    out.push((zeros >> 28) as u8 & 0x7f);
    zeros
}

struct ProtobufPods {
    /// The field of the time of the answer.
    created: Vec<u8>,
    /// The fields of the labels written last in this piece, and whose they are.
    labels: (Option<Address>, Vec<u8>),
    /// Room for the containers of a pod, which are written before the length of what they stand in.
    containers: Vec<u8>,
}

impl ProtobufPods {
    fn new(created: i64) -> ProtobufPods {
        let mut field = Vec::new();
        push_head(&mut field, 8, time_bytes(created));
        push_time(&mut field, created);
        ProtobufPods { created: field, labels: (None, Vec::new()), containers: Vec::new() }
    }

    /// The fields of these labels.
    fn labels(&mut self, labels: &ObjectLabels) -> &[u8] {
        let (known, fields) = &mut self.labels;
        if known.replace(address(labels)) != Some(address(labels)) {
            fields.clear();
            for (name, value) in &**labels {
                push_head(fields, 11, field_bytes(name.len()) + field_bytes(value.len()));
                push_bytes(fields, 1, name.as_bytes());
                push_bytes(fields, 2, value.as_bytes());
            }
        }
        fields
    }
}

impl WritePod for ProtobufPods {
    fn piece_begins(&mut self) {
        self.labels.0 = None;
    }

    fn pod(&mut self, out: &mut Vec<u8>, pod: &ListedPod<'_>) {
        self.containers.clear();
        for (name, usage) in pod.usage.containers() {
            nested(&mut self.containers, 4, |out| {
                push_bytes(out, 1, name.as_bytes());
                resource(out, "cpu", |out| super::text::push_nanocores(out, usage.cpu_nanocores));
                resource(out, "memory", |out| super::text::push_bytes(out, usage.working_set_bytes));
            });
        }
        let labels = self.labels(pod.labels).len();
        let lengths = Lengths::of(pod, self.created.len(), labels);
        push_head(out, 2, lengths.pod() + self.containers.len());
        // As `flyball_apiserver::protobuf::object_meta`.
        push_head(out, 1, lengths.metadata);
        push_bytes(out, 1, pod.name.as_bytes());
        out.extend_from_slice(GENERATE_NAME);
        push_bytes(out, 3, pod.namespace.as_bytes());
        out.extend_from_slice(SELF_LINK_TO_GENERATION);
        out.extend_from_slice(&self.created);
        out.extend_from_slice(&self.labels.1);
        push_head(out, 2, lengths.timestamp);
        if let Some(seconds) = seconds(pod) {
            push_time(out, seconds);
        }
        push_head(out, 3, lengths.window);
        push_int(out, 1, pod.usage.window_ns());
        out.extend_from_slice(&self.containers);
    }
}

/// Metadata's field 2, empty.
const GENERATE_NAME: &[u8] = &[0x12, 0x00];
/// Its fields 4 to 6, empty, and 7, which is zero.
const SELF_LINK_TO_GENERATION: &[u8] = &[0x22, 0x00, 0x2a, 0x00, 0x32, 0x00, 0x38, 0x00];

/// Bytes of the messages in a pod, without their own fields.
struct Lengths {
    metadata: usize,
    timestamp: usize,
    window: usize,
}

impl Lengths {
    /// `created` and `labels` are bytes of whole fields.
    fn of(pod: &ListedPod<'_>, created: usize, labels: usize) -> Lengths {
        Lengths {
            metadata: inner_metadata_bytes(pod.namespace, pod.name) + created + labels,
            timestamp: seconds(pod).map_or(0, time_bytes),
            window: window_bytes(pod.usage.window_ns()),
        }
    }

    /// Of the pod, without its containers.
    fn pod(&self) -> usize {
        field_bytes(self.metadata) + field_bytes(self.timestamp) + field_bytes(self.window)
    }
}

/// Of a pod's metadata without labels and time.
fn inner_metadata_bytes(namespace: &str, name: &str) -> usize {
    field_bytes(name.len())
        + field_bytes(namespace.len())
        + GENERATE_NAME.len()
        + SELF_LINK_TO_GENERATION.len()
}

/// What a pod takes in a list, but for its usage and the time of the answer ([`created_bytes`]).
pub(crate) fn metadata_bytes(namespace: &str, name: &str, labels: &ObjectLabels) -> usize {
    let metadata = inner_metadata_bytes(namespace, name) + labels_bytes(labels);
    // The key and length of the pod stand before what is not known here.
    field_bytes(metadata) + 1 + varint_bytes(2 * metadata as u64 + USUAL_USAGE_BYTES)
}

/// A pod's usage mostly takes less.
const USUAL_USAGE_BYTES: u64 = 4096;

/// What the time of the answer takes in a pod.
pub(super) fn created_bytes(created: i64) -> usize {
    // It may make the length before it longer by a byte.
    field_bytes(time_bytes(created)) + 1
}

/// What a pod's usage takes in a list at most: its containers, and the timestamp and window of one of them.
pub(crate) fn usage_bytes<'a>(containers: impl Iterator<Item = (&'a str, Usage)>) -> usize {
    let (mut all, mut timestamp, mut window) = (0, 0, window_bytes(0));
    for (name, usage) in containers {
        all += container_bytes(name, &usage);
        timestamp = timestamp.max(time_bytes(usage.timestamp_ns.div_euclid(SECOND_NS)));
        window = window.max(window_bytes(usage.window_ns));
    }
    all + field_bytes(timestamp) + field_bytes(window)
}

fn seconds(pod: &ListedPod<'_>) -> Option<i64> {
    pod.usage.timestamp_ns().map(|ns| ns.div_euclid(SECOND_NS))
}

/// Adds up what pods take.
pub(super) struct Measure {
    /// Of the field of the time of the answer.
    created: usize,
    labels: Option<(Address, usize)>,
    pub(super) sum: usize,
}

impl Measure {
    /// For a list that is answered at this time, Unix seconds.
    pub(super) fn new(created: i64) -> Measure {
        Measure { created: field_bytes(time_bytes(created)), labels: None, sum: 0 }
    }
}

impl WritePod for Measure {
    fn piece_begins(&mut self) {
        self.labels = None;
    }

    fn pod(&mut self, _: &mut Vec<u8>, pod: &ListedPod<'_>) {
        let labels = match self.labels {
            Some((known, bytes)) if known == address(pod.labels) => bytes,
            _ => labels_bytes(pod.labels),
        };
        self.labels = Some((address(pod.labels), labels));
        let containers = pod.usage.containers().map(|(name, usage)| container_bytes(name, &usage));
        let lengths = Lengths::of(pod, self.created, labels);
        self.sum += field_bytes(lengths.pod() + containers.sum::<usize>());
    }
}

fn container_bytes(name: &str, usage: &Usage) -> usize {
    let resource = |name: &str, text| field_bytes(field_bytes(name.len()) + field_bytes(field_bytes(text)));
    let cpu = resource("cpu", nanocores_len(usage.cpu_nanocores));
    let memory = resource("memory", bytes_len(usage.working_set_bytes));
    field_bytes(field_bytes(name.len()) + cpu + memory)
}

fn labels_bytes(labels: &ObjectLabels) -> usize {
    let entry =
        |(name, value): (&String, &String)| field_bytes(field_bytes(name.len()) + field_bytes(value.len()));
    labels.iter().map(entry).sum()
}

/// Of a field with so many bytes in it; all fields here have numbers below 16.
fn field_bytes(bytes: usize) -> usize {
    1 + varint_bytes(bytes as u64) + bytes
}

fn varint_bytes(value: u64) -> usize {
    (value | 1).ilog2() as usize / 7 + 1
}

fn window_bytes(window_ns: i64) -> usize {
    1 + varint_bytes(window_ns.cast_unsigned())
}

fn time_bytes(seconds: i64) -> usize {
    1 + varint_bytes(seconds.cast_unsigned()) + 2
}

fn push_time(out: &mut Vec<u8>, seconds: i64) {
    push_int(out, 1, seconds);
    push_int(out, 2, 0);
}

/// Key and length of a field.
fn push_head(out: &mut Vec<u8>, field: u64, bytes: usize) {
    push_key(out, field, LENGTH_DELIMITED);
    push_varint(out, bytes as u64);
}

fn resource(out: &mut Vec<u8>, name: &str, quantity: impl FnOnce(&mut Vec<u8>)) {
    nested(out, 2, |out| {
        push_bytes(out, 1, name.as_bytes());
        nested(out, 2, |out| nested(out, 1, quantity));
    });
}

const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

fn push_key(out: &mut Vec<u8>, field: u64, wire: u64) {
    push_varint(out, field << 3 | wire);
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn push_int(out: &mut Vec<u8>, field: u64, value: i64) {
    push_key(out, field, VARINT);
    push_varint(out, value.cast_unsigned());
}

fn push_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    push_head(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// A field whose length shows when it is written. Most are short, so one byte is left for it and more made if needed.
fn nested(out: &mut Vec<u8>, field: u64, write: impl FnOnce(&mut Vec<u8>)) {
    push_key(out, field, LENGTH_DELIMITED);
    let at = out.len();
    out.push(0);
    write(out);
    let mut length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
        return;
    }
    let mut varint = [0; 10];
    let mut width = 0;
    while length > 0x7f {
        varint[width] = length as u8 | 0x80;
        length >>= 7;
        width += 1;
    }
    varint[width] = length as u8;
    width += 1;
    let end = out.len();
    out.resize(end + width - 1, 0);
    out.copy_within(at + 1..end, at + width);
    out[at..at + width].copy_from_slice(&varint[..width]);
}
