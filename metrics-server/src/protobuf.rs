//! The objects of `metrics.k8s.io` in Kubernetes' protobuf, byte for byte as upstream's generator writes them. Pure.

use std::collections::BTreeMap;

use flyball_apiserver::negotiation::MetaVersion;
use flyball_apiserver::protobuf::{Message, list_meta_of, object_meta, time};
use flyball_model::quantity::Quantity;
use flyball_model::resource_metrics::{ContainerMetrics, ListMeta, NodeMetrics, ObjectMeta, PodMetrics};
use flyball_model::time::{parse_go_duration, parse_rfc3339_ms};

/// A node's metrics.
pub(crate) fn node(metrics: &NodeMetrics) -> Message {
    usage(interval(&metrics.metadata, metrics.timestamp.as_deref(), &metrics.window), 4, &metrics.usage)
}

/// A pod's metrics.
pub(crate) fn pod(metrics: &PodMetrics) -> Message {
    let start = interval(&metrics.metadata, metrics.timestamp.as_deref(), &metrics.window);
    start.messages(4, metrics.containers.iter().map(container))
}

/// A list of messages: of objects, or of their metadata.
pub(crate) fn list(metadata: &ListMeta, items: impl IntoIterator<Item = Message>) -> Message {
    Message::new().message(1, &list_meta(metadata)).messages(2, items)
}

/// A list of metadata. In v1beta1 its fields have one another's numbers.
pub(crate) fn partial_list(
    version: MetaVersion,
    metadata: &ListMeta,
    items: impl IntoIterator<Item = Message>,
) -> Message {
    match version {
        MetaVersion::V1 => list(metadata, items),
        MetaVersion::V1beta1 => Message::new().messages(1, items).message(2, &list_meta(metadata)),
    }
}

fn list_meta(metadata: &ListMeta) -> Message {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (version, token) = (text(&metadata.resource_version), text(&metadata.continue_token));
    list_meta_of(&version, &token, metadata.remaining_item_count)
}

/// An object reduced to its metadata.
pub(crate) fn partial(metadata: &ObjectMeta) -> Message {
    Message::new().message(1, &meta(metadata))
}

fn meta(metadata: &ObjectMeta) -> Message {
    object_meta(
        &metadata.name,
        metadata.namespace.as_deref().unwrap_or(""),
        metadata.resource_version.as_deref().unwrap_or(""),
        metadata.creation_timestamp.as_deref().and_then(seconds),
        &metadata.labels,
    )
}

/// Metadata, timestamp and window. A missing timestamp is an empty message, as Go's zero time is.
fn interval(metadata: &ObjectMeta, timestamp: Option<&str>, window: &str) -> Message {
    let nanoseconds = parse_go_duration(window).map_or(0, |window| window.as_nanos());
    let window = Message::new().int(1, i64::try_from(nanoseconds).unwrap_or(i64::MAX));
    let timestamp = timestamp.and_then(seconds).map_or_else(Message::new, time);
    Message::new().message(1, &meta(metadata)).message(2, &timestamp).message(3, &window)
}

fn seconds(rfc3339: &str) -> Option<i64> {
    Some(parse_rfc3339_ms(rfc3339)?.div_euclid(1000))
}

fn container(metrics: &ContainerMetrics) -> Message {
    usage(Message::new().bytes(1, &metrics.name), 2, &metrics.usage)
}

fn usage(message: Message, field: u64, usage: &BTreeMap<String, Quantity>) -> Message {
    let entry = |(name, quantity): (&String, &Quantity)| {
        let quantity = Message::new().bytes(1, quantity.to_string());
        Message::new().bytes(1, name).message(2, &quantity)
    };
    message.messages(field, usage.iter().map(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<char> = text.chars().filter(|letter| !letter.is_whitespace()).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
            .collect()
    }

    /// Recorded from upstream.
    #[test]
    fn a_pod_as_upstream_writes_it() {
        let name = "svc-00000";
        let labels = [
            ("app.kubernetes.io/instance", name),
            ("app.kubernetes.io/name", name),
            ("pod-template-hash", "6d4cf56db6"),
            ("team", "team-000"),
        ];
        let container = |name: &str, cpu: u64, ki: u64| ContainerMetrics {
            name: name.to_owned(),
            usage: BTreeMap::from([
                ("cpu".to_owned(), Quantity::from_nanocores(cpu)),
                ("memory".to_owned(), Quantity::from_bytes(ki * 1024)),
            ]),
        };
        let metrics = PodMetrics {
            metadata: ObjectMeta {
                name: "svc-00000-6d4cf56db6-00003".to_owned(),
                namespace: Some("team-000".to_owned()),
                resource_version: None,
                creation_timestamp: Some("2026-11-22T11:05:41Z".to_owned()),
                labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            },
            timestamp: Some("2026-11-22T11:05:36Z".to_owned()),
            window: "10.02s".to_owned(),
            containers: vec![container("c0", 8_300_499, 20124), container("c1", 11_300_698, 20192)],
        };
        let document =
            flyball_apiserver::protobuf::document("metrics.k8s.io/v1beta1", "PodMetrics", &pod(&metrics));
        assert_eq!(
            document,
            hex(
                "6b3873000a240a166d6574726963732e6b38732e696f2f76316265746131120a506f644d65747269637312ad020abb01
                0a1a7376632d30303030302d366434636635366462362d303030303312001a087465616d2d30303022002a0032003800
                42080885998bd80610005a270a1a6170702e6b756265726e657465732e696f2f696e7374616e636512097376632d3030
                3030305a230a166170702e6b756265726e657465732e696f2f6e616d6512097376632d30303030305a1f0a11706f642d
                74656d706c6174652d68617368120a366434636635366462365a100a047465616d12087465616d2d3030301208088099
                8bd80610001a060880a2f4a925222c0a02633012110a03637075120a0a08383330303439396e12130a066d656d6f7279
                12090a0732303132344b69222d0a02633112120a03637075120b0a0931313330303639386e12130a066d656d6f727912
                090a0732303139324b691a002200"
            )
        );
    }

    /// Recorded from upstream.
    #[test]
    fn an_empty_list_of_metadata() {
        for (version, expected) in
            [(MetaVersion::V1, "0a060a0012001a00"), (MetaVersion::V1beta1, "12060a0012001a00")]
        {
            let list = partial_list(version, &ListMeta::default(), []);
            assert_eq!(list.into_bytes(), hex(expected), "{version:?}");
        }
    }
}
