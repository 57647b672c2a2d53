//! Answers of a server with Prometheus' API: they are read or refused in words, and values become thousandths or are left
//! out.

#![no_main]

use std::collections::BTreeMap;

use flyball_adapter::backends::Answer;
use flyball_adapter::backends::wire::{Envelope, OneMetadata, QueryData, SeriesData, types};
use flyball_adapter::rules::{Grouped, NonFinite, external_values};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Envelope { data: Some(data), .. }) = serde_json::from_slice::<Envelope<SeriesData>>(bytes) {
        assert!(data.found.len() <= data.count);
    }
    if let Ok(Envelope { data: Some(data), .. }) =
        serde_json::from_slice::<Envelope<BTreeMap<String, Vec<OneMetadata>>>>(bytes)
    {
        let _ = types(data);
    }
    let Ok(Envelope { data: Some(data), warnings, .. }) =
        serde_json::from_slice::<Envelope<QueryData>>(bytes)
    else {
        return;
    };
    match data.answer(warnings.unwrap_or_default()) {
        Err(reason) => assert!(!reason.is_empty()),
        Ok(Answer::Scalar { .. }) => {}
        Ok(Answer::Vector { samples, .. }) => {
            let objects: Vec<String> =
                samples.iter().filter_map(|sample| sample.labels.get("pod").map(str::to_owned)).collect();
            for non_finite in [NonFinite::LeaveOut, NonFinite::Zero] {
                let values = external_values(&samples, non_finite);
                assert_eq!(values.items.len() + values.left_out.len(), samples.len());
                for namespace_label in [None, Some("namespace")] {
                    let grouped = Grouped::of(&samples, "pod", namespace_label);
                    if let Ok(values) = grouped.values(Some("shop"), &objects, non_finite) {
                        let all = values.items.len() + values.left_out.len() + values.without_sample.len();
                        assert_eq!(all, objects.len());
                    }
                }
            }
        }
    }
});
