//! Names of pods and containers from the API server: one watch, of the pods bound to this node.
//!
//! Runs beside the sweeps and only replaces the table of [`Names`]. While the API server is away the last table stays
//! in force; the watch comes back by itself, with growing pauses.

use crate::names::{
    ContainerFacts, NameTable, Names, OomKilledFacts, PodFacts, PodName, PodVolume, VolumeMount,
};
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{self as core, ContainerState, ContainerStatus, Pod, PodSpec, Volume};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
/// Annotation with the UID that a static pod's cgroups carry.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// What a kubelet gives as the reason when the first process of a container was killed for want of memory.
const OOM_KILLED: &str = "OOMKilled";

/// Keeps `names` filled with the pods of a node for as long as it is polled. `failed` is told of each error.
pub async fn watch_pods(client: Client, node_name: &str, names: &Names, mut failed: impl FnMut()) {
    let config = watcher::Config::default().fields(&format!("spec.nodeName={node_name}"));
    let mut events = watcher(Api::<Pod>::all(client), config).default_backoff().boxed();
    let mut filling = NameTable::default();
    let mut table = NameTable::default();
    // A lasting failure is logged once.
    let mut told = None;
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                // The first comes before anything was answered.
                if !matches!(event, Event::Init) && told.take().is_some() {
                    tracing::info!("watch of this node's pods works again");
                }
                if take(event, &mut table, &mut filling) {
                    names.publish(table.clone());
                }
            }
            Ok(None) => return,
            Err(error) => {
                let error = error.to_string();
                if told.as_ref() != Some(&error) {
                    tracing::warn!(error, "watch of this node's pods failed, trying again");
                    told = Some(error);
                }
                failed();
            }
        }
    }
}

/// Takes one event into the table; whether the table changed. A new list is gathered apart until it is complete.
fn take(event: Event<Pod>, table: &mut NameTable, filling: &mut NameTable) -> bool {
    match event {
        Event::Init => *filling = NameTable::default(),
        Event::InitApply(pod) => {
            if let Some(facts) = facts(&pod) {
                filling.apply(&facts);
            }
        }
        Event::InitDone => {
            *table = std::mem::take(filling);
            return true;
        }
        Event::Apply(pod) => match facts(&pod) {
            Some(facts) => {
                table.apply(&facts);
                return true;
            }
            None => return false,
        },
        Event::Delete(pod) => match pod.metadata.uid {
            Some(uid) => {
                table.remove(&uid);
                return true;
            }
            None => return false,
        },
    }
    false
}

/// What a pod says about its groups; `None` for an object without name or UID.
pub fn facts(pod: &Pod) -> Option<PodFacts> {
    let metadata = &pod.metadata;
    let uid = metadata.uid.clone()?;
    let hash = metadata.annotations.as_ref().and_then(|annotations| annotations.get(CONFIG_HASH));
    let mut containers = Vec::new();
    if let Some(status) = &pod.status {
        let lists = [
            &status.container_statuses,
            &status.init_container_statuses,
            &status.ephemeral_container_statuses,
        ];
        for container in lists.into_iter().flatten().flatten() {
            containers.extend(container_facts(container));
        }
    }
    Some(PodFacts {
        cgroup_uid: hash.cloned().unwrap_or_else(|| uid.clone()),
        uid,
        name: PodName { namespace: metadata.namespace.clone()?, pod: metadata.name.clone()? },
        containers,
        // A pod's status does not tell them.
        sandboxes: Vec::new(),
        volumes: pod.spec.as_ref().map(|spec| volumes(spec, metadata.name.as_deref().unwrap_or_default())),
    })
}

