//! What the autoscaler must be allowed to do, and the sentence about each thing it is not. Pure.

use crate::cluster::{Mapping, PROBE_NAME};
use crate::config::Mode;
use crate::kind::ApiKind;
use std::fmt;

/// The rules of the cluster for every mode, and those for writing.
const READER: &str = "ClusterRole flyball:hpa";
const WRITER: &str = "ClusterRole flyball:hpa-writer";
/// The rules of the own namespace: lease and history, and the probe.
const OWN: &str = "Role flyball-hpa";
const PROBE: &str = "Role flyball-hpa-probe";

/// Kinds of targets that are watched rather than read, and what is lost without that.
const TARGETS: [(&str, &str); 3] = [
    ("deployments", "the scale of Deployments is read once per sync period instead of watched"),
    ("replicasets", "the scale of ReplicaSets is read once per sync period instead of watched"),
    ("statefulsets", "the scale of StatefulSets is read once per sync period instead of watched"),
];

/// One request that must be allowed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Need {
    pub(crate) verb: &'static str,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: &'static str,
    /// `None`: in all namespaces.
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    /// What does not work without it.
    pub(crate) lost: &'static str,
    /// Nothing in the cluster uses it yet; it is told, but does not make the program unready.
    pub(crate) is_spare: bool,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut resource = self.resource.clone();
        if !self.subresource.is_empty() {
            resource = format!("{resource}/{}", self.subresource);
        }
        let group = if self.group.is_empty() { "core" } else { &self.group };
        write!(f, "{} {resource} of API group {group}", self.verb)?;
        if let Some(name) = &self.name {
            write!(f, " named {name}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}")?,
            None => write!(f, " in all namespaces")?,
        }
        let writes = matches!(self.verb, "create" | "update" | "patch" | "delete");
        let role = match &self.namespace {
            None => (if writes { WRITER } else { READER }).to_owned(),
            Some(namespace) if self.group == "autoscaling" => format!("{PROBE} in namespace {namespace}"),
            Some(namespace) => format!("{OWN} in namespace {namespace}"),
        };
        write!(
            f,
            ": {}; add the rule to {role} (deploy/base/hpa), it is used as soon as it is granted",
            self.lost
        )
    }
}

/// What decides about the needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Circumstances {
    pub(crate) mode: Mode,
    pub(crate) own_namespace: String,
    /// Namespace and name of the lease, with an election.
    pub(crate) lease: Option<(String, String)>,
    /// ConfigMap whose rights stand for those of all shards, if history is kept.
    pub(crate) history: Option<String>,
    pub(crate) uses_custom: bool,
    pub(crate) uses_external: bool,
    pub(crate) uses_resource: bool,
}

/// All needs but those about scales, in the order of their importance.
pub(crate) fn needs(of: &Circumstances) -> Vec<Need> {
    let cluster = |verb, group: &str, resource: &str, subresource, lost| Need {
        verb,
        group: group.into(),
        resource: resource.into(),
        subresource,
        namespace: None,
        name: None,
        lost,
        is_spare: false,
    };
    let own = |verb, group: &str, resource: &str, name: Option<&str>, lost| Need {
        namespace: Some(of.own_namespace.clone()),
        name: name.map(str::to_owned),
        ..cluster(verb, group, resource, "", lost)
    };
    let (autoscaling, hpas) = ("autoscaling", "horizontalpodautoscalers");
    let acted_on = ApiKind::of(of.mode).group;
    let mut all = vec![
        cluster("list", autoscaling, hpas, "", "no HorizontalPodAutoscaler is seen, so nothing is scaled"),
        cluster("watch", autoscaling, hpas, "", "changes of HorizontalPodAutoscalers are not seen"),
        cluster("list", "", "pods", "", "the pods of scale targets are not seen, so nothing is scaled"),
        cluster("watch", "", "pods", "", "changes of pods are not seen"),
        Need {
            is_spare: !of.uses_resource,
            ..cluster("list", "metrics.k8s.io", "pods", "", "CPU and memory metrics are missing")
        },
        Need {
            is_spare: !of.uses_custom,
            ..cluster("get", "custom.metrics.k8s.io", "*", "", "metrics of types Pods and Object are missing")
        },
        Need {
            is_spare: !of.uses_external,
            ..cluster("list", "external.metrics.k8s.io", "*", "", "metrics of type External are missing")
        },
    ];
    if let Some((namespace, name)) = &of.lease {
        let lost = "the leader lease cannot be held, so this replica never acts";
        for (verb, name) in [("create", None), ("get", Some(name)), ("update", Some(name))] {
            let need = own(verb, "coordination.k8s.io", "leases", name.map(String::as_str), lost);
            all.push(Need { namespace: Some(namespace.clone()), ..need });
        }
    }
    if of.mode == Mode::OwnKind {
        let lost = "no HorizontalPodAutoscaler.autoscaling.flyball.io is seen, so nothing is scaled";
        all.push(cluster("list", acted_on, hpas, "", lost));
        all.push(cluster("watch", acted_on, hpas, "", lost));
    }
    for (resource, lost) in TARGETS {
        all.push(Need { is_spare: true, ..cluster("list", "apps", resource, "", lost) });
        all.push(Need { is_spare: true, ..cluster("watch", "apps", resource, "", lost) });
    }
    if of.mode == Mode::Shadow {
        return all;
    }
    all.push(cluster("patch", acted_on, hpas, "status", "status and conditions of HPAs are not written"));
    all.push(cluster("create", "", "events", "", "no events are recorded"));
    all.push(cluster("patch", "", "events", "", "repeated events are not counted but recorded anew"));
    if let Some(shard) = &of.history {
        let lost = "history is not stored, so a restart forgets stabilisation and policies";
        all.push(own("create", "", "configmaps", None, lost));
        all.push(own("get", "", "configmaps", Some(shard), lost));
        all.push(own("patch", "", "configmaps", Some(shard), lost));
    }
    if let Some((_, name)) = &of.lease {
        let lost = "a second Flyball in another namespace is not noticed";
        let need = cluster("list", "coordination.k8s.io", "leases", "", lost);
        all.push(Need { name: Some(name.clone()), ..need });
        let lost = "whether another HPA controller runs cannot be found out, so mode auto never scales";
        let is_spare = of.mode != Mode::Auto;
        all.push(Need { is_spare, ..own("create", autoscaling, hpas, None, lost) });
        all.push(Need { is_spare, ..own("delete", autoscaling, hpas, Some(PROBE_NAME), lost) });
    }
    all
}

