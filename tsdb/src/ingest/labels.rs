//! Labels of what a node's endpoint says: those that a Prometheus would give that scrapes kubelets. Pure.
//!
//! `job="kubelet"` and `metrics_path` as the usual installations of Prometheus have them (a Flyball collector serves what a
//! kubelet serves, so the series stay the same when one takes the other's place); `instance` is the node's name, as for any
//! target of the role `node`, and `node` is it again, as dashboards want it. Namespace, pod and container come from the
//! endpoint itself.

use flyball_model::labels::{Labels, LabelsError};

use crate::series::METRIC_NAME;

/// The job of all nodes' endpoints.
pub const NODE_JOB: &str = "kubelet";
/// The path of what is stored.
pub const NODE_METRICS_PATH: &str = "/metrics/resource";

/// Labels of a node's endpoint as a target, sorted by name.
#[must_use]
pub fn node_target(node: &str) -> [(&'static str, String); 4] {
    [
        ("instance", node.to_owned()),
        ("job", NODE_JOB.to_owned()),
        ("metrics_path", NODE_METRICS_PATH.to_owned()),
        ("node", node.to_owned()),
    ]
}

/// Labels of a series: the target's go before its own, which are then called `exported_…`; an empty value is none.
pub(crate) fn of_series<'a>(
    name: &str,
    own: impl Iterator<Item = (&'a str, &'a str)>,
    target: &[(&'static str, String)],
) -> Result<Labels, LabelsError> {
    let own: Vec<(&str, &str)> = own.filter(|(_, value)| !value.is_empty()).collect();
    let mut all: Vec<(String, &str)> = Vec::with_capacity(own.len() + target.len() + 1);
    all.push((METRIC_NAME.to_owned(), name));
    all.extend(target.iter().map(|(name, value)| ((*name).to_owned(), value.as_str())));
    for (name, value) in &own {
        let mut free = (*name).to_owned();
        while all.iter().any(|(taken, _)| *taken == free)
            || (free != *name && own.iter().any(|(other, _)| *other == free))
        {
            free.insert_str(0, "exported_");
        }
        all.push((free, value));
    }
    Labels::from_pairs(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(own: &[(&str, &str)]) -> String {
        let labels = of_series("m", own.iter().copied(), &node_target("n1")).unwrap();
        labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_node_is_labelled_as_a_target_of_the_role_node() {
        assert_eq!(
            series(&[("pod", "p"), ("namespace", "ns"), ("container", "c"), ("empty", "")]),
            "__name__=m container=c instance=n1 job=kubelet metrics_path=/metrics/resource namespace=ns node=n1 pod=p"
        );
    }

    #[test]
    fn the_targets_labels_win() {
        assert_eq!(
            series(&[("node", "x"), ("job", "y"), ("exported_job", "z")]),
            "__name__=m exported_exported_job=y exported_job=z exported_node=x instance=n1 job=kubelet \
             metrics_path=/metrics/resource node=n1"
        );
        assert!(series(&[("__name__", "other")]).contains("exported___name__=other"));
    }
}
