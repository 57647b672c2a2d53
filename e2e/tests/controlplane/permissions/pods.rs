//! Control groups of pods that have no processes: what a collector reads of the collected node.

use std::path::{Path, PathBuf};

use flyball_e2e::{MINUTE, eventually};
use serde_json::Value;

use super::objects::CGROUP_ROOT;
use super::scene::{COMMON, Scene};
use crate::shipped::list;

/// Control groups that were made; removed when dropped.
#[derive(Debug, Default)]
pub struct Groups(Vec<PathBuf>);

impl Groups {
    /// Makes those of a pod's containers, as a kubelet with a cgroup root of its own does.
    pub fn add(&mut self, scene: &Scene<'_>, pod: &str) {
        let path = format!("/api/v1/namespaces/{COMMON}/pods/{pod}");
        let (uid, ids) = eventually(
            MINUTE,
            "the pod runs",
            || scene.plane.state(),
            || {
                let object = scene.object(&path)?;
                let ids: Vec<_> = list(&object, "/status/containerStatuses").filter_map(id).collect();
                let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
                if ids.is_empty() { Err(object["status"].to_string()) } else { Ok((uid, ids)) }
            },
        );
        for tree in trees() {
            for id in &ids {
                self.make(&tree, &format!("{CGROUP_ROOT}/kubepods/besteffort/pod{uid}/{id}"));
            }
        }
    }

    fn make(&mut self, tree: &Path, path: &str) {
        let mut folder = tree.to_owned();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            // Of the unified hierarchy only: children have the controllers that are switched on above them.
            let _ = std::fs::write(folder.join("cgroup.subtree_control"), "+cpu +memory");
            folder.push(part);
            if !folder.is_dir() {
                std::fs::create_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
                self.0.push(folder.clone());
            }
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            // Fails only where another program put something into it.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// The id of a container, behind the name of its runtime.
fn id(status: &Value) -> Option<String> {
    Some(status["containerID"].as_str()?.split_once("://")?.1.to_owned())
}

/// Where the hierarchies that a collector reads are mounted.
fn trees() -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("the mounts are read");
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let all: Vec<_> = fields.filter(|fields| fields.len() > 3).collect();
    let has = |fields: &&Vec<&str>, option: &str| {
        fields[2] == "cgroup" && fields[3].split(',').any(|one| one == option)
    };
    let first: Vec<_> = all.iter().filter(|fields| has(fields, "cpuacct") || has(fields, "memory")).collect();
    let unified: Vec<_> = all.iter().filter(|fields| fields[2] == "cgroup2").collect();
    let chosen = if first.is_empty() { unified } else { first };
    chosen.iter().map(|fields| PathBuf::from(fields[1])).collect()
}
