//! Certificate files as the volume of a Secret holds them: replaced all at once.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use flyball_apiserver::certs::Issued;

/// The link behind which all files stand, the kubelet's name for it.
const DATA: &str = "..data";

/// A folder with files of a Secret.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    generation: AtomicU32,
}

impl Files {
    /// An empty one.
    pub fn new(parent: &Path, name: &str) -> Self {
        let folder = parent.join("volumes").join(name);
        // Left over by an earlier test of the same plane.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("the folder is made");
        Self { folder, generation: AtomicU32::new(0) }
    }

    /// Replaces all files at once: a new folder, and one link changed over to it.
    pub fn replace(&self, files: &[(&str, &str)]) {
        let name = format!("..{}", self.generation.fetch_add(1, Ordering::Relaxed));
        let generation = self.folder.join(&name);
        std::fs::create_dir(&generation).expect("a folder is made");
        for (file, content) in files {
            std::fs::write(generation.join(file), content).expect("a file is written");
            let link = self.folder.join(file);
            if link.symlink_metadata().is_err() {
                symlink(Path::new(DATA).join(file), &link).expect("a link is made");
            }
        }
        let new = self.folder.join("..new");
        symlink(&name, &new).expect("a link is made");
        std::fs::rename(&new, self.folder.join(DATA)).expect("the link is changed over");
    }

    /// Replaces a certificate and its key.
    pub fn put(&self, issued: &Issued) {
        self.replace(&[("tls.crt", &issued.certificate_pem), ("tls.key", &issued.key_pem)]);
    }

    /// Path of a file.
    pub fn path(&self, file: &str) -> String {
        self.folder.join(file).display().to_string()
    }

    /// Path of the certificate.
    pub fn certificate(&self) -> String {
        self.path("tls.crt")
    }

    /// Path of its key.
    pub fn key(&self) -> String {
        self.path("tls.key")
    }
}
