//! Single pods: what they say when they cannot run, how they end, what they are limited to.

use flyball_local::registry::kinds::{CONFIGMAPS, PODS};
use flyball_local::rest::logs::{LogOptions, LogSource};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::cluster::{Cluster, container, groups_or_skip, is_alive, is_true, sessions_of};

fn shell(script: &str) -> Value {
    json!({"command": ["sh", "-c", script]})
}

fn quick() -> Value {
    json!({"terminationGracePeriodSeconds": 1})
}

fn waiting_reason(pod: &Value) -> &str {
    container(pod)["state"]["waiting"]["reason"].as_str().unwrap_or_default()
}

async fn log_of(cluster: &Cluster, pod: &Value, options: LogOptions) -> String {
    let mut chunks = cluster.runtime().logs().open("default", pod, "c", options).unwrap();
    let mut all = Vec::new();
    while let Some(chunk) = chunks.next().await {
        all.extend_from_slice(&chunk.unwrap());
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_run_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = groups_or_skip(dir.path(), "what_cannot_run_says_so") else { return };
    let cluster = Cluster::start(dir.path(), Some(root));
    cluster.create_pod("image", json!({"image": "nginx:1"}), quick());
    cluster.create_pod("command", json!({"command": ["no-such-command-anywhere"]}), quick());
    cluster.create_pod(
        "folder",
        json!({"command": ["sleep", "1"], "workingDir": "/no/such/folder"}),
        quick(),
    );
    let mut spec = quick();
    spec["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    cluster.create_pod(
        "volume",
        json!({"command": ["sleep", "1"], "volumeMounts": [{"name": "v", "mountPath": "/x"}]}),
        spec,
    );
    let from = json!([{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "later", "key": "k"}}}]);
    cluster.create_pod(
        "config",
        json!({"command": ["sh", "-c", "echo $X; sleep 1000"], "env": from}),
        quick(),
    );
    for (pod, reason, words) in [
        (
            "image",
            "ErrImageNeverPull",
            "it can run flyball.io/host (with `command`), helper; map another with --map",
        ),
        (
            "command",
            "CreateContainerError",
            "command \"no-such-command-anywhere\" does not exist on this machine",
        ),
        ("folder", "CreateContainerError", "workingDir \"/no/such/folder\" is no folder of this machine"),
        ("volume", "CreateContainerConfigError", "spec.containers[0].volumeMounts: "),
        ("config", "CreateContainerConfigError", "env \"X\": configmap \"later\" not found"),
    ] {
        let found = cluster.until(pod, &PODS, pod, |pod| waiting_reason(pod) == reason).await;
        assert_eq!(found["status"]["phase"], "Pending", "{pod}");
        let message = container(&found)["state"]["waiting"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{pod}: {message}");
        assert!(cluster.events().iter().any(|(reason, said)| reason == "Failed" && said == message), "{pod}");
    }
    cluster.create(&CONFIGMAPS, json!({"metadata": {"name": "later"}, "data": {"k": "found"}}));
    let running = cluster.until("config appears", &PODS, "config", |pod| is_true(pod, "Ready")).await;
    let read = async || log_of(&cluster, &running, LogOptions::default()).await;
    while read().await != "found\n" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for pod in ["image", "command", "folder", "volume", "config"] {
        cluster.delete(&PODS, pod);
    }
    cluster.until_no_pods().await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_loop_backs_off_and_keeps_the_logs() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = groups_or_skip(dir.path(), "crash_loop_backs_off_and_keeps_the_logs") else { return };
    let cluster = Cluster::start(dir.path(), Some(root));
    cluster.create_pod("crash", shell("echo run; echo oops >&2; exit 3"), quick());
    let pod =
        cluster.until("backing off", &PODS, "crash", |pod| waiting_reason(pod) == "CrashLoopBackOff").await;
    let status = container(&pod);
    // The first restart comes at once, the second after ten seconds.
    assert_eq!(
        (&status["restartCount"], &status["lastState"]["terminated"]["exitCode"]),
        (&json!(1), &json!(3))
    );
    assert_eq!((&pod["status"]["phase"], &status["ready"]), (&json!("Running"), &json!(false)));
    assert!(
        status["state"]["waiting"]["message"]
            .as_str()
            .unwrap()
            .starts_with("back-off 10s restarting failed container=c")
    );
    for previous in [false, true] {
        let mut lines: Vec<String> = log_of(&cluster, &pod, LogOptions { previous, ..LogOptions::default() })
            .await
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort();
        assert_eq!(lines, vec!["oops", "run"]);
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_decide_how_a_pod_ends() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = groups_or_skip(dir.path(), "policies_decide_how_a_pod_ends") else { return };
    let cluster = Cluster::start(dir.path(), Some(root));
    let with = |policy: &str| json!({"restartPolicy": policy, "terminationGracePeriodSeconds": 1});
    cluster.create_pod("done", shell("exit 0"), with("OnFailure"));
    // In a manifest `$$` stands for one dollar sign, so this is the shell's own process.
    cluster.create_pod("failed", shell("kill -9 $$$$"), with("Never"));
    let mut spec = with("Never");
    spec["initContainers"] = json!([
        {"name": "one", "image": "flyball.io/host", "command": ["sh", "-c", "echo first"]},
        {"name": "two", "image": "flyball.io/host", "command": ["sh", "-c", "exit 4"]}]);
    cluster.create_pod("init", shell("exit 0"), spec);
    let done = cluster.until("done", &PODS, "done", |pod| pod["status"]["phase"] == "Succeeded").await;
    assert_eq!(container(&done)["state"]["terminated"]["reason"], "Completed");
    let failed = cluster.until("failed", &PODS, "failed", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(container(&failed)["state"]["terminated"]["exitCode"], 137);
    let init = cluster.until("init", &PODS, "init", |pod| pod["status"]["phase"] == "Failed").await;
    let ends: Vec<&Value> = init["status"]["initContainerStatuses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|status| &status["state"]["terminated"]["exitCode"])
        .collect();
    assert_eq!(ends, vec![&json!(0), &json!(4)]);
    assert!(container(&init)["containerID"].is_null(), "the container never ran");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_enforced() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = groups_or_skip(dir.path(), "limits_are_enforced") else { return };
    let cluster = Cluster::start(dir.path(), Some(root));
    let resources = json!({"limits": {"cpu": "200m", "memory": "32Mi"}});
    cluster.create_pod("greedy", json!({"command": ["tail", "/dev/zero"], "resources": resources}), quick());
    let killed = cluster
        .until("killed", &PODS, "greedy", |pod| {
            container(pod)["lastState"]["terminated"]["reason"] == "OOMKilled"
        })
        .await;
    assert_eq!(killed["status"]["qosClass"], "Guaranteed");
    let calm =
        cluster.create_pod("calm", json!({"command": ["sleep", "1000"], "resources": resources}), quick());
    let calm = cluster
        .until("runs", &PODS, calm["metadata"]["name"].as_str().unwrap(), |pod| is_true(pod, "Ready"))
        .await;
    let id = container(&calm)["containerID"].as_str().unwrap().trim_start_matches("flyball://").to_owned();
    let folder = format!("kubepods/pod{}/{id}", calm["metadata"]["uid"].as_str().unwrap());
    let read = |file: &str| {
        let mut tops = cluster.tops().iter();
        tops.find_map(|top| std::fs::read_to_string(top.join(&folder).join(file)).ok())
    };
    let (memory, cpu) = if cluster.tops().len() == 1 {
        (
            read("memory.max"),
            read("cpu.max").map(|text| text.split(' ').next().unwrap_or_default().to_owned() + "\n"),
        )
    } else {
        (read("memory.limit_in_bytes"), read("cpu.cfs_quota_us"))
    };
    assert_eq!((memory.as_deref(), cpu.as_deref()), (Some("33554432\n"), Some("20000\n")));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_gate_readiness_and_restart() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = groups_or_skip(dir.path(), "probes_gate_readiness_and_restart") else { return };
    let cluster = Cluster::start(dir.path(), Some(root));
    let flag = dir.path().join("ready");
    let test = json!(["test", "-f", flag.display().to_string()]);
    let mut gated = shell("sleep 1000");
    gated["readinessProbe"] = json!({"exec": {"command": test}, "periodSeconds": 1});
    cluster.create_pod("gated", gated, quick());
    let mut sick = shell("trap '' TERM; sleep 1000");
    sick["livenessProbe"] =
        json!({"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1});
    cluster.create_pod("sick", sick, quick());
    let running = |pod: &Value| container(pod)["state"].get("running").is_some();
    let pod = cluster.until("runs", &PODS, "gated", running).await;
    assert!(!is_true(&pod, "Ready"));
    std::fs::write(&flag, "").unwrap();
    cluster.until("ready", &PODS, "gated", |pod| is_true(pod, "Ready")).await;
    std::fs::remove_file(&flag).unwrap();
    cluster.until("not ready again", &PODS, "gated", |pod| !is_true(pod, "Ready")).await;
    let pod = cluster.until("restarted", &PODS, "sick", |pod| container(pod)["restartCount"] == 1).await;
    // The shell ignores SIGTERM, so the grace period ran out.
    assert_eq!(container(&pod)["lastState"]["terminated"]["exitCode"], 137);
    let said = cluster.events();
    for (reason, words) in [
        ("Unhealthy", "Liveness probe failed: "),
        ("Killing", "Container c failed liveness probe, will be restarted"),
    ] {
        assert!(
            said.iter().any(|(why, message)| why == reason && message.starts_with(words)),
            "{reason}: {said:#?}"
        );
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_takes_descendants_along_and_is_graceful() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = groups_or_skip(dir.path(), "deletion_takes_descendants_along_and_is_graceful") else {
        return;
    };
    let cluster = Cluster::start(dir.path(), Some(root));
    let script = "setsid sleep 1000 & sleep 1000 & trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    cluster.create_pod("family", shell(script), json!({"terminationGracePeriodSeconds": 30}));
    let pod = cluster.until("ready", &PODS, "family", |pod| is_true(pod, "Ready")).await;
    cluster.until_true("three processes at least", || cluster.pids().len() >= 3).await;
    let pids = cluster.pids();
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    let (said, ()) = tokio::join!(log_of(&cluster, &pod, follow), async {
        cluster
            .until_true("it is up", || {
                let log =
                    cluster.dir.join("pods").join(pod["metadata"]["uid"].as_str().unwrap()).join("c/0.log");
                std::fs::read_to_string(log).is_ok_and(|text| text.contains("up"))
            })
            .await;
        cluster.delete(&PODS, "family");
    });
    assert!(said == "up\nbye\n" || said == "up\n", "{said:?}");
    cluster.until_no_pods().await;
    assert!(pids.iter().all(|pid| !is_alive(*pid)), "all descendants ended");
    assert!(cluster.container_folders().is_empty());
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_groups_processes_are_noted_and_end_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), None);
    assert!(!cluster.runtime().enforces_limits());
    cluster.create_pod("plain", shell("sleep 1000 & sleep 1000; true"), quick());
    let pod = cluster.until("ready", &PODS, "plain", |pod| is_true(pod, "Ready")).await;
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let id = container(&pod)["containerID"].as_str().unwrap().trim_start_matches("flyball://");
    let folder = dir.path().join("processes/kubepods/besteffort").join(format!("pod{uid}")).join(id);
    let root: i32 = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap().trim().parse().unwrap();
    cluster.until_true("the shell and its children", || sessions_of(&[root]).len() == 3).await;
    let pids = sessions_of(&[root]);
    cluster.delete(&PODS, "plain");
    cluster.until_no_pods().await;
    assert!(pids.iter().all(|pid| !is_alive(*pid)) && !folder.exists());
    cluster.shutdown().await;
}
