//! Deployments: one ReplicaSet per pod template, sized step by step.
//!
//! [`sizes`] and [`conditions`] decide, this module reads, acts and writes. Follows kubernetes/kubernetes
//! `pkg/controller/deployment`; revisions, annotations, events and conditions are upstream's.

mod conditions;
pub(in crate::controllers) mod sets;
mod sizes;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use self::conditions::{Condition, Progress};
use self::sets::{Family, REVISION};
use self::sizes::{Action, Rollout, Set, Share, Strategy};
use super::object;
use super::worker::{Controller, Key};
use crate::registry::kinds::{DEPLOYMENTS, PODS, REPLICASETS, Resource};
use crate::registry::{Part, Registry, Status, WatchEvent};

/// The Deployment controller.
pub(super) struct Deployments;

/// Component name in events.
const COMPONENT: &str = "deployment-controller";

impl Controller for Deployments {
    const NAME: &'static str = "deployment";

    fn watches(&self) -> &'static [&'static Resource] {
        const WATCHES: [&Resource; 3] = [&DEPLOYMENTS, &REPLICASETS, &PODS];
        &WATCHES
    }

    fn affected(&self, registry: &Registry, resource: &'static Resource, event: &WatchEvent) -> Vec<Key> {
        let object = &*event.object;
        if *resource == DEPLOYMENTS {
            return vec![Key::new(object::namespace(object), object::name(object))];
        }
        let Some(owner) = object::controller_of(object) else { return Vec::new() };
        let namespace = object::namespace(object);
        if *resource == REPLICASETS {
            return vec![Key::new(namespace, &owner.name)];
        }
        // Recreate waits for old pods to end, which no ReplicaSet change may announce.
        let ended = !object::is_pod_active(object) || event.kind == crate::registry::WatchKind::Deleted;
        let set = registry.get(&REPLICASETS, namespace, &owner.name).filter(|_| ended);
        let deployment = set.and_then(|set| object::controller_of(&set));
        deployment.map(|deployment| Key::new(namespace, &deployment.name)).into_iter().collect()
    }

    fn all(&self, registry: &Registry) -> Vec<Key> {
        let deployments = registry.list(&DEPLOYMENTS, None).items;
        deployments.iter().map(|item| Key::new(object::namespace(item), object::name(item))).collect()
    }

    fn sync(&mut self, registry: &Registry, key: &Key, now_ms: i64) -> Result<Option<Duration>, Status> {
        let Some(deployment) = registry.get(&DEPLOYMENTS, &key.namespace, &key.name) else { return Ok(None) };
        if object::is_deleting(&deployment) {
            return Ok(None);
        }
        Sync { registry, key, now_ms, deployment }.run()
    }
}

/// One look at one Deployment.
struct Sync<'a> {
    registry: &'a Registry,
    key: &'a Key,
    now_ms: i64,
    deployment: Arc<Value>,
}

