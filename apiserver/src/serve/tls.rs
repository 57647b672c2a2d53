//! TLS settings. Client certificates are asked for but not required, and whoever signed them is accepted in the
//! handshake: only possession of the key is proved there, trust is decided per request by the authenticators.

use std::io;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ResolvesServerCert;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio_rustls::TlsAcceptor;

use super::Server;
use super::tls_choice::TlsChoice;
use crate::authentication::Authenticators;

/// How connections are secured: TLS 1.2 or 1.3 with this certificate.
#[derive(Clone, Debug)]
pub struct ServingTls {
    /// The serving certificate, for example a [`ReloadingCertificate`](crate::certs::ReloadingCertificate).
    pub certificates: Arc<dyn ResolvesServerCert>,
    /// Whether HTTP/2 is offered (`--disable-http2-serving` turns it off).
    pub http2: bool,
    /// Versions, suites and key exchanges.
    pub choice: TlsChoice,
}

impl ServingTls {
    /// Serves this certificate over HTTP/2 and HTTP/1.1.
    pub fn new(certificates: Arc<dyn ResolvesServerCert>) -> Self {
        Self { certificates, http2: true, choice: TlsChoice::default() }
    }

    fn config(&self, hints: Vec<DistinguishedName>) -> Result<ServerConfig, rustls::Error> {
        let provider = self.choice.provider();
        let verifier = AnyIssuer::new(&provider, hints);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.choice.versions())?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(self.certificates.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if self.http2 {
            config.alpn_protocols.insert(0, b"h2".to_vec());
        }
        Ok(config)
    }
}

/// Builds the TLS configuration anew when the authenticators, and with them the issuer hints, were replaced.
pub(super) struct Acceptors {
    built_for: Arc<Authenticators>,
    acceptor: TlsAcceptor,
}

impl Acceptors {
    pub(super) fn new(server: &Server) -> io::Result<Self> {
        let built_for = server.authenticators.get();
        let config = server.tls.config(built_for.issuer_hints()).map_err(io::Error::other)?;
        Ok(Self { built_for, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    pub(super) fn current(&mut self, server: &Server) -> TlsAcceptor {
        if !Arc::ptr_eq(&self.built_for, &server.authenticators.get()) {
            match Self::new(server) {
                Ok(rebuilt) => *self = rebuilt,
                Err(error) => tracing::warn!(%error, "TLS settings kept"),
            }
        }
        self.acceptor.clone()
    }
}

#[derive(Debug)]
struct AnyIssuer {
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyIssuer {
    fn new(provider: &CryptoProvider, hints: Vec<DistinguishedName>) -> Self {
        Self { hints, algorithms: provider.signature_verification_algorithms }
    }
}

impl ClientCertVerifier for AnyIssuer {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
