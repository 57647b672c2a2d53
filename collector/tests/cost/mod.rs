//! How many series each family of `/metrics/cadvisor` has, counted in a body about one pod that has everything.

use flyball_collector::cadvisor;
use flyball_collector::details::{Details, Interface, Traffic};
use flyball_collector::devices::disk_totals;
use flyball_collector::disk::walk::Amount;
use flyball_collector::disk::{ContainerUse, DiskUse, Space, Use};
use flyball_collector::layout::Qos;
use flyball_collector::machine::Machine;
use flyball_collector::mounts::{CgroupMount, Hierarchies};
use flyball_collector::names::{ContainerName, PodName};
use flyball_collector::sample::{ContainerReading, Cpu, Memory, PodReading, Reading, Swap, Sweep};
use flyball_collector::selection::{Families, Selection};
use flyball_model::exposition::{Event, Format, Reader};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

/// Of the node's root, a pod's group, a container's, a sandbox's; and without a group.
type Counts = [usize; 5];

const POD: &str = "/kubepods/pod1";
const CONTAINER: &str = "/kubepods/pod1/app";
const SANDBOX: &str = "/kubepods/pod1/sandbox";
/// Pods of the node of the summary lines.
const PODS: usize = 100;

/// What the kernel might say in a file of a group of v2.
fn text_of(file: &str) -> &'static [u8] {
    match file {
        "cpu.stat" => {
            b"usage_usec 1\nuser_usec 1\nsystem_usec 1\nnr_periods 1\nnr_throttled 1\nthrottled_usec 1\nnr_bursts 1\nburst_usec 1\n"
        }
        "cpu.max" => b"100000 100000\n",
        "memory.stat" => {
            b"anon 1\nfile 1\nkernel 1\nfile_mapped 1\nfile_dirty 1\nfile_writeback 1\ninactive_file 1\nactive_file 1\n\
              workingset_refault_anon 1\nworkingset_refault_file 1\npgscan 1\npgsteal 1\npgfault 1\npgmajfault 1\n"
        }
        "memory.events" => b"low 0\nhigh 1\nmax 1\noom 1\noom_kill 1\n",
        "io.stat" => b"8:0 rbytes=1 wbytes=1 rios=1 wios=1 dbytes=0 dios=0\n",
        file if file.ends_with(".pressure") => {
            b"some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"
        }
        _ => b"1\n",
    }
}

/// As [`details`], with what only the machine has.
fn node_details() -> Arc<Details> {
    let mut details = Details::clone(&details(true));
    details.disks.extend(disk_totals(b"8 0 sda 1 1 1 1 1 1 1 1 1 1 1\n"));
    Arc::new(details)
}

fn details(has_network: bool) -> Arc<Details> {
    let controllers = ["cpu", "memory", "pids", "io"].map(str::to_owned).to_vec();
    let mount = CgroupMount { root: "/".to_owned(), mount_point: "/".into(), unified: true, controllers };
    let mut details = Details { unix_ms: 1, ..Details::default() };
    for reader in Hierarchies::settle(&[mount]).unwrap().plan(&[]).slow {
        (reader.take)(text_of(&reader.file), reader.argument, &mut details);
    }
    if has_network {
        let traffic = Traffic { bytes: 1, packets: 1, errors: 1, dropped: 1 };
        details.network.push(Interface { name: "eth0".into(), receive: traffic, transmit: traffic });
    }
    Arc::new(details)
}

fn sweep() -> Sweep {
    let unix_ms = 1_700_000_000_000;
    let reading = Reading {
        cpu: Some(Cpu { usage_ns: 1, unix_ms }),
        memory: Some(Memory {
            usage_bytes: Some(1),
            working_set_bytes: Some(1),
            rss_bytes: Some(1),
            unix_ms,
        }),
        swap: Some(Swap { usage_bytes: 1, limit_bytes: None, unix_ms }),
        start_unix_ms: Some(unix_ms),
        created_unix_ms: Some(unix_ms),
        ..Reading::default()
    };
    let pod = Arc::new(PodName { namespace: "shop".to_owned(), pod: "web".to_owned() });
    let container = |path: &str, is_sandbox: bool| ContainerReading {
        id: path.into(),
        pod_uid: "1".into(),
        name: (!is_sandbox).then(|| {
            let (container, image) = ("app".to_owned(), "image".to_owned());
            Arc::new(ContainerName { container, image, pod: pod.clone(), started_unix_ms: None })
        }),
        pod_name: Some(pod.clone()),
        looks_like_sandbox: is_sandbox,
        reading,
        path: path.into(),
        details: details(is_sandbox),
    };
    Sweep {
        sequence: 1,
        finished_unix_ms: unix_ms,
        node: reading,
        node_details: node_details(),
        pods: vec![PodReading {
            uid: "1".into(),
            qos: Qos::Guaranteed,
            name: Some(pod.clone()),
            reading,
            path: POD.into(),
            details: details(false),
        }],
        containers: vec![container(CONTAINER, false), container(SANDBOX, true)],
        ..Sweep::default()
    }
}

fn disk() -> DiskUse {
    let used = Use {
        amount: Amount { bytes: 1, inodes: Some(1) },
        space: Some(Space::default()),
        device: (8, 0),
        unix_ms: 1_700_000_000_000,
    };
    let of_container = ContainerUse { root: Some(used), logs: Some(used) };
    DiskUse { containers: HashMap::from([(Arc::from(CONTAINER), of_container)]), ..DiskUse::default() }
}

fn count(set: &str) -> BTreeMap<String, Counts> {
    let machine = Machine {
        cores: Some(1),
        physical_cores: Some(1),
        sockets: Some(1),
        memory_bytes: Some(1),
        swap_bytes: Some(1),
        ..Machine::default()
    };
    let selection = Selection::new(set.parse::<Families>().unwrap(), [], &cadvisor::metrics()).unwrap();
    let body = cadvisor::render(&sweep(), &disk(), &machine, &selection, Format::Text004);
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    for event in Reader::new(&body, Format::Text004) {
        let Event::Sample(sample) = event.unwrap() else { continue };
        let at = match sample.label("id") {
            Some("/") => 0,
            Some(POD) => 1,
            Some(CONTAINER) => 2,
            Some(SANDBOX) => 3,
            _ => 4,
        };
        counts.entry(sample.name.to_owned()).or_default()[at] += 1;
    }
    counts
}

/// The section of the page.
pub fn page() -> String {
    let mut page = "\n## What `/metrics/cadvisor` costs\n\n\
        Series of each family, counted in the answer of a node of control groups v2 about one pod with a limit on CPU, one disk and\n\
        one interface, with `--disk-usage`. Each further disk or interface adds as many again to the families that have them as a\n\
        label. The groups above the pods (`/kubepods`, its classes, the services of the kubelet and the runtime) cost what a pod's\n\
        group costs. A node with 100 such pods has:\n\n\
        | set | series |\n|---|---|\n"
        .to_owned();
    for set in ["resource", "dashboards", "full"] {
        let sum = |at: usize| count(set).values().map(|counts| counts[at]).sum::<usize>();
        let _ = writeln!(page, "| {set} | {} |", sum(0) + sum(4) + PODS * (sum(1) + sum(2) + sum(3)));
    }
    page += "\n| metric | node | each pod | each container | each sandbox |\n|---|---|---|---|---|\n";
    for (name, [node, pod, container, sandbox, other]) in count("full") {
        let _ = writeln!(page, "| `{name}` | {} | {pod} | {container} | {sandbox} |", node + other);
    }
    page
}