impl Sync<'_> {
    fn run(&self) -> Result<Option<Duration>, Status> {
        let rollout = read_rollout(&self.deployment);
        let paused = self.deployment["spec"]["paused"].as_bool().unwrap_or(false);
        let deadline_seconds = progress_deadline(&self.deployment);
        let mut before = read_status(&self.deployment);
        conditions::note_pause(&mut before, paused, deadline_seconds.is_some(), self.now_ms);

        let mut family = sets::adopt(self.registry, self.key, &self.deployment)?;
        sets::sync_new(self.registry, &self.deployment, &family)?;
        family = sets::adopt(self.registry, self.key, &self.deployment)?;
        let scaling = paused || sizes::is_scaling_event(&rollout, &family.all());
        let actions = if scaling {
            sizes::scale(&rollout, family.new_set(), &family.old_sets())
        } else {
            self.next_steps(&rollout, &family)
        };
        for action in &actions {
            self.carry_out(action, &rollout, &family, &mut before)?;
        }
        if !actions.is_empty() {
            family = sets::adopt(self.registry, self.key, &self.deployment)?;
        }
        if let (Some(new), Some(_), None) =
            (family.new_set(), deadline_seconds, before.condition("Progressing"))
        {
            let message = format!("Found new replica set {:?}", new.name);
            before.set_condition("Progressing", "True", "FoundNewReplicaSet", message, self.now_ms);
        }
        let status = self.next_status(&rollout, &family, &before, deadline_seconds, scaling);
        let complete = status.is_complete(&rollout, self.generation());
        if (complete && !scaling) || paused {
            self.forget_history(&family)?;
        }
        self.write(&family, &status)?;
        let due_ms = deadline_seconds.and_then(|seconds| conditions::deadline_ms(&status, seconds));
        let wait_ms = due_ms.map(|due_ms| u64::try_from(due_ms - self.now_ms + 1_000).unwrap_or(1_000));
        Ok(wait_ms.map(Duration::from_millis))
    }

    fn generation(&self) -> i64 {
        object::number(&self.deployment, "/metadata/generation").unwrap_or(0)
    }

    fn next_steps(&self, rollout: &Rollout, family: &Family) -> Vec<Action> {
        let (new, old) = (family.new_set(), family.old_sets());
        match rollout.strategy {
            Strategy::RollingUpdate { .. } => sizes::roll(rollout, new, &old),
            Strategy::Recreate => {
                let left = sets::has_running_pods(self.registry, &self.key.namespace, &family.old);
                sizes::recreate(rollout, new, &old, left)
            }
        }
    }

    fn carry_out(
        &self,
        action: &Action,
        rollout: &Rollout,
        family: &Family,
        before: &mut conditions::Status,
    ) -> Result<(), Status> {
        match action {
            Action::CreateNew(size) => {
                let created = sets::create_new(self.registry, &self.deployment, family, rollout, *size)?;
                let name = object::name(&created);
                if *size > 0 {
                    self.event(&format!("Scaled up replica set {name} from 0 to {size}"));
                }
                let message = format!("Created new replica set {name:?}");
                if progress_deadline(&self.deployment).is_some() {
                    before.set_condition("Progressing", "True", "NewReplicaSetCreated", message, self.now_ms);
                }
            }
            Action::Scale { name, from, to } => {
                sets::resize(self.registry, &self.key.namespace, name, rollout, *to)?;
                if from != to {
                    let direction = if to > from { "up" } else { "down" };
                    self.event(&format!("Scaled {direction} replica set {name} from {from} to {to}"));
                }
            }
            Action::Delete(name) => sets::delete(self.registry, &self.key.namespace, name)?,
        }
        Ok(())
    }

    fn next_status(
        &self,
        rollout: &Rollout,
        family: &Family,
        before: &conditions::Status,
        deadline_seconds: Option<i32>,
        scaling: bool,
    ) -> conditions::Status {
        let new = family.new_set();
        let at = Progress {
            deployment: &self.key.name,
            new_set: new.map(|new| new.name.as_str()),
            deadline_seconds,
            generation: self.generation(),
            now_ms: self.now_ms,
        };
        let mut status = conditions::counted(rollout, new, &family.all(), before, at);
        if !scaling {
            conditions::judge_progress(&mut status, before, rollout, at);
            conditions::copy_failure(&mut status, family.failure(), self.now_ms);
        }
        status
    }

    fn forget_history(&self, family: &Family) -> Result<(), Status> {
        let limit = object::count(&self.deployment, "/spec/revisionHistoryLimit", 10);
        for action in sizes::forget_history(&family.old_sets(), Some(limit)) {
            if let Action::Delete(name) = action {
                sets::delete(self.registry, &self.key.namespace, &name)?;
            }
        }
        Ok(())
    }

    /// Writes the status, and the revision annotation if it moved. Equal writes change nothing.
    fn write(&self, family: &Family, status: &conditions::Status) -> Result<(), Status> {
        let (namespace, name) = (&self.key.namespace, &self.key.name);
        let revision = family.new.as_ref().and_then(|new| object::annotation(new, REVISION));
        if let Some(revision) = revision
            && object::annotation(&self.deployment, REVISION) != Some(revision)
        {
            self.registry.modify(&DEPLOYMENTS, namespace, name, Part::Spec, |deployment| {
                object::set_metadata_entry(deployment, "annotations", REVISION, revision);
            })?;
        }
        let mut written = status.to_json();
        if let Some(collisions) = self
            .registry
            .get(&DEPLOYMENTS, namespace, name)
            .and_then(|current| current.pointer("/status/collisionCount").cloned())
        {
            written["collisionCount"] = collisions;
        }
        if self.deployment.get("status") == Some(&written) {
            return Ok(());
        }
        self.registry.modify(&DEPLOYMENTS, namespace, name, Part::Status, |deployment| {
            deployment["status"] = written.clone();
        })?;
        Ok(())
    }

    fn event(&self, message: &str) {
        self.registry.record_event(&self.deployment, "Normal", "ScalingReplicaSet", message, COMPONENT);
    }
}

