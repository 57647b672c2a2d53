//! What one replica of the metrics server takes over from another: a line is taken or refused, and no usage comes of a window
//! that has no length.

#![no_main]

use flyball_metrics_server::peers::take_line;
use flyball_metrics_server::{Store, StoreSettings};
use libfuzzer_sys::fuzz_target;

const NOW_MS: i64 = 1_700_000_000_000;

fuzz_target!(|bytes: &[u8]| {
    let store = Store::new(StoreSettings::default());
    let mut taken = 0;
    for line in bytes.split(|byte| *byte == b'\n') {
        taken += u32::from(take_line(&store, line, NOW_MS).unwrap_or(false));
    }
    let _ = store.counts(NOW_MS);
    if let Ok(usage) = store.node("n1", NOW_MS) {
        assert!(taken > 0 && usage.window_ns > 0);
    }
});
