//! The arithmetic of a rollout: how far each ReplicaSet of a Deployment may grow or must shrink next.
//!
//! Follows kubernetes/kubernetes `pkg/controller/deployment/{rolling,recreate,sync}.go` and `util/deployment_util.go`.
//! Pure: it takes a [`Rollout`] and the [`Set`]s and returns [`Action`]s.

/// A whole number of pods or a share of the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// So many pods.
    Pods(i32),
    /// So many percent of the replicas.
    Percent(i32),
}

impl Share {
    /// Number of pods of `replicas`; a fraction goes up or down.
    pub fn of(self, replicas: i32, round_up: bool) -> i32 {
        let percent = match self {
            Self::Pods(pods) => return pods,
            Self::Percent(percent) => percent,
        };
        let hundredths = i64::from(percent) * i64::from(replicas);
        let pods = if round_up { (hundredths + 99).div_euclid(100) } else { hundredths.div_euclid(100) };
        i32::try_from(pods).unwrap_or(i32::MAX)
    }
}

/// How a Deployment replaces its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Old pods end before new ones start.
    Recreate,
    /// Old and new pods overlap within the two limits.
    RollingUpdate {
        /// Pods allowed above the replicas.
        max_surge: Share,
        /// Pods allowed to be missing from the replicas.
        max_unavailable: Share,
    },
}

/// What of a Deployment's spec the arithmetic needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    /// `spec.replicas`.
    pub replicas: i32,
    /// `spec.strategy`.
    pub strategy: Strategy,
}

impl Rollout {
    /// Surge and unavailability in pods. Both zero would never move, so unavailability becomes 1, as upstream.
    fn fenceposts(&self) -> (i32, i32) {
        let Strategy::RollingUpdate { max_surge, max_unavailable } = self.strategy else {
            return (0, 0);
        };
        let surge = max_surge.of(self.replicas, true);
        let unavailable = max_unavailable.of(self.replicas, false);
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
    }

    /// Pods allowed above the replicas.
    pub fn max_surge(&self) -> i32 {
        self.fenceposts().0
    }

    /// Pods allowed to be missing.
    pub fn max_unavailable(&self) -> i32 {
        if self.replicas == 0 { 0 } else { self.fenceposts().1.min(self.replicas) }
    }

    /// Most pods at any time: the value of the annotation `deployment.kubernetes.io/max-replicas`.
    pub fn max_replicas(&self) -> i32 {
        self.replicas.saturating_add(self.max_surge())
    }
}

/// What of a ReplicaSet the arithmetic needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Name, which actions refer to.
    pub name: String,
    /// Creation in Unix milliseconds.
    pub created_ms: i64,
    /// `spec.replicas`.
    pub replicas: i32,
    /// `status.replicas`.
    pub actual: i32,
    /// `status.readyReplicas`.
    pub ready: i32,
    /// `status.availableReplicas`.
    pub available: i32,
    /// Annotation `deployment.kubernetes.io/revision`; 0 if absent.
    pub revision: i64,
    /// Annotation `deployment.kubernetes.io/desired-replicas`.
    pub desired_noted: Option<i32>,
    /// Annotation `deployment.kubernetes.io/max-replicas`.
    pub max_noted: Option<i32>,
    /// True if the set's status belongs to its current spec.
    pub observed: bool,
    /// True once its deletion was asked for.
    pub deleting: bool,
}

/// One step for the controller to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Create the ReplicaSet of the current template with so many replicas.
    CreateNew(i32),
    /// Set the size of a ReplicaSet (and its size annotations, even if the size stays).
    Scale {
        /// Which ReplicaSet.
        name: String,
        /// Its present size.
        from: i32,
        /// Its next size.
        to: i32,
    },
    /// Delete an old, empty ReplicaSet.
    Delete(String),
}

fn sum(sets: &[Set], field: impl Fn(&Set) -> i32) -> i32 {
    sets.iter().map(field).fold(0, i32::saturating_add)
}