fn read_share(value: &Value, default: Share) -> Share {
    if let Some(pods) = value.as_i64() {
        return Share::Pods(i32::try_from(pods).unwrap_or(i32::MAX));
    }
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse().ok());
    percent.map_or(default, Share::Percent)
}

fn read_rollout(deployment: &Value) -> Rollout {
    let strategy = &deployment["spec"]["strategy"];
    let limits = &strategy["rollingUpdate"];
    let strategy = if strategy["type"] == "Recreate" {
        Strategy::Recreate
    } else {
        Strategy::RollingUpdate {
            max_surge: read_share(&limits["maxSurge"], Share::Percent(25)),
            max_unavailable: read_share(&limits["maxUnavailable"], Share::Percent(25)),
        }
    };
    Rollout { replicas: object::count(deployment, "/spec/replicas", 1), strategy }
}

/// `spec.progressDeadlineSeconds`; the largest number means none, as upstream.
fn progress_deadline(deployment: &Value) -> Option<i32> {
    let seconds = object::count(deployment, "/spec/progressDeadlineSeconds", 600);
    (seconds != i32::MAX).then_some(seconds)
}

fn read_status(deployment: &Value) -> conditions::Status {
    let read = |condition: &Value| {
        let changed_ms = object::time_ms(condition, "/lastTransitionTime").unwrap_or(0);
        Condition {
            kind: object::text(condition, "/type").to_owned(),
            status: object::text(condition, "/status").to_owned(),
            reason: object::text(condition, "/reason").to_owned(),
            message: object::text(condition, "/message").to_owned(),
            updated_ms: object::time_ms(condition, "/lastUpdateTime").unwrap_or(changed_ms),
            changed_ms,
        }
    };
    let conditions = deployment.pointer("/status/conditions").and_then(Value::as_array);
    let count = |field: &str| object::count(deployment, &format!("/status/{field}"), 0);
    conditions::Status {
        observed_generation: object::number(deployment, "/status/observedGeneration").unwrap_or(0),
        replicas: count("replicas"),
        updated: count("updatedReplicas"),
        ready: count("readyReplicas"),
        available: count("availableReplicas"),
        unavailable: count("unavailableReplicas"),
        conditions: conditions.into_iter().flatten().map(read).collect(),
        collisions: object::number(deployment, "/status/collisionCount"),
    }
}

/// Counts a name collision, which changes the next template hash.
fn count_collision(registry: &Registry, deployment: &Value) -> Result<(), Status> {
    let collisions = object::number(deployment, "/status/collisionCount").unwrap_or(0) + 1;
    let (namespace, name) = (object::namespace(deployment), object::name(deployment));
    registry.modify(&DEPLOYMENTS, namespace, name, Part::Status, |deployment| {
        object::child(deployment, "status").insert("collisionCount".to_owned(), json!(collisions));
    })?;
    Ok(())
}

fn read_set(set: &Value) -> Set {
    let noted = |key: &str| object::annotation(set, key).and_then(|text| text.parse().ok());
    Set {
        name: object::name(set).to_owned(),
        created_ms: object::created_ms(set),
        replicas: object::count(set, "/spec/replicas", 1),
        actual: object::count(set, "/status/replicas", 0),
        ready: object::count(set, "/status/readyReplicas", 0),
        available: object::count(set, "/status/availableReplicas", 0),
        revision: object::annotation(set, REVISION).and_then(|text| text.parse().ok()).unwrap_or(0),
        desired_noted: noted(sets::DESIRED),
        max_noted: noted(sets::MAX),
        observed: object::number(set, "/metadata/generation").unwrap_or(0)
            <= object::number(set, "/status/observedGeneration").unwrap_or(0),
        deleting: object::is_deleting(set),
    }
}
