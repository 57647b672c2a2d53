//! A case, run through Flyball's decision and report.

use flyball_hpa::compile::compile;
use flyball_hpa::decide::{
    self, ContainerRequests, Decision, History, Input, Numbers, Phase, PodRequests, PodSample, PodSamples,
    Reading, Ready, Rules, Scale, SelectorFailure, Settings, Snapshot, Source, Target, Trace, Tristate,
};
use flyball_hpa::report::{ErrorClass, Facts, Report, Rescale, conclude, scale_unreadable};
use flyball_model::autoscaling::v2::HorizontalPodAutoscaler;
use flyball_model::selector::LabelSelector;

use crate::wire::{Answer, BEGIN_MS, Case, Container, Outcome, Pod, Step};

/// Our outcome of a step.
#[derive(Debug, Clone)]
pub struct Ours {
    pub outcome: Outcome,
    /// A conversion left the range of its integer, where Go lets the processor say what comes out.
    pub out_of_range: bool,
    /// The trace does not lead to the same integer.
    pub replay_differs: bool,
}

/// Runs all steps.
pub fn run(case: &Case) -> Vec<Ours> {
    let mut run = Run {
        hpa: case.hpa.clone(),
        settings: Settings {
            tolerance: case.settings.tolerance,
            cpu_initialization_ms: case.settings.cpu_initialization_ms,
            initial_readiness_delay_ms: case.settings.readiness_delay_ms,
            downscale_stabilization_ms: case.settings.downscale_ms,
            scale_to_zero: case.scale_to_zero,
            growth_period_ms: None,
            ..Settings::default()
        },
        history: History::default(),
        replicas: 0,
        now_ms: BEGIN_MS,
    };
    case.steps.iter().map(|step| run.step(step)).collect()
}

struct Run {
    hpa: HorizontalPodAutoscaler,
    settings: Settings,
    history: History,
    replicas: i32,
    now_ms: i64,
}

impl Run {
    fn step(&mut self, step: &Step) -> Ours {
        self.now_ms += step.after_ms;
        if step.min_replicas.is_some() || step.max_replicas.is_some() {
            self.hpa.metadata.generation = self.hpa.metadata.generation.map(|generation| generation + 1);
            self.hpa.spec.min_replicas = step.min_replicas.or(self.hpa.spec.min_replicas);
            self.hpa.spec.max_replicas = step.max_replicas.unwrap_or(self.hpa.spec.max_replicas);
        }
        self.replicas = step.set_replicas.unwrap_or(self.replicas);
        let before = self.hpa.status.clone();
        let mut trace = Trace::on();
        let report = if step.scale_error.is_empty() {
            self.evaluate(step, &mut trace)
        } else {
            scale_unreadable(&self.hpa, &step.scale_error, ErrorClass::Internal, self.now_ms)
        };
        self.hpa.status = report.status;
        let note = |note: flyball_hpa::report::Note| {
            [if note.warning { "Warning" } else { "Normal" }.to_owned(), note.reason.to_owned(), note.message]
        };
        Ours {
            outcome: Outcome {
                replicas: self.replicas,
                status: serde_json::to_value(&self.hpa.status).unwrap_or_default(),
                wrote: self.hpa.status != before,
                events: report.notes.into_iter().map(note).collect(),
                error: report.error_text.unwrap_or_default(),
            },
            out_of_range: is_out_of_range(&trace, step),
            replay_differs: replay_differs(&trace),
        }
    }

    fn evaluate(&mut self, step: &Step, trace: &mut Trace) -> Report {
        let rules = compile(&self.hpa);
        let selector = select(&step.selector);
        let pods: Vec<decide::Pod> = step.pods.iter().map(pod).collect();
        let inputs: Vec<Input> = rules.metrics.iter().map(|metric| input(step, metric)).collect();
        let is_zero = |c: &flyball_model::autoscaling::v2::HorizontalPodAutoscalerCondition| {
            c.type_ == "ScaledToZero" && c.status == "True"
        };
        let snapshot = Snapshot {
            rules: &rules,
            settings: &self.settings,
            scale: Scale {
                spec_replicas: self.replicas,
                status_replicas: step.status_replicas.unwrap_or(self.replicas),
            },
            selector: selector.as_ref().map_or(Ok(()), Err),
            pods: &pods,
            inputs: &inputs,
            scaled_to_zero: self.hpa.status.conditions.iter().any(is_zero),
        };
        let decision = decide::decide(&snapshot, self.now_ms, &self.history, trace);
        self.history.remember(&decision, self.now_ms);
        let rescale = self.rescale(step, &rules, &decision);
        let facts = Facts {
            hpa: &self.hpa,
            rules: &rules,
            settings: &self.settings,
            observed_generation: true,
            decision: &decision,
            selector: selector.as_ref(),
            now_ms: self.now_ms,
        };
        conclude(facts, &rescale)
    }

    fn rescale(&mut self, step: &Step, rules: &Rules, decision: &Decision) -> Rescale {
        if !decision.rescales() {
            return Rescale::NotNeeded;
        }
        if !step.update_error.is_empty() {
            return Rescale::Failed(step.update_error.clone());
        }
        let behavior = rules.behavior.as_ref();
        self.history.record_rescale(behavior, decision.current, decision.desired, self.now_ms);
        self.replicas = decision.desired;
        Rescale::Done
    }
}

