//! What a simulation is made of.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flyball_apiserver::{CertificateAuthority, Issued};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::SimulationError;
use super::sampling::Sampling;

/// A simulation.
#[derive(Debug, Clone)]
pub struct Config {
    /// The nodes: name, and where its kubelet listens. Port 0 takes a free one.
    pub nodes: Vec<(String, SocketAddr)>,
    /// The cluster they join as hollow nodes; without one they are kubelets only and pods come from the caller.
    pub kubeconfig: Option<PathBuf>,
    /// What the kubelets show when a client connects.
    pub certificates: Certificates,
    /// Who may ask for metrics.
    pub credentials: Credentials,
    /// When they look at their containers.
    pub sampling: Sampling,
    /// Time from running to ready, unless the pod says otherwise.
    pub startup: Duration,
    /// Whether answers are compressed for clients that accept it, as kubelets do.
    pub gzip: bool,
    /// What the answers say of how often they are measured, as those of a Flyball collector do; kubelets say nothing.
    pub sweep_interval: Option<Duration>,
    /// First address of the pods; they count up from here. Nothing listens there.
    pub first_pod_ip: Ipv4Addr,
    /// What each node has room for.
    pub allocatable: Allocatable,
    /// The version the nodes report.
    pub kubelet_version: String,
    /// How often each node renews its Lease.
    pub heartbeat: Duration,
    /// Threads of the simulation.
    pub workers: usize,
}

/// Room on a node, as quantities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocatable {
    /// Cores.
    pub cpu: String,
    /// Memory.
    pub memory: String,
    /// Pods.
    pub pods: u32,
}

/// What a kubelet shows.
#[derive(Debug, Clone)]
pub enum Certificates {
    /// An authority made for this simulation signs one certificate a node. See `Simulation::authority_pem`.
    SelfSigned,
    /// This authority signs one a node, for its name and its address.
    Authority {
        /// Its certificate.
        certificate_pem: String,
        /// Its private key.
        key_pem: String,
    },
    /// All show this one.
    Given {
        /// The certificate, followed by its issuers.
        certificate_pem: String,
        /// The private key.
        key_pem: String,
    },
}

/// Who may ask for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Anyone.
    None,
    /// Those who send an `Authorization` header (which is not checked) or, when an authority is given, a client
    /// certificate signed by it. Others get 401.
    Demanded {
        /// Certificate of the authority that signs client certificates.
        client_authority_pem: Option<String>,
    },
}

impl Config {
    /// Kubelets named `PREFIX-0`, `PREFIX-1`, … at these addresses; everything else as a plain cluster has it.
    pub fn new(prefix: &str, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let nodes = addresses.into_iter().enumerate();
        Self {
            nodes: nodes.map(|(index, address)| (format!("{prefix}-{index}"), address)).collect(),
            kubeconfig: None,
            certificates: Certificates::SelfSigned,
            credentials: Credentials::Demanded { client_authority_pem: None },
            sampling: Sampling::Every { period: Duration::from_secs(10), spread: true },
            startup: Duration::ZERO,
            gzip: true,
            sweep_interval: None,
            first_pod_ip: Ipv4Addr::new(100, 64, 0, 1),
            allocatable: Allocatable { cpu: "32".to_owned(), memory: "64Gi".to_owned(), pods: 250 },
            kubelet_version: "v1.37.2".to_owned(),
            heartbeat: Duration::from_secs(10),
            workers: 1,
        }
    }

    /// The authority that signs the nodes' certificates, if one does.
    pub(super) fn authority(&self) -> Result<Option<CertificateAuthority>, SimulationError> {
        let refused =
            |error| SimulationError::Certificate { node: "all".to_owned(), reason: format!("{error}") };
        match &self.certificates {
            Certificates::SelfSigned => {
                CertificateAuthority::new("simulated kubelets").map(Some).map_err(refused)
            }
            Certificates::Authority { certificate_pem, key_pem } => {
                CertificateAuthority::from_pem(certificate_pem, key_pem).map(Some).map_err(refused)
            }
            Certificates::Given { .. } => Ok(None),
        }
    }

    /// TLS settings of the kubelet of `node` at `ip`.
    pub(super) fn tls(
        &self,
        authority: Option<&CertificateAuthority>,
        node: &str,
        ip: IpAddr,
    ) -> Result<Arc<ServerConfig>, SimulationError> {
        let refused = |reason: String| SimulationError::Certificate { node: node.to_owned(), reason };
        let certificate =
            self.certificate(authority, node, ip).map_err(|error| refused(error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = versions.map_err(|error| refused(error.to_string()))?;
        let builder = match &self.credentials {
            Credentials::Demanded { client_authority_pem: Some(pem) } => {
                let roots = Arc::new(roots(pem).map_err(refused)?);
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots, provider).allow_unauthenticated();
                builder
                    .with_client_cert_verifier(verifier.build().map_err(|error| refused(error.to_string()))?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(certificate);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn certificate(
        &self,
        authority: Option<&CertificateAuthority>,
        node: &str,
        ip: IpAddr,
    ) -> Result<Arc<dyn ResolvesServerCert>, flyball_apiserver::ApiserverError> {
        match (&self.certificates, authority) {
            (Certificates::Given { certificate_pem, key_pem }, _) => {
                Issued { certificate_pem: certificate_pem.clone(), key_pem: key_pem.clone() }.resolver()
            }
            (_, Some(authority)) => authority.issue_server(&[node], &[ip])?.resolver(),
            (_, None) => CertificateAuthority::new(node)?.issue_server(&[node], &[ip])?.resolver(),
        }
    }
}

fn roots(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}
