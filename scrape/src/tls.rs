//! Whom we believe to be a node, and how we prove who we are.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::file::{Content, RenewedFile};

mod live;
mod refusal;

pub use live::LiveRoots;
pub(crate) use refusal::{Presented, Refused, explain};

/// Which certificates are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those issued by these authorities, for example the cluster's CA out of a kubeconfig.
    Roots(Vec<CertificateDer<'static>>),
    /// Those issued by the authorities in this PEM file: `--kubelet-certificate-authority`, or the cluster's CA that
    /// every pod finds in its service account folder. Read again when it is renewed.
    File(PathBuf),
    /// Those issued by authorities that change while we run: the collectors' Secret.
    Live(LiveRoots),
    /// All: `--kubelet-insecure-tls`.
    Insecure,
}

/// Which name the certificate must be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameCheck {
    /// The dialled address, as upstream.
    Address,
    /// The dialled address or else the node's name: kubelet certificates often carry no IP addresses.
    AddressOrNodeName,
    /// This name, for example the one in all collectors' certificates.
    Fixed(String),
}

/// A certificate and key of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// PEM file: `--kubelet-client-certificate`.
    pub certificate: PathBuf,
    /// PEM file: `--kubelet-client-key`.
    pub key: PathBuf,
}

/// All TLS settings for one kind of target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// Which certificates are accepted.
    pub trust: Trust,
    /// For which name.
    pub name: NameCheck,
    /// Client certificate, if one is to be shown.
    pub identity: Option<ClientIdentity>,
}

impl TlsSettings {
    /// Accepts what these authorities issued, for the dialled address or the node's name; no client certificate.
    pub fn new(trust: Trust) -> TlsSettings {
        TlsSettings { trust, name: NameCheck::AddressOrNodeName, identity: None }
    }
}

/// Versions of TLS that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 alone.
    Tls12,
    /// 1.3 alone.
    Tls13,
}

static ONLY_12: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
static ONLY_13: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

impl Versions {
    fn known(self) -> &'static [&'static rustls::SupportedProtocolVersion] {
        match self {
            Versions::Both => rustls::DEFAULT_VERSIONS,
            Versions::Tls12 => &ONLY_12,
            Versions::Tls13 => &ONLY_13,
        }
    }
}

/// The settings with their files opened; makes one configuration per connection, of shared parts.
#[derive(Debug)]
pub(crate) struct Connector {
    trust: Trust,
    name: NameCheck,
    authority: Option<Content>,
    identity: Option<(Content, Content)>,
    versions: Versions,
    provider: Arc<CryptoProvider>,
    /// Made of the authorities beside it; all connections share it while those stay.
    verifier: Kept<Vec<CertificateDer<'static>>, Arc<WebPkiServerVerifier>>,
    /// Made of the files beside it.
    shown: Kept<(Vec<u8>, Vec<u8>), Arc<SingleCertAndKey>>,
}

/// What was made last, beside what it was made of.
type Kept<Of, Made> = Mutex<Option<(Of, Made)>>;

impl Connector {
    pub(crate) fn new(settings: &TlsSettings) -> Connector {
        let file = |path: &PathBuf| Content::File(RenewedFile::new(path));
        let authority = match &settings.trust {
            Trust::File(path) => Some(file(path)),
            _ => None,
        };
        let files = |identity: &ClientIdentity| (file(&identity.certificate), file(&identity.key));
        let identity = settings.identity.as_ref().map(files);
        Connector::of_parts(settings.trust.clone(), settings.name.clone(), authority, identity)
    }

    /// Of what may stand in a file or not; `authority` goes before the roots of `trust`.
    pub(crate) fn of_parts(
        trust: Trust,
        name: NameCheck,
        authority: Option<Content>,
        identity: Option<(Content, Content)>,
    ) -> Connector {
        Connector {
            trust,
            name,
            authority,
            identity,
            versions: Versions::default(),
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            verifier: Mutex::default(),
            shown: Mutex::default(),
        }
    }

