//! Selectors, names, durations and times of the API.

#![no_main]

use flyball_model::selector::{FieldSelector, LabelSelector};
use flyball_model::{names, time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(selector) = LabelSelector::parse(text) {
        let _ = selector.matches(|_| Some(text));
        for requirement in selector.requirements() {
            assert!(names::label_key(requirement.key()).is_empty(), "{requirement:?}");
        }
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        let _ = selector.matches(|_| Some(text));
    }
    if let Ok(value) = serde_json::from_str(text) {
        let _ = LabelSelector::from_json(&value);
    }
    let _ = (names::dns1123_label(text), names::dns1123_subdomain(text), names::label_value(text));
    let _ = names::path_segment(text);
    if let Some(unix_ms) = time::parse_rfc3339_ms(text) {
        let _ = time::rfc3339_seconds(unix_ms);
    }
    if let Some(duration) = time::parse_go_duration(text) {
        let shown = time::go_duration(duration.as_nanos().try_into().unwrap());
        assert_eq!(time::parse_go_duration(&shown), Some(duration), "{text:?} is shown as {shown:?}");
    }
});
