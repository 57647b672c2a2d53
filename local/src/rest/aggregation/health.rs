//! The `Available` condition of each APIService, by upstream's steps: Service, port, endpoints, then discovery.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Aggregator;
use super::backend::{Backend, NoWay, Said};
use super::{discovered, proxy};
use crate::registry::{Part, clock, json, kinds};

/// Pause between two checks of a healthy group.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Pause before a group that is not available is checked again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Changes that come together are looked at together.
const GATHER: Duration = Duration::from_millis(50);

pub(super) async fn run(aggregator: &Aggregator, shutdown: CancellationToken) {
    loop {
        // The watches start before the check, so that a change during it is not missed.
        let registry = &aggregator.registry;
        let watches = [&kinds::APISERVICES, &kinds::SERVICES, &kinds::ENDPOINTSLICES]
            .map(|resource| registry.watch(resource, None, None));
        let [Ok(mut services), Ok(mut targets), Ok(mut endpoints)] = watches else { continue };
        let all_available = check_all(aggregator).await;
        let pause = if all_available { CHECK_INTERVAL } else { RETRY_INTERVAL };
        let changed = async {
            tokio::select! {
                () = spec_changed(&mut services) => {}
                _ = targets.next() => {}
                _ = endpoints.next() => {}
            }
            tokio::time::sleep(GATHER).await;
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tokio::time::timeout(pause, changed) => {}
        }
    }
}

/// Waits for a change that is not our own condition.
async fn spec_changed(watch: &mut crate::registry::WatchStream) {
    while let Some(Ok(event)) = watch.next().await {
        let spec = |object: &Value| object.get("spec").cloned();
        if event.previous.as_deref().and_then(spec) != spec(&event.object) || event.previous.is_none() {
            return;
        }
    }
}

/// Checks every APIService once; false when one is not available.
///
/// Conditions are written last: whoever sees `Available` finds the group in discovery and OpenAPI.
async fn check_all(aggregator: &Aggregator) -> bool {
    let services = aggregator.registry.list(&kinds::APISERVICES, None).items;
    let mut kept: BTreeMap<String, Arc<Backend>> = BTreeMap::new();
    let mut all_available = true;
    let mut news = false;
    let mut conditions = Vec::new();
    for service in services.iter().filter(|service| service.pointer("/spec/service").is_some()) {
        let name = json::name(service);
        let known = aggregator.backends().get(name).cloned();
        let outcome = check(aggregator, service, known.clone()).await;
        all_available &= outcome.is_ok();
        match outcome {
            Ok((backend, changed)) => {
                news |= changed;
                kept.insert(name.to_owned(), backend);
                conditions.push((service, None));
            }
            // What it served stays in discovery: kubectl then says 503, not "no such resource".
            Err(problem) => {
                kept.extend(known.map(|known| (name.to_owned(), known)));
                conditions.push((service, Some(problem)));
            }
        }
    }
    news |= kept.len() != aggregator.backends().len();
    *aggregator.backends() = kept;
    if news {
        aggregator.publish();
    }
    for (service, problem) in &conditions {
        set_condition(aggregator, service, problem.as_ref());
    }
    all_available
}

/// The way to a healthy backend, and whether it said something new.
async fn check(
    aggregator: &Aggregator,
    service: &Value,
    known: Option<Arc<Backend>>,
) -> Result<(Arc<Backend>, bool), NoWay> {
    let found = Backend::find(&aggregator.registry, &aggregator.connector, service)?;
    let backend = known.filter(|known| known.is_same_way(&found)).unwrap_or_else(|| Arc::new(found));
    let failed = |why: String| NoWay {
        reason: "FailedDiscoveryCheck",
        message: format!(
            "failing or missing response from https://{}{}: {why}",
            backend.address,
            backend.path()
        ),
    };
    let (code, body) = proxy::ask(&backend, &backend.path(), true).await.map_err(&failed)?;
    if !code.is_success() {
        return Err(failed(format!("bad status from the server: {}", code.as_u16())));
    }
    let list: Value = serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))?;
    let resources = discovered::resources(&list);
    let before = backend.said();
    let news = before.as_ref().map(|said| &said.resources) != Some(&resources);
    if news {
        let schema = schema(&backend).await;
        backend.learn(Said { resources, schema });
    }
    Ok((backend, news))
}

/// The backend's OpenAPI v3 document; a backend without one is healthy too.
async fn schema(backend: &Backend) -> Option<Value> {
    let path = format!("/openapi/v3{}", backend.path());
    match proxy::ask(backend, &path, true).await {
        Ok((code, body)) if code.is_success() => serde_json::from_slice(&body).ok(),
        _ => None,
    }
}

/// Whether the condition says so.
pub(super) fn is_available(service: &Value) -> bool {
    let mut conditions = json::items(service, "/status/conditions").iter();
    conditions.any(|condition| {
        json::text(condition, "/type") == "Available" && json::text(condition, "/status") == "True"
    })
}

fn set_condition(aggregator: &Aggregator, service: &Value, problem: Option<&NoWay>) {
    let (status, reason, message) = match problem {
        None => ("True", "Passed", "all checks passed"),
        Some(problem) => ("False", problem.reason, problem.message.as_str()),
    };
    let name = json::name(service);
    let written = aggregator.registry.modify(&kinds::APISERVICES, "", name, Part::Status, |object| {
        let old = json::items(object, "/status/conditions").iter().find(|old| json::text(old, "/type") == "Available");
        let unchanged = old.filter(|old| json::text(old, "/status") == status);
        let since = unchanged.map_or_else(clock::now_text, |old| json::text(old, "/lastTransitionTime").to_owned());
        object["status"] = json!({"conditions": [{
            "type": "Available", "status": status, "reason": reason, "message": message, "lastTransitionTime": since}]});
    });
    match written {
        // Deleted meanwhile: nothing to say any more.
        Err(error) if error.code() != 404 => tracing::warn!(name, %error, "condition is not stored"),
        _ => {}
    }
}
