//! A store whose log and block hold values with sound checksums and any bodies: it opens or says why not, answers, takes
//! samples, and can be checked and mended.

#![no_main]

use flyball_model::labels::Labels;
use flyball_tsdb::disk::memory::MemoryDisk;
use flyball_tsdb::series::{ReadLimits, SeriesSource as _};
use flyball_tsdb::store::{Incoming, Settings, Store};
use libfuzzer_sys::fuzz_target;

const NOW_MS: i64 = 1_700_000_000_000;
/// The one block that there is.
const BLOCK: u64 = 1;
const LIMITS: ReadLimits = ReadLimits { series: 1000, samples: 100_000 };

/// Cuts the input into values: where (the log or the block), length of the key, length of the body, both.
fn fill(disk: &MemoryDisk, mut bytes: &[u8]) {
    while let [place, key, body_high, body_low, rest @ ..] = bytes {
        let key_length = usize::from(key % 24).min(rest.len());
        let (key, rest) = rest.split_at(key_length);
        let body_length = (usize::from(*body_high % 8) << 8 | usize::from(*body_low)).min(rest.len());
        let (body, rest) = rest.split_at(body_length);
        disk.put_framed((place % 2 == 1).then_some(BLOCK), key, body);
        bytes = rest;
    }
}

fuzz_target!(|bytes: &[u8]| {
    let disk = MemoryDisk::default();
    fill(&disk, bytes);
    let Ok(store) = Store::open_in_memory(disk.clone(), Settings::default(), NOW_MS) else { return };
    let _ = store.select(&[], i64::MIN, i64::MAX, LIMITS);
    let _ = store.label_names(&[], 0, NOW_MS);
    let _ = store.series(&[], i64::MIN, i64::MAX);
    let _ = store.report();
    let labels = Labels::from_pairs([("__name__", "x")]).expect("labels");
    if let Ok(series) = store.series_ref(&labels, "fuzz") {
        let _ = store.append(NOW_MS, &[Incoming { series, timestamp_ms: NOW_MS, value: 1.0 }]);
    }
    let _ = store.maintain(NOW_MS);
    let _ = store.check(true);
    drop(store);
    // What a check has mended opens.
    if let Ok(store) = Store::open_in_memory(disk, Settings::default(), NOW_MS) {
        let _ = store.select(&[], i64::MIN, i64::MAX, LIMITS);
    }
});
