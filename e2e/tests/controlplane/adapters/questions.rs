//! What is asked of both: every path of what discovery lists, with selectors, and what is refused.

use std::collections::BTreeSet;

use serde_json::Value;

use super::world::NAMESPACES;

const CUSTOM: &str = "/apis/custom.metrics.k8s.io";
const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1";
const USAGE: &str = "/apis/metrics.k8s.io/v1beta1";
/// Selectors of objects and of series, as they stand in a query.
const SELECTORS: [&str; 9] = [
    "labelSelector=app%3Dweb",
    "labelSelector=app%20notin%20(web)",
    "labelSelector=none%3Dsuch",
    "metricLabelSelector=code%3D500",
    "metricLabelSelector=code%20in%20(200,500),method%3DGET",
    "metricLabelSelector=code!%3D500",
    "metricLabelSelector=code%20notin%20(500),!absent",
    "metricLabelSelector=code%20in%20(5..)",
    "labelSelector=app%3Dweb&metricLabelSelector=container",
];

/// Documents that say what there is.
pub fn discovery() -> Vec<String> {
    vec![format!("{CUSTOM}/v1beta1"), EXTERNAL.to_owned()]
}

/// Questions about each custom metric of a list of resources.
pub fn custom(list: &Value) -> Vec<String> {
    let mut paths = BTreeSet::new();
    for one in list["resources"].as_array().into_iter().flatten() {
        let Some((resource, metric)) = one["name"].as_str().and_then(|name| name.split_once('/')) else {
            continue;
        };
        let names = names(resource);
        let places: Vec<String> = match (one["namespaced"] == true, resource) {
            (true, _) => {
                NAMESPACES.iter().map(|namespace| format!("namespaces/{namespace}/{resource}")).collect()
            }
            (false, "namespaces") => Vec::new(),
            (false, _) => vec![resource.to_owned()],
        };
        if resource == "namespaces" {
            for namespace in NAMESPACES {
                for version in ["v1beta1", "v1beta2"] {
                    let path = format!("{CUSTOM}/{version}/namespaces/{namespace}/metrics/{metric}");
                    paths.insert(format!("{path}?metricLabelSelector=code%3D500"));
                    paths.insert(path);
                }
            }
            paths.insert(format!("{CUSTOM}/v1beta1/namespaces/*/metrics/{metric}"));
        }
        for place in &places {
            for version in ["v1beta1", "v1beta2"] {
                paths.insert(format!("{CUSTOM}/{version}/{place}/*/{metric}"));
                for name in names {
                    paths.insert(format!("{CUSTOM}/{version}/{place}/{name}/{metric}"));
                }
            }
        }
        let Some(place) = places.first().map(|place| format!("{CUSTOM}/v1beta2/{place}")) else { continue };
        for selector in SELECTORS {
            paths.insert(format!("{place}/*/{metric}?{selector}"));
            paths.insert(format!("{place}/{}/{metric}?{selector}", names[0]));
        }
        paths.insert(format!("{place}/%2A/{metric}"));
    }
    paths.into_iter().collect()
}

/// Objects of a resource: one with series, one with and one without, one that is not there.
fn names(resource: &str) -> [&'static str; 3] {
    match resource.split('.').next().unwrap_or_default() {
        "pods" => ["web-1", "web.3", "idle"],
        "nodes" => ["n1", "n2", "nobody"],
        "persistentvolumes" => ["pv1", "pv2", "nobody"],
        "namespaces" => ["shop", "empty", "nobody"],
        _ => ["web", "db", "nobody"],
    }
}

/// Questions about each external metric of a list.
pub fn external(list: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    let names = list["resources"].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str());
    for metric in names.filter(|name| !name.is_empty()) {
        for namespace in NAMESPACES {
            let path = format!("{EXTERNAL}/namespaces/{namespace}/{metric}");
            for selector in [
                "",
                "?labelSelector=queue%3Dqueue-0",
                "?labelSelector=name%20in%20(web,db)",
                "?labelSelector=name%20in%20(w.*)",
                "?labelSelector=absent",
                "?labelSelector=!absent,name!%3Ddb",
            ] {
                paths.push(format!("{path}{selector}"));
            }
        }
    }
    paths
}