fn select(selector: &str) -> Option<SelectorFailure> {
    if selector.is_empty() {
        return Some(SelectorFailure::missing());
    }
    LabelSelector::parse(selector).err().map(|error| SelectorFailure::unparsable(&error))
}

fn pod(pod: &Pod) -> decide::Pod {
    let status = match pod.ready.as_str() {
        "True" => Some(Tristate::True),
        "False" => Some(Tristate::False),
        "Unknown" => Some(Tristate::Unknown),
        _ => None,
    };
    decide::Pod {
        name: pod.name.as_str().into(),
        phase: match pod.phase.as_str() {
            "Pending" => Phase::Pending,
            "Running" => Phase::Running,
            "Succeeded" => Phase::Succeeded,
            "Failed" => Phase::Failed,
            _ => Phase::Unknown,
        },
        deleting: pod.deleting,
        start_ms: pod.start_ms,
        ready: status.map(|status| Ready { status, transition_ms: pod.transition_ms }),
        owner: None,
    }
}

fn requests(pod: &Pod) -> PodRequests {
    let container = |container: &Container| ContainerRequests {
        name: container.name.clone(),
        requests: container.requests.clone(),
    };
    PodRequests::new(
        pod.pod_level.clone(),
        pod.overhead.clone().unwrap_or_default(),
        pod.containers.iter().map(container).collect(),
        pod.init.iter().map(|init| (container(init), init.sidecar)).collect(),
    )
}

fn input(step: &Step, metric: &decide::Metric) -> Input {
    let nothing = Answer::default();
    let answer = |key: String| step.answers.get(&key).unwrap_or(&nothing);
    match &metric.source {
        Source::Resource { name } => {
            per_pod(step, answer(format!("resource/{name}/")), name, None, metric.target)
        }
        Source::ContainerResource { name, container } => {
            let answer = answer(format!("resource/{name}/{container}"));
            per_pod(step, answer, name, Some(container), metric.target)
        }
        Source::Pods { name, selector } => match invalid(selector) {
            Some(text) => Input::Invalid(text),
            None => per_pod(step, answer(format!("pods/{name}")), "", None, metric.target),
        },
        Source::Object { name, selector, .. } => {
            whole(selector, answer(format!("object/{name}")), |values| Input::Object(values[0]))
        }
        Source::External { name, selector, .. } => {
            whole(selector, answer(format!("external/{name}")), |values| Input::External(values.to_vec()))
        }
        Source::Unknown { .. } => Input::Invalid(String::new()),
    }
}

fn invalid(selector: &serde_json::Value) -> Option<String> {
    if selector.is_null() {
        return None;
    }
    LabelSelector::from_json(selector).err().map(|error| error.to_string())
}

fn whole(selector: &serde_json::Value, answer: &Answer, of: impl Fn(&[Reading]) -> Input) -> Input {
    if let Some(text) = invalid(selector) {
        return Input::Invalid(text);
    }
    if !answer.error.is_empty() {
        return Input::Failed(answer.error.clone());
    }
    let reading = |value_milli: &i64| Reading { value_milli: *value_milli, timestamp_ms: BEGIN_MS };
    of(&answer.values.iter().map(reading).collect::<Vec<_>>())
}

fn per_pod(step: &Step, answer: &Answer, resource: &str, container: Option<&str>, target: Target) -> Input {
    if !answer.error.is_empty() {
        return Input::Failed(answer.error.clone());
    }
    let mut joined =
        PodSamples { samples: vec![None; step.pods.len()], foreign: Vec::new(), requests: Ok(Vec::new()) };
    for sample in &answer.pods {
        let value = PodSample {
            value_milli: sample.value,
            timestamp_ms: sample.timestamp_ms,
            window_ms: sample.window_ms,
        };
        match step.pods.iter().position(|pod| pod.name == sample.pod) {
            Some(position) => joined.samples[position] = Some(value),
            None => joined.foreign.push(value),
        }
    }
    if let Target::Utilization(_) = target {
        joined.requests =
            step.pods.iter().map(|pod| requests(pod).of(&pod.name, resource, container)).collect();
    }
    Input::PerPod(joined)
}

/// Where upstream converts a float without looking at its size. It does for External metrics, upward.
fn is_out_of_range(trace: &Trace, step: &Step) -> bool {
    let at_zero = trace.current == 0;
    let mut any = trace.metrics.iter().any(|metric| {
        let extreme = metric.proposal.is_some_and(|proposal| proposal == i32::MAX || proposal == i32::MIN);
        match (&metric.numbers, metric.target) {
            (Some(Numbers::PerPod(numbers)), _) => extreme || numbers.ratio.is_nan(),
            (Some(Numbers::Whole(_)), Target::Value(_)) if !at_zero => metric.proposal == Some(i32::MIN),
            (Some(Numbers::Whole(numbers)), _) => extreme || numbers.ratio.is_nan(),
            (None, _) => false,
        }
    });
    if let Some(limit) = &trace.limit {
        any |= limit.policies.iter().any(|policy| policy.allows == i32::MAX || policy.allows == i32::MIN);
    }
    // The average that is shown divides by them.
    any || step.status_replicas == Some(i32::MIN)
}

fn replay_differs(trace: &Trace) -> bool {
    if trace.branch.is_none() {
        return false;
    }
    let text = serde_json::to_string(trace).unwrap_or_default();
    let read: Option<Trace> = serde_json::from_str(&text).ok();
    read.and_then(|read| read.replay()) != trace.desired || trace.replay() != trace.desired
}
