//! `flyball demo`, as a person without a cluster runs it; its output goes to no terminal here.
#![allow(clippy::disallowed_methods, reason = "edge: starts the program")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use flyball_e2e::{
    Footprint, Program, Signal, alone, can_be_ordinary, eventually, flyball_binary, full, ordinary_program,
    skipped,
};

/// Only one at a time: each needs the CPU that its load costs.
static HEAVY: Mutex<()> = Mutex::new(());

/// From the start to the end of a wave of 45 s, with the start of the cluster and the way back in.
const DEMO_LIMIT: Duration = Duration::from_secs(180);

/// To the first lines of the live table.
const TABLE_LIMIT: Duration = Duration::from_secs(90);

struct Demo {
    program: Program,
    _home: tempfile::TempDir,
}

fn start(seconds: &str) -> Demo {
    started(Command::new(flyball_binary()), tempfile::tempdir().expect("a temporary folder"), seconds)
}

fn started(mut command: Command, home: tempfile::TempDir, seconds: &str) -> Demo {
    command.args(["demo", "--seconds", seconds]).env("TMPDIR", home.path()).env_remove("KUBECONFIG");
    Demo { program: Program::start(command, &home.path().join("demo.log")), _home: home }
}

impl Demo {
    /// Waits for the kubeconfig's line; returns the cluster's folder.
    fn folder(&mut self) -> PathBuf {
        let kubeconfig = |line: &str| line.strip_prefix("kubeconfig: ").map(PathBuf::from);
        let path = self.program.wait_line(TABLE_LIMIT, kubeconfig).unwrap_or_else(|error| panic!("{error}"));
        path.parent().expect("the kubeconfig stands in a folder").to_owned()
    }

    /// Nothing of it is left on the machine.
    fn left_nothing(&self, footprint: &Footprint, folder: &std::path::Path) {
        eventually(
            Duration::from_secs(5),
            "nothing is left behind",
            || self.program.state(),
            || footprint.left(),
        );
        assert!(!folder.exists(), "{} is left behind", folder.display());
    }
}

#[test]
fn it_scales_out_and_back_in() {
    let _alone = alone(&HEAVY);
    scales_out_and_back_in(start("45"));
}

#[test]
fn it_scales_out_and_back_in_for_an_ordinary_user() {
    if !full() {
        return skipped("another minute of demo; FLYBALL_E2E=full runs it");
    }
    if !can_be_ordinary() {
        return;
    }
    let _alone = alone(&HEAVY);
    let home = tempfile::tempdir().expect("a temporary folder");
    scales_out_and_back_in(started(ordinary_program(home.path()), home, "45"));
}

fn scales_out_and_back_in(mut demo: Demo) {
    let folder = demo.folder();
    let table = |line: &str| line.contains("ready/wanted").then_some(());
    demo.program.wait_line(TABLE_LIMIT, table).unwrap_or_else(|error| panic!("no table: {error}"));
    let footprint = Footprint::of(demo.program.pid(), &folder);
    let status = demo.program.wait(DEMO_LIMIT);
    let text = demo.program.seen().join("\n");
    assert!(status.is_some_and(|status| status.success()), "{}", demo.program.state());
    for part in [
        "from the load step to the first scale request:",
        "from the load step to the final count:",
        "from the load step to all new pods Ready:",
        "replicas over time",
        "replicas: 1 before the load step,",
        " at the peak, 1 at the end",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    assert!(!text.contains("not seen"), "{text}");
    demo.left_nothing(&footprint, &folder);
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let _alone = alone(&HEAVY);
    let mut demo = start("60");
    let folder = demo.folder();
    // A few rows into the table there are pods, load and watches.
    let row = |line: &str| line.trim_start().starts_with("3 s ").then_some(());
    demo.program.wait_line(TABLE_LIMIT, row).unwrap_or_else(|error| panic!("no table: {error}"));
    let footprint = Footprint::of(demo.program.pid(), &folder);
    assert!(footprint.process_count() >= 2, "a pod runs: {footprint:?}");
    // Twice, as `timeout` sends it: to the program and to its group; apart, for equal pending signals are one.
    demo.program.signal(Signal::INT);
    std::thread::sleep(Duration::from_millis(20));
    demo.program.signal(Signal::INT);
    let status = demo.program.wait(Duration::from_secs(30));
    assert!(
        status.is_some_and(|status| !status.success()),
        "interrupted, so not a success: {}",
        demo.program.state()
    );
    demo.left_nothing(&footprint, &folder);
}

#[test]
fn it_ends_and_leaves_nothing_behind_when_nobody_reads_its_output() {
    let _alone = alone(&HEAVY);
    let mut demo = start("60");
    let folder = demo.folder();
    let row = |line: &str| line.trim_start().starts_with("3 s ").then_some(());
    demo.program.wait_line(TABLE_LIMIT, row).unwrap_or_else(|error| panic!("no table: {error}"));
    let footprint = Footprint::of(demo.program.pid(), &folder);
    assert!(footprint.process_count() >= 2, "a pod runs: {footprint:?}");
    // A line that cannot be printed is a panic of the program.
    demo.program.hang_up();
    let status = demo.program.wait(Duration::from_secs(30));
    assert!(status.is_some_and(|status| !status.success()), "{status:?}, {}", demo.program.state());
    demo.left_nothing(&footprint, &folder);
}
