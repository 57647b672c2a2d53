//! One evaluation of one HPA: read, decide, remember, write, report.

use super::inputs::Gathered;
use super::overwritten::overwriter;
use super::publish::publish;
use super::queue::Follows;
use super::shared::SECOND_WRITER;
use super::state::{HpaState, KnownScale};
use super::{Shared, inputs};
use crate::checkpoint::{self, Need, Pending, Stored};
use crate::cluster::{FIELD_MANAGER, Mapping, ScaleObject};
use crate::config::Mode;
use crate::controls;
use crate::decide::{Branch, Decision, History, Rules, SelectorFailure, Trace, branch, decide};
use crate::decisions::{Evidence, Outcome, Page};
use crate::error::ApiError;
use crate::observe::Observation;
use crate::own_metrics::{Action, Counts};
use crate::refusal::refusal;
use crate::report::{self, ErrorClass, Facts, Rescale};
use crate::sentinel::Written;
use crate::watch::{HpaEntry, Population, Watched};
use flyball_model::autoscaling::{condition_type, v2};
use std::sync::Arc;
use tokio::time::Instant;

/// After a failed checkpoint, leisurely ones wait this long.
const CHECKPOINT_RETRY_MS: i64 = 10_000;

/// After a term began, writes of the replica before us may still arrive by watch.
const SETTLING: std::time::Duration = std::time::Duration::from_secs(10);

/// What one look at the world gives.
struct Seen {
    evidence: Evidence,
    /// Under the hold of annotations, if there is one.
    decision: Decision,
    follows: Follows,
    newest_sample_ms: Option<i64>,
}

/// Evaluates an HPA; gives what it follows.
///
/// Nearly all evaluations send nothing. What does is boxed, so that they do not carry its room along.
pub(super) async fn reconcile(shared: &Shared, entry: &Arc<HpaEntry>) -> Follows {
    let started = Instant::now();
    let now_ms = shared.now_ms();
    let state = shared.states.of(entry, &shared.config, now_ms);
    let mut state = state.lock().await;
    let steady_ms = shared.steady_ms();
    state.follow_clock(now_ms, steady_ms);
    let hpa = state.newest(entry);
    if shared.acts(&entry.uid) && another_flyball(shared, entry, &mut state) {
        Box::pin(shared.leave_alone(entry, FIELD_MANAGER, Written::Status)).await;
    }
    if !shared.acts(&entry.uid) {
        // What is written meanwhile, by whomever, is learned anew when this is ours again.
        state.own_mark = None;
    } else if let Some(manager) = overwriter(shared, entry, &mut state, now_ms) {
        Box::pin(shared.leave_alone(entry, &manager, Written::Replicas)).await;
    }
    if let Some((reason, message)) = refused(shared, entry) {
        shared.book.unreadable(entry, &message, now_ms);
        let report = report::refused(&hpa, reason, &message, now_ms);
        let error = Box::pin(publish(shared, entry, &hpa, &mut state, report)).await;
        shared.metrics.reconciled(Action::None, error, started.elapsed());
        return Follows::default();
    }
    let mapping = match target(shared, entry).await {
        Ok(mapping) => mapping,
        Err((text, class)) => {
            return Box::pin(unreadable(shared, entry, &hpa, &mut state, &text, class, started)).await;
        }
    };
    // Samples arrive every second, scales change rarely: a decision that changes nothing may rest on a scale that was read
    // within the sync period; one that writes never does.
    let mut fresh = shared.config.compat_upstream || state.pending.is_some();
    let seen = loop {
        let is_fresh = match scale(shared, entry, &mut state, &mapping, fresh, steady_ms).await {
            Ok(is_fresh) => is_fresh,
            Err(error) => {
                state.scale = None;
                if error.is_not_found() {
                    let kind = &hpa.spec.scale_target_ref.kind;
                    shared.discovery.forget_kind(&mapping.group, kind).await;
                }
                let text = error.to_string();
                let class = ErrorClass::Internal;
                return Box::pin(unreadable(shared, entry, &hpa, &mut state, &text, class, started)).await;
            }
        };
        let Some(known) = state.scale.take() else { return Follows::default() };
        state.settle(known.scale.counts.spec_replicas);
        let seen = look(shared, entry, &hpa, &state.history, &known.scale, now_ms).await;
        state.scale = Some(known);
        let suspicious = seen.decision.rescales() || !matches!(seen.decision.branch, Branch::Evaluated);
        if is_fresh || !suspicious {
            break seen;
        }
        fresh = true;
    };
    conclude(shared, entry, &hpa, &mut state, seen, started).await
}

