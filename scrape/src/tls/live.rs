//! Authorities that change while we run.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::CertificateDer;

/// Who is trusted now, or why nobody can be. Clones share it; connections opened after a change follow it.
#[derive(Debug, Clone)]
pub struct LiveRoots {
    source: Arc<str>,
    now: Arc<RwLock<Result<Vec<CertificateDer<'static>>, String>>>,
}

impl LiveRoots {
    /// Trusts nobody yet. `source` says for texts where authorities come from, for example `Secret ns/name`.
    pub fn new(source: &str) -> LiveRoots {
        let nothing = Err(format!("{source} has not been read yet"));
        LiveRoots { source: source.into(), now: Arc::new(RwLock::new(nothing)) }
    }

    /// Trusts these from now on, or nobody for this reason.
    pub fn set(&self, roots: Result<Vec<CertificateDer<'static>>, String>) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = roots;
    }

    /// Who is trusted now.
    pub fn get(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where authorities come from.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl PartialEq for LiveRoots {
    fn eq(&self, other: &LiveRoots) -> bool {
        Arc::ptr_eq(&self.now, &other.now)
    }
}

impl Eq for LiveRoots {}