fn resized(set: &Set, to: i32) -> Action {
    Action::Scale { name: set.name.clone(), from: set.replicas, to }
}

/// Sorted oldest first, by name among equals.
fn by_creation(sets: &[Set]) -> Vec<&Set> {
    let mut sorted: Vec<&Set> = sets.iter().collect();
    sorted.sort_by(|a, b| a.created_ms.cmp(&b.created_ms).then_with(|| a.name.cmp(&b.name)));
    sorted
}

/// Size of the new ReplicaSet (now `new_replicas`, 0 before it exists) when all sets together hold `total` pods.
pub fn new_set_size(rollout: &Rollout, new_replicas: i32, total: i32) -> i32 {
    if rollout.strategy == Strategy::Recreate {
        return rollout.replicas;
    }
    let room = rollout.max_replicas() - total;
    if room <= 0 {
        return new_replicas;
    }
    new_replicas + room.min(rollout.replicas - new_replicas)
}

/// True if the replicas changed since the active sets were last sized: then sets are scaled, and no rollout step is taken.
pub fn is_scaling_event(rollout: &Rollout, sets: &[Set]) -> bool {
    let changed = |set: &Set| set.desired_noted.is_some_and(|desired| desired != rollout.replicas);
    sets.iter().filter(|set| set.replicas > 0).any(changed)
}

/// Steps after the replicas changed, or while the Deployment is paused: the one active set takes the size; several
/// active sets share the change in proportion to their sizes.
pub fn scale(rollout: &Rollout, new: Option<&Set>, old: &[Set]) -> Vec<Action> {
    let mut active: Vec<&Set> = by_creation(old).into_iter().filter(|set| set.replicas > 0).collect();
    active.extend(new.filter(|set| set.replicas > 0));
    let only = match active.as_slice() {
        [] => new.or_else(|| by_creation(old).last().copied()),
        [one] => Some(*one),
        _ => None,
    };
    if let Some(only) = only {
        let done = only.replicas == rollout.replicas && only.desired_noted == Some(rollout.replicas);
        return if done { Vec::new() } else { vec![resized(only, rollout.replicas)] };
    }
    if new.is_some_and(|new| is_saturated(rollout, new)) {
        return old.iter().filter(|set| set.replicas > 0).map(|set| resized(set, 0)).collect();
    }
    match rollout.strategy {
        Strategy::Recreate => Vec::new(),
        Strategy::RollingUpdate { .. } => scale_proportionally(rollout, active),
    }
}

/// True if the new set alone holds all replicas, was sized for them, and all are available.
fn is_saturated(rollout: &Rollout, new: &Set) -> bool {
    new.replicas == rollout.replicas
        && new.desired_noted == Some(rollout.replicas)
        && new.available == rollout.replicas
}

fn scale_proportionally(rollout: &Rollout, mut active: Vec<&Set>) -> Vec<Action> {
    let total: i32 = active.iter().map(|set| set.replicas).sum();
    let allowed = if rollout.replicas > 0 { rollout.max_replicas() } else { 0 };
    let to_add = allowed - total;
    // The largest sets come first; among equals the newer when growing, the older when shrinking.
    active.sort_by(|a, b| {
        let age = a.created_ms.cmp(&b.created_ms).then_with(|| a.name.cmp(&b.name));
        b.replicas.cmp(&a.replicas).then(if to_add > 0 { age.reverse() } else { age })
    });
    let mut added = 0;
    let mut sizes = Vec::with_capacity(active.len());
    for set in &active {
        let share = proportion(rollout, set, total, to_add, added);
        added += share;
        sizes.push(set.replicas + share);
    }
    if let Some(first) = sizes.first_mut() {
        *first = (*first + to_add - added).max(0);
    }
    active.iter().zip(sizes).map(|(set, size)| resized(set, size)).collect()
}