fn volumes(spec: &PodSpec, pod: &str) -> Vec<PodVolume> {
    let mut volumes: Vec<PodVolume> =
        spec.volumes.iter().flatten().map(|volume| pod_volume(volume, pod)).collect();
    let regular = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let regular = regular.map(|container| (&container.name, &container.volume_mounts));
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    let ephemeral = ephemeral.map(|container| (&container.name, &container.volume_mounts));
    for (container, mounts) in regular.chain(ephemeral) {
        for mount in mounts.iter().flatten() {
            let is_it = |volume: &&mut PodVolume| volume.claim.is_some() && volume.name == mount.name;
            let volume = volumes.iter_mut().find(is_it);
            volume.into_iter().for_each(|volume| volume.mounts.push(volume_mount(container, mount)));
        }
    }
    volumes
}

/// The claim of an ephemeral volume is made under the names of its pod and of the volume.
fn pod_volume(volume: &Volume, pod: &str) -> PodVolume {
    let named = volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone());
    let made = volume.ephemeral.as_ref().map(|_| format!("{pod}-{}", volume.name));
    PodVolume { name: volume.name.clone(), claim: named.or(made), mounts: Vec::new() }
}

fn volume_mount(container: &str, mount: &core::VolumeMount) -> VolumeMount {
    let names_a_part = |path: &Option<String>| path.as_ref().is_some_and(|path| !path.is_empty());
    VolumeMount {
        container: container.to_owned(),
        path: mount.mount_path.clone(),
        is_part: names_a_part(&mount.sub_path) || names_a_part(&mount.sub_path_expr),
    }
}

fn container_facts(status: &ContainerStatus) -> Option<ContainerFacts> {
    let id = status.container_id.clone().filter(|id| !id.is_empty())?;
    let running = status.state.as_ref().and_then(|state| state.running.as_ref());
    let started = running.and_then(|running| running.started_at.as_ref());
    Some(ContainerFacts {
        name: status.name.clone(),
        id,
        image: status.image.clone(),
        started_unix_ms: started.map(|at| at.0.as_millisecond()),
        created_unix_ms: None,
        oom_killed: oom_killed(status),
    })
}

