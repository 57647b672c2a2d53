//! The control plane itself, before anything of ours runs on it.
#![allow(clippy::disallowed_methods, reason = "edge: looks at what a plane has on this machine")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flyball_e2e::manifests::deployment;
use flyball_e2e::plane::{BUSYBOX_IMAGE, NODE, Needs, Part, Plane, Version};
use flyball_e2e::{MINUTE, SHORT, eventually};
use serde_json::json;

/// Set for the process that is killed while it has a plane.
const VICTIM: &str = "FLYBALL_E2E_VICTIM";

/// What it says when its plane runs; the plane's folder follows.
const READY: &str = "the victim's plane: ";

/// What the plane in `folder` still has on this machine.
fn left(folder: &Path, addresses: &[String]) -> Result<(), String> {
    let mark = format!("FLYBALL_PLANE={}", folder.display());
    let processes = std::fs::read_dir("/proc").expect("/proc is there").flatten().filter(|entry| {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes())
    });
    let mut left: Vec<_> = processes.map(|entry| format!("process {:?}", entry.file_name())).collect();
    let shown = Command::new("ip").args(["address"]).output().expect("ip starts");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    left.extend(addresses.iter().filter(|address| shown.contains(address.as_str())).cloned());
    if folder.exists() {
        left.push(folder.display().to_string());
    }
    if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
}

/// The addresses of the plane: all of its number.
fn addresses(plane: &Plane) -> Vec<String> {
    let number = plane.address().octets()[2];
    vec![format!("198.19.{number}."), format!("198.18.{number}."), format!("flyball-{number}")]
}

#[test]
fn users_have_the_rights_they_should() {
    let Some(plane) = Plane::shared(Needs::client()) else { return };
    plane.admin().ok(&["get", "nodes"]);
    plane.viewer().ok(&["get", "pods", "--all-namespaces"]);
    let refused = plane.viewer().fails(&["get", "secrets"]);
    assert!(refused.contains("forbidden"), "{refused}");
    let refused = plane.nobody().fails(&["get", "pods"]);
    assert!(refused.contains("forbidden"), "{refused}");
}

#[test]
fn restarts_are_survived() {
    let Some(plane) = Plane::shared(Needs::light().own_control_plane()) else { return };
    let place = plane.namespace("smoke-restart");
    place.ok(&["create", "configmap", "kept"]);
    plane.kill(Part::ApiServer);
    plane.start_part(Part::ApiServer);
    place.ok(&["get", "configmap", "kept"]);
    plane.restart(Part::Etcd);
    place.ok(&["get", "configmap", "kept"]);
    plane.remove_namespace("smoke-restart");
}

#[test]
fn a_service_leads_to_a_process() {
    let Some(plane) = Plane::shared(Needs::light().own_control_plane()) else { return };
    let place = plane.namespace("smoke-service");
    let listener =
        std::net::TcpListener::bind((plane.address(), 0)).expect("an address of the plane is bound");
    let target = listener.local_addr().expect("the listener has an address");
    plane.serve_group("smoke-service", "group", 443, target);
    let path = "/apis/smoke.flyball.io/v1";
    place.apply(&json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.smoke.flyball.io"},
        "spec": {
            "group": "smoke.flyball.io", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"namespace": "smoke-service", "name": "group"},
        },
    }));
    // The API server connects; that it is no TLS server ends the matter.
    listener.set_nonblocking(true).expect("the listener does not wait");
    eventually(
        SHORT,
        "the API server connects",
        || plane.state(),
        || listener.accept().map_err(|error| error.to_string()),
    );
    drop(listener);
    assert!(plane.admin().raw(path).is_err());
    place.ok(&["delete", "apiservice", "v1.smoke.flyball.io"]);
    plane.remove_namespace("smoke-service");
}

#[test]
fn real_pods_run_and_reach_the_api_server() {
    let Some(plane) = Plane::shared(Needs::client().containers().own_control_plane()) else { return };
    let place = plane.namespace("smoke-pods");
    // Plain HTTP on the port of the API server: its refusal shows that it was reached.
    let script = r#"printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 5 "$KUBERNETES_SERVICE_HOST" "$KUBERNETES_SERVICE_PORT"; \
        wc -c < /var/run/secrets/kubernetes.io/serviceaccount/token; exec sleep 100000"#;
    let container = json!({"image": BUSYBOX_IMAGE, "command": ["sh", "-c", script]});
    place.apply(&deployment("idle", 2, &container));
    place.eventually_available(MINUTE, "idle", 2);
    place.eventually_prints(SHORT, &["logs", "deployment/idle"], "HTTPS server");
    let user = place.ok(&["exec", "deployment/idle", "--", "id", "-u"]);
    assert_eq!(user.trim(), "0");
    let cadvisor = format!("/api/v1/nodes/{NODE}/proxy/metrics/cadvisor");
    place.eventually_prints(MINUTE, &["get", "--raw", &cadvisor], "container=\"app\"");
    plane.restart(Part::Kubelet);
    plane.restart(Part::Containerd);
    place.eventually_available(MINUTE, "idle", 2);
    plane.remove_namespace("smoke-pods");
}

