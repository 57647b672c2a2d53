//! Quality of service and cgroup limits of a pod. Pure.
//!
//! Follows kubernetes/kubernetes `pkg/apis/core/v1/helper/qos` and `pkg/kubelet/cm/helpers_linux.go`.

use std::collections::BTreeMap;

use flyball_model::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

/// Period of CPU quotas in microseconds.
pub const PERIOD_US: u64 = 100_000;
/// Smallest quota the kernel takes, in microseconds.
const MIN_QUOTA_US: i64 = 1_000;
/// Smallest number of shares.
const MIN_SHARES: u64 = 2;
/// Largest number of shares the kernel takes.
const MAX_SHARES: u64 = 262_144;

/// Quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// CPU and memory limits everywhere, equal to the requests.
    Guaranteed,
    /// Some request or limit.
    Burstable,
    /// None.
    BestEffort,
}

impl Qos {
    /// As `status.qosClass` writes it.
    pub fn class(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }

    /// Folder below `kubepods`, with a trailing slash; guaranteed pods have none.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Guaranteed => "",
            Self::Burstable => "burstable/",
            Self::BestEffort => "besteffort/",
        }
    }
}

/// Settings of one cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Weight of CPU time under contention, v1 shares.
    pub cpu_shares: u64,
    /// CPU time per [`PERIOD_US`] in microseconds; `None` is unlimited.
    pub cpu_quota_us: Option<i64>,
    /// Memory in bytes; `None` is unlimited.
    pub memory_bytes: Option<i64>,
}

/// Requests and limits of one container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Resources {
    cpu_request_milli: Option<i64>,
    cpu_limit_milli: Option<i64>,
    memory_request_bytes: Option<i64>,
    memory_limit_bytes: Option<i64>,
}

type Quantities = Option<BTreeMap<String, ApiQuantity>>;

/// One entry of a resource list; `None` if absent, zero or no quantity.
fn entry(quantities: &Quantities, name: &str) -> Option<Quantity> {
    let text = &quantities.as_ref()?.get(name)?.0;
    text.parse().ok().filter(|quantity: &Quantity| !quantity.is_zero())
}

fn read(container: &Container) -> Resources {
    let Some(resources) = &container.resources else { return Resources::default() };
    let milli = |list: &Quantities| entry(list, "cpu").map(|cpu| cpu.milli_value());
    let bytes = |list: &Quantities| entry(list, "memory").map(|memory| memory.value());
    let (cpu_limit_milli, memory_limit_bytes) = (milli(&resources.limits), bytes(&resources.limits));
    Resources {
        // A limit without a request is the request, too.
        cpu_request_milli: milli(&resources.requests).or(cpu_limit_milli),
        memory_request_bytes: bytes(&resources.requests).or(memory_limit_bytes),
        cpu_limit_milli,
        memory_limit_bytes,
    }
}

fn all(spec: &PodSpec) -> impl Iterator<Item = Resources> {
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).map(read)
}

/// The pod's quality of service.
pub fn qos(spec: &PodSpec) -> Qos {
    if all(spec).all(|resources| resources == Resources::default()) {
        return Qos::BestEffort;
    }
    let guaranteed = all(spec).all(|resources| {
        resources.cpu_limit_milli.is_some()
            && resources.memory_limit_bytes.is_some()
            && resources.cpu_limit_milli == resources.cpu_request_milli
            && resources.memory_limit_bytes == resources.memory_request_bytes
    });
    if guaranteed { Qos::Guaranteed } else { Qos::Burstable }
}

/// Settings of one container's cgroup.
pub fn of_container(container: &Container) -> Limits {
    let resources = read(container);
    Limits {
        cpu_shares: shares(resources.cpu_request_milli.unwrap_or(0)),
        cpu_quota_us: resources.cpu_limit_milli.map(quota_us),
        memory_bytes: resources.memory_limit_bytes,
    }
}

