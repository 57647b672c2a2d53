use super::*;
use crate::details::{MemoryDetails, Traffic};
use crate::disk::walk::Amount;
use crate::disk::{ContainerUse, NodeUse, Space};
use crate::layout::{Qos, SystemGroup};
use crate::names::ContainerName;
use crate::sample;
use std::collections::HashMap;
use std::sync::Arc;

fn sweep() -> Sweep {
    let name = Arc::new(PodName { namespace: "shop".to_owned(), pod: "web-1".to_owned() });
    let reading = Reading {
        cpu: Some(sample::Cpu { usage_ns: 5_000_000_000, unix_ms: 1_767_225_607_900 }),
        cpu_rate_nanocores: Some(250_000_000),
        memory: Some(sample::Memory {
            usage_bytes: Some(300),
            working_set_bytes: Some(200),
            rss_bytes: Some(100),
            unix_ms: 1_767_225_607_900,
        }),
        start_unix_ms: Some(1_767_225_600_000),
        ..Reading::default()
    };
    let traffic = Traffic { bytes: 7, packets: 1, errors: 2, dropped: 0 };
    let details = Arc::new(Details {
        unix_ms: 1_767_225_606_000,
        memory: MemoryDetails { limit: Some(Limit::Bytes(1_000)), ..MemoryDetails::default() },
        cpu_pressure: Some(Pressure {
            some: Stall { avg10_centipercent: 125, total_us: 9, ..Stall::default() },
            full: Some(Stall::default()),
        }),
        network: vec![Interface { name: "eth0".into(), receive: traffic, transmit: traffic }],
        ..Details::default()
    });
    let container = |container_name: Option<&str>, details: &Arc<Details>| ContainerReading {
        id: "id".into(),
        pod_uid: "uid".into(),
        name: container_name.map(|container| {
            Arc::new(ContainerName {
                container: container.to_owned(),
                pod: name.clone(),
                image: String::new(),
                started_unix_ms: None,
            })
        }),
        pod_name: Some(name.clone()),
        looks_like_sandbox: container_name.is_none(),
        reading,
        path: "/kubepods/poduid/id".into(),
        details: details.clone(),
    };
    let pod = |uid: &str, name| PodReading {
        uid: uid.into(),
        qos: Qos::Guaranteed,
        name,
        reading,
        path: "/kubepods/poduid".into(),
        details: Arc::default(),
    };
    let system = |whose, path: &str| sample::SystemReading {
        whose,
        reading: Reading { start_unix_ms: None, ..reading },
        path: path.into(),
        details: Arc::default(),
    };
    Sweep {
        system: vec![
            system(SystemGroup::Runtime, "/system.slice/containerd.service"),
            system(SystemGroup::Runtime, "/system.slice/docker.service"),
            system(SystemGroup::Pods, "/kubepods"),
            system(SystemGroup::Class(Qos::Burstable), "/kubepods/burstable"),
        ],
        pods: vec![pod("uid", Some(name.clone())), pod("unnamed", None)],
        containers: vec![container(Some("app"), &Arc::default()), container(None, &details)],
        node: reading,
        node_details: details.clone(),
        ..Sweep::default()
    }
}

/// Of every container of [`sweep`], and one volume.
fn disk() -> DiskUse {
    let used = |bytes| Use {
        amount: Amount { bytes, inodes: Some(2) },
        space: Some(Space { capacity_bytes: 900, available_bytes: 800, inodes: 70, inodes_free: 60 }),
        device: (8, 1),
        unix_ms: 1_767_225_605_000,
    };
    let container = ContainerUse { root: Some(used(10)), logs: Some(used(20)) };
    let volume = |name: &str, bytes, is_ephemeral, claim: Option<&str>| VolumeUse {
        name: name.to_owned(),
        claim: claim.map(str::to_owned),
        is_ephemeral,
        amount: used(bytes).amount,
        space: used(bytes).space,
        unix_ms: used(bytes).unix_ms,
    };
    let pod = PodUse {
        volumes: vec![
            volume("cache", 30, true, None),
            volume("data", 4_000, false, Some("web-data")),
            volume("token", 5_000, false, None),
        ],
        logs: Some(Amount { bytes: 100, inodes: Some(1) }),
        hosts: Some(Amount { bytes: 200, inodes: Some(1) }),
    };
    let runtime = RuntimeUse { bytes: None, inodes: 2, space: used(0).space, unix_ms: used(0).unix_ms };
    DiskUse {
        containers: HashMap::from([(Arc::from("id"), container)]),
        pods: HashMap::from([(Arc::from("uid"), pod)]),
        node: NodeUse {
            disks: Vec::new(),
            kubelet: Some(used(500)),
            images: Some(RuntimeUse { bytes: Some(600), ..runtime }),
            containers: Some(RuntimeUse { bytes: None, ..runtime }),
        },
    }
}

#[test]
fn inodes_that_nobody_tells_of_are_absent() {
    let mut disk = disk();
    let layer = disk.containers.values_mut().find_map(|used| used.root.as_mut()).unwrap();
    layer.amount.inodes = None;
    let found = serde_json::to_value(summary(&sweep(), &disk, "node1", None, Extent::All)).unwrap();
    let pod = &found["pods"][0];
    for place in [&pod["containers"][0]["rootfs"], &pod["ephemeral-storage"]] {
        assert!(place["usedBytes"].is_u64() && place.get("inodesUsed").is_none(), "{place}");
    }
    assert_eq!(pod["containers"][0]["logs"]["inodesUsed"], 2);
}

