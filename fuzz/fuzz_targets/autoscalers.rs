//! Autoscalers of either version: converted there and back, defaulted, validated, compiled, linted; annotations are read or
//! named as faults.

#![no_main]

use flyball_hpa::{compile, controls::Controls, lint, switches};
use flyball_model::autoscaling::{Gates, apply_defaults, convert, v1, v2, validate_create};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let Ok(object) = serde_json::from_str::<Value>(text) else { return };
    // A manifest, and a list of them.
    let objects = object["items"].as_array().cloned().unwrap_or_else(|| vec![object.clone()]);
    for finding in lint::lint(&objects) {
        assert!(!finding.field.is_empty() && !finding.message.is_empty());
    }
    for object in objects {
        if let Ok(old) = serde_json::from_value::<v1::HorizontalPodAutoscaler>(object.clone()) {
            autoscaler(convert::upgrade(old));
        }
        if let Ok(new) = serde_json::from_value::<v2::HorizontalPodAutoscaler>(object) {
            autoscaler(new);
        }
    }
});

fn autoscaler(mut given: v2::HorizontalPodAutoscaler) {
    let _ = validate_create(&given, Gates::default());
    apply_defaults(&mut given);
    let mut twice = given.clone();
    apply_defaults(&mut twice);
    assert_eq!(given, twice, "defaults stay");
    let errors = validate_create(&given, Gates::default());
    assert!(errors.iter().all(|error| !error.to_string().is_empty()));
    // What goes through the old version is the same as what went through it before.
    let once = convert::upgrade(convert::downgrade(given.clone()));
    assert_eq!(convert::upgrade(convert::downgrade(once.clone())), once);
    let rules = compile::compile(&given);
    assert_eq!(rules.metrics.len(), given.spec.metrics.len());
    let annotations = &given.metadata.annotations;
    let controls = Controls::of(annotations, rules.min, rules.max);
    assert!(switches::read(annotations).1.len() <= controls.faults.len());
}
