//! `admin/tsdb/snapshot`: a copy of the running store below its folder, as Prometheus makes it. Not behind a flag as there:
//! it is a permission of its own (`create` of `admin/snapshot`), which no shipped role has.

#![allow(clippy::disallowed_methods, reason = "edge: a thread that copies")]

use std::path::Path;
use std::sync::Arc;

use flyball_apiserver::Response;
use http::Method;
use tokio::sync::{Semaphore, oneshot};

use crate::api::ErrorType;
use crate::api::serve::{refused, succeeded};
use crate::store::{Store, now_ms};
use crate::threads::step_back;

/// Its path behind `/api/v1`.
pub(super) const PATH: &str = "/admin/tsdb/snapshot";

/// Where copies are, below the store's folder.
pub const FOLDER: &str = "snapshots";

/// Makes a copy and answers its name; one at a time. It is finished although the client goes away.
pub(super) async fn answer(
    store: &Arc<Store>,
    dir: &Path,
    turn: &Arc<Semaphore>,
    method: &Method,
) -> Response {
    if *method != Method::POST {
        return refused(ErrorType::MethodNotAllowed, "a snapshot is asked for by POST");
    }
    let Ok(turn) = turn.clone().try_acquire_owned() else {
        return refused(ErrorType::Unavailable, "create snapshot: another one is being made");
    };
    let name = name(now_ms());
    let (store, target) = (store.clone(), dir.join(FOLDER).join(&name));
    let (done, outcome) = oneshot::channel();
    let copy = move || {
        step_back();
        // Nobody may be there any more to hear it.
        let _ = done.send(store.snapshot(&target));
        drop(turn);
    };
    if let Err(error) = std::thread::Builder::new().name("tsdb-snapshot".to_owned()).spawn(copy) {
        return refused(ErrorType::Internal, &format!("create snapshot: {error}"));
    }
    match outcome.await {
        Ok(Ok(())) => succeeded(&serde_json::json!({ "name": name }).to_string()),
        Ok(Err(error)) => refused(ErrorType::Internal, &format!("create snapshot: {error}")),
        Err(_) => refused(ErrorType::Internal, "create snapshot: it failed unexpectedly"),
    }
}

/// As Prometheus names them: the time, and something that no other has.
fn name(now_ms: i64) -> String {
    let time: String = flyball_model::time::rfc3339_seconds(now_ms)
        .chars()
        .filter(|letter| !"-:".contains(*letter))
        .collect();
    format!("{time}-{:08x}{:08x}", now_ms.rem_euclid(1000), std::process::id())
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_sort_by_time() {
        let name = super::name(1_700_000_000_123);
        assert!(name.starts_with("20231114T221320Z-0000007b"), "{name}");
    }
}