/// Why an autoscaler of our own kind is not acted on. The built-in kind was validated by the API server.
fn refused(shared: &Shared, entry: &HpaEntry) -> Option<(&'static str, String)> {
    if shared.config.mode != Mode::OwnKind {
        return None;
    }
    let target = &entry.hpa.spec.scale_target_ref;
    let group = target.api_version.split_once('/').map_or("", |(group, _)| group);
    let owner = shared.owned.owner(group, &target.kind, &entry.key.0, &target.name);
    refusal(entry, owner.as_deref())
}

/// Whether our own field manager wrote this HPA's status when we did not.
fn another_flyball(shared: &Shared, entry: &HpaEntry, state: &mut HpaState) -> bool {
    if state.written.is_some() {
        // The watch has not yet shown our last write.
        return false;
    }
    let seen = entry.own_mark();
    match state.own_mark {
        Some(known) if shared.term_age() >= SETTLING => seen.is_some() && seen != known,
        _ => {
            state.own_mark = Some(seen);
            false
        }
    }
}

/// The resource behind `scaleTargetRef`.
async fn target(shared: &Shared, entry: &HpaEntry) -> Result<Arc<Mapping>, (String, ErrorClass)> {
    let Some(kind) = &entry.target_kind else {
        let text = format!("unexpected GroupVersion string: {}", entry.hpa.spec.scale_target_ref.api_version);
        return Err((text, ErrorClass::Spec));
    };
    let mapping = shared.discovery.mapping(kind).await;
    mapping.map_err(|error| (error.to_string(), ErrorClass::Internal))
}

/// Makes sure that the state holds a scale; true if it was read just now.
async fn scale(
    shared: &Shared,
    entry: &HpaEntry,
    state: &mut HpaState,
    mapping: &Mapping,
    fresh: bool,
    steady_ms: i64,
) -> Result<bool, ApiError> {
    let max_age_ms = shared.config.sync_period_ms();
    if !fresh && let Some(scale) = watched_scale(shared, entry, mapping) {
        let pods = pods_behind(shared, &entry.rules, &scale.selector);
        state.scale = Some(KnownScale { scale, read_ms: steady_ms, pods });
        return Ok(false);
    }
    if let Some(known) = state.scale.as_ref().filter(|known| !fresh && steady_ms - known.read_ms < max_age_ms)
        && known.pods == pods_behind(shared, &entry.rules, &known.scale.selector)
    {
        return Ok(false);
    }
    let name = &entry.hpa.spec.scale_target_ref.name;
    let scale = Box::pin(shared.scales.get(mapping, &entry.key.0, name)).await?;
    let pods = pods_behind(shared, &entry.rules, &scale.selector);
    state.scale = Some(KnownScale { scale, read_ms: steady_ms, pods });
    Ok(true)
}

/// The scale of a target that is watched.
fn watched_scale(shared: &Shared, entry: &HpaEntry, mapping: &Mapping) -> Option<ScaleObject> {
    let kind = Watched::of(&mapping.group, &entry.hpa.spec.scale_target_ref.kind)?;
    let target = shared.targets.get(kind, &entry.target)?;
    Some(ScaleObject::observed(target.scale, target.selector.clone()))
}

