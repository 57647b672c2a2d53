//! OCI image archives made of one program, for pods and their sandboxes.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::plane::tools::busybox;
use crate::run::run;

/// Image with busybox: a shell and all its applets in /bin.
pub const BUSYBOX_IMAGE: &str = "flyball.io/e2e/busybox:1";

/// Image of pods' sandboxes.
pub(super) const PAUSE_IMAGE: &str = "flyball.io/e2e/pause:1";

/// Longest run of `tar` or busybox.
const LIMIT: Duration = Duration::from_secs(60);

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Makes the archives of [`BUSYBOX_IMAGE`] and [`PAUSE_IMAGE`] in `folder`.
///
/// # Panics
/// When there is no static busybox, or a file cannot be written.
pub(super) fn busybox_archives(folder: &Path) -> [PathBuf; 2] {
    let root = folder.join("root");
    let bin = root.join("bin");
    std::fs::create_dir_all(&bin).expect("the image's folder is made");
    let busybox = busybox().expect("busybox was looked for");
    std::fs::copy(busybox, bin.join("busybox")).expect("busybox is copied");
    let mut list = Command::new(busybox);
    list.arg("--list");
    for applet in run(list, "", LIMIT).stdout.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", bin.join(applet)).expect("the applet is linked");
    }
    let layer = folder.join("layer.tar");
    tar(&root, &layer);
    let layer = std::fs::read(layer).expect("the layer is read");
    let pause = json!({"Entrypoint": ["/bin/sleep", "1000000000"]});
    [
        archive(folder, "busybox", BUSYBOX_IMAGE, &layer, &json!({"Cmd": ["/bin/sh"]})),
        archive(folder, "pause", PAUSE_IMAGE, &layer, &pause),
    ]
}

/// An archive `FOLDER/NAME.tar` of one layer under the name `image`.
fn archive(folder: &Path, name: &str, image: &str, layer: &[u8], config: &Value) -> PathBuf {
    let layout = folder.join(name);
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("the layout's folders are made");
    let blob = |kind: &str, bytes: &[u8]| {
        let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(blobs.join(&digest), bytes).expect("the blob is written");
        json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len()})
    };
    let layer = blob("application/vnd.oci.image.layer.v1.tar", layer);
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let mut config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    config["config"]["Env"] = json!(["PATH=/bin"]);
    let config = blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let manifest =
        json!({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": [layer]});
    let mut manifest = blob(MANIFEST_TYPE, manifest.to_string().as_bytes());
    manifest["annotations"] = json!({"io.containerd.image.name": image});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    for (file, value) in [("index.json", index), ("oci-layout", json!({"imageLayoutVersion": "1.0.0"}))] {
        std::fs::write(layout.join(file), value.to_string()).expect("the layout is written");
    }
    let archive = folder.join(format!("{name}.tar"));
    tar(&layout, &archive);
    archive
}

fn tar(folder: &Path, archive: &Path) {
    let mut command = Command::new("tar");
    command
        .args(["--owner=0", "--group=0", "--create", "--file"])
        .arg(archive)
        .arg("-C")
        .arg(folder)
        .arg(".");
    let finished = run(command, "", LIMIT);
    assert!(finished.success(), "{finished}");
}
