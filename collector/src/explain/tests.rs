use super::*;
use crate::names::NameTable;
use crate::node_exporter::NodeExporter;
use crate::{Config, Names, SourceChoice, Sweeper, watch};
use flyball_apiserver::Query;
use std::sync::Arc;

/// A captured machine and one sweep over it.
struct Captured {
    files: Files,
    sweep: Sweep,
    root: PathBuf,
}

fn captured(name: &str) -> Captured {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    let pods: Vec<k8s_openapi::api::core::v1::Pod> =
        serde_json::from_str(&read_text(&root.join("pods.json")).unwrap()).unwrap();
    let mut table = NameTable::default();
    pods.iter().for_each(|pod| table.apply(&watch::facts(pod).unwrap()));
    let names = Names::default();
    names.publish(table);
    let config = Config {
        source: SourceChoice::Tree(root.clone()),
        proc_root: root.join("proc"),
        ..Config::new("node1")
    };
    let mut sweeper = Sweeper::new(&config, Arc::new(names)).unwrap();
    let sweep = sweeper.sweep_once().clone();
    let machine = Places::find(&config.proc_root, &root.join("sys"), &root, "node1");
    let proc_root = config.proc_root.clone();
    let files = Files { plan: sweeper.plan().clone(), source: sweeper.source(), proc_root, machine };
    Captured { files, sweep, root }
}

impl Captured {
    fn explain(&self, query: &str) -> Result<Value, String> {
        let look = |question: &Question, now_unix_ms| {
            let (disk, machine) = (DiskUse::default(), Machine { cores: Some(2), ..Machine::default() });
            let body = NodeExporter::new(&self.files.machine).render(Format::Text004);
            let node_body = question.is_of_node_endpoint().then_some(&*body);
            let seen = Seen { sweep: &self.sweep, disk: &disk, machine: &machine, node_body, now_unix_ms };
            question.look(&self.files, &seen)
        };
        let question = Question::parse(&Query::parse(query)).map_err(|refusal| refusal.message)?;
        let looks = [1_700_000_000_000, 1_700_000_001_000].map(|now| look(&question, now));
        let [Ok(first), Ok(second)] = looks else {
            return Err(looks.into_iter().find_map(Result::err).unwrap().message);
        };
        Ok(question.answer("node1", &self.files, &[first, second]))
    }
}

#[test]
fn a_value_down_to_the_text_of_the_file() {
    let machine = captured("v2-systemd-crio");
    let answer =
        machine.explain("metric=container_cpu_usage_seconds_total&pod=shop/web-5d9&container=app").unwrap();
    assert_eq!(answer["metric"]["type"], "counter");
    assert_eq!(answer["madeOf"], "cgroup v2");
    assert_eq!(answer["formula"], "cpu.stat usage_usec; microseconds / 1,000,000");
    let reading = &answer["readings"][0];
    assert_eq!(reading["time"], "2023-11-14T22:13:20Z");
    let group = answer["group"].as_str().unwrap();
    let path = join(&machine.files.plan.trees[0], group, "cpu.stat");
    let file = json!([{"path": path.to_string_lossy(), "key": "usage_usec", "text": "usage_usec 5000001"}]);
    assert_eq!(reading["files"], file);
    assert_eq!(reading["value"], 5.000_001);
    let exposed = |endpoint: &str| reading["exposed"][endpoint].as_array().unwrap().clone();
    assert!(exposed("/metrics/resource")[0].as_str().unwrap().contains("pod=\"web-5d9\"} 5.000001 "));
    let [line] = exposed("/metrics/cadvisor").try_into().unwrap();
    assert!(line.as_str().unwrap().contains(&format!("id=\"{group}\"")), "{line}");
    assert_eq!(answer["ratePerSecond"], 0.0);
}

#[test]
fn two_files_and_the_node() {
    let machine = captured("v1-cgroupfs");
    let pod = machine.sweep.pods.iter().find_map(|pod| pod.name.clone()).unwrap();
    let of_pod = format!("pod={}/{}", pod.namespace, pod.pod);
    let answer = machine.explain(&format!("metric=pod_memory_working_set_bytes&{of_pod}")).unwrap();
    let reading = &answer["readings"][1];
    assert_eq!(reading["files"].as_array().unwrap().len(), 2, "{answer:#}");
    let exposed = reading["exposed"]["/metrics/resource"][0].as_str().unwrap();
    let value: f64 = exposed.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(reading["value"], value, "{answer:#}");
    let answer = machine.explain("metric=node_memory_working_set_bytes").unwrap();
    let reading = &answer["readings"][0];
    let exposed = reading["exposed"]["/metrics/resource"][0].as_str().unwrap();
    let value: f64 = exposed.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(reading["value"], value, "{answer:#}");
    assert!(reading["files"][0]["path"].as_str().unwrap().starts_with(&*machine.root.to_string_lossy()));
    let error = machine.explain("metric=container_memory_rss&pod=shop/nobody").unwrap_err();
    assert!(error.contains("no pod shop/nobody on this node; the nearest are"), "{error}");
    assert!(machine.explain("").unwrap_err().contains("parameter metric"));
}

