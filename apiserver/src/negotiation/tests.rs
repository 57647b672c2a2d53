use super::*;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const TABLE_BETA: &str = "application/json;as=Table;v=v1beta1;g=meta.k8s.io";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const AGGREGATED_BETA: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

fn choose(accept: &str, offer: Offer) -> String {
    let mut headers = HeaderMap::new();
    if accept != "-" {
        headers.insert(header::ACCEPT, accept.parse().unwrap());
    }
    match negotiate(&headers, &Query::default(), offer) {
        Ok(Accepted { encoding, view, pretty, .. }) => {
            format!("{encoding:?} {view:?}{}", if pretty { " pretty" } else { "" })
        }
        Err(status) => format!("{} {}", status.code(), status.message),
    }
}

#[test]
fn accept_chooses_as_upstream() {
    let unknown_type = format!("406 {}", unknown_type(Offer::OBJECT).message);
    let unknown_view_of_discovery = format!("406 {}", unknown_view(Offer::DISCOVERY).message);
    let unknown_view = format!("406 {}", unknown_view(Offer::OBJECT).message);
    let protobuf_discovery = AGGREGATED.replace("application/json", PROTOBUF);
    let kubectl_get = format!("{TABLE},{TABLE_BETA},application/json");
    let kubectl_discovery = format!("{AGGREGATED},{AGGREGATED_BETA},application/json");
    let newest_discovery = format!("{AGGREGATED};profile=nopeer,{AGGREGATED},application/json");
    let table: &[(&str, Offer, &str)] = &[
        ("-", Offer::RESOURCE, "Json Object"),
        ("*/*", Offer::RESOURCE, "Json Object"),
        ("application/*", Offer::RESOURCE, "Json Object"),
        (
            "application/*",
            Offer::RESOURCE.routed(false),
            "406 406: Not Acceptable\n\nAvailable representations: application/json, application/yaml",
        ),
        ("application/json", Offer::OBJECT, "Json Object"),
        ("application/yaml", Offer::OBJECT, "Yaml Object"),
        ("application/json;q=0.4, application/yaml;q=0.5", Offer::OBJECT, "Yaml Object"),
        ("*/*, application/yaml", Offer::OBJECT, "Yaml Object"),
        ("application/json;q=0, application/yaml;q=0.1", Offer::OBJECT, "Yaml Object"),
        ("application/json;q=0", Offer::OBJECT, "Json Object"),
        ("text/html, */*;q=0", Offer::OBJECT, "Json Object"),
        ("application/vnd.kubernetes.protobuf, */*", Offer::OBJECT, "Json Object"),
        (PROTOBUF, Offer::OBJECT, &unknown_type),
        ("text/html", Offer::OBJECT, &unknown_type),
        ("application/cbor", Offer::OBJECT, &unknown_type),
        (TABLE, Offer::RESOURCE, "Json Table(V1)"),
        (TABLE_BETA, Offer::RESOURCE, "Json Table(V1beta1)"),
        (TABLE, Offer::OBJECT, &unknown_view),
        (&kubectl_get, Offer::RESOURCE, "Json Table(V1)"),
        (&kubectl_get, Offer::OBJECT, "Json Object"),
        ("application/yaml;as=Table;v=v1;g=meta.k8s.io", Offer::RESOURCE, "Yaml Table(V1)"),
        ("application/json;as=Table;v=v2;g=meta.k8s.io", Offer::RESOURCE, &unknown_view),
        ("application/json;as=Unknown;v=v1;g=meta.k8s.io,*/*;q=0.1", Offer::RESOURCE, "Json Object"),
        (
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            Offer::RESOURCE,
            "Json PartialObjectMetadataList(V1)",
        ),
        (
            "application/json;as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io",
            Offer::RESOURCE,
            "Json PartialObjectMetadata(V1beta1)",
        ),
        (&kubectl_discovery, Offer::DISCOVERY, "Json AggregatedDiscovery"),
        (&newest_discovery, Offer::DISCOVERY, "Json AggregatedDiscovery"),
        (&kubectl_discovery, Offer::OBJECT, "Json Object"),
        (AGGREGATED_BETA, Offer::DISCOVERY, &unknown_view_of_discovery),
        (PROTOBUF, Offer::DISCOVERY, "Protobuf Object"),
        (&protobuf_discovery, Offer::DISCOVERY, "Protobuf AggregatedDiscovery"),
        ("*", Offer::OBJECT, "Json Object"),
        ("*/*", Offer::JSON_ONLY, "Json Object"),
        ("*", Offer::JSON_ONLY, "406 406: Not Acceptable\n\nAvailable representations: application/json"),
        (
            PROTOBUF,
            Offer::JSON_ONLY,
            "406 406: Not Acceptable\n\nAvailable representations: application/json",
        ),
        ("application/json;profile=nopeer", Offer::OBJECT, "Json Object"),
        ("application/json;stream=watch", Offer::OBJECT, "Json Object"),
        ("application/json;stream=other", Offer::OBJECT, &unknown_view),
        ("application/yaml, application/json;q=0.5", Offer::OBJECT.as_events(), "Json Object"),
        ("application/json;pretty=1", Offer::OBJECT, "Json Object pretty"),
        ("application/yaml;pretty=1", Offer::OBJECT, "Yaml Object"),
        ("APPLICATION/JSON ; pretty=\"1\"", Offer::OBJECT, "Json Object pretty"),
    ];
    for (accept, offer, expected) in table {
        assert_eq!(choose(accept, *offer), *expected, "{accept} {offer:?}");
    }
}

#[test]
fn people_get_indented_json() {
    for (agent, query, expected) in [
        ("curl/8.5", "", true),
        ("Wget/1.2", "", true),
        ("Mozilla/5.0 (X11)", "", true),
        ("kubectl/v1.32", "", false),
        ("kubectl/v1.32", "pretty=true", true),
        ("curl/8.5", "pretty=false", false),
        ("curl/8.5", "pretty=0", false),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, agent.parse().unwrap());
        let accepted = negotiate(&headers, &Query::parse(query), Offer::OBJECT).unwrap();
        assert_eq!(accepted.pretty, expected, "{agent} {query}");
    }
}

#[test]
fn gzip_is_a_plain_token() {
    for (encodings, expected) in
        [("gzip", true), ("deflate, gzip", true), ("br", false), ("gzip;q=1", false), ("*", false)]
    {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, encodings.parse().unwrap());
        assert_eq!(accepts_gzip(&headers), expected, "{encodings}");
    }
}

#[test]
fn a_router_looks_at_types_alone() {
    for (accept, taken) in [
        ("", true),
        (TABLE, true),
        ("text/html, */*;q=0.1", true),
        ("application/*", false),
        (PROTOBUF, false),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        assert_eq!(check_type(&headers, Offer::JSON_ONLY).is_ok(), taken, "{accept}");
    }
}
