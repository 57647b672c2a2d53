//! Requests of pods, the denominator of utilisation.

use std::collections::BTreeMap;

/// Requests of one pod in milli-units, by resource name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PodRequests {
    /// What is asked for the pod as a whole; `None` when it sets no pod-level requests, so that its containers decide.
    whole: Option<BTreeMap<String, i64>>,
    /// Containers, then init containers with `restartPolicy: Always`; ordinary init containers are left out.
    containers: Vec<ContainerRequests>,
}

/// Resources that pod-level requests may name; others there have no effect.
fn is_pod_level(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || resource.starts_with("hugepages-")
}

/// Requests of one container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ContainerRequests {
    /// Container's name.
    pub name: String,
    /// Requests in milli-units by resource name.
    pub requests: BTreeMap<String, i64>,
}

impl PodRequests {
    /// From `spec.resources.requests`, `spec.overhead`, the containers, and the init containers in their order, each with
    /// whether it keeps running (`restartPolicy: Always`).
    pub fn new(
        pod_level: Option<BTreeMap<String, i64>>,
        overhead: BTreeMap<String, i64>,
        mut containers: Vec<ContainerRequests>,
        init: Vec<(ContainerRequests, bool)>,
    ) -> Self {
        let pod_level = pod_level.filter(|requests| requests.keys().any(|name| is_pod_level(name)));
        let whole = pod_level.map(|requests| {
            let mut whole = scheduled(&containers, &init);
            whole.extend(requests.into_iter().filter(|(name, _)| is_pod_level(name)));
            add(&mut whole, &overhead);
            whole
        });
        containers.extend(init.into_iter().filter(|(_, keeps_running)| *keeps_running).map(|(each, _)| each));
        PodRequests { whole, containers }
    }

    /// The pod's request of `resource`, or of its one `container`, in milli-units.
    ///
    /// # Errors
    ///
    /// Upstream's text, naming the container and the pod that lack the request.
    pub fn of(&self, pod: &str, resource: &str, container: Option<&str>) -> Result<i64, String> {
        match (container, &self.whole) {
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

/// What a scheduler counts: all that run at once, in the moment in which that is most.
fn scheduled(containers: &[ContainerRequests], init: &[(ContainerRequests, bool)]) -> BTreeMap<String, i64> {
    let (mut running, mut beside) = (BTreeMap::new(), BTreeMap::new());
    containers.iter().for_each(|each| add(&mut running, &each.requests));
    let mut peak: BTreeMap<String, i64> = BTreeMap::new();
    for (each, keeps_running) in init {
        let mut now = beside.clone();
        add(&mut now, &each.requests);
        if *keeps_running {
            add(&mut running, &each.requests);
            beside = now.clone();
        }
        raise(&mut peak, &now);
    }
    raise(&mut running, &peak);
    running
}

fn add(sum: &mut BTreeMap<String, i64>, more: &BTreeMap<String, i64>) {
    for (name, amount) in more {
        let entry = sum.entry(name.clone()).or_default();
        *entry = entry.wrapping_add(*amount);
    }
}

fn raise(highest: &mut BTreeMap<String, i64>, other: &BTreeMap<String, i64>) {
    for (name, amount) in other {
        let entry = highest.entry(name.clone()).or_insert(*amount);
        *entry = (*entry).max(*amount);
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

    fn of(pod_level: Option<i64>, init: &[(i64, bool)]) -> PodRequests {
        let cpu = |milli: i64| BTreeMap::from([("cpu".to_owned(), milli)]);
        let init = init.iter().map(|(milli, keeps_running)| (container("init", *milli), *keeps_running));
        let containers = vec![container("a", 100), container("b", 50)];
        PodRequests::new(pod_level.map(cpu), BTreeMap::new(), containers, init.collect())
    }

    #[test]
    fn table() {
        assert_eq!(of(None, &[]).of("p", "cpu", None), Ok(150), "R1");
        assert_eq!(of(Some(800), &[]).of("p", "cpu", None), Ok(800), "R2");
        assert_eq!(of(Some(800), &[]).of("p", "cpu", Some("a")), Ok(100), "R3");
        let r4 = PodRequests::new(
            None,
            BTreeMap::new(),
            vec![container("a", 100)],
            vec![(container("side", 50), true), (container("init", 20), false)],
        );
        assert_eq!(r4.of("p", "cpu", None), Ok(150), "R4");
        let error = |r: Result<i64, String>| r.unwrap_err();
        assert_eq!(
            error(of(None, &[]).of("p", "memory", None)),
            "missing request for memory in container a of Pod p"
        );
        assert_eq!(error(of(None, &[]).of("p", "cpu", Some("x"))), "container x not found in Pod p");
        assert_eq!(
            error(of(Some(800), &[]).of("p", "memory", None)),
            "missing pod-level request for memory in Pod p"
        );
    }

    /// What a pod-level request does not name is what the scheduler counts for the containers.
    #[test]
    fn pod_level_requests_fall_back_to_the_containers() {
        let memory = BTreeMap::from([("memory".to_owned(), 7)]);
        let overhead = BTreeMap::from([("cpu".to_owned(), 5)]);
        let pod = |init: Vec<(ContainerRequests, bool)>| {
            let containers = vec![container("a", 100), container("b", 50)];
            PodRequests::new(Some(memory.clone()), overhead.clone(), containers, init).of("p", "cpu", None)
        };
        assert_eq!(pod(Vec::new()), Ok(155));
        assert_eq!(pod(vec![(container("init", 400), false)]), Ok(405), "the start needs most");
        assert_eq!(pod(vec![(container("side", 20), true), (container("init", 140), false)]), Ok(175));
        let gpu = PodRequests::new(
            Some(BTreeMap::from([("nvidia.com/gpu".to_owned(), 1)])),
            BTreeMap::new(),
            vec![container("a", 100)],
            Vec::new(),
        );
        assert_eq!(gpu.of("p", "cpu", None), Ok(100), "a GPU cannot be asked for the whole pod");
    }
}
