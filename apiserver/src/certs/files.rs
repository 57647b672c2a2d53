//! Serving certificates in files.

#![allow(clippy::disallowed_methods, reason = "certificates and keys are kept in files")]

use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use super::{certified_key, self_signed};
use crate::error::ApiserverError;

/// How often certificate files are looked at. Reading two small files costs nothing, and a client that trusts only the
/// new authority waits for us.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(10);
/// How often files are looked for that are not there yet.
const EXPECTED_INTERVAL: Duration = Duration::from_secs(1);
/// File names inside `--cert-dir`, upstream's.
const PAIR_NAMES: [&str; 2] = ["apiserver.crt", "apiserver.key"];

/// A serving certificate from two files, read again when they change (mounted Secrets are replaced in place).
#[derive(Debug)]
pub struct ReloadingCertificate {
    certificate_path: PathBuf,
    key_path: PathBuf,
    current: RwLock<Loaded>,
    real: AtomicBool,
}

#[derive(Debug)]
struct Loaded {
    texts: (String, String),
    key: Arc<CertifiedKey>,
}

impl ReloadingCertificate {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// A file cannot be read, or the two do not belong together.
    pub fn from_files(
        certificate_path: impl Into<PathBuf>,
        key_path: impl Into<PathBuf>,
    ) -> Result<Arc<Self>, ApiserverError> {
        let (certificate_path, key_path) = (certificate_path.into(), key_path.into());
        let current = RwLock::new(load(&certificate_path, &key_path)?);
        Ok(Arc::new(Self { certificate_path, key_path, current, real: AtomicBool::new(true) }))
    }

    /// As [`from_files`](Self::from_files), for files that another program may not have written yet: until they can be
    /// used, a self-signed certificate stands in and [`is_real`](Self::is_real) is false.
    ///
    /// # Errors
    /// No self-signed certificate could be made.
    pub fn from_expected_files(
        certificate_path: impl Into<PathBuf>,
        key_path: impl Into<PathBuf>,
    ) -> Result<Arc<Self>, ApiserverError> {
        let (certificate_path, key_path) = (certificate_path.into(), key_path.into());
        match Self::from_files(&certificate_path, &key_path) {
            Ok(loaded) => Ok(loaded),
            Err(error) => {
                tracing::warn!(%error, "waiting for the serving certificate");
                let stand_in = self_signed(&["localhost"], &[])?;
                let texts = (stand_in.certificate_pem.clone(), stand_in.key_pem.clone());
                let current = RwLock::new(Loaded { texts, key: stand_in.certified_key()? });
                Ok(Arc::new(Self { certificate_path, key_path, current, real: AtomicBool::new(false) }))
            }
        }
    }

    /// Whether the certificate served is the one of the files.
    pub fn is_real(&self) -> bool {
        self.real.load(Ordering::Acquire)
    }

    /// The pair `apiserver.crt` and `apiserver.key` of a folder (`--cert-dir`). If it is not there, a self-signed one is
    /// made and written, the key readable by the owner only.
    ///
    /// # Errors
    /// The folder cannot be written, or the pair in it cannot be used.
    pub fn in_folder(folder: &Path, names: &[&str], ips: &[IpAddr]) -> Result<Arc<Self>, ApiserverError> {
        let [certificate_path, key_path] = PAIR_NAMES.map(|name| folder.join(name));
        if !certificate_path.exists() || !key_path.exists() {
            let issued = self_signed(names, ips)?;
            std::fs::create_dir_all(folder).map_err(file_error(folder))?;
            write_file(&key_path, &issued.key_pem, 0o600)?;
            write_file(&certificate_path, &issued.certificate_pem, 0o644)?;
        }
        Self::from_files(certificate_path, key_path)
    }