#[test]
fn what_has_no_name_is_explained_by_its_path() {
    let mut machine = captured("v1-systemd-comounted");
    let unnamed = machine.sweep.containers.iter().find(|one| one.name.is_none()).unwrap().path.to_string();
    let service = "/system.slice/kubelet.service".to_owned();
    let pod = machine.sweep.pods[0].path.to_string();
    // What a kubelet's folder may be in: systemd writes some letters so.
    let hostile = "/a\\x2db\"\n/kubepods.slice".to_owned();
    let mut system = machine.sweep.system[0].clone();
    system.path = hostile.as_str().into();
    machine.sweep.system.push(system);
    for id in [unnamed, service, pod, hostile] {
        let asked: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer =
            machine.explain(&format!("metric=container_cpu_usage_seconds_total&id={asked}")).unwrap();
        assert_eq!(answer["group"], id, "{answer:#}");
        let series = answer["readings"][0]["exposed"]["/metrics/cadvisor"].as_array().unwrap();
        assert_eq!(series.len(), 1, "{answer:#}");
        assert!(answer["readings"][0]["value"].is_number() || id.contains('"'), "{answer:#}");
    }
    let error = machine.explain("metric=container_memory_rss&id=/system.slice/kubelet.servic").unwrap_err();
    assert!(error.contains("nearest are /system.slice/kubelet.service"), "{error}");
}

#[test]
fn what_the_node_endpoint_exposes_is_explained() {
    let mut machine = captured("v1-cgroupfs");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/node_exporter");
    machine.files.machine = Places::find(&root.join("proc"), &root.join("sys"), &root, "node1");
    let body = NodeExporter::new(&machine.files.machine).render(Format::Text004);
    let names: std::collections::BTreeSet<&str> = body
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    assert!(names.len() > 100, "{}", names.len());
    let mut with_files = 0;
    for name in names {
        let answer = machine.explain(&format!("metric={name}")).unwrap();
        assert_eq!(answer["metric"]["name"], name);
        assert!(!answer["formula"].as_str().unwrap().is_empty(), "{answer:#}");
        for reading in answer["readings"].as_array().unwrap() {
            assert!(!reading["exposed"]["/metrics/node"].as_array().unwrap().is_empty(), "{answer:#}");
            let files = reading["files"].as_array().unwrap();
            // Where no zone is set, time is UTC: the file that could set one is named all the same.
            let may_lack = name == "node_time_zone_offset_seconds";
            assert!(may_lack || files.iter().all(|file| file["error"].is_null()), "{answer:#}");
            with_files += files.len().min(1);
        }
    }
    assert!(with_files > 150, "{with_files}");
    let answer = machine.explain("metric=node_memory_MemTotal_bytes").unwrap();
    let file = &answer["readings"][0]["files"][0];
    assert!(file["path"].as_str().unwrap().ends_with("proc/meminfo"), "{file}");
    assert!(file["text"].as_str().unwrap().starts_with("MemTotal:"), "{file}");
    assert!(machine.explain("metric=node_load1&pod=a/b").unwrap_err().contains("of the node"));
}

/// Every family of both endpoints, for each kind of group: what is exposed is explained, and what is one number of files
/// is that number.
#[test]
fn every_family_is_explained() {
    for name in ["v1-cgroupfs", "v1-systemd-comounted", "v2-systemd-crio", "hybrid-cgroupfs"] {
        let machine = captured(name);
        let container = machine.sweep.containers.iter().find_map(|one| one.name.clone()).unwrap();
        let of_pod = format!("pod={}/{}", container.pod.namespace, container.pod.pod);
        let groups = ["".to_owned(), of_pod.clone(), format!("{of_pod}&container={}", container.container)];
        let (mut values, mut exposed_series) = (0, 0);
        for metric in cadvisor::metrics().into_iter().chain(resource::metrics()) {
            for group in &groups {
                let Ok(answer) = machine.explain(&format!("metric={}&{group}", metric.name)) else {
                    continue;
                };
                let reading = &answer["readings"][0];
                let exposed: Vec<&str> = ["/metrics/cadvisor", "/metrics/resource"]
                    .iter()
                    .flat_map(|endpoint| reading["exposed"][endpoint].as_array().unwrap())
                    .map(|line| line.as_str().unwrap())
                    .collect();
                exposed_series += exposed.len();
                if let (Some(value), true) = (reading["value"].as_f64(), !exposed.is_empty()) {
                    let (_, rest) = exposed[0].rsplit_once("} ").or(exposed[0].split_once(' ')).unwrap();
                    let shown: f64 = rest.split(' ').next().unwrap().parse().unwrap();
                    assert!(
                        (shown - value).abs() < 1e-6 * shown.abs().max(1.0),
                        "{name} {group}\n{answer:#}"
                    );
                    values += 1;
                }
            }
        }
        assert!(values > 20 && exposed_series > 40, "{name}: {values} values, {exposed_series} series");
    }
}

