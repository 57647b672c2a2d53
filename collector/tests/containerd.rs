#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test: starts a container runtime and waits for it"
)]
//! What a containerd of its own says of its images: `imageFs` and `containerFs` of the summary. Skipped, and said so, where
//! there is none or it does not start.

use flyball_collector::disk::places::Places;
use flyball_collector::disk::{DiskConfig, DiskMeter, Sources};
use flyball_collector::name_source::NameSource;
use flyball_collector::runtime_store::{self, LatestStore};
use flyball_collector::summary::{Extent, summary};
use flyball_collector::{Config, Names, Sweeper, cri};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(120);

/// A runtime; gone with its folder when dropped.
struct Containerd {
    process: Child,
    folder: tempfile::TempDir,
}

impl Containerd {
    async fn start() -> Option<Containerd> {
        let skip = |why: String| {
            eprintln!("SKIPPED: what containerd says of its images: {why}");
            None
        };
        if !rustix::process::geteuid().is_root() {
            return skip("not root".to_owned());
        }
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        // Sizes of snapshots are added up now and then: each second.
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n[grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nstats_collect_period = 1\n\
             [plugins.\"io.containerd.grpc.v1.cri\".cni]\nconf_dir = {:?}\nbin_dir = {:?}\n",
            at("root"),
            at("state"),
            at("socket"),
            at("ttrpc"),
            at("cni"),
            at("bin"),
        );
        std::fs::write(folder.path().join("config.toml"), config).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new("containerd")
            .arg("--config")
            .arg(folder.path().join("config.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let process = match process {
            Ok(process) => process,
            Err(error) => return skip(format!("containerd: {error}")),
        };
        let started = Containerd { process, folder };
        let began = Instant::now();
        loop {
            match cri::store(Some(&started.socket())).await {
                Ok(_) => return Some(started),
                Err(error) if began.elapsed() > PATIENCE => {
                    let log = std::fs::read_to_string(started.folder.path().join("log")).unwrap_or_default();
                    return skip(format!("{error}: {log}"));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Puts so many bytes into its store.
    fn fill(&self, bytes: usize) {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.socket()).args(["--namespace", "k8s.io", "snapshots"]);
        let made = ctr.args(["prepare", "flyball", ""]).stdout(Stdio::null()).status().unwrap();
        assert!(made.success());
        let snapshots = self.folder.path().join("root/io.containerd.snapshotter.v1.overlayfs/snapshots");
        let snapshot = std::fs::read_dir(snapshots).unwrap().next().unwrap().unwrap();
        std::fs::write(snapshot.path().join("fs/file"), vec![1; bytes]).unwrap();
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_images_and_layers_are_in_the_summary() {
    let Some(containerd) = Containerd::start().await else { return };
    containerd.fill(3 * MIB);
    let store = Arc::new(LatestStore::default());
    let names = Arc::new(Names::default());
    let sources = [NameSource::Cri(Some(containerd.socket()))];
    let asking = tokio::spawn({
        let store = store.clone();
        async move { runtime_store::follow(&sources, &store).await }
    });

    let machine = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v2-systemd-crio");
    let config = Config {
        source: flyball_collector::SourceChoice::Tree(machine.clone()),
        proc_root: machine.join("proc"),
        ..Config::new("node1")
    };
    let mut sweeper = Sweeper::new(&config, names.clone()).unwrap();
    sweeper.sweep_once();
    let places = Places::new(DiskConfig::default(), &config.proc_root, sweeper.groups_root());
    let meter = DiskMeter::start(sweeper.latest(), Sources { names, store }, places, |_| {}).unwrap();
    let began = Instant::now();
    let runtime = loop {
        let (sweep, disk) = (sweeper.latest().get(), meter.latest().get());
        let summary = summary(&sweep, &disk, "node1", None, Extent::All);
        let summary = serde_json::to_value(summary).unwrap();
        let used = summary["node"]["runtime"]["imageFs"]["usedBytes"].as_u64();
        if used.is_some_and(|bytes| bytes >= 3 * MIB as u64) {
            break summary["node"]["runtime"].clone();
        }
        assert!(began.elapsed() < PATIENCE, "{:#}", summary["node"]["runtime"]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    asking.abort();
    let images = &runtime["imageFs"];
    assert!(images["usedBytes"].as_u64().unwrap() < 4 * MIB as u64, "{runtime:#}");
    assert!(images["capacityBytes"].as_u64() > images["usedBytes"].as_u64(), "{runtime:#}");
    assert!(images["inodesUsed"].as_u64().unwrap() >= 1, "{runtime:#}");
    // This runtime has both in one place, and so says a kubelet.
    assert_eq!(runtime["containerFs"], *images);
}
