//! Bad input: each gives one clear sentence that names the object and what to do, and loses nothing.
#![allow(
    clippy::disallowed_methods,
    reason = "edge: prepares folders and sockets that the program stumbles on"
)]

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flyball_e2e::manifests::{IDLE, script_deployment, script_pod};
use flyball_e2e::{
    Finished, Local, MINUTE, SHORT, Setup, Shared, Signal, can_be_ordinary, flyball_binary, has_kubectl,
    has_program, is_root, ordinary_program, run, skipped,
};
use serde_json::json;

static CLUSTER: Shared = Shared::new(Setup::default);

/// Longest way to the refusal of a start.
const REFUSAL_LIMIT: Duration = Duration::from_secs(30);

/// Checks that a start was refused with one sentence that holds all of `parts`; returns it.
#[track_caller]
fn refused(finished: &Finished, parts: &[&str]) -> String {
    assert!(finished.status.is_some_and(|status| status.code() == Some(1)), "must exit with 1: {finished}");
    assert!(!finished.stderr.contains("panicked"), "{finished}");
    let said: Vec<_> = finished.stderr.lines().filter(|line| line.starts_with("flyball: ")).collect();
    let [sentence] = said.as_slice() else { panic!("one sentence wanted: {finished}") };
    assert!(parts.iter().all(|part| sentence.contains(part)), "wanted {parts:?} in: {finished}");
    assert!(!finished.stdout.contains("kubeconfig:"), "it said that it was ready: {finished}");
    (*sentence).to_owned()
}

fn local(folder: &Path, listen: &str) -> Command {
    let mut command = Command::new(flyball_binary());
    command.arg("local").arg("--dir").arg(folder).args(["--listen", listen]);
    command
}

#[test]
fn a_malformed_manifest_is_refused_by_field() {
    let Some(kubectl) = CLUSTER.namespace("malformed") else { return };
    let mut wrong_type = script_deployment("wrong-type", 1, IDLE);
    wrong_type["spec"]["replicas"] = json!("three");
    let mut no_selector = script_deployment("no-selector", 1, IDLE);
    no_selector["spec"]["selector"] = json!({});
    let mut other_labels = script_deployment("other-labels", 1, IDLE);
    other_labels["spec"]["template"]["metadata"]["labels"] = json!({"app": "another"});
    let mut no_containers = script_deployment("no-containers", 1, IDLE);
    no_containers["spec"]["template"]["spec"]["containers"] = json!([]);
    let mut unknown_field = script_deployment("unknown-field", 1, IDLE);
    unknown_field["spec"]["template"]["spec"]["containers"][0]["comand"] = json!(["sleep"]);
    let mut unknown_kind = script_deployment("unknown-kind", 1, IDLE);
    unknown_kind["kind"] = json!("Deploiment");
    let mut quantity = script_deployment("quantity", 1, IDLE);
    quantity["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "lots"}});
    for (object, parts) in [
        (&wrong_type, &["replicas", "Deployment"] as &[&str]),
        (&no_selector, &["spec.selector", "no-selector"]),
        (&other_labels, &["spec.template.metadata.labels", "other-labels"]),
        (&no_containers, &["spec.template.spec.containers", "no-containers"]),
        (&unknown_field, &["unknown field", "comand"]),
        (&unknown_kind, &["Deploiment", "apps/v1"]),
        (&quantity, &["quantit"]),
    ] {
        let error = kubectl.fails_with_input(&["apply", "-f", "-"], &object.to_string());
        assert!(parts.iter().all(|part| error.contains(part)), "wanted {parts:?} in:\n{error}");
    }
    kubectl.fails_with_input(&["apply", "-f", "-"], "kind: Deployment\n  spec: {");
    assert_eq!(kubectl.ok(&["get", "deployments", "-o", "name"]), "");
}

#[test]
fn a_pod_with_an_unknown_command_says_so() {
    let Some(kubectl) = CLUSTER.namespace("no-command") else { return };
    let mut pod = script_pod("lost", "");
    pod["spec"]["containers"][0]["command"] = json!(["/no/such/program", "--flag"]);
    kubectl.apply(&pod);
    kubectl.eventually(MINUTE, "the container's state names the command and the reason", || {
        let pod = kubectl.json(&["get", "pod", "lost"]);
        let state = pod["status"]["containerStatuses"][0]["state"].to_string();
        let parts = ["container \\\"app\\\"", "command \\\"/no/such/program\\\"", "does not exist"];
        let told = parts.iter().all(|part| state.contains(part));
        if told { Ok(()) } else { Err(pod["status"].to_string()) }
    });
}

#[test]
fn a_pod_with_an_unknown_image_says_what_can_run() {
    let Some(kubectl) = CLUSTER.namespace("no-image") else { return };
    let mut pod = script_pod("lost", IDLE);
    pod["spec"]["containers"][0]["image"] = json!("example.com/unheard-of:1");
    kubectl.apply(&pod);
    let waiting = kubectl.eventually(MINUTE, "the container waits with a message", || {
        let pod = kubectl.json(&["get", "pod", "lost"]);
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        if waiting["message"].is_string() { Ok(waiting.to_string()) } else { Err(pod["status"].to_string()) }
    });
    for part in ["example.com/unheard-of:1", "flyball.io/host", "flyball.io/burn", "--map"] {
        assert!(waiting.contains(part), "no {part:?} in: {waiting}");
    }
    assert_eq!(kubectl.ok(&["get", "pod", "lost", "-o", "jsonpath={.status.phase}"]), "Pending");
}

#[test]
fn an_address_in_use_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    let folder = tempfile::tempdir().expect("a temporary folder");
    refused(&run(local(folder.path(), &address), "", REFUSAL_LIMIT), &[&address, "in use"]);
}

