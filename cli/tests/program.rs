//! The program as a person meets it first: help, version, refusals. What it does is tested end to end elsewhere.

#![allow(clippy::disallowed_methods, reason = "starts the program")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn flyball(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flyball"))
        .args(arguments)
        .env("HOME", "/nonexistent")
        .env_remove("KUBECONFIG")
        .env_remove("FLYBALL_LOG")
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_names_every_command_and_gives_examples() {
    let help = text(&flyball(&["--help"]).stdout);
    for command in [
        "demo",
        "local",
        "collector",
        "metrics-server",
        "server",
        "query",
        "tsdb",
        "hpa",
        "explain",
        "lint",
        "top",
        "explain-metric",
        "completion",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is missing in:\n{help}");
        let own = text(&flyball(&[command, "--help"]).stdout);
        assert!(own.contains("Example"), "no example for {command}:\n{own}");
    }
    assert!(!help.contains("burn "), "the example workload is no command for people:\n{help}");
}

#[test]
fn version_names_the_commit() {
    let version = text(&flyball(&["--version"]).stdout);
    assert!(version.starts_with(concat!("flyball ", env!("CARGO_PKG_VERSION"), " (")), "{version}");
}

#[test]
fn wrong_flags_exit_with_2_and_name_the_flag() {
    for (arguments, named) in [
        (&["demo", "--seconds", "5"][..], "--seconds"),
        (&["local", "--map", "web"], "--map"),
        (&["hpa", "--mode", "sometimes"], "--mode"),
        (&["server", "--storage.tsdb.retention.size=10"], "--storage.tsdb.retention.size"),
        (&["query"], "QUERY"),
        (&["explain", "web"], "hpa/NAME"),
        (&["explain", "pod/web"], "hpa/NAME"),
        (&["lint", "-A", "-f", "x"], "--filename"),
        (&["explain-metric", "container_memory_rss"], "--node"),
        (&["explain-metric", "container_memory_rss", "--node", "n", "--token-file", "t"], "--address"),
        (&["--log", "a=b=c", "top", "nodes"], "--log"),
    ] {
        let output = flyball(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(named), "{}", text(&output.stderr));
    }
}

#[test]
fn without_a_cluster_one_sentence_says_what_to_do() {
    let output = flyball(&["top", "nodes"]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("flyball: ") && told.contains("--kubeconfig"), "{told}");
}

#[test]
fn lint_reads_standard_input_and_exits_by_what_it_finds() {
    let lint = |manifest: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_flyball"))
            .args(["lint", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(manifest.as_bytes()).expect("it reads");
        drop(input);
        child.wait_with_output().expect("it ends")
    };
    let hpa = |max: i32| {
        format!(
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: web}}\nspec:\n  \
             scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}\n  maxReplicas: {max}\n"
        )
    };
    let good = lint(&hpa(5));
    assert_eq!((good.status.code(), text(&good.stdout).as_str()), (Some(0), ""), "{}", text(&good.stderr));
    let deployment = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  \
        selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    \
        spec: {containers: [{name: app, image: x}]}\n";
    let bad = lint(&format!("{}{deployment}", hpa(5)));
    assert_eq!(bad.status.code(), Some(1));
    let told = text(&bad.stdout);
    assert!(
        told.starts_with("warning: hpa default/web: spec.metrics[0]: container app of Deployment web"),
        "{told}"
    );
    let broken = lint("kind: [");
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken.stderr).contains("standard input"), "{}", text(&broken.stderr));
}

#[test]
fn completion_is_a_script() {
    assert!(text(&flyball(&["completion", "bash"]).stdout).contains("_flyball()"));
}

/// `flyball … | head` ends with a sentence.
#[test]
fn a_closed_pipe_is_no_panic() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let finished = Command::new(env!("CARGO_BIN_EXE_flyball"))
        .args(["lint", "-f", "-", "-o", "json"])
        .stdin(Stdio::null())
        .stdout(writer)
        .output()
        .expect("the program starts");
    let told = text(&finished.stderr);
    assert_eq!(finished.status.code(), Some(1), "{told}");
    assert!(told.starts_with("flyball: cannot print the answer") && told.lines().count() == 1, "{told}");
}

#[test]
fn shells_complete_names_of_metrics() {
    for (shell, part) in [("bash", "--complete"), ("zsh", "compdef"), ("fish", "commandline")] {
        let script = text(&flyball(&["completion", shell]).stdout);
        let own = script.rsplit_once("query").map_or("", |(_, behind)| behind);
        assert!(own.contains("--complete") && script.contains(part), "{shell}");
    }
}

/// A store with one flushed sample.
fn store_in(dir: &std::path::Path) {
    use flyball_tsdb::store::{Incoming, Settings, Store};
    const NOW_MS: i64 = 1_700_000_000_000;
    let store = Store::open(dir, Settings::default(), NOW_MS).expect("a new store");
    let labels = flyball_model::labels::Labels::from_pairs([("__name__", "up")]).expect("labels");
    let series = store.series_ref(&labels, "test").expect("a series");
    store.append(NOW_MS, &[Incoming { series, timestamp_ms: NOW_MS, value: 1.0 }]).expect("room");
    store.flush().expect("a disk");
}

#[test]
fn a_store_is_copied_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (store, copy) = (path("store"), path("copy"));
    store_in(dir.path().join("store").as_path());
    let checked = flyball(&["tsdb", "check", &store]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let copied = flyball(&["tsdb", "snapshot", "--from", &store, &copy]);
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    assert!(text(&flyball(&["tsdb", "check", &copy]).stdout).contains("values of the log"));
    let again = flyball(&["tsdb", "snapshot", "--from", &store, &copy]);
    assert!(!again.status.success() && text(&again.stderr).contains("not empty"), "{}", text(&again.stderr));
    let nothing = flyball(&["tsdb", "check", &path("nothing")]);
    assert!(!nothing.status.success() && text(&nothing.stderr).contains("holds no store"));

    std::fs::write(dir.path().join("store/hot/conf"), "no such thing").unwrap();
    let mended = flyball(&["tsdb", "check", &store]);
    assert!(mended.status.success(), "what can be made anew is no loss: {}", text(&mended.stdout));
    std::fs::write(dir.path().join("store/hot/snap.7FFFFFFFFFFFFF00"), "no such thing").unwrap();
    let damaged = flyball(&["tsdb", "check", &store]);
    assert_eq!(damaged.status.code(), Some(1));
    assert!(text(&damaged.stdout).starts_with("lost: the log: "), "{}", text(&damaged.stdout));
    assert!(flyball(&["tsdb", "check", &store]).status.success(), "what was lost is told once");
}
