//! Names of pods and containers from the kubelet: `GET /pods`, the pods it runs with their status. One answer names
//! everything, and costs the cluster nothing. Needs the permission `get nodes/proxy` (from Kubernetes 1.33 `nodes/pods`).

use crate::error::CollectorError;
use crate::names::NameTable;
use crate::watch;
use http_body_util::{BodyExt, Limited};
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How long a kubelet may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer, bytes: a thousand pods of 32 KiB.
const ANSWER_BYTES: usize = 32 << 20;
/// The kubelet's own port, on the node itself.
const DEFAULT_ADDRESS: &str = "127.0.0.1:10250";

/// Host and port of a kubelet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeletAddress(String);

impl Default for KubeletAddress {
    fn default() -> KubeletAddress {
        KubeletAddress(DEFAULT_ADDRESS.to_owned())
    }
}

impl FromStr for KubeletAddress {
    type Err = CollectorError;

    /// `HOST:PORT`; an IPv6 address in brackets.
    fn from_str(text: &str) -> Result<KubeletAddress, CollectorError> {
        let authority = text.parse::<http::uri::Authority>().ok();
        let fits = authority.is_some_and(|authority| {
            authority.port_u16().is_some()
                && !authority.host().is_empty()
                && !authority.as_str().contains('@')
        });
        match fits {
            true => Ok(KubeletAddress(text.to_owned())),
            false => Err(CollectorError::Invalid {
                setting: "names",
                reason: format!("kubelet= must be followed by HOST:PORT, not {text:?}"),
            }),
        }
    }
}

impl fmt::Display for KubeletAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is used of a `PodList`.
#[derive(Deserialize)]
struct PodList {
    #[serde(default)]
    items: Option<Vec<Pod>>,
}

/// Asks for everything the kubelet runs.
///
/// # Errors
/// It cannot be asked, refuses, or does not answer in time; in words.
pub async fn names(kubelet: &kube::Client) -> Result<NameTable, String> {
    match tokio::time::timeout(TIMEOUT, ask(kubelet)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer for {} s", TIMEOUT.as_secs())),
    }
}

async fn ask(kubelet: &kube::Client) -> Result<NameTable, String> {
    let request = http::Request::get("/pods").body(kube::client::Body::empty());
    let request = request.map_err(|error| error.to_string())?;
    let response = kubelet.send(request).await.map_err(|error| error.to_string())?;
    if !response.status().is_success() {
        return Err(format!("GET /pods was answered with {}", response.status()));
    }
    let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    names_in(&body).map_err(|error| format!("the answer to GET /pods is no list of pods: {error}"))
}

/// The names in a list of pods.
///
/// # Errors
/// It is none.
pub fn names_in(body: &[u8]) -> serde_json::Result<NameTable> {
    let list: PodList = serde_json::from_slice(body)?;
    let mut table = NameTable::default();
    for facts in list.items.iter().flatten().filter_map(watch::facts) {
        table.apply(&facts);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelets_list_names_static_pods_by_their_hash() {
        let body = serde_json::json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [
            {"metadata": {"name": "web-1", "namespace": "shop", "uid": "u1"}, "spec": {"containers": []},
             "status": {"containerStatuses": [{"name": "web", "containerID": "containerd://c1", "image": "i",
                "imageID": "", "ready": true, "restartCount": 0}]}},
            {"metadata": {"name": "etcd-node1", "namespace": "kube-system", "uid": "hash",
                "annotations": {"kubernetes.io/config.hash": "hash", "kubernetes.io/config.source": "file"}}}
        ]});
        let table = names_in(body.to_string().as_bytes()).unwrap();
        assert_eq!(table.container("c1").unwrap().container, "web");
        assert_eq!(table.pod("hash").unwrap().pod, "etcd-node1");
        assert!(names_in(br#"{"items": null}"#).unwrap().is_empty());
        assert!(names_in(b"Unauthorized").is_err());
    }

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:10250", "node-1:10250", "[::1]:10250"] {
            assert_eq!(good.parse::<KubeletAddress>().unwrap().to_string(), good);
        }
        for bad in ["", "node-1", "https://node-1:10250", "a b:1", ":10250", "u@h:1"] {
            assert!(bad.parse::<KubeletAddress>().is_err(), "{bad}");
        }
    }
}
