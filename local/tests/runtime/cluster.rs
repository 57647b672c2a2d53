//! A cluster without its HTTP server, and ways to wait for what it does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flyball_local::controllers::{self, ControllersConfig, Machine, NodeConfig};
use flyball_local::net::{self, Addresses, NetConfig, Network};
use flyball_local::registry::kinds::{ENDPOINTSLICES, EVENTS, PODS, Resource};
use flyball_local::registry::{DeleteOptions, Part, Registry};
use flyball_local::runtime::{Access, Images, Runtime, RuntimeConfig, cgroup_access};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything; only failures take it.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

pub struct Cluster {
    pub registry: Registry,
    pub dir: PathBuf,
    runtime: Option<Runtime>,
    tops: Vec<PathBuf>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    _network: Network,
}

/// Name of the top group for a folder.
pub fn group_name(dir: &Path) -> String {
    let sum = dir
        .display()
        .to_string()
        .bytes()
        .fold(7_u64, |sum, byte| sum.wrapping_mul(131).wrapping_add(u64::from(byte)));
    format!("/flyball-test-{sum:016x}")
}

/// The root for control groups, or `None` after saying aloud that the test is skipped.
pub fn groups_or_skip(dir: &Path, test: &str) -> Option<String> {
    match cgroup_access(&group_name(dir)) {
        Access::Direct { root } => Some(root),
        other => {
            eprintln!("SKIPPED {test}: control groups cannot be made here ({other:?})");
            None
        }
    }
}

impl Cluster {
    /// Starts in a folder; without a root processes are accounted without control groups.
    pub fn start(dir: &Path, root: Option<String>) -> Self {
        let registry = Registry::open(dir).unwrap();
        let network = Network::claim(&dir.display().to_string()).unwrap();
        let api_server = SocketAddr::from(([127, 0, 0, 1], 1));
        let machine = Machine::read();
        let node = NodeConfig {
            name: "here".to_owned(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            kubelet_port: None,
            max_pods: 110,
            machine: machine.clone(),
            version: "v0.0.0".to_owned(),
        };
        let tops = root.as_deref().map_or_else(|| vec![dir.join("processes")], group_tops);
        let config = RuntimeConfig {
            dir: dir.to_owned(),
            node_name: node.name.clone(),
            node_address: node.address,
            machine,
            cgroup_root: root,
            images: Images {
                burn_command: Vec::new(),
                mapped: BTreeMap::from([("helper".to_owned(), helper())]),
            },
            inherited_environment: BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]),
            api_server,
        };
        let net_config = NetConfig { services: network.services(), api_server };
        net::prepare(&registry, &net_config);
        let addresses = Arc::new(Addresses::new(network.pods()));
        let runtime = Runtime::start(registry.clone(), config, addresses).unwrap();
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(controllers::run(registry.clone(), ControllersConfig { node }, stop.clone()));
        tasks.spawn(net::run(registry.clone(), net_config, stop.clone()));
        Self { registry, dir: dir.to_owned(), runtime: Some(runtime), tops, stop, tasks, _network: network }
    }

    pub fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }

    /// Stops everything and checks that nothing is left.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.runtime.take().unwrap().shutdown().await;
        for top in &self.tops {
            assert!(!top.exists(), "{} is left", top.display());
        }
        self.registry.close();
    }

    pub fn create(&self, resource: &'static Resource, object: Value) -> Arc<Value> {
        self.registry.create(resource, "default", object).unwrap_or_else(|status| panic!("{status:?}"))
    }

    pub fn change(&self, resource: &'static Resource, name: &str, change: impl FnMut(&mut Value)) {
        self.registry.modify(resource, "default", name, Part::Spec, change).unwrap();
    }

    pub fn delete(&self, resource: &'static Resource, name: &str) {
        self.registry.delete(resource, "default", name, DeleteOptions::default()).unwrap();
    }

    /// A pod with one container, named `c`, of these words.
    pub fn create_pod(&self, name: &str, container: Value, spec: Value) -> Arc<Value> {
        let mut pod = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": spec});
        let mut full = json!({"name": "c", "image": "flyball.io/host"});
        merge(&mut full, container);
        pod["spec"]["containers"] = json!([full]);
        self.create(&PODS, pod)
    }

    /// Waits until the object is as wanted.
    pub async fn until(
        &self,
        what: &str,
        resource: &'static Resource,
        name: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Arc<Value> {
        let look = || self.registry.get(resource, "default", name).filter(|object| wanted(object));
        let start = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            if start.elapsed() > PATIENCE {
                let now = self.registry.get(resource, "default", name);
                panic!("{what}: never happened; {name} is {now:#?}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until something is true.
    pub async fn until_true(&self, what: &str, wanted: impl Fn() -> bool) {
        let start = Instant::now();
        while !wanted() {
            assert!(start.elapsed() < PATIENCE, "{what}: never happened");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until no pod is left.
    pub async fn until_no_pods(&self) {
        self.until_true("no pod is left", || self.pods().is_empty()).await;
    }

    pub fn pods(&self) -> Vec<Arc<Value>> {
        self.registry.list(&PODS, Some("default")).items
    }

    pub fn slices(&self) -> Vec<Arc<Value>> {
        self.registry.list(&ENDPOINTSLICES, Some("default")).items
    }

    /// Every event's reason and message.
    pub fn events(&self) -> Vec<(String, String)> {
        let events = self.registry.list(&EVENTS, Some("default")).items;
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        events.iter().map(|event| (text(event, "reason"), text(event, "message"))).collect()
    }

    /// Processes in the cluster's groups (or noted in the folders that stand in for them).
    pub fn pids(&self) -> BTreeSet<i32> {
        self.tops.iter().flat_map(|top| pids_below(top)).collect()
    }

    /// Container folders below the first top folder.
    pub fn container_folders(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        find_containers(&self.tops[0], &mut found);
        found
    }

    pub fn tops(&self) -> &[PathBuf] {
        &self.tops
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
        // The runtime's own drop kills everything, even while a test panics.
        drop(self.runtime.take());
    }
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}

/// This very test program as a server: see `services::serve_for_a_test`.
fn helper() -> Vec<String> {
    let program = std::env::current_exe().unwrap().display().to_string();
    ["--ignored", "--exact", "--nocapture", "services::serve_for_a_test"].into_iter().fold(
        vec![program],
        |mut words, word| {
            words.push(word.to_owned());
            words
        },
    )
}

pub fn group_tops(root: &str) -> Vec<PathBuf> {
    let root = root.trim_start_matches('/');
    let mount = Path::new("/sys/fs/cgroup");
    if mount.join("cgroup.controllers").exists() {
        return vec![mount.join(root)];
    }
    ["memory", "cpu", "cpuacct", "pids"].map(|controller| mount.join(controller).join(root)).to_vec()
}

pub fn pids_below(folder: &Path) -> Vec<i32> {
    let mut pids: Vec<i32> = std::fs::read_to_string(folder.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            pids.extend(pids_below(&entry.path()));
        }
    }
    pids
}

fn find_containers(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if entry.file_name().len() == 64 {
                found.push(path);
            } else {
                find_containers(&path, found);
            }
        }
    }
}

/// Processes of the sessions that these processes lead, themselves included.
pub fn sessions_of(roots: &[i32]) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let session = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        fields.split(' ').nth(3).and_then(|session| session.parse::<i32>().ok())
    };
    pids.filter(|pid| session(pid).is_some_and(|session| roots.contains(&session))).collect()
}

pub fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// True if the pod's condition of this kind is `True`.
pub fn is_true(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == kind && condition["status"] == "True")
}

/// The first container's status.
pub fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}
