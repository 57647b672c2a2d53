//! Watches for others who scale: sends the probe, looks at the Leases of other installations, and tells what follows.

use crate::cluster::{About, FIELD_MANAGER, Leases, ProbeHpas, Subject, sighting};
use crate::config::Mode;
use crate::controller::Shared;
use crate::ownership::{Ownership, Standing};
use crate::report::Note;
use crate::rivals::Rivals;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Pause between two turns.
const TURN: Duration = Duration::from_millis(500);
/// Pause between two looks at Leases.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Removing the probe on shutdown may take this long.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How to end the competition with the built-in loop.
const MEND_LOOP: &str = "run one HPA controller only: start kube-controller-manager with \
    --controllers=*,-horizontal-pod-autoscaler-controller, or keep flyball hpa in mode shadow";

/// The field manager of the built-in loop.
pub(crate) const CONTROLLER_MANAGER: &str = "kube-controller-manager";

/// Runs while this replica leads; ends with `stop`.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let probe = ProbeHpas::new(shared.api.clone(), shared.namespace.clone());
    let leases = Leases::new(&shared.api);
    let mut rivals = Rivals::default();
    let mut look_at = Instant::now();
    let mut told: Option<(u64, Standing)> = None;
    let turns = async {
        loop {
            let term = shared.term();
            if term.leads {
                if shared.config.mode != Mode::Shadow && Instant::now() >= look_at {
                    look_at = Instant::now() + LOOK_EVERY;
                    look(&shared, &leases, &mut rivals).await;
                }
                ask(&shared, &probe).await;
                let standing = shared.ownership(|ownership| ownership.standing());
                if told.as_ref() != Some(&(term.number, standing.clone())) {
                    tell(&shared, &standing).await;
                    told = Some((term.number, standing));
                }
            }
            let left = shared.ownership(|ownership| ownership.left());
            let acting =
                term.leads && matches!(told, Some((number, Standing::Acting)) if number == term.number);
            shared.metrics.standing(acting, left);
            sleep(TURN).await;
        }
    };
    stop.run_until_cancelled(turns).await;
    if shared.ownership(|ownership| ownership.is_asking()) {
        let _ = tokio::time::timeout(REMOVE_TIMEOUT, probe.remove()).await;
    }
}

/// Looks for other installations. Who may not look sees none; the missing permission is told elsewhere.
async fn look(shared: &Shared, leases: &Leases, rivals: &mut Rivals) {
    let Some(election) = &shared.config.election else { return };
    let own = election.namespace.as_ref().unwrap_or(&shared.namespace);
    let found = match leases.of_name(&election.name).await {
        Ok(found) => found,
        Err(error) if matches!(error.code, 401 | 403) => Vec::new(),
        // Until the server answers, what was seen last holds.
        Err(error) => return tracing::debug!(%error, "cannot look for other installations"),
    };
    let sightings: Vec<_> = found.iter().map(sighting).collect();
    let acting = shared.ownership(|ownership| ownership.standing() == Standing::Acting);
    let rival = rivals.look(&sightings, own, acting, shared.uptime());
    shared.ownership(|ownership| ownership.rival(rival));
}

/// Sends a probe where one is wanted, and takes it back when it was answered or has waited long enough.
async fn ask(shared: &Shared, probe: &ProbeHpas) {
    if shared.ownership(|ownership| ownership.wants_probe(shared.uptime())) {
        // Asking begins before the probe exists: the answer may be faster than the server's answer to us.
        shared.ownership(|ownership| ownership.probe_made(shared.uptime()));
        if let Err(error) = probe.make().await {
            let reason = format!("the probe could not be made: {error}");
            shared.ownership(|ownership| ownership.probe_refused(&reason, shared.uptime()));
        } else {
            tracing::debug!("asking for another HPA loop");
            shared.asked.store(true, Ordering::Release);
        }
    }
    shared.ownership(|ownership| ownership.probe_over(shared.uptime()));
    let is_over = !shared.ownership(|ownership| ownership.is_asking());
    if is_over
        && shared.asked.swap(false, Ordering::AcqRel)
        && let Err(error) = probe.remove().await
    {
        tracing::warn!(%error, "the probe could not be removed and is removed later");
        shared.asked.store(true, Ordering::Release);
    }
}

