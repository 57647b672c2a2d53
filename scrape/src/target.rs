//! What to ask, and where. Pure.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// Port of a Flyball collector.
pub const COLLECTOR_PORT: u16 = 4194;
/// Port of a kubelet, unless configured or told by the node's status.
pub const KUBELET_PORT: u16 = 10250;
/// Path of the resource metrics, unless the node's annotation says otherwise.
pub const RESOURCE_METRICS_PATH: &str = "/metrics/resource";

/// Who answers for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A Flyball collector: samples each second.
    Collector,
    /// The kubelet: samples each 10 to 15 s.
    Kubelet,
}

/// One endpoint of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name of the Node object.
    pub node: String,
    /// Who answers there.
    pub kind: Kind,
    /// Address to dial, IP or host name, without brackets; or why there is none.
    pub host: Result<String, String>,
    /// Port to dial.
    pub port: u16,
    /// Path and query of the request.
    pub path: String,
}

impl Target {
    /// A Flyball collector at this address.
    pub fn collector(node: impl Into<String>, host: impl Into<String>, port: u16) -> Target {
        let host = Ok(host.into());
        Target {
            node: node.into(),
            kind: Kind::Collector,
            host,
            port,
            path: RESOURCE_METRICS_PATH.to_owned(),
        }
    }

    /// A kubelet at this address.
    pub fn kubelet(node: impl Into<String>, host: impl Into<String>, port: u16) -> Target {
        Target { kind: Kind::Kubelet, ..Target::collector(node, host, port) }
    }

    /// `host:port`, IPv6 bracketed, as dialled and as sent in the Host header.
    pub fn authority(&self) -> String {
        match &self.host {
            Ok(host) if host.contains(':') => format!("[{host}]:{}", self.port),
            Ok(host) => format!("{host}:{}", self.port),
            Err(_) => format!("node {}", self.node),
        }
    }
}

/// All targets by node name.
pub type Targets = BTreeMap<String, Target>;

/// A fixed list. The sender must live as long as the scraping; dropping it means that the list is final.
pub fn fixed(
    targets: impl IntoIterator<Item = Target>,
) -> (watch::Sender<Targets>, watch::Receiver<Targets>) {
    watch::channel(targets.into_iter().map(|target| (target.node.clone(), target)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authority_brackets_ipv6() {
        for (host, expected) in
            [("10.1.2.3", "10.1.2.3:10250"), ("fd00::7", "[fd00::7]:10250"), ("worker-1", "worker-1:10250")]
        {
            assert_eq!(Target::kubelet("n", host, KUBELET_PORT).authority(), expected);
        }
    }
}