/// Of the container that ended last: the one there is, or the one before it.
fn oom_killed(status: &ContainerStatus) -> Option<OomKilledFacts> {
    let ended = |state: &Option<ContainerState>| state.as_ref().and_then(|state| state.terminated.clone());
    let ended = ended(&status.state).or_else(|| ended(&status.last_state))?;
    let is_it = ended.reason.as_deref() == Some(OOM_KILLED);
    let id = ended.container_id.filter(|id| is_it && !id.is_empty())?;
    Some(OomKilledFacts { id, unix_ms: ended.finished_at?.0.as_millisecond() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(value: serde_json::Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    fn web(id: &str) -> Pod {
        pod(serde_json::json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u1"},
            "status": {
                "containerStatuses": [{"name": "app", "containerID": id, "image": "registry/web:1", "imageID": "",
                                       "ready": true, "restartCount": 0,
                                       "state": {"running": {"startedAt": "2026-01-01T00:00:07Z"}}}],
                "initContainerStatuses": [{"name": "init", "containerID": "containerd://i", "image": "registry/web:1",
                                           "imageID": "", "ready": true, "restartCount": 0}],
                "ephemeralContainerStatuses": [{"name": "debug", "image": "", "imageID": "",
                                                "ready": false, "restartCount": 0}],
            },
        }))
    }

    #[test]
    fn all_kinds_of_containers_that_have_an_id() {
        let facts = facts(&web("cri-o://a")).unwrap();
        assert_eq!(facts.cgroup_uid, "u1");
        let of = |name: &str, id: &str, started_unix_ms| ContainerFacts {
            name: name.to_owned(),
            id: id.to_owned(),
            image: "registry/web:1".to_owned(),
            started_unix_ms,
            created_unix_ms: None,
            oom_killed: None,
        };
        let expected = [of("app", "cri-o://a", Some(1_767_225_607_000)), of("init", "containerd://i", None)];
        assert_eq!(facts.containers, expected);
    }

    #[test]
    fn a_container_killed_for_want_of_memory() {
        let end = |reason: &str| {
            serde_json::json!({"terminated": {"reason": reason, "exitCode": 137, "containerID": "containerd://old",
                                              "finishedAt": "2026-01-01T00:00:09Z"}})
        };
        let killed = OomKilledFacts { id: "containerd://old".to_owned(), unix_ms: 1_767_225_609_000 };
        let running = serde_json::json!({"running": {}});
        for (name, state, last_state, expected) in [
            ("restarted", &running, end("OOMKilled"), Some(&killed)),
            ("not restarted", &end("OOMKilled"), serde_json::Value::Null, Some(&killed)),
            ("ended otherwise since", &end("Error"), end("OOMKilled"), None),
            ("never ended", &running, serde_json::Value::Null, None),
        ] {
            let pod = pod(serde_json::json!({
                "metadata": {"name": "web", "namespace": "shop", "uid": "u1"},
                "status": {"containerStatuses": [{
                    "name": "app", "containerID": "containerd://new", "image": "", "imageID": "", "ready": true,
                    "restartCount": 1, "state": state, "lastState": last_state,
                }]},
            }));
            let mut table = NameTable::default();
            let facts = facts(&pod).unwrap();
            assert_eq!(facts.containers[0].oom_killed.as_ref(), expected, "{name}");
            table.apply(&facts);
            assert_eq!(table.oom_killed("old").is_some(), expected.is_some(), "{name}");
            table.remove("u1");
            assert!(table.oom_killed("old").is_none());
        }
    }

    #[test]
    fn claims_of_volumes() {
        let pod = pod(serde_json::json!({
            "metadata": {"name": "web-0", "namespace": "shop", "uid": "u1"},
            "spec": {"containers": [{"name": "app", "volumeMounts": [
                {"name": "tmp", "mountPath": "/tmp"},
                {"name": "data", "mountPath": "/data", "subPath": "a"},
            ]}], "initContainers": [{"name": "prepare", "volumeMounts": [
                {"name": "data", "mountPath": "/all"},
            ]}], "volumes": [
                {"name": "tmp", "emptyDir": {}},
                {"name": "data", "persistentVolumeClaim": {"claimName": "web-data"}},
                {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            ]},
        }));
        let volumes = facts(&pod).unwrap().volumes.unwrap();
        let seen: Vec<_> = volumes.iter().map(|v| (v.name.as_str(), v.claim.as_deref())).collect();
        assert_eq!(seen, [("tmp", None), ("data", Some("web-data")), ("scratch", Some("web-0-scratch"))]);
        let mounts: Vec<_> =
            volumes[1].mounts.iter().map(|m| (m.container.as_str(), m.path.as_str(), m.is_part)).collect();
        assert_eq!(mounts, [("app", "/data", true), ("prepare", "/all", false)]);
        assert!(volumes[0].mounts.is_empty(), "nobody asks");
    }

    #[test]
    fn static_pods_by_their_hash() {
        let mirror = pod(serde_json::json!({"metadata": {
            "name": "etcd-node1", "namespace": "kube-system", "uid": "random",
            "annotations": {"kubernetes.io/config.hash": "0123456789abcdef0123456789abcdef"},
        }}));
        assert_eq!(facts(&mirror).unwrap().cgroup_uid, "0123456789abcdef0123456789abcdef");
    }

    #[test]
    fn a_new_list_replaces_the_old_one_only_when_complete() {
        let (mut table, mut filling) = (NameTable::default(), NameTable::default());
        assert!(take(Event::Apply(web("containerd://a")), &mut table, &mut filling));
        assert!(!take(Event::Init, &mut table, &mut filling));
        assert!(!take(Event::InitApply(web("containerd://b")), &mut table, &mut filling));
        assert!(table.container("a").is_some());
        assert!(take(Event::InitDone, &mut table, &mut filling));
        assert!(table.container("a").is_none() && table.container("b").is_some());
        assert!(take(Event::Delete(web("containerd://b")), &mut table, &mut filling));
        assert!(table.is_empty());
    }
}
