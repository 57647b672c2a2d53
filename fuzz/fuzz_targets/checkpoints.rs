//! What is kept of an autoscaler's history: an entry is read or passed over; what was read is written and read the same,
//! its times can be moved, and decisions can be made on it.

#![no_main]

use std::sync::LazyLock;

use flyball_hpa::checkpoint::{Restored, Stored, ceiling, decode, encode, need, shift};
use flyball_hpa::compile::compile;
use flyball_hpa::decide::{Input, PodSamples, Rules, Scale, Settings, Snapshot, Trace, decide};
use flyball_model::autoscaling::{apply_defaults, v2};
use libfuzzer_sys::fuzz_target;

const NOW_MS: i64 = 1_700_000_000_000;
const CURRENT: i32 = 5;

/// Without and with behavior.
static RULES: LazyLock<[Rules; 2]> = LazyLock::new(|| {
    let rules = |behavior: &str| {
        let text = format!(
            r#"{{"metadata":{{"name":"web","namespace":"shop","annotations":{{"hpa.flyball.io/fallback-replicas":"3"}}}},
               "spec":{{"scaleTargetRef":{{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}},"maxReplicas":20{behavior}}}}}"#
        );
        let mut object: v2::HorizontalPodAutoscaler = serde_json::from_str(&text).expect("an autoscaler");
        apply_defaults(&mut object);
        compile(&object)
    };
    [
        rules(""),
        rules(r#","behavior":{"scaleUp":{"policies":[{"type":"Pods","value":4,"periodSeconds":60}]}}"#),
    ]
});

fuzz_target!(|text: &str| {
    let Some(Restored { mut history, pending }) = decode(text, NOW_MS) else { return };
    assert!(history.recommendations.iter().all(|rec| rec.at_ms <= NOW_MS));
    let again = decode(&encode(&history, None, pending), NOW_MS).expect("what was just written");
    assert_eq!((&again.history, again.pending), (&history, pending));
    if let Some(pending) = pending {
        let mut taken_back = history.clone();
        Restored::take_back(&mut taken_back, pending);
    }
    let settings = Settings::default();
    for rules in RULES.iter() {
        let missing = PodSamples { samples: Vec::new(), foreign: Vec::new(), requests: Ok(Vec::new()) };
        let snapshot = Snapshot {
            rules,
            settings: &settings,
            scale: Scale { spec_replicas: CURRENT, status_replicas: CURRENT },
            selector: Ok(()),
            pods: &[],
            inputs: &[Input::PerPod(missing)],
            scaled_to_zero: false,
        };
        let decision = decide(&snapshot, NOW_MS, &history, &mut Trace::on());
        assert!((0..=rules.max.max(CURRENT)).contains(&decision.desired), "{decision:?}");
        let mut after = history.clone();
        after.remember(&decision, NOW_MS);
        if decision.rescales() {
            after.record_rescale(rules.behavior.as_ref(), CURRENT, decision.desired, NOW_MS);
        }
        let _ = need(rules, &decision, &after, Stored::default(), NOW_MS, 15_000);
        let _ = ceiling(rules, &decision, &after, Stored::default(), NOW_MS, 15_000);
    }
    for by_ms in [-NOW_MS, NOW_MS] {
        shift(&mut history, by_ms);
    }
});
