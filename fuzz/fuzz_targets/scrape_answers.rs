//! What a node may answer, from the first byte of HTTP to usage: nothing panics, limits hold, and no usage comes of a
//! window that has no length.

#![no_main]

use flyball_metrics_server::{Store, StoreSettings};
use flyball_model::batch::{Batch, Outcome, Sink as _};
use flyball_model::samples::Samples;
use flyball_scrape::answer::{self, BODY_LIMIT_BYTES};
use flyball_scrape::http1::{Body, Framing, Head};
use libfuzzer_sys::fuzz_target;

/// Bytes of one read; small, so that lines and chunks come in pieces.
const PIECE_BYTES: usize = 7;

fuzz_target!(|bytes: &[u8]| {
    // As an answer with a head, and as a chunked body, which is hard to hit by chance.
    if let Ok(Some((head, length))) = Head::read(bytes) {
        let rest = &bytes[length..];
        receive(head.body, rest, head.header("content-encoding"), head.header("content-type"));
    }
    receive(Framing::Chunked, bytes, None, None);
    receive(Framing::Close, bytes, Some("gzip"), None);
    receive(Framing::Close, bytes, None, Some("application/openmetrics-text"));
    receive(Framing::Close, bytes, None, None);
});

fn receive(framing: Framing, bytes: &[u8], encoding: Option<&str>, content_type: Option<&str>) {
    let Ok(mut body) = Body::new(framing) else { return };
    for piece in bytes.chunks(PIECE_BYTES) {
        let Ok(_) = body.take(piece) else { return };
    }
    let Some(body) = body.at_close() else { return };
    assert!(body.len() <= BODY_LIMIT_BYTES);
    let Ok(text) = answer::decode(body, encoding) else { return };
    assert!(text.len() <= BODY_LIMIT_BYTES);
    let Ok(samples) = answer::parse(text, content_type, framing) else { return };
    assert!(!samples.is_empty());
    for sample in samples.iter() {
        let owned = sample.to_sample().expect("what was read has no label twice");
        assert_eq!(owned.labels.len(), sample.labels().len());
    }
    store(&samples);
}

/// Twice the same answer, then its first half as another round, from a kubelet and from a collector.
fn store(samples: &Samples) {
    for sweep_interval_ms in [None, Some(1000)] {
        let store = Store::new(StoreSettings::default());
        for round in 0..3 {
            let started_ms = 1_700_000_000_000 + round * 15_000;
            let half = samples.len() / 2;
            let taken = if round == 2 { half } else { samples.len() };
            let samples: Samples =
                samples.iter().take(taken).filter_map(|sample| sample.to_sample().ok()).collect();
            let outcome = Outcome::Scraped { samples, sweep_interval_ms };
            store.accept(&Batch { node: "n".to_owned(), started_ms, finished_ms: started_ms, outcome });
            if let Ok(usage) = store.node("n", started_ms) {
                assert!(usage.window_ns > 0);
            }
            // A container that is served was named by a sample of its CPU time and one of its memory.
            assert!(store.counts(started_ms).containers as usize <= taken / 2);
        }
    }
}
