//! One cluster for all tests of a file, ended when the last test that uses it ends: a value in a static is never dropped.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::kubectl::Kubectl;
use crate::local::{Local, Setup};
use crate::skip::has_kubectl;

/// The cluster that the tests of a file share.
#[derive(Debug)]
pub struct Shared {
    setup: fn() -> Setup,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    running: Weak<Local>,
    /// Why it did not start: said to every test without trying again.
    failure: Option<String>,
}

/// A namespace of its own in a shared cluster. Derefs to kubectl for it.
#[derive(Debug)]
pub struct Place {
    kubectl: Kubectl,
    local: Arc<Local>,
}

impl Shared {
    /// To be started by the first test, as `setup` says.
    #[must_use]
    pub const fn new(setup: fn() -> Setup) -> Self {
        Self { setup, state: Mutex::new(State { running: Weak::new(), failure: None }) }
    }

    /// Namespace `name`, made now; `None`, said aloud, on a machine without kubectl.
    ///
    /// # Panics
    /// When the cluster does not start.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<Place> {
        if !has_kubectl() {
            return None;
        }
        let local = self.cluster();
        let kubectl = local.kubectl().in_namespace(name);
        kubectl.ok(&["create", "namespace", name]);
        Some(Place { kubectl, local })
    }

    fn cluster(&self) -> Arc<Local> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(local) = state.running.upgrade() {
            return local;
        }
        if state.failure.is_none() {
            match (self.setup)().start() {
                Ok(local) => {
                    let local = Arc::new(local);
                    state.running = Arc::downgrade(&local);
                    return local;
                }
                Err(failure) => state.failure = Some(failure),
            }
        }
        panic!("flyball local did not start: {}", state.failure.as_deref().unwrap_or_default());
    }
}

impl Place {
    /// The cluster.
    #[must_use]
    pub fn local(&self) -> &Local {
        &self.local
    }
}

impl Deref for Place {
    type Target = Kubectl;

    fn deref(&self) -> &Kubectl {
        &self.kubectl
    }
}
