//! The collector beside the kubelet's own endpoint: the same containers, the same numbers within 2 %.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use flyball_e2e::MINUTE;
use flyball_e2e::manifests::deployment;
use flyball_e2e::plane::{BUSYBOX_IMAGE, NODE, Plane};
use flyball_model::exposition::{Event, Format, Reader};
use serde_json::json;

use super::with_image;
use crate::behaviour::direct::Caller;
use crate::shipped::Overlay;

/// How far the two may be apart, as a share of the kubelet's number.
const TOLERANCE: f64 = 0.02;

/// And what is no difference: half a clock tick of CPU time, and a few pages.
const CPU_GRAIN_SECONDS: f64 = 0.01;
const MEMORY_GRAIN_BYTES: f64 = 65_536.0;

/// The kubelet looks every 10 to 15 s; this holds at least two looks.
const OBSERVED: Duration = Duration::from_secs(45);

const BUSY: &str = "while :; do :; done";
const LARGE: &str = "dd if=/dev/zero of=/dev/shm/file bs=1M count=40 && exec sleep 1000000000";

/// Points of every series of `/metrics/resource`: unix milliseconds and value.
#[derive(Debug, Default)]
struct Points(BTreeMap<String, BTreeMap<i64, f64>>);

impl Points {
    fn add(&mut self, text: &str) {
        for event in Reader::new(text, Format::Text004) {
            let Event::Sample(sample) = event.expect("an exposition") else { continue };
            let Some(timestamp_ms) = sample.timestamp_ms else { continue };
            let mut labels: Vec<_> =
                sample.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            labels.sort_unstable();
            let series = format!("{} {}", sample.name, labels.join(","));
            self.0.entry(series).or_default().insert(timestamp_ms, sample.value);
        }
    }

    /// The value at a time between two points, by a straight line.
    fn at(&self, series: &str, time_ms: i64) -> Option<f64> {
        let points = self.0.get(series)?;
        let (&before_ms, &before) = points.range(..=time_ms).next_back()?;
        let (&after_ms, &after) = points.range(time_ms..).next()?;
        if before_ms == after_ms {
            return Some(before);
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a minute")]
        let share = (time_ms - before_ms) as f64 / (after_ms - before_ms) as f64;
        Some(before + share * (after - before))
    }

    /// Series of pods and containers, without start times.
    fn names(&self) -> BTreeSet<&str> {
        let wanted = |name: &&str| {
            name.starts_with("container_cpu")
                || name.starts_with("container_memory_working_set")
                || name.starts_with("pod_")
        };
        self.0.keys().map(String::as_str).filter(wanted).filter(|name| !name.contains("swap")).collect()
    }
}

fn collector_address(plane: &Plane) -> SocketAddr {
    let pods = plane.admin().in_namespace("flyball-collector").json(&["get", "pods"]);
    let address = pods["items"][0]["status"]["podIP"].as_str().expect("the collector has an address");
    SocketAddr::new(address.parse().expect("an IP address"), 4194)
}

/// Every difference beyond the tolerance.
fn differences(kubelet: &Points, collector: &Points) -> Vec<String> {
    let mut found = Vec::new();
    for series in kubelet.names() {
        let points = &kubelet.0[series];
        // Only times for which the collector has points on both sides.
        let times: Vec<i64> =
            points.keys().copied().filter(|time| collector.at(series, *time).is_some()).collect();
        let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
            found.push(format!("{series}: the collector has no such series at that time"));
            continue;
        };
        if series.contains("cpu_usage_seconds_total") {
            if first == last {
                found.push(format!("{series}: the kubelet looked only once"));
                continue;
            }
            let ours = collector.at(series, last).unwrap_or(f64::NAN)
                - collector.at(series, first).unwrap_or(f64::NAN);
            let theirs = points[&last] - points[&first];
            if (ours - theirs).abs() > theirs * TOLERANCE + CPU_GRAIN_SECONDS {
                found.push(format!("{series}: {ours:.4} s, kubelet {theirs:.4} s in {} ms", last - first));
            }
        } else {
            let ours = collector.at(series, last).unwrap_or(f64::NAN);
            let theirs = points[&last];
            if (ours - theirs).abs() > theirs * TOLERANCE + MEMORY_GRAIN_BYTES {
                found.push(format!("{series}: {ours}, kubelet {theirs}"));
            }
        }
    }
    found
}

#[test]
fn both_tell_the_same() {
    let Some(plane) = with_image() else { return };
    let place = plane.namespace("beside-kubelet");
    for (name, script) in [("busy", BUSY), ("large", LARGE), ("idle", "exec sleep 1000000000")] {
        let container = json!({
            "image": BUSYBOX_IMAGE, "command": ["sh", "-c", script],
            "resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "100m", "memory": "128Mi"}},
        });
        place.apply(&deployment(name, 2, &container));
    }
    Overlay::named("everything").install(&plane.admin().in_namespace(""));
    for name in ["busy", "large", "idle"] {
        place.eventually_available(MINUTE, name, 2);
    }
    plane.admin().in_namespace("flyball-system").eventually_available(
        MINUTE * 2,
        "flyball-metrics-server",
        1,
    );

    let address = collector_address(&plane);
    let caller = Caller::default().token(&plane.token_of("flyball-system", "flyball-metrics-server", &[]));
    let (mut kubelet, mut collector) = (Points::default(), Points::default());
    let resource = format!("/api/v1/nodes/{NODE}/proxy/metrics/resource");
    let start = Instant::now();
    while start.elapsed() < OBSERVED {
        let answer = caller.get(address, "/metrics/resource").expect("the collector answers");
        assert_eq!(answer.status, 200, "{answer:?}");
        collector.add(&answer.body);
        kubelet.add(&plane.admin().ok(&["get", "--raw", &resource]));
        std::thread::sleep(Duration::from_millis(700));
    }
    let answer = caller.get(address, "/metrics/resource").expect("the collector answers");
    collector.add(&answer.body);

    let (theirs, ours) = (kubelet.names(), collector.names());
    let missing: Vec<_> = theirs.difference(&ours).collect();
    let more: Vec<_> = ours.difference(&theirs).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "only the kubelet: {missing:#?}\nonly the collector: {more:#?}"
    );
    // Three workloads of two pods, and the parts of Flyball itself.
    assert!(theirs.len() >= 9 * 4, "{theirs:#?}");
    let found = differences(&kubelet, &collector);
    assert!(found.is_empty(), "{} of {} differ:\n{}", found.len(), theirs.len(), found.join("\n"));
    println!("{} series of pods and containers within 2 %", theirs.len());
}
