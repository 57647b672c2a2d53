//! Answers of rtnetlink.

#![no_main]

use flyball_collector::node_exporter::netlink::take_links;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| {
    // The number of the question is that of the first message, or nothing would get through.
    let sequence = answer.get(8..12).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes);
    let mut links = Vec::new();
    let _ = take_links(answer, sequence, &mut links);
    assert!(links.len() <= answer.len() / 32, "a link takes 32 bytes at least");
    assert!(links.iter().all(|link| !link.name.is_empty()));
});
