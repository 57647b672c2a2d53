//! Small files (CA bundles, tokens, client keys) that others renew while we run: read again after a while.
#![allow(clippy::disallowed_methods, reason = "an edge: reads credential files and the clock that ages them")]

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A content this old is read again. Upstream re-reads tokens each minute as well.
const KEPT: Duration = Duration::from_secs(60);
/// No credential file is larger.
const LIMIT_BYTES: u64 = 1024 * 1024;

/// Bytes that were given, or that stand in a file.
#[derive(Debug)]
pub(crate) enum Content {
    Fixed(Vec<u8>),
    File(RenewedFile),
}

impl Content {
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, String> {
        match self {
            Content::Fixed(bytes) => Ok(bytes.clone()),
            Content::File(file) => file.content(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct RenewedFile {
    path: PathBuf,
    content: Mutex<Option<(Instant, Vec<u8>)>>,
}

impl RenewedFile {
    pub(crate) fn new(path: &Path) -> RenewedFile {
        RenewedFile { path: path.to_owned(), content: Mutex::default() }
    }

    /// The content, at most a minute old. When reading again fails, what was read last stays in use.
    pub(crate) fn content(&self) -> Result<Vec<u8>, String> {
        let mut kept = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, content)) = kept.as_ref()
            && at.elapsed() < KEPT
        {
            return Ok(content.clone());
        }
        match (self.read(), kept.as_ref()) {
            (Ok(content), _) => {
                *kept = Some((Instant::now(), content.clone()));
                Ok(content)
            }
            (Err(reason), Some((_, old))) => {
                tracing::warn!(reason, "keeping the content read earlier");
                Ok(old.clone())
            }
            (Err(reason), None) => Err(reason),
        }
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        let path = self.path.display();
        let length =
            std::fs::metadata(&self.path).map_err(|error| format!("cannot read {path}: {error}"))?.len();
        if length > LIMIT_BYTES {
            return Err(format!("{path} is larger than {LIMIT_BYTES} bytes"));
        }
        std::fs::read(&self.path).map_err(|error| format!("cannot read {path}: {error}"))
    }
}