#[test]
fn a_data_folder_in_use_is_named() {
    if !has_kubectl() {
        return;
    }
    let running = Local::start();
    let folder = running.folder().display().to_string();
    let pid = running.pid().to_string();
    refused(&run(running.same_command(), "", REFUSAL_LIMIT), &[&folder, &pid, "--dir"]);
    // The first goes on undisturbed.
    running.kubectl().ok(&["create", "configmap", "still-here"]);
}

#[test]
fn a_data_folder_of_another_version_is_kept() {
    if !has_kubectl() {
        return;
    }
    let mut cluster = Local::start();
    cluster.kubectl().ok(&["create", "configmap", "kept"]);
    assert!(cluster.stop(Signal::TERM).success());
    let marker = find(cluster.folder(), "format").expect("the data folder has a file `format`");
    let ours = std::fs::read(&marker).expect("the marker is read");
    std::fs::write(&marker, "flyball-local objects 999\n").expect("the marker is written");
    let finished = run(cluster.same_command(), "", REFUSAL_LIMIT);
    refused(&finished, &["another version", "objects 999", "--dir"]);
    std::fs::write(&marker, ours).expect("the marker is written");
    cluster.restart();
    cluster.kubectl().ok(&["get", "configmap", "kept"]);
}

/// The file of this name in the folder or one below it.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let candidates = std::iter::once(folder.to_owned()).chain(entries).map(|path| path.join(name));
    candidates.into_iter().find(|path| path.is_file())
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let path = Path::new("/proc/flyball-e2e");
    refused(&run(local(path, "127.0.0.1:0"), "", REFUSAL_LIMIT), &["/proc/flyball-e2e"]);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let below = file.path().join("data");
    refused(&run(local(&below, "127.0.0.1:0"), "", REFUSAL_LIMIT), &[&file.path().display().to_string()]);
}

#[test]
fn a_read_only_folder_is_named() {
    if !can_be_ordinary() {
        return;
    }
    // Made by the user of the tests: nobody may read, not write.
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o555)).expect("rights are set");
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut command = ordinary_program(home.path());
    command.arg("local").arg("--dir").arg(folder.path()).args(["--listen", "127.0.0.1:0"]);
    refused(&run(command, "", REFUSAL_LIMIT), &[&folder.path().display().to_string(), "ermission denied"]);
}

/// A small file system of its own, unmounted on drop.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn mount(size: &str) -> Option<Self> {
        if !is_root() || !has_program("mount") {
            skipped("needs root and mount, for a small disk");
            return None;
        }
        let disk = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "flyball-e2e"]).arg(disk.folder.path());
        let finished = run(command, "", REFUSAL_LIMIT);
        if !finished.success() {
            skipped(&format!("no tmpfs can be mounted here: {}", finished.stderr.trim()));
            return None;
        }
        Some(disk)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut command = Command::new("umount");
        command.arg("--lazy").arg(self.folder.path());
        // Nothing to unmount when it was never mounted.
        let _ = run(command, "", REFUSAL_LIMIT);
    }
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    if !has_kubectl() {
        return;
    }
    let Some(disk) = Disk::mount("64m") else { return };
    let data = disk.folder.path().join("data");
    let started = Setup::default().folder(&data).start();
    let mut cluster = started.unwrap_or_else(|error| panic!("flyball local did not start: {error}"));
    let kubectl = cluster.kubectl().clone();
    kubectl.ok(&["create", "configmap", "before"]);
    let filler = disk.folder.path().join("filler");
    let mut command = Command::new("dd");
    command.args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}", filler.display()));
    assert!(!run(command, "", MINUTE).success(), "the disk did not get full");
    let mut attempt = 0;
    kubectl.eventually(MINUTE, "a write is refused with a reason", || {
        attempt += 1;
        let finished = kubectl.run(&["create", "configmap", &format!("attempt-{attempt}")]);
        let explained = !finished.success() && finished.stderr.contains(&data.display().to_string());
        if explained { Ok(()) } else { Err(finished.to_string()) }
    });
    // Reading goes on.
    kubectl.ok(&["get", "configmap", "before"]);
    std::fs::remove_file(&filler).expect("the filler is removed");
    kubectl.eventually(SHORT, "writes are taken again", || {
        attempt += 1;
        let finished = kubectl.run(&["create", "configmap", &format!("attempt-{attempt}")]);
        if finished.success() { Ok(()) } else { Err(finished.to_string()) }
    });
    kubectl.ok(&["create", "configmap", "after"]);
    cluster.kill9();
    cluster.restart();
    let kubectl = cluster.kubectl();
    kubectl.ok(&["get", "configmaps", "before", "after"]);
}