/// The part of `to_add` that falls to one set, limited to what is left of it.
fn proportion(rollout: &Rollout, set: &Set, total: i32, to_add: i32, added: i32) -> i32 {
    if set.replicas == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let left = to_add - added;
    let wanted = if rollout.replicas == 0 {
        -set.replicas
    } else {
        let before = set.max_noted.filter(|max| *max != 0).unwrap_or(total).max(1);
        let scaled = f64::from(set.replicas) * f64::from(rollout.max_replicas()) / f64::from(before);
        scaled.round() as i32 - set.replicas
    };
    if to_add > 0 { wanted.min(left) } else { wanted.max(left) }
}

/// Next steps of a rolling update. Empty when nothing can move now.
pub fn roll(rollout: &Rollout, new: Option<&Set>, old: &[Set]) -> Vec<Action> {
    let old_total = sum(old, |set| set.replicas);
    let Some(new) = new else {
        return vec![Action::CreateNew(new_set_size(rollout, 0, old_total))];
    };
    let total = old_total + new.replicas;
    if new.replicas > rollout.replicas {
        return vec![resized(new, rollout.replicas)];
    }
    let size = new_set_size(rollout, new.replicas, total);
    if size != new.replicas || new.desired_noted != Some(rollout.replicas) {
        return vec![resized(new, size)];
    }
    shrink_old(rollout, new, old, total)
}

/// Shrinks old sets: first pods that are not available anyway, then available ones as far as the limit allows.
fn shrink_old(rollout: &Rollout, new: &Set, old: &[Set], total: i32) -> Vec<Action> {
    if sum(old, |set| set.replicas) == 0 {
        return Vec::new();
    }
    let min_available = rollout.replicas - rollout.max_unavailable();
    let most = total - min_available - (new.replicas - new.available);
    if most <= 0 {
        return Vec::new();
    }
    let sorted = by_creation(old);
    let mut sizes: Vec<i32> = sorted.iter().map(|set| set.replicas).collect();
    let mut left = most;
    for (set, size) in sorted.iter().zip(&mut sizes) {
        let unhealthy = (*size - set.available).clamp(0, left);
        *size -= unhealthy;
        left -= unhealthy;
    }
    let mut spare = (sum(old, |set| set.available) + new.available - min_available).max(0);
    for size in &mut sizes {
        let shrink = (*size).min(spare);
        *size -= shrink;
        spare -= shrink;
    }
    let changed = sorted.iter().zip(sizes).filter(|(set, size)| set.replicas != *size);
    changed.map(|(set, size)| resized(set, size)).collect()
}

/// Next steps of `Recreate`: empty the old sets, wait until `old_pods_left` is false, then fill the new one.
pub fn recreate(rollout: &Rollout, new: Option<&Set>, old: &[Set], old_pods_left: bool) -> Vec<Action> {
    let emptied: Vec<Action> = old.iter().filter(|set| set.replicas > 0).map(|set| resized(set, 0)).collect();
    if !emptied.is_empty() || old_pods_left {
        return emptied;
    }
    match new {
        None => vec![Action::CreateNew(rollout.replicas)],
        Some(new) if new.replicas != rollout.replicas || new.desired_noted != Some(rollout.replicas) => {
            vec![resized(new, rollout.replicas)]
        }
        Some(_) => Vec::new(),
    }
}

/// Deletion of old, empty sets beyond `limit`, lowest revision first.
pub fn forget_history(old: &[Set], limit: Option<i32>) -> Vec<Action> {
    let Some(limit) = limit else { return Vec::new() };
    let mut alive: Vec<&Set> = old.iter().filter(|set| !set.deleting).collect();
    let surplus = alive.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    alive.sort_by_key(|set| (set.revision, set.created_ms));
    let empty = |set: &&&Set| set.actual == 0 && set.replicas == 0 && set.observed;
    alive.iter().take(surplus).filter(empty).map(|set| Action::Delete(set.name.clone())).collect()
}

#[cfg(test)]
#[path = "sizes_tests.rs"]
mod tests;