fn pods_behind(shared: &Shared, rules: &Rules, selector: &str) -> usize {
    shared.pods.population(&rules.namespace, selector).map_or(0, |population| population.pods.len())
}

/// Gathers what the decision needs, and decides.
async fn look(
    shared: &Shared,
    entry: &Arc<HpaEntry>,
    hpa: &v2::HorizontalPodAutoscaler,
    history: &History,
    scale: &ScaleObject,
    now_ms: i64,
) -> Seen {
    let (rules, counts) = (&entry.rules, scale.counts);
    let settings = &entry.settings(&shared.config.decide);
    let is_zero = |c: &v2::HorizontalPodAutoscalerCondition| {
        c.type_ == condition_type::SCALED_TO_ZERO && c.status == "True"
    };
    let scaled_to_zero = hpa.status.conditions.iter().any(is_zero);
    let mut gathered = Gathered::default();
    let mut population = None;
    let mut selector_failure = None;
    if branch(rules, settings, counts.spec_replicas, scaled_to_zero) == Branch::Evaluated {
        match select(shared, entry, &scale.selector) {
            Ok(found) => {
                let key = (rules.namespace.clone(), scale.selector.to_string());
                gathered = inputs::gather(shared, entry, key, &found).await;
                population = Some(found);
            }
            Err(failure) => selector_failure = Some(failure),
        }
    }
    let Gathered { inputs, follows, newest_ms } = gathered;
    let evidence = Evidence {
        entry: entry.clone(),
        at_ms: now_ms,
        scale: counts,
        scaled_to_zero,
        population,
        inputs,
        selector_failure,
    };
    let started = Instant::now();
    let decided = decide(&evidence.snapshot(settings), now_ms, history, &mut Trace::off());
    let decision = entry.controls.apply(decided);
    shared.metrics.decided(started.elapsed());
    count_metrics(shared, hpa, &decision, started);
    Seen { evidence, decision, follows, newest_sample_ms: newest_ms }
}

fn count_metrics(shared: &Shared, hpa: &v2::HorizontalPodAutoscaler, decision: &Decision, started: Instant) {
    for (spec, proposal) in hpa.spec.metrics.iter().zip(decision.proposals.iter()) {
        let (action, error) = match proposal {
            Ok(outcome) => (Action::between(hpa.status.current_replicas, outcome.replicas), ErrorClass::None),
            Err(failure) if failure.is_spec_error => (Action::None, ErrorClass::Spec),
            Err(_) => (Action::None, ErrorClass::Internal),
        };
        shared.metrics.computed(&spec.type_, action, error, started.elapsed());
    }
}

/// The pods behind the scale's selector, if it can be used.
fn select(shared: &Shared, entry: &HpaEntry, text: &str) -> Result<Arc<Population>, SelectorFailure> {
    if text.is_empty() {
        return Err(SelectorFailure::missing());
    }
    let found = shared.pods.population(&entry.key.0, text);
    let population = found.map_err(|error| SelectorFailure::unparsable(&error))?;
    if !shared.selectors.update(&entry.key, &population.selector) {
        let text = format!("HPA {}/{} was deleted during reconciliation", entry.key.0, entry.key.1);
        return Err(SelectorFailure { event_reason: None, text, condition: None });
    }
    match shared.selectors.ambiguity(&entry.key.0, &population) {
        Some(list) => {
            let text = format!("pods by selector {text} are controlled by more than one HPA (e.g. {list})");
            Err(SelectorFailure::with_reason("AmbiguousSelector", text))
        }
        None => Ok(population),
    }
}

