use std::collections::BTreeMap;

use flyball_apiserver::Query;
use flyball_apiserver::negotiation::{Accepted, Encoding, View};
use flyball_apiserver::own_metrics::OwnMetrics;
use flyball_apiserver::pieces::Pieces;
use flyball_apiserver::protobuf::document;
use flyball_model::batch::{Batch, Outcome, Sink as _};
use flyball_model::exposition::Format;
use flyball_model::resource_metrics::{List, ListMeta, PodMetrics, Typed};
use flyball_model::samples::Samples;
use proptest::prelude::*;

use super::*;
use crate::cluster::PodChange;
use crate::options::ListOptions;
use crate::store::StoreSettings;
use crate::{objects, protobuf as messages};

const NOW_MS: i64 = 1_700_000_015_500;

/// A cluster whose pods have these names, labels and containers; on one node, or none when it does not report them.
struct World {
    cluster: Arc<Cluster>,
    store: Arc<Store>,
}

type Pod = (String, String, Vec<(String, String)>, Vec<(String, u64, u64)>, bool);

impl World {
    fn new(pods: &[Pod]) -> World {
        let (cluster, store) = (Arc::new(Cluster::default()), Arc::new(Store::new(StoreSettings::default())));
        for (namespace, name, labels, ..) in pods {
            let labels = cluster.share(labels.iter().cloned().collect());
            cluster.pod(PodChange::Set(namespace.clone(), name.clone(), labels));
        }
        let world = World { cluster, store };
        (0..2).for_each(|round| world.report(pods, round));
        world
    }

    /// The node reports these.
    fn report(&self, pods: &[Pod], round: i64) {
        let at_ms = NOW_MS - 15_500 + round * 12_345;
        let mut text = String::new();
        for (namespace, name, _, containers, reported) in pods {
            for (container, cpu, bytes) in containers.iter().filter(|_| *reported) {
                let labels =
                    format!("{{namespace=\"{namespace}\",pod=\"{name}\",container=\"{container}\"}}");
                let cpu = 1.0 + (*cpu * round.unsigned_abs()) as f64 / 1e9;
                text += &format!("container_cpu_usage_seconds_total{labels} {cpu} {at_ms}\n");
                text += &format!("container_memory_working_set_bytes{labels} {bytes} {at_ms}\n");
            }
        }
        let samples = Samples::read(text, Format::Text004).unwrap();
        let outcome = Outcome::Scraped { samples, sweep_interval_ms: None };
        self.store.accept(&Batch { node: "n".to_owned(), started_ms: at_ms, finished_ms: at_ms, outcome });
    }

    fn source(&self, namespace: Option<&str>, query: &str) -> PodSource {
        self.source_of(&OwnMetrics::new(), namespace, query)
    }

    /// A source that counts what is served in `own`.
    fn source_of(&self, own: &OwnMetrics, namespace: Option<&str>, query: &str) -> PodSource {
        PodSource {
            cluster: self.cluster.clone(),
            store: self.store.clone(),
            metrics: ServedMetrics::register(own, &self.store, Arc::new(|| NOW_MS)),
            selection: Selection { namespace: namespace.map(str::to_owned), selectors: selectors(query) },
            now_ms: NOW_MS,
        }
    }

    /// The objects one by one, as single gets would show them.
    fn objects(&self, namespace: Option<&str>, query: &str) -> Vec<PodMetrics> {
        let selectors = selectors(query);
        let pods = self.cluster.pods(namespace, None, usize::MAX, |namespace, name, labels| {
            selectors.wants(namespace, name, labels)
        });
        let measured = pods.into_iter().filter_map(|(namespace, name, labels)| {
            let usage = self.store.pod(&namespace, &name, NOW_MS).ok()?;
            Some(objects::pod(namespace, name, &labels, usage, NOW_MS))
        });
        measured.collect()
    }
}

fn selectors(query: &str) -> Selectors {
    ListOptions::of(&Query::parse(query)).unwrap().selectors
}

fn whole(mut pieces: impl Pieces) -> Vec<u8> {
    let mut out = Vec::new();
    while pieces.next(&mut out) {}
    out
}

