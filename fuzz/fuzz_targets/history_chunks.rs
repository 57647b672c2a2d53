//! Bytes that claim to be a chunk: they are read or refused, and what was read is written and read again bit for bit.

#![no_main]

use std::sync::Arc;

use flyball_tsdb::chunk::{
    CHUNK_SAMPLES_MAX, decode_into, decode_sharing, encode, encode_sharing, encode_xor,
};
use flyball_tsdb::series::Point;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // One that names its times, which are any bytes.
    let (chunk, record) = bytes.split_at(bytes.len() / 2);
    let _ = decode_sharing(chunk, &(i64::MIN..=i64::MAX), &mut |_| Some(record.into()), &mut Vec::new());
    let mut points = Vec::new();
    if decode_into(bytes, &mut points).is_err() || points.is_empty() {
        return;
    }
    assert!(points.len() <= CHUNK_SAMPLES_MAX);
    // The writers take samples in order of time only.
    if !points.windows(2).all(|pair| pair[0].timestamp_ms < pair[1].timestamp_ms) {
        return;
    }
    let bits = |points: &[Point]| -> Vec<(i64, u64)> {
        points.iter().map(|point| (point.timestamp_ms, point.value.to_bits())).collect()
    };
    for form in [encode, encode_xor] {
        let mut again = Vec::new();
        decode_into(&form(&points), &mut again).expect("what was just written");
        assert_eq!(bits(&points), bits(&again));
    }
    let mut kept: Option<Arc<[u8]>> = None;
    let sharing = encode_sharing(&points, |record| {
        kept = Some(record.into());
        Some(7)
    });
    let mut again = Vec::new();
    let mut records = |number| kept.clone().filter(|_| number == 7);
    decode_sharing(&sharing, &(i64::MIN..=i64::MAX), &mut records, &mut again).expect("its times are there");
    assert_eq!(bits(&points), bits(&again));
});