    /// Speaks these versions.
    pub(crate) fn speaking(self, versions: Versions) -> Connector {
        Connector { versions, ..self }
    }

    /// Which certificates are accepted, for texts.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The configuration and the name to ask for, when dialling `host` for this node. A certificate that is refused is
    /// noted in `refused`.
    pub(crate) fn prepare(
        &self,
        host: &str,
        node: &str,
        refused: &Arc<Refused>,
    ) -> Result<(ClientConfig, ServerName<'static>), String> {
        let asked = match &self.name {
            NameCheck::Fixed(name) => name.as_str(),
            _ => host,
        };
        let name = ServerName::try_from(asked.to_owned())
            .map_err(|_| format!("{asked:?} is neither an IP address nor a host name"))?;
        let also = (self.name == NameCheck::AddressOrNodeName)
            .then(|| ServerName::try_from(node.to_owned()).ok())
            .flatten();
        let verifier: Arc<dyn ServerCertVerifier> = match &self.trust {
            Trust::Insecure => Arc::new(Unverified(self.provider.clone())),
            _ => Arc::new(Named { inner: self.verifier()?, also, refused: refused.clone() }),
        };
        Ok((self.configuration(verifier)?, name))
    }

    fn configuration(&self, verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, String> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(self.versions.known())
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                builder.with_client_cert_resolver(self.shown(certificate.bytes()?, key.bytes()?)?)
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // The connection itself is kept, so tickets would only cost memory for each of thousands of targets.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }

    /// The certificate to show, made anew when its files have changed.
    fn shown(&self, certificate: Vec<u8>, key: Vec<u8>) -> Result<Arc<SingleCertAndKey>, String> {
        let mut kept = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(((old_certificate, old_key), shown)) = kept.as_ref()
            && (old_certificate, old_key) == (&certificate, &key)
        {
            return Ok(shown.clone());
        }
        let chain = certificates(&certificate)?;
        let private = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|error| format!("the client key is no PEM key: {error}"))?;
        let both = CertifiedKey::from_der(chain, private, &self.provider)
            .map_err(|error| format!("client certificate and key do not fit: {error}"))?;
        let shown = Arc::new(SingleCertAndKey::from(both));
        *kept = Some(((certificate, key), shown.clone()));
        Ok(shown)
    }

    fn verifier(&self) -> Result<Arc<WebPkiServerVerifier>, String> {
        let trusted = match (&self.trust, &self.authority) {
            (_, Some(content)) => certificates(&content.bytes()?)?,
            (Trust::Roots(roots), None) => roots.clone(),
            (Trust::Live(live), None) => {
                live.get().map_err(|reason| format!("collectors cannot be verified: {reason}"))?
            }
            _ => Vec::new(),
        };
        let mut kept = self.verifier.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((old, verifier)) = kept.as_ref()
            && *old == trusted
        {
            return Ok(verifier.clone());
        }
        let mut roots = RootCertStore::empty();
        for certificate in &trusted {
            roots
                .add(certificate.clone())
                .map_err(|error| format!("an authority's certificate is broken: {error}"))?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| format!("no authority to verify the other side by: {error}"))?;
        *kept = Some((trusted, verifier.clone()));
        Ok(verifier)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| format!("broken PEM: {error}"))?;
    if all.is_empty() { Err("the PEM file holds no certificate".to_owned()) } else { Ok(all) }
}

/// Verifies for the asked name, and if only the name is wrong, for a second one.
#[derive(Debug)]
struct Named {
    inner: Arc<WebPkiServerVerifier>,
    also: Option<ServerName<'static>>,
    refused: Arc<Refused>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let verify =
            |name| self.inner.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        let result = verify(name);
        let verified = match (&result, &self.also) {
            (
                Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })),
                Some(other),
            ) => verify(other).or(result),
            _ => result,
        };
        verified.inspect_err(|_| self.refused.note(end_entity))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Accepts any certificate whose key signed the handshake.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