/// Remembers, writes the scale, publishes.
async fn conclude(
    shared: &Shared,
    entry: &Arc<HpaEntry>,
    hpa: &v2::HorizontalPodAutoscaler,
    state: &mut HpaState,
    seen: Seen,
    started: Instant,
) -> Follows {
    let before = state.history.clone();
    let decision = seen.decision;
    let settings = entry.settings(&shared.config.decide);
    let now_ms = shared.now_ms();
    let writes = shared.acts(&entry.uid);
    state.history.remember(&decision, now_ms);
    state.history.forget_growth(now_ms - entry.period_ms(shared.config.sync_period_ms()));
    checkpoint(shared, entry, state, &decision, now_ms).await;
    // Asked again: another controller may have shown itself while history was stored.
    let rescale = if !decision.rescales() || !shared.acts(&entry.uid) {
        Rescale::NotNeeded
    } else {
        Box::pin(rescale(shared, entry, state, &decision, now_ms)).await
    };
    if rescale == Rescale::Done {
        shared.metrics.scaled(seen.newest_sample_ms, shared.now_ms());
    }
    let facts = Facts {
        hpa,
        rules: &entry.rules,
        settings: &settings,
        observed_generation: shared.config.observed_generation,
        decision: &decision,
        selector: seen.evidence.selector_failure.as_ref(),
        now_ms,
    };
    let mut report = report::conclude(facts, &rescale);
    tell_hold(entry, &mut report, now_ms);
    // Whoever it was is gone, for this is ours to write.
    report::set_condition(&mut report.status.conditions, SECOND_WRITER, None, now_ms);
    let action = match rescale {
        Rescale::Done => Action::between(decision.current, decision.desired),
        _ => Action::None,
    };
    tell_counts(shared, entry, state, &decision, &report, writes);
    if !writes {
        compare(shared, hpa, state, &decision);
    }
    observe(shared, || Observation::of(&entry.rules, &decision, now_ms, report.error_text.clone()));
    remember(shared, seen.evidence, before, decision, &rescale, &report, writes);
    let error = publish(shared, entry, hpa, state, report).await;
    shared.metrics.reconciled(action, error, started.elapsed());
    seen.follows
}

/// Counts as metrics, where they changed: labels take longer than a decision.
fn tell_counts(
    shared: &Shared,
    entry: &HpaEntry,
    state: &mut HpaState,
    decision: &Decision,
    report: &report::Report,
    writes: bool,
) {
    let failed = matches!(decision.branch, Branch::SelectorFailed | Branch::MetricsFailed);
    let desired = if writes { report.status.desired_replicas } else { decision.desired };
    let counts = Counts {
        desired: (!failed && report.error_text.is_none()).then_some(desired),
        wanted: decision.raw,
        allowed: decision.desired,
    };
    // By upstream's forgetting a state outlives its HPA, whose metrics were removed.
    if state.counts.replace(counts) != Some(counts) || shared.config.compat_upstream {
        shared.metrics.counts(&entry.key, counts);
    }
}

/// Compares a decision that is not ours to carry out with what the other controller wants, once per sync period.
fn compare(shared: &Shared, hpa: &v2::HorizontalPodAutoscaler, state: &mut HpaState, decision: &Decision) {
    let (now_ms, period_ms) = (shared.steady_ms(), shared.config.sync_period_ms());
    let is_due = state.compared_ms.is_none_or(|last_ms| now_ms - last_ms >= period_ms);
    // Without conditions nobody has decided yet.
    if is_due && !hpa.status.conditions.is_empty() {
        state.compared_ms = Some(now_ms);
        shared.metrics.compared(hpa.status.desired_replicas == decision.desired);
    }
}

/// Says in a condition, and once in an event, that annotations hold the target.
fn tell_hold(entry: &HpaEntry, report: &mut report::Report, now_ms: i64) {
    let told = entry.controls.condition();
    if let Some((reason, message)) = told.as_ref().filter(|_| !entry.controls.faults.is_empty()) {
        report.notes.push(report::Note { warning: true, reason, message: message.clone() });
    }
    report::set_condition(&mut report.status.conditions, controls::CONDITION, told, now_ms);
}