/// Questions about usage; refused alike where there are no rules for it.
pub fn usage() -> Vec<String> {
    [
        "nodes",
        "nodes/n1",
        "nodes/nobody",
        "pods",
        "namespaces/shop/pods",
        "namespaces/shop/pods/web-1",
        "namespaces/shop/pods/idle",
        "namespaces/shop/pods/web-2",
        "namespaces/shop/pods/nobody",
        "namespaces/empty/pods",
        "namespaces/shop/pods?labelSelector=app%3Dweb",
        "nodes?labelSelector=app%3Dn1",
        "pods?fieldSelector=metadata.name%3Dweb-1",
        "pods?fieldSelector=metadata.namespace!%3Dshop",
        "pods?fieldSelector=spec.nodeName%3Dn1",
    ]
    .iter()
    .map(|path| format!("{USAGE}/{path}"))
    .collect()
}

/// What is refused, by method and path, over one metric that exists.
pub fn refused(list: &Value) -> Vec<(&'static str, String)> {
    let pods = list["resources"].as_array().into_iter().flatten();
    let metric = pods
        .filter_map(|one| one["name"].as_str()?.strip_prefix("pods/"))
        .next()
        .unwrap_or("nothing")
        .to_owned();
    let of_pods = format!("{CUSTOM}/v1beta1/namespaces/shop/pods");
    let mut questions: Vec<(&'static str, String)> = [
        format!("{of_pods}/*/no_such_metric"),
        format!("{of_pods}/web-1/no_such_metric"),
        format!("{CUSTOM}/v1beta1/namespaces/shop/services/*/no_such_metric"),
        format!("{CUSTOM}/v1beta1/namespaces/shop/metrics/no_such_metric"),
        format!("{CUSTOM}/v1beta1/nodes/*/no_such_metric"),
        format!("{CUSTOM}/v1beta1/namespaces/shop/unknowns/*/{metric}"),
        format!("{CUSTOM}/v1beta1/namespaces/shop/pods.wrong.group/*/{metric}"),
        format!("{CUSTOM}/v1beta1/namespaces/nowhere/pods/*/{metric}"),
        format!("{of_pods}/*/{metric}?labelSelector=%21%21"),
        format!("{of_pods}/*/{metric}?labelSelector=a%20in%20b"),
        format!("{of_pods}/*/{metric}?metricLabelSelector=a%20in%20b"),
        format!("{of_pods}/*/{metric}?metricLabelSelector=a%3E3"),
        format!("{of_pods}/web-1/{metric}?fieldSelector=metadata.name%3Dweb-1"),
        format!("{of_pods}/web-1/{metric}?fieldSelector=metadata.name%3Dweb-2"),
        format!("{of_pods}/web-1/{metric}?fieldSelector=spec.nodeName%3Dn1"),
        format!("{of_pods}/*/{metric}?fieldSelector=metadata.name%3Dweb-1"),
        format!("{of_pods}/*/{metric}?watch=true"),
        format!("{CUSTOM}/v1/namespaces/shop/pods/*/{metric}"),
        format!("{CUSTOM}/v1beta1/namespaces/shop/{metric}"),
        format!("{CUSTOM}/v1beta1/namespaces/shop/pods"),
        format!("{CUSTOM}/v1beta1/namespaces/shop/pods/web-1"),
        format!("{CUSTOM}/v1beta1/namespaces/shop/pods/web-1/{metric}/more"),
        format!("{CUSTOM}/v1beta1/pods/*/{metric}"),
        format!("{CUSTOM}/v1beta1/pods"),
        format!("{EXTERNAL}/namespaces/shop"),
        format!("{EXTERNAL}/namespaces/shop/a/b"),
        format!("{EXTERNAL}/namespaces/shop/no_such_metric"),
        format!("{EXTERNAL}/namespaces/default/no_such_metric"),
        format!("{EXTERNAL}/namespaces/shop/no_such_metric?labelSelector=a%20in%20b"),
    ]
    .into_iter()
    .map(|path| ("GET", path))
    .collect();
    questions
        .extend(["POST", "PUT", "DELETE", "PATCH"].map(|method| (method, format!("{of_pods}/*/{metric}"))));
    questions
}
