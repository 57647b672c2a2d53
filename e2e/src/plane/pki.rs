//! Keys and certificates of a plane.

use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flyball_apiserver::certs::{CertificateAuthority, Issued};

/// Names the API server is reached by, besides its addresses.
const API_SERVER_NAMES: &[&str] = &[
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
];

/// The authorities of a plane. Their certificates and those of the control plane stand in its folder `pki`.
pub struct Pki {
    folder: PathBuf,
    authority: CertificateAuthority,
    front_proxy_authority: CertificateAuthority,
    front_proxy: Issued,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Pki {
    /// Makes everything the control plane needs, in `folder`.
    ///
    /// # Panics
    /// When a file cannot be written.
    pub(super) fn create(folder: &Path, api_server: &[IpAddr]) -> Self {
        std::fs::create_dir_all(folder).expect("the folder of certificates is made");
        let authority = CertificateAuthority::new("kubernetes-ca").expect("an authority");
        let front_proxy_authority = CertificateAuthority::new("front-proxy-ca").expect("an authority");
        let front_proxy =
            front_proxy_authority.issue_client("front-proxy-client", &[]).expect("a certificate");
        let pki = Self { folder: folder.to_owned(), authority, front_proxy_authority, front_proxy };
        pki.write("ca.crt", &pki.authority.certificate_pem());
        pki.write("front-proxy-ca.crt", &pki.front_proxy_authority.certificate_pem());
        pki.store("front-proxy", &pki.front_proxy);
        pki.store("apiserver", &pki.server(API_SERVER_NAMES, api_server));
        pki.store("apiserver-kubelet", &pki.client("kube-apiserver-kubelet-client", &["system:masters"]));
        // The API server reads public keys out of certificates, too.
        pki.store("service-accounts", &pki.client("service-accounts", &[]));
        pki
    }

    /// A client certificate for a user in these groups, signed by the authority whose clients the API server trusts.
    ///
    /// # Panics
    /// On more groups than a certificate can carry.
    #[must_use]
    pub fn client(&self, user: &str, groups: &[&str]) -> Issued {
        self.authority.issue_client(user, groups).expect("a client certificate")
    }

    /// A serving certificate by the authority the API server trusts for kubelets.
    ///
    /// # Panics
    /// On a name that cannot stand in a certificate.
    #[must_use]
    pub fn server(&self, names: &[&str], addresses: &[IpAddr]) -> Issued {
        self.authority.issue_server(names, addresses).expect("a serving certificate")
    }

    /// The authority of clients, of the API server and of kubelets.
    #[must_use]
    pub fn authority(&self) -> &CertificateAuthority {
        &self.authority
    }

    /// The authority of the front proxy, whose clients may speak for any user.
    #[must_use]
    pub fn front_proxy_authority(&self) -> &CertificateAuthority {
        &self.front_proxy_authority
    }

    /// The certificate the API server shows to aggregated servers.
    #[must_use]
    pub fn front_proxy(&self) -> &Issued {
        &self.front_proxy
    }

    /// Path of a file in the folder of certificates.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes `NAME.crt` and `NAME.key`.
    pub(super) fn store(&self, name: &str, issued: &Issued) {
        self.write(&format!("{name}.crt"), &issued.certificate_pem);
        self.write(&format!("{name}.key"), &issued.key_pem);
    }

    fn write(&self, name: &str, text: &str) {
        write_private(&self.path(name), text);
    }
}

/// Writes a file that only its owner may read.
pub(super) fn write_private(path: &Path, text: &str) {
    use std::io::Write;
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
