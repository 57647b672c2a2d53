//! The parts of a control plane and of its node, and what each is started with.

use crate::plane::address::Addresses;
use crate::plane::pki::Pki;

/// Where etcd listens for clients and for peers.
const ETCD_PORTS: (u16, u16) = (2379, 2380);

/// A program of a plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The store.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// containerd, of a plane with a node.
    Containerd,
    /// The kubelet, of a plane with a node.
    Kubelet,
}

impl Part {
    /// All, in the order of their start.
    pub const ALL: [Self; 6] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Containerd,
        Self::Kubelet,
    ];

    /// Name of its program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
        }
    }
}

/// Flags of etcd, with its data in the folder `data`.
pub(super) fn etcd(addresses: &Addresses, data: &str) -> Vec<String> {
    let (client, peer) = ETCD_PORTS;
    let client = format!("http://{}:{client}", addresses.etcd());
    let peer = format!("http://{}:{peer}", addresses.etcd());
    vec![
        "--name=plane".to_owned(),
        format!("--data-dir={data}"),
        // Nothing outlives a plane.
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=plane={peer}"),
    ]
}

/// Flags of kube-apiserver.
pub(super) fn api_server(addresses: &Addresses, pki: &Pki) -> Vec<String> {
    let file = |name: &str| pki.path(name).display().to_string();
    vec![
        format!("--etcd-servers=http://{}:{}", addresses.etcd(), ETCD_PORTS.0),
        format!("--bind-address={}", addresses.api_server()),
        format!("--advertise-address={}", addresses.api_server()),
        // The Service `kubernetes` then is the API server itself.
        "--secure-port=443".to_owned(),
        format!("--service-cluster-ip-range={}", addresses.services()),
        format!("--tls-cert-file={}", file("apiserver.crt")),
        format!("--tls-private-key-file={}", file("apiserver.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={}", file("service-accounts.crt")),
        format!("--service-account-signing-key-file={}", file("service-accounts.key")),
        format!("--requestheader-client-ca-file={}", file("front-proxy-ca.crt")),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        format!("--proxy-client-cert-file={}", file("front-proxy.crt")),
        format!("--proxy-client-key-file={}", file("front-proxy.key")),
        // There is no kube-proxy: Services are reached at their endpoints.
        "--enable-aggregator-routing=true".to_owned(),
        format!("--kubelet-client-certificate={}", file("apiserver-kubelet.crt")),
        format!("--kubelet-client-key={}", file("apiserver-kubelet.key")),
        format!("--kubelet-certificate-authority={}", file("ca.crt")),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
    ]
}

/// Flags of kube-controller-manager, with or without its loop of HPAs.
pub(super) fn controller_manager(
    addresses: &Addresses,
    pki: &Pki,
    kubeconfig: &str,
    hpa_loop: bool,
) -> Vec<String> {
    let file = |name: &str| pki.path(name).display().to_string();
    let mut flags = component(addresses, kubeconfig);
    flags.extend([
        format!("--controllers=*{}", if hpa_loop { "" } else { ",-horizontal-pod-autoscaler-controller" }),
        "--use-service-account-credentials=true".to_owned(),
        format!("--service-account-private-key-file={}", file("service-accounts.key")),
        format!("--root-ca-file={}", file("ca.crt")),
        // The default is a folder that it would make on this machine.
        format!("--flex-volume-plugin-dir={}", file("no-plugins")),
        // Nodes that stand for processes of this machine have no kubelet whose heartbeats could be missed: after the default
        // of 50 s their pods would be marked not ready in the middle of a test.
        "--node-monitor-grace-period=12h".to_owned(),
        // It starts a client per controller, which at the default rate takes five seconds.
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
    ]);
    flags
}

/// Flags of kube-scheduler.
pub(super) fn scheduler(addresses: &Addresses, kubeconfig: &str) -> Vec<String> {
    component(addresses, kubeconfig)
}

fn component(addresses: &Addresses, kubeconfig: &str) -> Vec<String> {
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        format!("--bind-address={}", addresses.etcd()),
        // There is only one, and a restarted one would wait for the lease to end.
        "--leader-elect=false".to_owned(),
    ]
}