/// The words of every row name files that the collector reads, so that they can be found and shown.
#[test]
fn the_words_of_every_row_name_known_files() {
    for (name, of_v2) in [("v1-cgroupfs", false), ("v2-systemd-crio", true)] {
        let plan = captured(name).files.plan;
        for metric in cadvisor::metrics().into_iter().chain(resource::metrics()) {
            let words = if of_v2 { metric.source.v2 } else { metric.source.v1 };
            for term in terms::parse(words, &["2MB"]).terms {
                let optional = ["hugetlb.", "blkio.", "io.", "memory.swap.", "pids.", "cpu.", "cpu.pressure"];
                let known = term.file.starts_with("/proc/")
                    || tree_of(&plan, &term.file).is_some()
                    || term.file.ends_with(".pressure")
                    || optional.iter().any(|start| term.file.starts_with(start));
                assert!(known, "{name}: {} of {}", term.file, metric.name);
            }
        }
    }
}

/// Every field of a summary, at each of its levels.
#[test]
fn every_field_of_the_summary_is_explained() {
    for name in ["v1-systemd-comounted", "v2-systemd-crio", "hybrid-cgroupfs"] {
        let machine = captured(name);
        let container = machine.sweep.containers.iter().find_map(|one| one.name.clone()).unwrap();
        let of_pod = format!("pod={}/{}", container.pod.namespace, container.pod.pod);
        let groups = ["".to_owned(), of_pod.clone(), format!("{of_pod}&container={}", container.container)];
        let disk = DiskUse::default();
        let whole = summary::summary(&machine.sweep, &disk, "node1", None, summary::Extent::All);
        let whole = serde_json::to_value(whole).unwrap();
        let pod =
            whole["pods"].as_array().unwrap().iter().find(|pod| pod["podRef"]["name"] == *container.pod.pod);
        let pod = pod.unwrap();
        let named = |one: &&Value| one["name"] == *container.container;
        let levels = [&whole["node"], pod, pod["containers"].as_array().unwrap().iter().find(named).unwrap()];
        let mut values = 0;
        for (group, level) in groups.iter().zip(levels) {
            let mut paths = Vec::new();
            leaves(level, String::new(), &mut paths);
            for path in paths {
                let answer = machine.explain(&format!("metric={path}&{group}")).unwrap();
                let reading = &answer["readings"][0];
                let exposed = reading["exposed"]["/stats/summary"].as_array().unwrap();
                let line =
                    exposed.first().unwrap_or_else(|| panic!("{name} {group}: {answer:#}")).as_str().unwrap();
                assert!(line.starts_with(&format!("{path} ")), "{line}");
                assert!(!answer["formula"].as_str().unwrap().is_empty());
                let shown = line.split(' ').nth(1).unwrap().parse::<f64>();
                if let (Some(value), Ok(shown), false) =
                    (reading["value"].as_f64(), shown, path.ends_with("NanoCores"))
                {
                    assert!((shown - value).abs() < 1e-6 * shown.max(1.0), "{name} {group}: {answer:#}");
                    values += 1;
                }
            }
        }
        assert!(values > 10, "{name}: {values}");
    }
}

/// Paths of the fields that have values, but for those that say of what they are.
fn leaves(value: &Value, path: String, to: &mut Vec<String>) {
    let Some(fields) = value.as_object() else {
        to.push(path);
        return;
    };
    for (name, value) in fields {
        let known =
            ["time", "name", "nodeName", "podRef", "containers", "systemContainers", "interfaces", "volume"];
        if !known.contains(&name.as_str()) {
            let dot = if path.is_empty() { "" } else { "." };
            leaves(value, format!("{path}{dot}{name}"), to);
        }
    }
}
