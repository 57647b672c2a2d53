//! Requests of pods, the denominator of utilisation.

use std::collections::BTreeMap;

/// Requests of one pod in milli-units, by resource name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodRequests {
    /// `spec.resources.requests`; `None` when the pod sets no pod-level requests.
    pub pod_level: Option<BTreeMap<String, i64>>,
    /// Containers, then init containers with `restartPolicy: Always`; ordinary init containers are left out.
    pub containers: Vec<ContainerRequests>,
}

/// Requests of one container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerRequests {
    /// Container's name.
    pub name: String,
    /// Requests in milli-units by resource name.
    pub requests: BTreeMap<String, i64>,
}

impl PodRequests {
    /// The pod's request of `resource`, or of its one `container`, in milli-units.
    ///
    /// # Errors
    ///
    /// Upstream's text, naming the container and the pod that lack the request.
    pub fn of(&self, pod: &str, resource: &str, container: Option<&str>) -> Result<i64, String> {
        match (container, &self.pod_level) {
            (None, Some(requests)) => requests
                .get(resource)
                .copied()
                .ok_or_else(|| format!("missing pod-level request for {resource} in Pod {pod}")),
            (None, None) => self
                .containers
                .iter()
                .try_fold(0_i64, |sum, each| Ok(sum.wrapping_add(each.of(pod, resource)?))),
            (Some(wanted), _) => self
                .containers
                .iter()
                .find(|each| each.name == wanted)
                .ok_or_else(|| format!("container {wanted} not found in Pod {pod}"))?
                .of(pod, resource),
        }
    }
}

impl ContainerRequests {
    fn of(&self, pod: &str, resource: &str) -> Result<i64, String> {
        let missing = || format!("missing request for {resource} in container {} of Pod {pod}", self.name);
        self.requests.get(resource).copied().ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, cpu_milli: i64) -> ContainerRequests {
        ContainerRequests { name: name.into(), requests: [("cpu".to_owned(), cpu_milli)].into() }
    }

    #[test]
    fn table() {
        let plain =
            PodRequests { pod_level: None, containers: vec![container("a", 100), container("b", 50)] };
        let pod_level = PodRequests { pod_level: Some([("cpu".to_owned(), 800)].into()), ..plain.clone() };
        assert_eq!(plain.of("p", "cpu", None), Ok(150), "R1");
        assert_eq!(pod_level.of("p", "cpu", None), Ok(800), "R2");
        assert_eq!(pod_level.of("p", "cpu", Some("a")), Ok(100), "R3");
        // The reader of pods leaves ordinary init containers out, so R4 is R1 on this rung.
        assert_eq!(plain.of("p", "cpu", None), Ok(150), "R4");
        let missing = |r: Result<i64, String>| r.unwrap_err();
        assert_eq!(
            missing(plain.of("p", "memory", None)),
            "missing request for memory in container a of Pod p"
        );
        assert_eq!(missing(plain.of("p", "cpu", Some("x"))), "container x not found in Pod p");
        assert_eq!(
            missing(pod_level.of("p", "memory", None)),
            "missing pod-level request for memory in Pod p"
        );
    }
}