#[test]
fn shape_and_units() {
    let rlimit = Rlimit { time: Time(1_767_225_607_000), maxpid: 4_194_304, curproc: 321 };
    let found = serde_json::to_value(summary(&sweep(), &disk(), "node1", Some(rlimit), Extent::All)).unwrap();
    let cpu = serde_json::json!({
        "time": "2026-01-01T00:00:07Z", "usageNanoCores": 250_000_000, "usageCoreNanoSeconds": 5_000_000_000_u64
    });
    let memory = serde_json::json!({
        "time": "2026-01-01T00:00:07Z", "usageBytes": 300, "workingSetBytes": 200, "rssBytes": 100
    });
    let mut node_cpu = cpu.clone();
    node_cpu["psi"] = serde_json::json!({
        "full": {"total": 0, "avg10": 0.0, "avg60": 0.0, "avg300": 0.0},
        "some": {"total": 9, "avg10": 1.25, "avg60": 0.0, "avg300": 0.0}
    });
    let mut node_memory = memory.clone();
    node_memory["availableBytes"] = 800.into();
    let eth0 = serde_json::json!({"name": "eth0", "rxBytes": 7, "rxErrors": 2, "txBytes": 7, "txErrors": 2});
    let mut network = eth0.clone();
    network["time"] = "2026-01-01T00:00:06Z".into();
    network["interfaces"] = serde_json::json!([eth0]);
    let fs = |bytes: u64, inodes: u64| {
        serde_json::json!({
            "time": "2026-01-01T00:00:05Z", "availableBytes": 800, "capacityBytes": 900, "inodesFree": 60,
            "inodes": 70, "usedBytes": bytes, "inodesUsed": inodes
        })
    };
    let mut layers = fs(0, 2);
    layers.as_object_mut().unwrap().remove("usedBytes");
    let volume = |name: &str, bytes| {
        let mut volume = fs(bytes, 2);
        volume["name"] = name.into();
        volume
    };
    let mut data = volume("data", 4_000);
    data["pvcRef"] = serde_json::json!({"name": "web-data", "namespace": "shop"});
    let expected = serde_json::json!({
        "node": {
            "nodeName": "node1", "startTime": "2026-01-01T00:00:00Z", "cpu": node_cpu, "memory": node_memory,
            "systemContainers": [
                {"name": "pods", "cpu": cpu, "memory": memory},
                {"name": "runtime", "cpu": cpu, "memory": memory}
            ],
            "network": network, "fs": fs(500, 2), "runtime": {"imageFs": fs(600, 2), "containerFs": layers},
            "rlimit": {"time": "2026-01-01T00:00:07Z", "maxpid": 4_194_304, "curproc": 321}
        },
        "pods": [{
            "podRef": {"name": "web-1", "namespace": "shop", "uid": "uid"},
            "startTime": "2026-01-01T00:00:00Z",
            "containers": [{"name": "app", "startTime": "2026-01-01T00:00:00Z", "cpu": cpu, "memory": memory,
                "rootfs": fs(10, 2), "logs": fs(20, 2)}],
            "cpu": cpu, "memory": memory, "network": network,
            "volume": [volume("cache", 30), data, volume("token", 5_000)],
            "ephemeral-storage": fs(10 + 20 + 30 + 100 + 200, 8)
        }]
    });
    assert_eq!(found, expected, "{found:#}");
}

#[test]
fn pods_are_in_the_order_of_their_names() {
    let mut sweep = sweep();
    let name = |pod: &str| Some(Arc::new(PodName { namespace: "a".to_owned(), pod: pod.to_owned() }));
    for (uid, pod) in [("uid3", "second"), ("uid2", "first"), ("uid1", "second")] {
        let named = PodReading { uid: uid.into(), name: name(pod), ..sweep.pods[0].clone() };
        sweep.pods.push(named);
    }
    let disk = disk();
    let text =
        |sweep: &Sweep| serde_json::to_string(&summary(sweep, &disk, "node1", None, Extent::All)).unwrap();
    let found: serde_json::Value = serde_json::from_str(&text(&sweep)).unwrap();
    let uids: Vec<_> = found["pods"].as_array().unwrap().iter().map(|pod| &pod["podRef"]["uid"]).collect();
    assert_eq!(uids, ["uid2", "uid1", "uid3", "uid"]);
    assert!(text(&Sweep { pods: Vec::new(), ..sweep }).ends_with(",\"pods\":[]}"));
}

#[test]
fn a_container_that_ended_makes_way_for_its_successor() {
    let mut sweep = sweep();
    let (mut old, mut new) = (sweep.containers[0].clone(), sweep.containers[0].clone());
    (old.id, old.reading.start_unix_ms) = ("old".into(), Some(1_767_225_500_000));
    (new.id, new.reading.start_unix_ms) = ("new".into(), Some(1_767_225_700_000));
    new.reading.cpu = Some(sample::Cpu { usage_ns: 7, unix_ms: 1_767_225_707_000 });
    sweep.containers.extend([new, old]);
    let found = serde_json::to_value(summary(&sweep, &disk(), "node1", None, Extent::All)).unwrap();
    let containers = found["pods"][0]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1, "{found:#}");
    assert_eq!(containers[0]["cpu"]["usageCoreNanoSeconds"], 7);
}

#[test]
fn the_reduced_form_has_cpu_and_memory_only() {
    let found =
        serde_json::to_value(summary(&sweep(), &disk(), "node1", None, Extent::CpuAndMemory)).unwrap();
    let pod = &found["pods"][0];
    assert!(pod.get("network").is_none() && found["node"].get("rlimit").is_none(), "{found:#}");
    for field in ["network", "fs", "runtime"] {
        assert!(found["node"].get(field).is_none(), "{found:#}");
    }
    assert_eq!(found["node"]["systemContainers"][0]["name"], "pods");
    assert!(pod.get("cpu").is_some() && pod.get("memory").is_some());
}