/// The need for scales of everything, and, where that is not granted, those of the targets in use.
pub(crate) fn scale_needs(mode: Mode, targets: &[Mapping]) -> Vec<(Need, Vec<Need>)> {
    let need = |verb, group: &str, resource: &str, lost| Need {
        verb,
        group: group.into(),
        resource: resource.into(),
        subresource: "scale",
        namespace: None,
        name: None,
        lost,
        is_spare: false,
    };
    let reading = ("get", "the replica counts of such targets are not read, so they are not scaled");
    let writing = ("update", "such targets are not scaled");
    let verbs = if mode == Mode::Shadow { vec![reading] } else { vec![reading, writing] };
    let needs = verbs.into_iter().map(|(verb, lost)| {
        let each = targets.iter().map(|target| need(verb, &target.group, &target.plural, lost)).collect();
        (need(verb, "*", "*", lost), each)
    });
    needs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circumstances(mode: Mode) -> Circumstances {
        Circumstances {
            mode,
            own_namespace: "fly".into(),
            lease: Some(("fly".into(), "flyball-hpa".into())),
            history: Some("flyball-hpa-history-0".into()),
            ..Circumstances::default()
        }
    }

    #[test]
    fn a_sentence_names_rule_loss_and_mend() {
        let all = needs(&circumstances(Mode::Auto));
        let sentence = |verb, resource| {
            all.iter().find(|n| n.verb == verb && n.resource == resource).map(Need::to_string).unwrap()
        };
        assert_eq!(
            sentence("patch", "horizontalpodautoscalers"),
            "patch horizontalpodautoscalers/status of API group autoscaling in all namespaces: status and conditions of \
             HPAs are not written; add the rule to ClusterRole flyball:hpa-writer (deploy/base/hpa), it is used as soon as \
             it is granted"
        );
        assert_eq!(
            sentence("update", "leases"),
            "update leases of API group coordination.k8s.io named flyball-hpa in namespace fly: the leader lease cannot be \
             held, so this replica never acts; add the rule to Role flyball-hpa in namespace fly (deploy/base/hpa), it is \
             used as soon as it is granted"
        );
    }

    #[test]
    fn a_mode_asks_for_no_more_than_it_uses() {
        let reads = ["list", "watch", "get"];
        let writes = |mode| {
            let all = needs(&circumstances(mode));
            all.iter().filter(|n| !reads.contains(&n.verb) && n.resource != "leases").count()
        };
        assert_eq!((writes(Mode::Shadow), writes(Mode::Auto)), (0, 7));
        let spare = |mode: Mode| needs(&circumstances(mode)).iter().filter(|n| n.is_spare).count();
        assert_eq!(
            (spare(Mode::Auto), spare(Mode::Replace)),
            (9, 11),
            "unused metrics, watched targets; the probe"
        );
        let none = Circumstances { lease: None, history: None, ..circumstances(Mode::Replace) };
        assert!(needs(&none).iter().all(|n| n.namespace.is_none()));
    }

    #[test]
    fn scales_are_asked_for_as_a_whole_and_by_target() {
        let target = Mapping { group: "example.com".into(), version: "v1".into(), plural: "things".into() };
        let all = scale_needs(Mode::Replace, std::slice::from_ref(&target));
        let texts: Vec<String> =
            all.iter().map(|(n, each)| format!("{} {} {}", n.verb, n.resource, each[0].resource)).collect();
        assert_eq!(texts, ["get * things", "update * things"]);
        assert_eq!(scale_needs(Mode::Shadow, &[target]).len(), 1);
    }
}