#[test]
fn nothing_is_left_of_a_plane_that_ended() {
    let Some(plane) = Plane::alone(Needs::client().containers().own_control_plane()) else { return };
    plane.namespace("smoke-left").apply(&deployment(
        "stubborn",
        1,
        &json!({"image": BUSYBOX_IMAGE, "command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]}),
    ));
    plane.admin().in_namespace("smoke-left").eventually_available(MINUTE, "stubborn", 1);
    let (folder, addresses) = (plane.folder().to_owned(), addresses(&plane));
    drop(plane);
    assert_eq!(left(&folder, &addresses), Ok(()));
    let groups = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let groups: Vec<PathBuf> =
        groups.map(|tree| tree.path().join("kubepods")).filter(|path| path.exists()).collect();
    assert_eq!(groups, Vec::<PathBuf>::new());
}

#[test]
fn nothing_is_left_of_tests_that_were_killed() {
    let Some(plane) = Plane::alone(Needs::client().own_control_plane()) else { return };
    if std::env::var_os(VICTIM).is_some() {
        println!("\n{READY}{} {}", plane.folder().display(), addresses(&plane).join(" "));
        std::thread::sleep(MINUTE);
        panic!("nobody killed this process");
    }
    drop(plane);
    let own = std::env::current_exe().expect("the test knows its own path");
    let mut victim = Command::new(own)
        .args(["--exact", "smoke::nothing_is_left_of_tests_that_were_killed", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test starts once more");
    let output = BufReader::new(victim.stdout.take().expect("its output is a pipe"));
    let mut lines = output.lines().map_while(Result::ok);
    let ready = lines.find_map(|line| line.strip_prefix(READY).map(str::to_owned)).expect("its plane starts");
    let mut words = ready.split(' ').map(str::to_owned);
    let folder = PathBuf::from(words.next().expect("a folder"));
    let addresses: Vec<_> = words.collect();
    left(&folder, &addresses).expect_err("the plane runs");
    victim.kill().and_then(|()| victim.wait()).expect("the victim is killed");
    eventually(MINUTE, "nothing is left", String::new, || left(&folder, &addresses));
}

#[test]
fn a_given_cluster_serves_what_it_can() {
    let Some(plane) = Plane::shared(Needs::light().own_control_plane()) else { return };
    let run = |test: &str| {
        let mut command = Command::new(std::env::current_exe().expect("the test knows its own path"));
        command
            .args(["--exact", &format!("smoke::{test}")])
            .env("FLYBALL_E2E_KUBECONFIG", plane.admin_kubeconfig())
            .env("FLYBALL_E2E_ADDRESS", plane.address().to_string());
        let finished = flyball_e2e::run(command, "", MINUTE);
        assert!(finished.success() && finished.stdout.contains("1 passed"), "{finished}");
        finished
    };
    let served = run("users_have_the_rights_they_should");
    assert!(!served.stderr.contains("SKIPPED"), "{served}");
    let skipped = run("restarts_are_survived");
    assert!(
        skipped.stderr.contains("SKIPPED: smoke::restarts_are_survived: it needs power over"),
        "{skipped}"
    );
    eventually(
        MINUTE,
        "its users are gone",
        || plane.state(),
        || {
            let namespaces = plane.admin().ok(&["get", "namespaces"]);
            if namespaces.contains("flyball-e2e") { Err(namespaces) } else { Ok(()) }
        },
    );
}

/// The release of Kubernetes that a module file of the control plane names.
fn release(file: &str) -> String {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/controlplane")).join(file);
    let text = std::fs::read_to_string(path).expect("the module file is read");
    let version = text.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "));
    version.expect("the module file names Kubernetes").to_owned()
}

fn is_of_release(needs: Needs, file: &str) {
    let Some(plane) = Plane::shared(needs) else { return };
    let version = plane.admin().json(&["version"]);
    assert_eq!(version["serverVersion"]["gitVersion"].as_str(), Some(release(file).as_str()), "{version}");
}

#[test]
fn the_release_is_the_one_in_the_module_file() {
    is_of_release(Needs::client().own_control_plane(), "go.mod");
}

#[test]
fn the_release_is_the_older_one_when_asked_for() {
    is_of_release(Needs::client().version(Version::Oldest), "oldest.mod");
}
