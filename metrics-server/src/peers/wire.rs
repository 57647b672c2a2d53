//! One node as one line of JSON. Pure.
//!
//! ```text
//! {"node":"n1","source":"kubelet","good_ms":1700000000000,"points":[POINT,…],
//!  "pods":[["namespace","name",[["container",[POINT,…]],…]],…]}
//! ```
//!
//! A POINT is `[timestamp, cpu, memory, start]`: nanoseconds since 1970, core-nanoseconds, bytes, nanoseconds since 1970 or
//! null. Points stand oldest first.

use serde::{Deserialize, Serialize};

use crate::points::Source;
use crate::store::history::{NodeHistory, PodHistory};
use crate::window::Point;

/// Longest line that is taken: a node of 500 pods with 17 points for each of three containers has 2 MB.
pub(super) const LINE_LIMIT_BYTES: usize = 16 << 20;

type WirePoint = (i64, u64, u64, Option<i64>);
type WireContainer = (String, Vec<WirePoint>);
type WirePod = (String, String, Vec<WireContainer>);

#[derive(Serialize, Deserialize)]
struct WireNode {
    node: String,
    source: WireSource,
    good_ms: i64,
    points: Vec<WirePoint>,
    pods: Vec<WirePod>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireSource {
    Kubelet,
    Collector,
}

fn to_wire(points: &[Point]) -> Vec<WirePoint> {
    let point = |p: &Point| (p.timestamp_ns, p.cpu_core_ns, p.working_set_bytes, p.start_ns);
    points.iter().map(point).collect()
}

fn from_wire(points: Vec<WirePoint>) -> Vec<Point> {
    let point = |(timestamp_ns, cpu_core_ns, working_set_bytes, start_ns)| Point {
        timestamp_ns,
        cpu_core_ns,
        working_set_bytes,
        start_ns,
    };
    points.into_iter().map(point).collect()
}

/// The line, with its end.
pub(super) fn write(history: &NodeHistory) -> Vec<u8> {
    let containers = |pod: &PodHistory| {
        pod.containers.iter().map(|(name, points)| (name.clone(), to_wire(points))).collect()
    };
    let node = WireNode {
        node: history.node.clone(),
        source: match history.source {
            Source::Kubelet => WireSource::Kubelet,
            Source::Collector => WireSource::Collector,
        },
        good_ms: history.good_ms,
        points: to_wire(&history.points),
        pods: history
            .pods
            .iter()
            .map(|pod| (pod.namespace.clone(), pod.name.clone(), containers(pod)))
            .collect(),
    };
    // Plain data into memory: nothing of it can fail.
    let mut line = serde_json::to_vec(&node).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads a line.
pub(super) fn read(line: &[u8]) -> Result<NodeHistory, serde_json::Error> {
    let node: WireNode = serde_json::from_slice(line)?;
    let pods = node.pods.into_iter().map(|(namespace, name, containers)| PodHistory {
        namespace,
        name,
        containers: containers.into_iter().map(|(name, points)| (name, from_wire(points))).collect(),
    });
    Ok(NodeHistory {
        source: match node.source {
            WireSource::Kubelet => Source::Kubelet,
            WireSource::Collector => Source::Collector,
        },
        good_ms: node.good_ms,
        points: from_wire(node.points),
        pods: pods.collect(),
        node: node.node,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back() {
        let point = |timestamp_ns, start_ns| Point {
            timestamp_ns,
            cpu_core_ns: u64::MAX,
            working_set_bytes: 1,
            start_ns,
        };
        let history = NodeHistory {
            node: "n1".to_owned(),
            source: Source::Kubelet,
            good_ms: 5,
            points: vec![point(1, None), point(2, None)],
            pods: vec![PodHistory {
                namespace: "ns".to_owned(),
                name: "p".to_owned(),
                containers: vec![("c".to_owned(), vec![point(3, Some(1))])],
            }],
        };
        let line = write(&history);
        let text = r#"{"node":"n1","source":"kubelet","good_ms":5,"points":[[1,18446744073709551615,1,null],[2,18446744073709551615,1,null]],"pods":[["ns","p",[["c",[[3,18446744073709551615,1,1]]]]]]}"#;
        assert_eq!(String::from_utf8(line.clone()).unwrap(), format!("{text}\n"));
        assert_eq!(read(&line).unwrap(), history);
        assert!(read(b"{}").is_err() && read(b"").is_err());
    }
}
