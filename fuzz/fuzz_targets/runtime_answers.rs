//! Answers of a container runtime.

#![no_main]

use flyball_collector::cri::{layers_of, names_of, store_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = (names_of(bytes, bytes), store_of(bytes), layers_of(bytes));
    // Two answers with the prefix they need: the first byte says where the first ends.
    let Some((at, rest)) = bytes.split_first() else { return };
    let (sandboxes, containers) = rest.split_at(usize::from(*at).min(rest.len()));
    let framed = |message: &[u8]| {
        let length = u32::try_from(message.len()).unwrap_or(0).to_be_bytes();
        [&[0], &length[..], message].concat()
    };
    if let Some(store) = store_of(&framed(rest)) {
        assert!(store.images.mountpoint.is_absolute());
    }
    if let Some(layers) = layers_of(&framed(rest)) {
        assert!(layers.values().all(|layer| layer.mountpoint.is_absolute()));
    }
    if let Some(table) = names_of(&framed(sandboxes), &framed(containers)) {
        assert!(table.len() <= sandboxes.len());
    }
});
