use super::*;

fn asked(verb: &str, path: &str) -> String {
    let authorizer = NodeAuthorizer::new(Arc::new(DenyAnonymous::default()), "node1");
    let attributes = authorizer.attributes(&Attributes::path(verb, path));
    if !attributes.resource_request {
        return format!("{} {}", attributes.verb, attributes.path);
    }
    let Attributes { verb, resource, subresource, name, .. } = attributes;
    format!("{verb} {resource}/{subresource} {name}")
}

#[test]
fn access_is_asked_for_as_a_kubelet_asks() {
    for (verb, path, expected) in [
        ("get", "/metrics/resource", "get nodes/metrics node1"),
        ("get", "/metrics", "get nodes/metrics node1"),
        ("get", "/metrics/node", "get nodes/metrics node1"),
        ("head", "/metrics", "get nodes/metrics node1"),
        ("get", "/metricsx", "get nodes/proxy node1"),
        ("get", "/stats/summary", "get nodes/stats node1"),
        ("post", "/run", "create nodes/proxy node1"),
        ("get", "/healthz", "get /healthz"),
        ("get", "/readyz/first-sweep", "get /readyz/first-sweep"),
    ] {
        assert_eq!(asked(verb, path), expected, "{verb} {path}");
    }
}

#[test]
fn gzip_only_for_those_who_take_it() {
    for (header, expected) in [
        ("", false),
        ("gzip", true),
        ("deflate, GZIP;q=0.5", true),
        ("gzip;q=0", false),
        ("gzip; q=0.0, br", false),
        ("identity", false),
    ] {
        assert_eq!(accepts_gzip(header), expected, "{header}");
    }
}
