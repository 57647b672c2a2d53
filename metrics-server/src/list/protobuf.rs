//! A list of pods in protobuf, as [`crate::protobuf`] writes it.
//!
//! A document begins with the length of the list in it. A list up to [`WHOLE_BYTES`] is kept until it is complete, and
//! its bytes are upstream's. A longer one is written twice: first to count its bytes, then to send them. In between
//! pods may have come or their numbers grown, so some room is announced on top, and what is not needed of it is filled
//! with a field that no message has, which every reader of protobuf passes over.

use flyball_apiserver::pieces::Pieces;

use super::{ListedPod, Place, PodSource, WritePod};

/// Lists up to here are written once.
const WHOLE_BYTES: usize = 1024 * 1024;
/// One part in so many is announced on top of a longer list.
const ROOM_PARTS: usize = 16;
const MAGIC: &[u8] = b"k8s\0";
/// `ListMeta` of a list: field 1 with its three empty texts.
const LIST_META: &[u8] = &[0x0a, 0x06, 0x0a, 0x00, 0x12, 0x00, 0x1a, 0x00];
/// The end of a document: empty contentEncoding and contentType.
const END: &[u8] = &[0x1a, 0x00, 0x22, 0x00];
/// The field that fills the room: far beyond those of any message here.
const FILLER_FIELD: u64 = 1000;
/// Longest that tag and length of the filler get.
const FILLER_HEAD_BYTES: usize = 8;
/// Filler is sent in pieces of this size.
const FILLER_PIECE_BYTES: usize = 64 * 1024;

/// The list while it is written.
pub(crate) struct ProtobufList {
    source: PodSource,
    api_version: String,
    place: Place,
    write: ProtobufPods,
    state: State,
}

enum State {
    /// Kept so far.
    Whole(Vec<u8>),
    /// Counted so far; the bytes are thrown away.
    Counting { counted: usize, room: Vec<u8> },
    /// So much of what was announced is left.
    Sending { left: usize },
    /// So much filler is left.
    Filling { left: usize },
}

impl ProtobufList {
    /// A list in a version of the group: `metrics.k8s.io/v1`.
    pub(crate) fn new(source: PodSource, api_version: &str) -> ProtobufList {
        let created = source.now_ms.div_euclid(1000);
        let state = State::Whole(LIST_META.to_vec());
        let api_version = api_version.to_owned();
        ProtobufList { source, api_version, place: None, write: ProtobufPods { created }, state }
    }

    /// Magic, type, and the head of the field that holds the list.
    fn begin(&self, out: &mut Vec<u8>, length: usize) {
        out.extend_from_slice(MAGIC);
        nested(out, 1, |out| {
            push_bytes(out, 1, self.api_version.as_bytes());
            push_bytes(out, 2, b"PodMetricsList");
        });
        push_key(out, 2, LENGTH_DELIMITED);
        push_varint(out, length as u64);
    }
}

impl Pieces for ProtobufList {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        match &mut self.state {
            State::Whole(list) => {
                if self.source.piece(&mut self.place, list, &mut self.write, true) {
                    if list.len() > WHOLE_BYTES {
                        // Counted already; only its length is of use from here on.
                        let counted = list.len();
                        self.state = State::Counting { counted, room: Vec::new() };
                    }
                    return true;
                }
                let list = std::mem::take(list);
                self.begin(out, list.len());
                out.extend_from_slice(&list);
                out.extend_from_slice(END);
                false
            }
            State::Counting { counted, room } => {
                room.clear();
                let more = self.source.piece(&mut self.place, room, &mut self.write, false);
                *counted += room.len();
                if !more {
                    let announced = *counted + *counted / ROOM_PARTS;
                    self.begin(out, announced);
                    out.extend_from_slice(LIST_META);
                    self.place = None;
                    self.state = State::Sending { left: announced - LIST_META.len() };
                }
                true
            }
            State::Sending { left } => {
                let begin = out.len();
                let more = self.source.piece(&mut self.place, out, &mut self.write, false);
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
    created: i64,
}

impl WritePod for ProtobufPods {
    fn piece_begins(&mut self) {}

    fn pod(&mut self, out: &mut Vec<u8>, pod: &ListedPod<'_>) {
        let created = self.created;
        nested(out, 2, |out| {
            nested(out, 1, |out| metadata(out, created, pod));
            nested(out, 2, |out| {
                if let Some(timestamp_ns) = pod.usage.timestamp_ns() {
                    time(out, timestamp_ns.div_euclid(1_000_000_000));
                }
            });
            nested(out, 3, |out| push_int(out, 1, pod.usage.window_ns()));
            for (name, usage) in pod.usage.containers() {
                nested(out, 4, |out| {
                    push_bytes(out, 1, name.as_bytes());
                    resource(out, "cpu", |out| super::text::push_nanocores(out, usage.cpu_nanocores));
                    resource(out, "memory", |out| super::text::push_bytes(out, usage.working_set_bytes));
                });
            }
        });
    }
}

/// As [`flyball_apiserver::protobuf::object_meta`].
fn metadata(out: &mut Vec<u8>, created: i64, pod: &ListedPod<'_>) {
    push_bytes(out, 1, pod.name.as_bytes());
    push_bytes(out, 2, b"");
    push_bytes(out, 3, pod.namespace.as_bytes());
    for field in [4, 5, 6] {
        push_bytes(out, field, b"");
    }
    push_int(out, 7, 0);
    nested(out, 8, |out| time(out, created));
    for (name, value) in &**pod.labels {
        nested(out, 11, |out| {
            push_bytes(out, 1, name.as_bytes());
            push_bytes(out, 2, value.as_bytes());
        });
    }
}

fn time(out: &mut Vec<u8>, seconds: i64) {
    push_int(out, 1, seconds);
    push_int(out, 2, 0);
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
    push_key(out, field, LENGTH_DELIMITED);
    push_varint(out, bytes.len() as u64);
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
