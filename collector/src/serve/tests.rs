use super::bodies::Sending;
use super::*;
use crate::cadvisor;
use crate::cost::Cost;
use crate::disk::DiskUse;
use crate::machine::Machine;
use crate::sample::{ContainerReading, Cpu, Reading};
use crate::selection::Selection;
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use std::io::Read;

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

#[tokio::test]
async fn a_whole_body_keeps_its_place_until_the_client_has_it() {
    let places = Arc::new(Semaphore::new(1));
    let value: Vec<u64> = (0..50_000).collect();
    for packed in [false, true] {
        let place = places.clone().try_acquire_owned().unwrap();
        let response = answer(Body::json(&value, packed, place), "application/json");
        assert_eq!(response.headers().contains_key(header::CONTENT_ENCODING), packed);
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(places.available_permits(), 0, "the client may not have all of it yet");
        let rest = body.collect().await.unwrap().to_bytes();
        assert_eq!(places.available_permits(), 1);
        let bytes = [first, rest].concat();
        let text = if packed { unpacked(&bytes) } else { bytes };
        assert!(serde_json::from_slice::<Vec<u64>>(&text).unwrap() == value);
    }
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut text).unwrap();
    text
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let container = |at: usize| ContainerReading {
        id: format!("{at:064x}").into(),
        pod_uid: "uid".into(),
        name: None,
        pod_name: None,
        looks_like_sandbox: false,
        reading: Reading {
            cpu: Some(Cpu { usage_ns: at as u64, unix_ms: 1_700_000_000_000 }),
            ..Reading::default()
        },
        path: format!("/kubepods/poduid/{at:064x}").into(),
        details: Arc::default(),
    };
    let (disk, machine, selection) = (DiskUse::default(), Machine::default(), Selection::default());
    let places = Arc::new(Semaphore::new(1));
    for containers in [0, 1, 100, 2_000] {
        let containers: Vec<_> = (0..containers).map(container).collect();
        let sweep = Sweep { sequence: 1, containers, ..Sweep::default() };
        let whole = cadvisor::render(&sweep, &disk, &machine, &selection, Format::Text004);
        for packed in [false, true] {
            let sending = Sending {
                writing: cadvisor::Writing::new(&sweep, &disk, &machine, &selection, Format::Text004),
                metrics: SweepMetrics::register(&OwnMetrics::new(), Source::Processes),
                spent: Cost::default(),
                _place: places.clone().try_acquire_owned().unwrap(),
            };
            let body = answer(Body::in_pieces(sending, packed), "text/plain").into_body();
            let bytes = body.collect().await.unwrap().to_bytes();
            let text = if packed { unpacked(&bytes) } else { bytes.to_vec() };
            assert!(text == whole.as_bytes(), "{} bytes, packed: {packed}", text.len());
            assert_eq!(places.available_permits(), 1);
        }
    }
}
