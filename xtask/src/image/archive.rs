//! The image as bytes: one layer, one configuration, one manifest, in one archive.
//!
//! The archive is an OCI image layout packed with tar, and beside it holds the `manifest.json` that `docker load` reads, so
//! that `ctr images import`, `skopeo`, `podman load` and `docker load` all take it. Equal input gives equal bytes: entries
//! are in a fixed order, with time zero and owner root. Pure.

use std::collections::BTreeMap;
use std::io::{self, Write};

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Media types of the OCI image specification, 1.1.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A file of the image's only layer, owned by root.
pub struct File {
    /// Path without a leading slash. Folders above it are made.
    pub path: &'static str,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub content: Vec<u8>,
}

/// What the image is.
pub struct Image {
    /// `amd64` or `arm64`, as Go and OCI call them.
    pub architecture: &'static str,
    /// When it was made, RFC 3339; absent where nothing fixed is known, so that equal input gives equal bytes.
    pub created: Option<String>,
    /// Labels by name.
    pub labels: BTreeMap<&'static str, String>,
    /// `UID:GID` of the process.
    pub user: &'static str,
    /// The program.
    pub entrypoint: &'static str,
    /// The layer's files.
    pub files: Vec<File>,
    /// Compress the layer: smaller to push, slower to make.
    pub compress: bool,
}

/// Bytes and their name.
struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Blob {
        Blob { digest: sha256(&bytes), bytes }
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": self.digest, "size": self.bytes.len() })
    }

    fn path(&self) -> String {
        format!("blobs/{}", self.digest.replace(':', "/"))
    }
}

impl Image {
    /// Writes the archive; each tag is a whole reference (`registry/name:tag`) and names the same image.
    ///
    /// # Errors
    /// `out` does not take the bytes.
    pub fn write(&self, tags: &[String], out: impl Write) -> io::Result<()> {
        let layer = layer(&self.files)?;
        let diff_id = sha256(&layer);
        let (layer, layer_type) = match self.compress {
            true => (Blob::new(gzip(&layer)?), LAYER_GZIP),
            false => (Blob { digest: diff_id.clone(), bytes: layer }, LAYER),
        };
        let config = Blob::new(self.config(&diff_id).to_string().into_bytes());
        let manifest = Blob::new(
            json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config.descriptor(CONFIG),
                "layers": [layer.descriptor(layer_type)],
                "annotations": self.labels,
            })
            .to_string()
            .into_bytes(),
        );
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": tags.iter().map(|tag| self.index_entry(&manifest, tag)).collect::<Vec<_>>(),
        });
        let for_docker = json!([{ "Config": config.path(), "RepoTags": tags, "Layers": [layer.path()] }]);

        let mut archive = tar::Builder::new(out);
        append(&mut archive, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append(&mut archive, "index.json", 0o644, index.to_string().as_bytes())?;
        append(&mut archive, "manifest.json", 0o644, for_docker.to_string().as_bytes())?;
        for folder in ["blobs/", "blobs/sha256/"] {
            append_folder(&mut archive, folder)?;
        }
        for blob in [&manifest, &config, &layer] {
            append(&mut archive, &blob.path(), 0o644, &blob.bytes)?;
        }
        archive.into_inner()?.flush()
    }

    fn config(&self, diff_id: &str) -> Value {
        let mut config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": {
                "User": self.user,
                "Entrypoint": [self.entrypoint],
                // So that a `command` can name the program without its folder.
                "Env": ["PATH=/"],
                "WorkingDir": "/",
                "Labels": self.labels,
            },
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
            "history": [{ "created_by": "cargo xtask image" }],
        });
        if let Some(created) = &self.created {
            config["created"] = json!(created);
            config["history"][0]["created"] = json!(created);
        }
        config
    }

    fn index_entry(&self, manifest: &Blob, tag: &str) -> Value {
        let mut entry = manifest.descriptor(MANIFEST);
        entry["platform"] = json!({ "architecture": self.architecture, "os": "linux" });
        // The first is what skopeo and podman look for, the second what containerd does.
        entry["annotations"] =
            json!({ "org.opencontainers.image.ref.name": tag, "io.containerd.image.name": tag });
        entry
    }
}

fn layer(files: &[File]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut made: Vec<&str> = Vec::new();
    for file in files {
        for (end, _) in file.path.match_indices('/') {
            let folder = &file.path[..=end];
            if !made.contains(&folder) {
                append_folder(&mut archive, folder)?;
                made.push(folder);
            }
        }
        append(&mut archive, file.path, file.mode, &file.content)?;
    }
    archive.into_inner()
}

