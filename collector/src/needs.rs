//! The permissions of the collector, each with what it is for. `deploy/` grants exactly these.

use flyball_apiserver::permissions::Need;

/// All of them.
pub fn needs() -> Vec<Need> {
    let need = |verb, group, resource, without, mend: &str| Need {
        verb,
        group,
        resource,
        namespace: None,
        name: None,
        without,
        mend: mend.to_owned(),
    };
    let names = "containers have no names and are not served";
    let apply = "apply deploy/ again (ClusterRole flyball:collector)";
    let delegator = "bind ClusterRole system:auth-delegator to this account";
    vec![
        need("list", "", "pods", names, apply),
        need("watch", "", "pods", names, apply),
        need(
            "create",
            "authentication.k8s.io",
            "tokenreviews",
            "scrapers that come with a token, as the metrics server does, get 401",
            delegator,
        ),
        need(
            "create",
            "authorization.k8s.io",
            "subjectaccessreviews",
            "every scrape of anyone but an administrator gets 500",
            delegator,
        ),
    ]
}