/// One line and, on our own Lease, one event for each change; the Lease says whether we scale.
async fn tell(shared: &Shared, standing: &Standing) {
    let mode = shared.config.mode;
    let acting = match standing {
        Standing::Acting => Some(true),
        Standing::Looking => None,
        _ => Some(false),
    };
    shared.lease.claim.set(acting);
    let note = match standing {
        Standing::Shadow => {
            tracing::info!(?mode, "watching only, as asked for");
            return;
        }
        Standing::Looking => {
            tracing::info!(
                ?mode,
                "looking for another HPA loop; nothing is written until it is known that there is none"
            );
            return;
        }
        Standing::Acting => {
            tracing::info!(?mode, "no other HPA loop answers: scaling");
            shared.start_acting();
            Note {
                warning: false,
                reason: "Scaling",
                message: "no other HPA loop answers: Flyball scales".into(),
            }
        }
        Standing::OtherLoop { manager } => {
            let whose = whose(manager);
            tracing::warn!(?mode, manager, "another HPA loop runs: watching only; {MEND_LOOP}");
            let message = format!("another HPA loop runs ({whose}): Flyball only watches; {MEND_LOOP}");
            Note { warning: true, reason: "AnotherAutoscaler", message }
        }
        Standing::OtherFlyball(rival) => {
            let message = format!(
                "another Flyball scales this cluster already: pod {} of namespace {}; this one only watches; remove one of \
                 the two installations, or run one with --mode=shadow",
                rival.holder, rival.namespace
            );
            tracing::error!(?mode, "{message}");
            Note { warning: true, reason: "AnotherFlyball", message }
        }
        Standing::CannotTell { reason } => {
            tracing::warn!(
                ?mode,
                reason,
                "whether another HPA loop runs cannot be found out: watching only; mend that, or say --mode=replace where \
                 you know that there is none"
            );
            Note { warning: true, reason: "CannotTell", message: reason.clone() }
        }
    };
    let Some(election) = &shared.config.election else { return };
    let subject = Subject {
        about: About::Lease,
        namespace: election.namespace.clone().unwrap_or_else(|| shared.namespace.clone()),
        name: election.name.clone(),
        uid: shared.lease.uid(),
        resource_version: None,
    };
    shared.events.record(&subject, &note, shared.now_ms()).await;
}

/// A field manager in words.
pub(crate) fn whose(manager: &str) -> String {
    if manager == FIELD_MANAGER {
        return format!("another Flyball, field manager {manager:?}");
    }
    format!("field manager {manager:?}")
}

/// What another controller writes that is ours to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// The status of an autoscaler.
    Status,
    /// The replica count of its target.
    Replicas,
}

/// What an HPA that is left alone is told about.
pub(crate) fn left_note(manager: &str, written: Written) -> Note {
    let mend = match (manager, written) {
        (FIELD_MANAGER, _) => "remove one of the two installations, or run one with --mode=shadow",
        (CONTROLLER_MANAGER, _) | (_, Written::Status) => MEND_LOOP,
        (_, Written::Replicas) => {
            "leave spec.replicas out of what it applies, or let it ignore differences of that field"
        }
    };
    let what = match written {
        Written::Status => "this autoscaler's status",
        Written::Replicas => "the replica count of this autoscaler's target",
    };
    let message = format!(
        "another controller writes {what} ({}): Flyball leaves it alone until that ends; {mend}",
        whose(manager)
    );
    Note { warning: true, reason: "AnotherAutoscaler", message }
}

/// The ownership of a configuration.
pub(crate) fn ownership(config: &crate::config::Config) -> Ownership {
    Ownership::new(config.mode, config.sync_period, config.election.is_some())
}
