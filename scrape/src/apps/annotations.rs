//! The job that is used when there is no file: pods that ask to be scraped by annotation. Pure.
//!
//! It is written as a file, so that what it does can be read, copied and changed. Labels are those of the configurations that
//! are in wide use: all labels of the pod, and its namespace, name and node. Labels that an application exposes never win
//! over these, so none can pose as another.

use std::path::Path;
use std::time::Duration;

use super::config::units::print_duration;
use super::config::{Config, ConfigError};

/// The file, in which `INTERVAL` stands for the interval.
pub const FILE: &str = r#"global:
  scrape_interval: INTERVAL
scrape_configs:
  - job_name: kubernetes-pods
    kubernetes_sd_configs:
      - role: pod
    relabel_configs:
      # prometheus.io/scrape: "true"
      - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape]
        action: keep
        regex: "true"
      # A pod that is over, or not there yet, answers nobody; init containers end before the others begin.
      - source_labels: [__meta_kubernetes_pod_phase]
        action: drop
        regex: Pending|Succeeded|Failed|Completed
      - source_labels: [__meta_kubernetes_pod_container_init]
        action: drop
        regex: "true"
      # prometheus.io/scheme: https
      - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scheme]
        regex: (https?)
        target_label: __scheme__
      # prometheus.io/path: /other
      - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path]
        regex: (.+)
        target_label: __metrics_path__
      # prometheus.io/port: "8080"; without it, each port that a container names.
      - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_port, __meta_kubernetes_pod_ip]
        regex: (\d+);(.*:.*)
        replacement: "[$2]:$1"
        target_label: __address__
      - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_port, __meta_kubernetes_pod_ip]
        regex: (\d+);([^:]+)
        replacement: $2:$1
        target_label: __address__
      # prometheus.io/param_module: http
      - action: labelmap
        regex: __meta_kubernetes_pod_annotation_prometheus_io_param_(.+)
        replacement: __param_$1
      - action: labelmap
        regex: __meta_kubernetes_pod_label_(.+)
      - source_labels: [__meta_kubernetes_namespace]
        target_label: namespace
      - source_labels: [__meta_kubernetes_pod_name]
        target_label: pod
      - source_labels: [__meta_kubernetes_pod_node_name]
        target_label: node
"#;

impl Config {
    /// Pods with `prometheus.io/scrape: "true"`, each scraped at this interval.
    ///
    /// # Errors
    /// An interval of nothing.
    pub fn annotated_pods(interval: Duration) -> Result<Config, ConfigError> {
        let text = FILE.replace("INTERVAL", &print_duration(interval));
        Config::parse(&text, Path::new("annotated pods"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::labelset::LabelSet;
    use super::super::target::{Made, discovered, make};
    use super::*;

    /// Labels and URL of what becomes of a container's port.
    fn made(found: &[(&str, &str)]) -> String {
        let job = Config::annotated_pods(Duration::from_secs(15)).unwrap().jobs.remove(0);
        let meta = |(name, value): &(&str, &str)| (format!("__meta_kubernetes_{name}"), (*value).to_owned());
        let mut set: LabelSet = found.iter().map(meta).collect();
        set.set("__address__", "10.1.0.7:80");
        set.set_default("__meta_kubernetes_namespace", "ns");
        set.set_default("__meta_kubernetes_pod_name", "p");
        set.set_default("__meta_kubernetes_pod_ip", "10.1.0.7");
        set.set_default("__meta_kubernetes_pod_container_init", "false");
        match make(&job, discovered(&job, set)) {
            Made::Target(target) => {
                assert_eq!((target.interval.as_secs(), target.timeout.as_secs()), (15, 10));
                let labels: Vec<String> =
                    target.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("{} {}", target.url, labels.join(" "))
            }
            Made::Dropped => "dropped".to_owned(),
            Made::Bad(reason) => reason,
        }
    }

    #[test]
    fn annotations() {
        let asked = ("pod_annotation_prometheus_io_scrape", "true");
        let own = "instance=10.1.0.7:80 job=kubernetes-pods namespace=ns pod=p";
        for (found, expected) in [
            (vec![], "dropped".to_owned()),
            (vec![("pod_annotation_prometheus_io_scrape", "false")], "dropped".to_owned()),
            (vec![asked], format!("http://10.1.0.7:80/metrics {own}")),
            (vec![asked, ("pod_phase", "Succeeded")], "dropped".to_owned()),
            (vec![asked, ("pod_container_init", "true")], "dropped".to_owned()),
            (
                vec![
                    asked,
                    ("pod_annotation_prometheus_io_scheme", "https"),
                    ("pod_annotation_prometheus_io_path", "/a/b"),
                    ("pod_annotation_prometheus_io_port", "9"),
                    ("pod_annotation_prometheus_io_param_module", "x y"),
                ],
                format!("https://10.1.0.7:9/a/b?module=x+y {}", own.replace(":80", ":9")),
            ),
            (
                vec![asked, ("pod_ip", "fd00::7"), ("pod_annotation_prometheus_io_port", "9")],
                format!("http://[fd00::7]:9/metrics {}", own.replace("10.1.0.7:80", "[fd00::7]:9")),
            ),
            (
                // A pod's own labels do not hide where it is.
                vec![asked, ("pod_label_app", "web"), ("pod_label_namespace", "other"), ("pod_node_name", "n1")],
                "http://10.1.0.7:80/metrics app=web instance=10.1.0.7:80 job=kubernetes-pods namespace=ns node=n1 pod=p"
                    .to_owned(),
            ),
        ] {
            assert_eq!(made(&found), expected, "{found:?}");
        }
    }

    #[test]
    fn applications_do_not_pose_as_others() {
        let job = Config::annotated_pods(Duration::from_secs(5)).unwrap().jobs.remove(0);
        assert!(!job.honor_labels);
        assert_eq!(job.timeout, Duration::from_secs(5));
    }
}