/// Settings of the pod's cgroup: sums, or the largest init container; a limit only if every container has one.
pub fn of_pod(spec: &PodSpec) -> Limits {
    let running: Vec<Resources> = spec.containers.iter().map(read).collect();
    let starting: Vec<Resources> = spec.init_containers.iter().flatten().map(read).collect();
    let total = |field: fn(&Resources) -> Option<i64>| -> Option<i64> {
        let sum = running.iter().map(field).try_fold(0_i64, |sum, value| Some(sum.saturating_add(value?)))?;
        let largest = starting.iter().map(field).try_fold(0_i64, |most, value| Some(most.max(value?)))?;
        Some(sum.max(largest))
    };
    let requested: i64 = running.iter().filter_map(|resources| resources.cpu_request_milli).sum();
    let starting_request =
        starting.iter().filter_map(|resources| resources.cpu_request_milli).max().unwrap_or(0);
    Limits {
        cpu_shares: shares(requested.max(starting_request)),
        cpu_quota_us: total(|resources| resources.cpu_limit_milli).map(quota_us),
        memory_bytes: total(|resources| resources.memory_limit_bytes),
    }
}

fn shares(milli: i64) -> u64 {
    let shares = u64::try_from(milli).unwrap_or(0).saturating_mul(1024) / 1000;
    shares.clamp(MIN_SHARES, MAX_SHARES)
}

fn quota_us(milli: i64) -> i64 {
    (milli.saturating_mul(PERIOD_US as i64) / 1000).max(MIN_QUOTA_US)
}

/// cgroup v2 weight (1 to 10000) of v1 shares, as the kubelet converts.
pub fn weight(cpu_shares: u64) -> u64 {
    1 + (cpu_shares.clamp(MIN_SHARES, MAX_SHARES) - MIN_SHARES) * 9999 / (MAX_SHARES - MIN_SHARES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(containers: Value) -> PodSpec {
        serde_json::from_value(json!({ "containers": containers })).unwrap()
    }

    fn container(requests: Value, limits: Value) -> Value {
        json!({"name": "c", "resources": {"requests": requests, "limits": limits}})
    }

    #[test]
    fn classes() {
        for (id, containers, expected) in [
            ("nothing", json!([{"name": "c"}]), Qos::BestEffort),
            ("request", json!([container(json!({"cpu": "1m"}), json!({}))]), Qos::Burstable),
            ("cpu limit only", json!([container(json!({}), json!({"cpu": "1"}))]), Qos::Burstable),
            ("limits", json!([container(json!({}), json!({"cpu": "1", "memory": "1Gi"}))]), Qos::Guaranteed),
            (
                "equal in another form",
                json!([container(
                    json!({"cpu": "1000m", "memory": "1024Mi"}),
                    json!({"cpu": "1", "memory": "1Gi"})
                )]),
                Qos::Guaranteed,
            ),
            (
                "one without",
                json!([container(json!({}), json!({"cpu": "1", "memory": "1Gi"})), {"name": "d"}]),
                Qos::Burstable,
            ),
        ] {
            assert_eq!(qos(&spec(containers)), expected, "{id}");
        }
    }

    #[test]
    fn limits_of_containers_and_pods() {
        let two = spec(json!([
            container(json!({"cpu": "250m"}), json!({"cpu": "500m", "memory": "64Mi"})),
            container(json!({"cpu": "50m"}), json!({"cpu": "100m", "memory": "32Mi"})),
        ]));
        assert_eq!(
            of_container(&two.containers[0]),
            Limits { cpu_shares: 256, cpu_quota_us: Some(50_000), memory_bytes: Some(64 << 20) }
        );
        assert_eq!(
            of_pod(&two),
            Limits { cpu_shares: 307, cpu_quota_us: Some(60_000), memory_bytes: Some(96 << 20) }
        );
        let open = spec(json!([container(json!({}), json!({"cpu": "5m"})), {"name": "d"}]));
        assert_eq!(of_container(&open.containers[0]).cpu_quota_us, Some(1_000), "smallest quota");
        assert_eq!(of_pod(&open), Limits { cpu_shares: 5, cpu_quota_us: None, memory_bytes: None });
        assert_eq!(
            of_container(&open.containers[1]),
            Limits { cpu_shares: 2, cpu_quota_us: None, memory_bytes: None }
        );
    }

    #[test]
    fn weights() {
        assert_eq!((weight(2), weight(1024), weight(262_144)), (1, 39, 10_000));
    }
}
