//! A process that is killed at any of its requests, and another that goes on from what the cluster holds.

use super::fake::{Cluster, SCALE, cluster};
use crate::watch::Key;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

/// What the HPA of a run says about speed: pods and seconds up, window and pods and seconds down.
type Speed = Option<(i32, i32, i32, i32, i32)>;

fn behavior(speed: Speed) -> Value {
    let Some((up, up_period, window, down, down_period)) = speed else { return Value::Null };
    let pods = |value, seconds| json!([{ "type": "Pods", "value": value, "periodSeconds": seconds }]);
    json!({
        "scaleUp": { "stabilizationWindowSeconds": 0, "policies": pods(up, up_period) },
        "scaleDown": { "stabilizationWindowSeconds": window, "policies": pods(down, down_period) },
    })
}

/// A cluster with one HPA, and what became of its target.
struct Run {
    cluster: Cluster,
    key: Key,
    speed: Speed,
    /// Times and sizes of changes.
    moves: Vec<(i64, i32)>,
}

impl Run {
    fn new(speed: Speed) -> Self {
        let cluster = cluster(50);
        let key = cluster.hpa("web", json!({}));
        let run = Run { cluster, key, speed, moves: Vec::new() };
        run.show();
        run
    }

    /// The watch shows the HPA.
    fn show(&self) {
        let behavior = behavior(self.speed);
        self.cluster.edit_hpa("web", |object| {
            object["spec"]["maxReplicas"] = 20.into();
            if !behavior.is_null() {
                object["spec"]["behavior"] = behavior;
            }
        });
        self.cluster.shared.selectors.register(&self.key);
    }

    fn replicas(&self) -> i32 {
        let scale = self.cluster.fake.object(SCALE).unwrap();
        scale["spec"]["replicas"].as_i64().unwrap() as i32
    }

    /// Samples arrive.
    async fn usage(&self, percent: u32) {
        self.cluster.usage(percent);
        let shared = &self.cluster.shared;
        shared.answers.refresh(&("ns".into(), "app=web".into()), shared.steady_ms()).await;
    }

    async fn evaluate(&mut self) {
        let before = self.replicas();
        // One that is killed waits for ever for an answer.
        let _ = tokio::time::timeout(Duration::from_millis(1), self.cluster.reconcile(&self.key)).await;
        let change = self.replicas() - before;
        if change != 0 {
            self.moves.push((self.cluster.shared.now_ms(), change));
        }
    }
}

/// Demand as percent of the request (the target is 50), and the time until the next samples.
fn demand() -> impl Strategy<Value = Vec<(u32, i64)>> {
    prop::collection::vec((0..350_u32, 1_000..20_000_i64), 3..40)
}

fn speed() -> impl Strategy<Value = Speed> {
    prop::option::of((1..6_i32, 5..60_i32, 0..120_i32, 1..6_i32, 5..60_i32))
}

fn on_paused_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_kill_at_any_request_is_safe(
        demand in demand(),
        speed in speed(),
        at in 0..40_usize,
        requests in 0..8_usize,
        arrives in any::<bool>(),
        downtime_ms in 0..1_000_i64,
    ) {
        on_paused_time(async move {
            let (mut whole, mut killed) = (Run::new(speed), Run::new(speed));
            let at = at.min(demand.len() - 1);
            let (mut whole_shrank, mut diverged) = (false, false);
            for (step, (percent, pause_ms)) in demand.into_iter().enumerate() {
                for run in [&mut whole, &mut killed] {
                    run.cluster.advance(pause_ms);
                    run.usage(percent).await;
                }
                let (before, whole_before) = (killed.replicas(), whole.replicas());
                whole.evaluate().await;
                if step == at {
                    killed.cluster.fake.kill_after(requests, arrives);
                    killed.evaluate().await;
                    whole.cluster.advance(downtime_ms);
                    killed.cluster.advance(downtime_ms);
                    killed.cluster.restart().await;
                    killed.show();
                    killed.usage(percent).await;
                }
                killed.evaluate().await;
                if step == at {
                    prop_assert!(killed.replicas() >= whole.replicas(), "grows at most one evaluation later");
                }
                whole_shrank |= step >= at && whole.replicas() < whole_before;
                if step >= at && !diverged && killed.replicas() < before {
                    // Growth may come earlier after a kill, and going back on that is no loss.
                    prop_assert!(
                        whole_shrank || killed.replicas() >= whole.replicas(),
                        "step {step}: shrank to {}, an uninterrupted run had not yet", killed.replicas()
                    );
                    diverged = true;
                }
            }
            let Some((up, period_seconds, ..)) = speed else { return Ok(()) };
            let period_ms = i64::from(period_seconds) * 1000;
            for (then, _) in killed.moves.iter().filter(|(_, change)| *change > 0) {
                // Shrinking within the period gives budget back, by upstream's rule.
                let inside = killed.moves.iter().filter(|(at, _)| *at > then - period_ms && at <= then);
                let net: i32 = inside.map(|(_, change)| change).sum();
                prop_assert!(net <= up, "{net} replicas in {period_seconds} s, {up} allowed");
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_clock_that_is_set_changes_nothing(
        demand in demand(),
        speed in speed(),
        at in 0..40_usize,
        by_ms in prop::sample::select(vec![-86_400_000_i64, -3_600_000, -30_000, 30_000, 3_600_000, 86_400_000]),
    ) {
        on_paused_time(async move {
            let (mut steady, mut set) = (Run::new(speed), Run::new(speed));
            let at = at.min(demand.len() - 1);
            for (step, (percent, pause_ms)) in demand.into_iter().enumerate() {
                if step == at {
                    set.cluster.set_clock(by_ms);
                }
                for run in [&mut steady, &mut set] {
                    run.cluster.advance(pause_ms);
                    run.usage(percent).await;
                    run.evaluate().await;
                }
                prop_assert_eq!(steady.replicas(), set.replicas(), "step {}", step);
            }
            Ok(())
        })?;
    }
}
