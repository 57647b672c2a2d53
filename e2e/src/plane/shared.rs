//! One plane that stays between tests of equal needs.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use crate::plane::{Needs, Plane, given};
use crate::skip::skipped;

/// The plane that runs, or the needs for which none could be had.
static CURRENT: Mutex<Option<Current>> = Mutex::new(None);

struct Current {
    needs: Needs,
    /// `None` while it starts, and for good when that fails.
    plane: Option<Arc<Plane>>,
}

/// A shared plane in use by a test that, when it fails, shows the ends of the logs.
#[derive(Debug)]
pub struct Held(Arc<Plane>);

impl Deref for Held {
    type Target = Plane;

    fn deref(&self) -> &Plane {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0.state());
        }
    }
}

/// The plane that runs if it was started for these needs, else a new one in its place.
pub(super) fn held(needs: Needs) -> Option<Held> {
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = current.as_ref().filter(|known| known.needs.serve(&needs)) {
        // On a given cluster what one test has may still be too little for another.
        if let Some(why) = given::kubeconfig().and_then(|_| given::missing(&needs)) {
            skipped(&why);
            return None;
        }
        let plane = known.plane.clone();
        return Some(Held(plane.expect("the plane did not start for an earlier test")));
    }
    // Ended first: a machine has room for one node.
    *current = Some(Current { needs: needs.clone(), plane: None });
    let Some(plane) = Plane::begin(needs.clone()) else {
        // Each test shall say why it is skipped.
        *current = None;
        return None;
    };
    let plane = Arc::new(plane);
    *current = Some(Current { needs, plane: Some(Arc::clone(&plane)) });
    Some(Held(plane))
}

/// Ends the plane that runs, unless a test uses it.
pub(super) fn release() {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = None;
}