/// Keeps the decision for those who ask about it.
fn remember(
    shared: &Shared,
    evidence: Evidence,
    history: History,
    decision: Decision,
    rescale: &Rescale,
    report: &report::Report,
    acts: bool,
) {
    let outcome = match rescale {
        Rescale::Done => Outcome::Done,
        Rescale::Failed(_) => Outcome::Failed,
        Rescale::NotNeeded if decision.rescales() => Outcome::Withheld,
        Rescale::NotNeeded => Outcome::NotNeeded,
    };
    let error = report.error_text.clone();
    shared.book.decided(Page { evidence, history, decision, rescale: outcome, error, acts });
}

/// Stores history where it must be stored before going on. A failure is told but stops nothing: an autoscaler that cannot
/// keep notes still has to scale.
async fn checkpoint(
    shared: &Shared,
    entry: &HpaEntry,
    state: &mut HpaState,
    decision: &Decision,
    now_ms: i64,
) {
    if !shared.config.keeps_history() || !shared.acts(&entry.uid) {
        return;
    }
    let (rules, interval_ms) = (&entry.rules, shared.config.checkpoint_interval_ms());
    let need = checkpoint::need(rules, decision, &state.history, state.stored, now_ms, interval_ms);
    if need == Need::Nothing || (!decision.rescales() && now_ms < state.checkpoint_after_ms) {
        return;
    }
    let ceiling = checkpoint::ceiling(rules, decision, &state.history, state.stored, now_ms, interval_ms);
    let mut after = state.history.clone();
    let pending = decision.rescales().then_some(Pending { from: decision.current, at_ms: now_ms });
    if pending.is_some() {
        after.record_rescale(rules.behavior.as_ref(), decision.current, decision.desired, now_ms);
    }
    let text = checkpoint::encode(&after, ceiling, pending);
    match Box::pin(shared.checkpoints.write(&entry.uid, text)).await {
        Ok(()) => state.stored = Stored { ceiling, at_ms: now_ms },
        Err(error) => {
            shared.metrics.checkpoint_failed();
            state.checkpoint_after_ms = now_ms + CHECKPOINT_RETRY_MS;
            if !error.is_unanswered() {
                tracing::warn!(namespace = entry.key.0, name = entry.key.1, %error, "history was not stored");
            }
        }
    }
}

async fn rescale(
    shared: &Shared,
    entry: &HpaEntry,
    state: &mut HpaState,
    decision: &Decision,
    now_ms: i64,
) -> Rescale {
    let Some(mut known) = state.scale.take() else { return Rescale::Failed("the scale is unknown".into()) };
    match shared.scales.set(&mut known.scale, decision.desired).await {
        Ok(()) => {
            let behavior = entry.rules.behavior.as_ref();
            state.history.record_rescale(behavior, decision.current, decision.desired, now_ms);
            state.rescaled = true;
            tracing::info!(
                namespace = entry.key.0,
                name = entry.key.1,
                from = decision.current,
                to = decision.desired,
                reason = report::rescale_reason(&entry.rules, decision),
                "rescaled"
            );
            Rescale::Done
        }
        Err(error) => Rescale::Failed(error.to_string()),
    }
}

/// The target's scale cannot be read.
async fn unreadable(
    shared: &Shared,
    entry: &Arc<HpaEntry>,
    hpa: &v2::HorizontalPodAutoscaler,
    state: &mut HpaState,
    text: &str,
    class: ErrorClass,
    started: Instant,
) -> Follows {
    shared.book.unreadable(entry, text, shared.now_ms());
    let report = report::scale_unreadable(hpa, text, class, shared.now_ms());
    let error = publish(shared, entry, hpa, state, report).await;
    shared.metrics.reconciled(Action::None, error, started.elapsed());
    Follows::default()
}

fn observe(shared: &Shared, observation: impl FnOnce() -> Observation) {
    if let Some(observer) = &shared.config.observer {
        // A slow observer misses decisions; it never holds one up.
        let _ = observer.try_send(observation());
    }
}
