//! Which labels name objects, without anybody saying so.
//!
//! A label that the scraper gives a target (`pod`, `namespace`, `service`, `node`) names where the series was scraped. When
//! a program tells of other objects, as kube-state-metrics does, its own labels of these names become `exported_…`. So a
//! series with `exported_namespace` is about that namespace: its objects stand under `exported_…` labels and those that no
//! target has (`deployment`); the labels of its target are about the program that told, and are left alone.

use std::collections::BTreeSet;

use crate::kinds::GroupResource;

const NAMESPACES: &str = "namespaces";

/// Group, resource, labels from the most to the least wanted; whether scrapers give targets such labels.
pub(super) const OBJECTS: &[(&str, &str, &[&str], bool)] = &[
    ("", "pods", &["pod", "pod_name", "kubernetes_pod_name", "kubernetes_pod", "k8s_pod_name"], true),
    ("", NAMESPACES, &["namespace", "kubernetes_namespace", "k8s_namespace_name", "pod_namespace"], true),
    ("", "services", &["service", "service_name", "kubernetes_service_name", "kubernetes_name"], true),
    ("", "nodes", &["node", "node_name", "kubernetes_node", "kubernetes_node_name", "k8s_node_name"], true),
    ("", "persistentvolumeclaims", &["persistentvolumeclaim"], false),
    ("", "persistentvolumes", &["persistentvolume"], false),
    ("", "replicationcontrollers", &["replicationcontroller"], false),
    ("apps", "deployments", &["deployment", "k8s_deployment_name"], false),
    ("apps", "replicasets", &["replicaset", "k8s_replicaset_name"], false),
    ("apps", "statefulsets", &["statefulset", "k8s_statefulset_name"], false),
    ("apps", "daemonsets", &["daemonset", "k8s_daemonset_name"], false),
    // `job` is the scraper's own word for a group of targets.
    ("batch", "jobs", &["job_name", "k8s_job_name"], false),
    ("batch", "cronjobs", &["cronjob", "k8s_cronjob_name"], false),
    ("networking.k8s.io", "ingresses", &["ingress"], false),
    ("autoscaling", "horizontalpodautoscalers", &["horizontalpodautoscaler"], false),
    ("policy", "poddisruptionbudgets", &["poddisruptionbudget"], false),
];

/// Every label that can name the namespace of a series.
pub(crate) fn namespace_labels() -> impl Iterator<Item = String> {
    let aliases = OBJECTS.iter().filter(|row| row.1 == NAMESPACES).flat_map(|row| row.2);
    aliases.flat_map(|alias| [(*alias).to_owned(), format!("exported_{alias}")])
}

/// The label that names the namespace of a series.
pub(crate) fn namespace_label(labels: &BTreeSet<String>) -> Option<String> {
    let found = objects(labels).into_iter().find(|(_, resource)| resource.resource == NAMESPACES);
    found.map(|(label, _)| label)
}

/// Labels that name objects, at most one for each resource.
pub(super) fn objects(labels: &BTreeSet<String>) -> Vec<(String, GroupResource)> {
    let about_others = labels.contains("exported_namespace");
    let mut found = Vec::new();
    for (group, resource, aliases, of_target) in OBJECTS {
        let exported =
            aliases.iter().map(|alias| format!("exported_{alias}")).find(|label| labels.contains(label));
        let plain = aliases.iter().find(|alias| labels.contains(**alias)).map(|alias| (*alias).to_owned());
        let label = match (about_others, of_target) {
            (true, true) => exported,
            (true, false) => exported.or(plain),
            (false, _) => plain.or(exported),
        };
        found.extend(label.map(|label| (label, GroupResource::new(group, resource))));
    }
    found
}
