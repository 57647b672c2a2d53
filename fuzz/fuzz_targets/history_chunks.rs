//! Bytes that claim to be a chunk: they are read or refused, and what was read is written and read again bit for bit.

#![no_main]

use flyball_tsdb::chunk::{CHUNK_SAMPLES_MAX, decode_into, encode, encode_xor};
use flyball_tsdb::series::Point;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut points = Vec::new();
    if decode_into(bytes, &mut points).is_err() || points.is_empty() {
        return;
    }
    assert!(points.len() <= CHUNK_SAMPLES_MAX);
    // The writers take samples in order of time only.
    if !points.windows(2).all(|pair| pair[0].timestamp_ms < pair[1].timestamp_ms) {
        return;
    }
    for form in [encode, encode_xor] {
        let mut again = Vec::new();
        decode_into(&form(&points), &mut again).expect("what was just written");
        let bits = |points: &[Point]| -> Vec<(i64, u64)> {
            points.iter().map(|point| (point.timestamp_ms, point.value.to_bits())).collect()
        };
        assert_eq!(bits(&points), bits(&again));
    }
});
