//! Looks after permissions: asks for each, tells about each that is missing once, and again when it was granted.

use crate::checkpoint::shard_name;
use crate::cluster::{Access, Mapping};
use crate::controller::Shared;
use crate::error::ApiError;
use crate::permissions::{Circumstances, Need, needs, scale_needs};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Pause between two checks while something is missing, and between two looks at what is needed.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Pause between two looks whether the HPAs are known.
const GLANCE: Duration = Duration::from_millis(200);
/// Pause between two checks while all is granted.
const RECHECK_EVERY: Duration = Duration::from_secs(300);
/// Kinds of targets that are asked about one by one.
const MAX_TARGETS: usize = 64;

/// The needs that are not met, for the probe.
#[derive(Debug, Default)]
pub(crate) struct Missing(Mutex<Option<Vec<Need>>>);

impl Missing {
    /// What makes the program unready; an error before the first check.
    pub(crate) fn check(&self) -> Result<(), String> {
        let missing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(missing) = &*missing else { return Err("permissions have not been checked yet".into()) };
        let texts: Vec<String> =
            missing.iter().filter(|need| !need.is_spare).map(|need| format!("cannot {need}")).collect();
        if texts.is_empty() { Ok(()) } else { Err(texts.join("\n")) }
    }
}

/// Checks until the process ends.
pub(crate) async fn run(shared: Arc<Shared>) {
    let access = Access::new(&shared.api);
    let mut known: (Option<Question>, HashSet<Need>) = (None, HashSet::new());
    let mut due = Instant::now();
    // With the HPAs known, the kinds of targets in use are.
    let patience = due + CHECK_EVERY;
    while !shared.hpas.is_synced() && Instant::now() < patience {
        sleep(GLANCE).await;
    }
    loop {
        let question = question(&shared).await;
        if Instant::now() >= due || known.0.as_ref() != Some(&question) {
            match missing(&access, &question).await {
                Ok(missing) => {
                    tell(&known.1, &missing);
                    shared.metrics.missing_permissions(missing.len());
                    due = Instant::now() + if missing.is_empty() { RECHECK_EVERY } else { CHECK_EVERY };
                    known = (Some(question), missing.iter().cloned().collect());
                    *shared.missing.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(missing);
                }
                Err(error) => tracing::debug!(%error, "permissions cannot be checked"),
            }
        }
        sleep(CHECK_EVERY).await;
    }
}

/// What the needs depend on.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    circumstances: Circumstances,
    targets: Vec<Mapping>,
}

async fn question(shared: &Shared) -> Question {
    let config = &shared.config;
    let used = shared.hpas.uses();
    let mut targets = Vec::new();
    for kind in used.targets.iter().take(MAX_TARGETS) {
        targets.extend(shared.discovery.mapping(kind).await.map(|mapping| (*mapping).clone()));
    }
    let lease = config.election.as_ref().map(|election| {
        let namespace = election.namespace.clone().unwrap_or_else(|| shared.namespace.clone());
        (namespace, election.name.clone())
    });
    let circumstances = Circumstances {
        mode: config.mode,
        own_namespace: shared.namespace.clone(),
        lease,
        history: config.keeps_history().then(|| shard_name(0)),
        uses_custom: used.custom,
        uses_external: used.external,
        uses_resource: used.resource,
    };
    Question { circumstances, targets }
}

async fn missing(access: &Access, question: &Question) -> Result<Vec<Need>, ApiError> {
    let mut missing = Vec::new();
    for need in needs(&question.circumstances) {
        if !access.allows(&need).await? {
            missing.push(need);
        }
    }
    for (whole, each) in scale_needs(question.circumstances.mode, &question.targets) {
        if access.allows(&whole).await? {
            continue;
        }
        if each.is_empty() {
            missing.push(whole);
            continue;
        }
        for need in each {
            if !access.allows(&need).await? {
                missing.push(need);
            }
        }
    }
    Ok(missing)
}

/// One line for each change.
fn tell(before: &HashSet<Need>, now: &[Need]) {
    for need in now.iter().filter(|need| !before.contains(*need)) {
        match need.is_spare {
            true => tracing::info!("a permission is missing that nothing uses yet: cannot {need}"),
            false => tracing::warn!("a permission is missing: cannot {need}"),
        }
    }
    for need in before.iter().filter(|need| !now.contains(need)) {
        let what = format!("{} {}", need.verb, need.resource);
        tracing::info!(what, group = need.group, "a permission was granted, or is not needed any more");
    }
}
