//! Random pods of one workload.

use fastrand::Rng;

use super::{percent, pick};
use crate::wire::{Amounts, Container, Pod};

/// Pods of a step, at most.
const MOST_PODS: i32 = 40;

/// What all pods of a case have in common.
pub struct Workload {
    template: Pod,
    /// How often something is odd, in percent.
    oddity: u32,
}

impl Workload {
    pub fn random(rng: &mut Rng) -> Self {
        let mut template = Pod { containers: vec![container(rng, "app")], ..Pod::default() };
        if percent(rng, 40) {
            template.containers.push(container(rng, "side"));
        }
        if percent(rng, 12) {
            template.init.push(Container { sidecar: rng.bool(), ..container(rng, "init") });
            template.init.push(Container { sidecar: rng.bool(), ..container(rng, "proxy") });
        }
        if percent(rng, 8) {
            template.pod_level = Some(some_amounts(rng));
        }
        if percent(rng, 4) {
            template.overhead = Some(some_amounts(rng));
        }
        Workload { template, oddity: pick(rng, &[0, 3, 15, 40]) }
    }

    /// Containers and init containers of most pods.
    pub fn containers(&self) -> (Vec<Container>, Vec<Container>) {
        (self.template.containers.clone(), self.template.init.clone())
    }

    /// As many as wanted, or a few more or less.
    pub fn pods(&self, rng: &mut Rng, now_ms: i64, wanted: i32) -> Vec<Pod> {
        let count = match rng.u32(..10) {
            0 => rng.i32(0..4),
            1 => wanted + rng.i32(1..4),
            2 => rng.i32(0..12),
            3 => wanted - 1,
            _ => wanted,
        };
        (0..count.clamp(0, MOST_PODS)).map(|index| self.pod(rng, now_ms, index)).collect()
    }

    fn pod(&self, rng: &mut Rng, now_ms: i64, index: i32) -> Pod {
        let mut pod = self.template.clone();
        pod.name = format!("web-{index:02}");
        pod.phase = "Running".to_owned();
        pod.start_ms = Some(now_ms - 3_600_000);
        pod.ready = "True".to_owned();
        pod.transition_ms = now_ms - 3_590_000;
        if percent(rng, self.oddity) {
            self.make_odd(rng, now_ms, &mut pod);
            if percent(rng, 20) {
                self.make_odd(rng, now_ms, &mut pod);
            }
        }
        pod
    }

    fn make_odd(&self, rng: &mut Rng, now_ms: i64, pod: &mut Pod) {
        match rng.u32(..12) {
            0 => pod.deleting = true,
            1 => pod.phase = pick(rng, &["Pending", "Failed", "Succeeded", "Unknown", ""]).to_owned(),
            2 => pod.phase = "Pending".to_owned(),
            3 => pod.start_ms = None,
            4 => pod.ready = pick(rng, &["", "Unknown", "False"]).to_owned(),
            5 => match rng.u32(..3) {
                0 => drop(pod.containers.first_mut().and_then(|first| first.requests.remove("cpu"))),
                1 => pod.pod_level = Some(some_amounts(rng)),
                _ => drop(pod.containers.pop()),
            },
            _ => {
                // Young, or old and about to be called never ready.
                let ages = [
                    0, 1_000, 30_000, 59_999, 60_500, 119_999, 120_000, 120_001, 299_999, 300_000, 300_001,
                    900_000,
                ];
                let start_ms = now_ms - pick(rng, &ages);
                let later = [0, 1_000, 9_999, 10_000, 10_001, 29_999, 30_000, 30_001, 45_000, 100_000];
                pod.start_ms = Some(start_ms);
                pod.transition_ms = start_ms + pick(rng, &later);
                pod.ready = pick(rng, &["True", "True", "False", "False", "Unknown"]).to_owned();
            }
        }
    }
}

fn container(rng: &mut Rng, name: &str) -> Container {
    let cpu = pick(rng, &[100, 1_000, 250, 1, 333, 0]);
    let mut requests = Amounts::from([("cpu".to_owned(), cpu)]);
    if percent(rng, 70) {
        requests.insert("memory".to_owned(), pick(rng, &[104_857_600_000, 1_000, 134_217_728_000]));
    }
    Container { name: name.to_owned(), requests, sidecar: false }
}

fn some_amounts(rng: &mut Rng) -> Amounts {
    let mut amounts = Amounts::new();
    for (name, values) in
        [("cpu", [100, 800]), ("memory", [104_857_600_000, 1_000]), ("nvidia.com/gpu", [1_000, 2_000])]
    {
        if rng.bool() {
            amounts.insert(name.to_owned(), pick(rng, &values));
        }
    }
    amounts
}
