//! The permissions of the collector, each with what it is for. `deploy/` grants exactly these.

use crate::name_source::NameSource;
use flyball_apiserver::permissions::Need;

/// Those of a collector with these sources of names. What the kubelet asks for is decided at the kubelet and shows there.
pub fn needs(names: &[NameSource]) -> Vec<Need> {
    let need = |verb, group, resource, without, mend: &str| Need {
        verb,
        group,
        resource,
        namespace: None,
        name: None,
        without,
        mend: mend.to_owned(),
    };
    let nameless = "containers have no names and are not served";
    let apply = "apply deploy/ again (ClusterRole flyball:collector)";
    let delegator = "bind ClusterRole system:auth-delegator to this account";
    let mut needs = match names.contains(&NameSource::ApiServer) {
        true => vec![need("list", "", "pods", nameless, apply), need("watch", "", "pods", nameless, apply)],
        false => Vec::new(),
    };
    needs.extend([
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
    ]);
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_asked_for_only_where_they_are_watched() {
        let of_pods =
            |names: &[NameSource]| needs(names).iter().filter(|need| need.resource == "pods").count();
        assert_eq!(of_pods(&[NameSource::Cri(None)]), 0);
        assert_eq!(of_pods(&[NameSource::Cri(None), NameSource::ApiServer]), 2);
    }
}