    /// The certificate served now.
    pub fn current(&self) -> Arc<CertifiedKey> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).key.clone()
    }

    /// Looks at the files now; `true` if another certificate is served from now on.
    ///
    /// # Errors
    /// The files cannot be used; the old certificate stays. A pair caught half-replaced is such a case, and the
    /// next look finds it whole.
    pub fn reload(&self) -> Result<bool, ApiserverError> {
        let loaded = load(&self.certificate_path, &self.key_path)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let changed = current.texts != loaded.texts;
        if changed {
            *current = loaded;
        }
        self.real.store(true, Ordering::Release);
        Ok(changed)
    }

    /// Reloads every [`RELOAD_INTERVAL`] (every second while the files are waited for) until shutdown. The caller runs
    /// this as a task.
    pub async fn watch(self: Arc<Self>, shutdown: CancellationToken) {
        let mut told = None;
        loop {
            let pause = if self.is_real() { RELOAD_INTERVAL } else { EXPECTED_INTERVAL };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let path = self.certificate_path.display();
            match self.reload() {
                Ok(changed) => {
                    if changed {
                        tracing::info!(certificate = %path, "serving certificate reloaded");
                    }
                    told = None;
                }
                Err(error) => {
                    let error = error.to_string();
                    if self.is_real() && told.as_ref() != Some(&error) {
                        tracing::warn!(certificate = %path, error, "serving certificate kept");
                    }
                    told = Some(error);
                }
            }
        }
    }
}

fn file_error(path: &Path) -> impl Fn(std::io::Error) -> ApiserverError + use<> {
    let path = path.to_owned();
    move |error| ApiserverError::File { path: path.clone(), error }
}

fn write_file(path: &Path, text: &str, mode: u32) -> Result<(), ApiserverError> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(file_error(path))
}

fn load(certificate_path: &Path, key_path: &Path) -> Result<Loaded, ApiserverError> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(file_error(path));
    let texts = (read(certificate_path)?, read(key_path)?);
    let key = certified_key(&texts.0, &texts.1, &certificate_path.display().to_string())?;
    Ok(Loaded { texts, key })
}

impl ResolvesServerCert for ReloadingCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::Issued;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_gets_a_pair_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("certificates");
        let first = ReloadingCertificate::in_folder(&folder, &["localhost"], &[]).unwrap();
        let again = ReloadingCertificate::in_folder(&folder, &["localhost"], &[]).unwrap();
        assert_eq!(first.current.read().unwrap().texts, again.current.read().unwrap().texts);
        let mode = std::fs::metadata(folder.join("apiserver.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    /// How the kubelet writes a Secret's volume: the names are links into `..data`, itself a link that is replaced in one
    /// step by one to a new folder.
    #[test]
    fn the_swap_of_a_secret_volume_is_seen() {
        use std::os::unix::fs::symlink;
        let volume = tempfile::tempdir().unwrap();
        let volume = volume.path();
        let swap = |version: &str, issued: &Issued| {
            let folder = volume.join(version);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("tls.crt"), &issued.certificate_pem).unwrap();
            std::fs::write(folder.join("tls.key"), &issued.key_pem).unwrap();
            symlink(version, volume.join("..data_tmp")).unwrap();
            std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
        };
        let waiting =
            ReloadingCertificate::from_expected_files(volume.join("tls.crt"), volume.join("tls.key"))
                .unwrap();
        assert!(!waiting.is_real() && waiting.reload().is_err());
        for name in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), volume.join(name)).unwrap();
        }
        for version in ["..1", "..2"] {
            let issued = self_signed(&["localhost"], &[]).unwrap();
            swap(version, &issued);
            assert!(waiting.reload().unwrap() && waiting.is_real(), "{version}");
            assert_eq!(waiting.current.read().unwrap().texts.0, issued.certificate_pem, "{version}");
        }
        assert!(!waiting.reload().unwrap());
    }

    #[test]
    fn files_are_reloaded_and_a_bad_pair_is_not_served() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        let write = |issued: &Issued| {
            std::fs::write(&certificate, &issued.certificate_pem).unwrap();
            std::fs::write(&key, &issued.key_pem).unwrap();
        };
        let first = self_signed(&["localhost"], &[]).unwrap();
        write(&first);
        let reloading = ReloadingCertificate::from_files(&certificate, &key).unwrap();
        assert!(!reloading.reload().unwrap());
        let second = self_signed(&["localhost"], &[]).unwrap();
        std::fs::write(&certificate, &second.certificate_pem).unwrap();
        assert!(reloading.reload().is_err(), "the key is still the old one");
        write(&second);
        assert!(reloading.reload().unwrap());
        std::fs::remove_file(&key).unwrap();
        assert!(reloading.reload().unwrap_err().to_string().contains("tls.key"));
    }
}