/// As any other object is written.
fn json_of(objects: Vec<PodMetrics>) -> String {
    let json = Accepted { encoding: Encoding::Json, view: View::Object, pretty: false, gzip: false };
    String::from_utf8(json.encode(&Typed::list("v1", List::new(objects))).unwrap()).unwrap()
}

fn pod(index: usize) -> Pod {
    let labels =
        [("app".to_owned(), format!("a{}", index / 50)), ("odd".to_owned(), (index % 2).to_string())];
    let containers = (0..1 + index % 3)
        .map(|number| (format!("c{number}"), index as u64 * 1_000, 4096 * index as u64 + 1));
    let reported = !index.is_multiple_of(7);
    (
        format!("ns{:02}", index / 900),
        format!("pod-{index:05}"),
        labels.to_vec(),
        containers.collect(),
        reported,
    )
}

/// Long enough for many pieces, with pods that nobody measures in between.
#[test]
fn long_lists_are_those_of_the_objects() {
    let world = World::new(&(0..6000).map(pod).collect::<Vec<_>>());
    for (namespace, query) in [
        (None, ""),
        (Some("ns02"), ""),
        (Some("nowhere"), ""),
        (None, "labelSelector=odd%3D1,app+notin+(a3,a4)"),
        (Some("ns01"), "labelSelector=app%3Da20"),
        (None, "fieldSelector=metadata.name%3Dpod-00100"),
    ] {
        let objects = world.objects(namespace, query);
        let id = format!("{namespace:?} {query} {}", objects.len());
        let streamed = whole(JsonList::new(world.source(namespace, query), "v1"));
        assert!(streamed == json_of(objects.clone()).as_bytes(), "{id}");
        let items = objects.iter().map(messages::pod);
        let list = messages::list(&ListMeta::default(), items);
        let expected = document("metrics.k8s.io/v1", "PodMetricsList", &list);
        let streamed = whole(ProtobufList::new(world.source(namespace, query), "metrics.k8s.io/v1"));
        if expected.len() < 1024 * 1024 {
            assert!(streamed == expected, "{id}");
        } else {
            filled(&streamed, &list.into_bytes());
        }
    }
    assert!(world.objects(None, "").len() > 5000);
}

/// The length of a list of everything is known beforehand, whatever came and went.
#[test]
fn what_all_pods_take_is_counted_as_they_come_and_go() {
    let reported = |index: usize| {
        let (namespace, name, labels, containers, _) = pod(index);
        (namespace, name, labels, containers, true)
    };
    let pods: Vec<Pod> = (0..8000).map(reported).collect();
    let world = World::new(&pods);
    for (namespace, name, ..) in pods.iter().step_by(9) {
        world.cluster.pod(PodChange::Gone(namespace.clone(), name.clone()));
    }
    for (namespace, name, ..) in pods.iter().skip(1).step_by(9) {
        let labels = world.cluster.share([("another".to_owned(), "label".to_owned())].into());
        world.cluster.pod(PodChange::Set(namespace.clone(), name.clone(), labels));
    }
    let objects = world.objects(None, "");
    let list = messages::list(&ListMeta::default(), objects.iter().map(messages::pod)).into_bytes();
    assert!(list.len() > 1024 * 1024, "{}", list.len());
    let counted = world.source(None, "").bytes_of_all(NOW_MS / 1000).expect("most pods have usage");
    // Those that are gone are in the store until their node is scraped again.
    assert!((list.len()..list.len() + list.len() / 8).contains(&counted), "{counted} for {}", list.len());
    filled(&whole(ProtobufList::new(world.source(None, ""), "metrics.k8s.io/v1")), &list);

    world.report(
        &pods.into_iter().enumerate().filter(|(at, _)| at % 9 != 0).map(|(_, pod)| pod).collect::<Vec<_>>(),
        2,
    );
    let objects = world.objects(None, "");
    let list = messages::list(&ListMeta::default(), objects.iter().map(messages::pod)).into_bytes();
    let counted = world.source(None, "").bytes_of_all(NOW_MS / 1000).expect("all pods have usage");
    assert!((list.len()..list.len() + 2 * objects.len()).contains(&counted), "{counted} for {}", list.len());
    assert_eq!(world.source(None, "labelSelector=odd").bytes_of_all(NOW_MS / 1000), None);
    assert_eq!(world.source(Some("ns01"), "").bytes_of_all(NOW_MS / 1000), None);
}