fn append(archive: &mut tar::Builder<impl Write>, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
    archive.append_data(&mut header(tar::EntryType::Regular, mode, bytes.len() as u64), path, bytes)
}

fn append_folder(archive: &mut tar::Builder<impl Write>, path: &str) -> io::Result<()> {
    archive.append_data(&mut header(tar::EntryType::Directory, 0o755, 0), path, io::empty())
}

/// Time zero, owner root: nothing of the machine that packs.
fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    // No name and no time in the header.
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn image(compress: bool) -> Image {
        Image {
            architecture: "amd64",
            created: Some("2026-01-02T03:04:05Z".into()),
            labels: BTreeMap::from([("org.opencontainers.image.version", "1.2.3".to_owned())]),
            user: "65534:65534",
            entrypoint: "/flyball",
            files: vec![
                File { path: "flyball", mode: 0o755, content: b"program".to_vec() },
                File { path: "etc/nsswitch.conf", mode: 0o644, content: b"hosts: files dns\n".to_vec() },
            ],
            compress,
        }
    }

    fn written(image: &Image) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.write(&["example.com/a:1".into(), "example.com/b:2".into()], &mut bytes).unwrap();
        bytes
    }

    fn entries(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(bytes);
        let mut found = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 0);
            assert_eq!((entry.header().uid().unwrap(), entry.header().gid().unwrap()), (0, 0));
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            found.insert(path, content);
        }
        found
    }

    fn parsed(entries: &BTreeMap<String, Vec<u8>>, path: &str) -> Value {
        serde_json::from_slice(&entries[path]).unwrap()
    }

    /// Follows a descriptor, checking the digest and the size it states.
    fn followed<'a>(entries: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
        let digest = descriptor["digest"].as_str().unwrap();
        let bytes = &entries[&format!("blobs/sha256/{}", digest.strip_prefix("sha256:").unwrap())];
        assert_eq!(sha256(bytes), digest);
        assert_eq!(descriptor["size"], bytes.len());
        bytes
    }

    #[test]
    fn every_descriptor_leads_to_bytes_of_its_digest_and_size() {
        for compress in [false, true] {
            let found = entries(&written(&image(compress)));
            let index = parsed(&found, "index.json");
            assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
            for entry in index["manifests"].as_array().unwrap() {
                let manifest: Value = serde_json::from_slice(followed(&found, entry)).unwrap();
                let config: Value = serde_json::from_slice(followed(&found, &manifest["config"])).unwrap();
                let mut layer = followed(&found, &manifest["layers"][0]).to_vec();
                if compress {
                    let mut plain = Vec::new();
                    flate2::read::GzDecoder::new(layer.as_slice()).read_to_end(&mut plain).unwrap();
                    layer = plain;
                }
                assert_eq!(config["rootfs"]["diff_ids"], json!([sha256(&layer)]), "compress: {compress}");
                assert_eq!(config["config"]["User"], "65534:65534");
                assert_eq!(config["config"]["Entrypoint"], json!(["/flyball"]));
                let files = entries(&layer);
                assert_eq!(
                    files.keys().collect::<Vec<_>>(),
                    ["etc/", "etc/nsswitch.conf", "flyball"],
                    "only these files"
                );
            }
        }
    }

    #[test]
    fn docker_finds_the_same_blobs_under_the_same_names() {
        let found = entries(&written(&image(true)));
        let docker = &parsed(&found, "manifest.json")[0];
        assert_eq!(docker["RepoTags"], json!(["example.com/a:1", "example.com/b:2"]));
        let manifest: Value =
            serde_json::from_slice(followed(&found, &parsed(&found, "index.json")["manifests"][0])).unwrap();
        let path = |descriptor: &Value| {
            format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"))
        };
        assert_eq!(docker["Config"], path(&manifest["config"]));
        assert_eq!(docker["Layers"], json!([path(&manifest["layers"][0])]));
        assert!(found.contains_key("oci-layout"));
    }

    #[test]
    fn equal_input_gives_equal_bytes() {
        assert_eq!(written(&image(true)), written(&image(true)));
        assert_ne!(written(&image(true)), written(&image(false)));
    }

    #[test]
    fn the_digest_is_that_of_the_standard() {
        assert_eq!(sha256(b"abc"), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