#[test]
fn each_pod_of_a_list_is_counted_once() {
    let world = World::new(&(0..6000).map(pod).collect::<Vec<_>>());
    for query in ["", "labelSelector=app%3Da20"] {
        for protobuf in [false, true] {
            let own = OwnMetrics::new();
            let source = world.source_of(&own, None, query);
            match protobuf {
                true => whole(ProtobufList::new(source, "metrics.k8s.io/v1")),
                false => whole(JsonList::new(source, "v1")),
            };
            let page = own.body(Format::Text004).unwrap();
            let count = world.objects(None, query).len();
            let line = format!("metrics_server_api_metric_freshness_seconds_count {count}\n");
            assert!(page.contains(&line), "{query} {protobuf} {line}");
        }
    }
}

fn varint_of(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A long list in protobuf: announced length, all items, one field that nobody knows, the end.
fn filled(streamed: &[u8], list: &[u8]) {
    let start = streamed.windows(list.len()).position(|window| window == list).expect("the items");
    let (head, rest) = (&streamed[..start], &streamed[start + list.len()..]);
    let came = varint_of(streamed.len() - start - 4);
    assert!(head.ends_with(&came), "what was announced is what came");
    assert_eq!(&rest[..2], [0xc2, 0x3e], "field 1000 with a length");
    let zeros = varint(&rest[2..7]);
    assert_eq!(rest.len(), 7 + zeros + 4);
    assert_eq!(&rest[rest.len() - 4..], [0x1a, 0, 0x22, 0]);
}

fn varint(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f))
}

fn any_pod() -> impl Strategy<Value = Pod> {
    let text = "[a-z\\.\\-]{1,4}";
    let odd = prop_oneof!["[a-z]{0,3}", "[\\x20-\\x7e]{0,4}", "\\PC{0,3}", "[\"\\\\\\x01\\n<>&]{1,3}"];
    let labels = proptest::collection::vec((text, odd), 0..3);
    let containers = proptest::collection::btree_map(text, (0_u64..1 << 45, 0_u64..1 << 50), 0..3);
    let containers =
        containers.prop_map(|all| all.into_iter().map(|(name, (cpu, bytes))| (name, cpu, bytes)).collect());
    (text, text, labels, containers, any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the names, labels and numbers are, a list holds what single gets show, in order.
    #[test]
    fn any_list_is_that_of_its_objects(pods in proptest::collection::vec(any_pod(), 0..12)) {
        let unique: BTreeMap<(String, String), Pod> =
            pods.into_iter().map(|pod| ((pod.0.clone(), pod.1.clone()), pod)).collect();
        let world = World::new(&unique.into_values().collect::<Vec<_>>());
        let objects = world.objects(None, "");
        let json = whole(JsonList::new(world.source(None, ""), "v1"));
        prop_assert_eq!(String::from_utf8(json).unwrap(), json_of(objects.clone()));
        let list = messages::list(&ListMeta::default(), objects.iter().map(messages::pod));
        let expected = document("metrics.k8s.io/v1", "PodMetricsList", &list);
        prop_assert_eq!(whole(ProtobufList::new(world.source(None, ""), "metrics.k8s.io/v1")), expected);

        // What a longer list announces is what it needs, and enough where it is counted while pods come and go.
        let mut measure = protobuf::Measure::new(NOW_MS / 1000);
        world.source(None, "").piece(&mut None, &mut Vec::new(), &mut measure, false);
        let needed = list.into_bytes().len() - messages::list(&ListMeta::default(), []).into_bytes().len();
        prop_assert_eq!(measure.sum, needed);
        if let Some(counted) = world.source(None, "").bytes_of_all(NOW_MS / 1000) {
            prop_assert!(counted >= needed, "{} for {}", counted, needed);
        }
    }
}
