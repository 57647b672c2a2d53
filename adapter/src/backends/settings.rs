//! How a server is spoken to over HTTP. Checked when made, so that what can be wrong is wrong at the start. No I/O.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};

use super::token::Token;

/// Time for one question, unless told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at a time, unless told otherwise.
pub const DEFAULT_MAX_CONNECTIONS: usize = 16;
/// Longest answer, unless told otherwise.
pub const DEFAULT_BODY_LIMIT_BYTES: usize = 64 << 20;
/// How often the other side has new values, unless told otherwise.
pub const DEFAULT_SCRAPE_INTERVAL: Duration = Duration::from_secs(15);

/// Where Prometheus' API is.
const API: &str = "/api/v1";

/// How queries are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verb {
    /// In the address, while it is not too long for that.
    #[default]
    Get,
    /// As a form.
    Post,
}

/// PEM text: from a file that is read again when it changes, or given.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// A file.
    File(PathBuf),
    /// The text itself.
    Text(Vec<u8>),
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Pem::File(path) => f.debug_tuple("File").field(path).finish(),
            // May be a key.
            Pem::Text(_) => f.write_str("Text"),
        }
    }
}

/// A certificate that we show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The chain.
    pub certificate: Pem,
    /// Its key.
    pub key: Pem,
}

/// Why settings cannot be used; names the setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The address.
    #[error("{url:?} is no address of a server: {reason}")]
    Url {
        /// What was given, without what stands before an `@`.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header.
    #[error("header {header:?}: {reason}")]
    Header {
        /// Its name, or the text that has none.
        header: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A client of a Kubernetes API server, which leads on to the server that is meant.
#[derive(Clone)]
pub(crate) struct ApiServer(pub(crate) kube::Client);

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiServer")
    }
}

/// How a server is spoken to.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    base: Uri,
    /// The way there, when it is not direct.
    pub(crate) through: Option<ApiServer>,
    /// Beginning of the API's paths, behind the prefix.
    api: &'static str,
    /// Beginning of all paths, without a slash at its end.
    prefix: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    basic: Option<String>,
    /// Authorities of the server's certificate. Default: the system's.
    pub ca: Option<Pem>,
    /// Whether any certificate of the server will do.
    pub insecure: bool,
    /// The certificate that is shown.
    pub client_certificate: Option<ClientCertificate>,
    /// The token that is shown.
    pub token: Token,
    /// How queries are sent.
    pub verb: Verb,
    /// Time for one question, waiting for a connection included.
    pub timeout: Duration,
    /// Questions, and so connections, at a time; further ones wait within their time-out.
    pub max_connections: usize,
    /// Longest answer.
    pub body_limit_bytes: usize,
    /// How often the other side has new values: answers are kept so long.
    pub scrape_interval: Duration,
}

impl HttpSettings {
    /// Defaults for a server at `http://…` or `https://…`, with a path if its API is behind one.
    ///
    /// # Errors
    /// What is no such address.
    pub fn new(url: &str) -> Result<HttpSettings, SettingsError> {
        let refuse = |reason: &str| SettingsError::Url {
            url: url.rsplit_once('@').map_or(url, |(_, behind)| behind).to_owned(),
            reason: reason.to_owned(),
        };
        let uri: Uri =
            url.trim().parse().map_err(|error: http::uri::InvalidUri| refuse(&error.to_string()))?;
        let scheme = uri.scheme_str().unwrap_or_default();
        if !["http", "https"].contains(&scheme) {
            return Err(refuse("it has to begin with http:// or https://"));
        }
        let authority = uri.authority().ok_or_else(|| refuse("it names no host"))?;
        if authority.host().is_empty() {
            return Err(refuse("it names no host"));
        }
        let basic = authority.as_str().rsplit_once('@').map(|(user, _)| {
            flyball_apiserver::query::decode(user, false).unwrap_or_else(|| user.to_owned())
        });
        let host = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
        let base = Uri::builder().scheme(scheme).authority(host).path_and_query("/").build();
        let base = base.map_err(|error| refuse(&error.to_string()))?;
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(HttpSettings { basic, ..HttpSettings::of(base, prefix, None, API) })
    }

    /// For a server that is an aggregated one of a cluster: its API is behind this path of the API server, which is asked with
    /// the client's credentials.
    pub fn behind_api_server(client: kube::Client, path: &str) -> HttpSettings {
        HttpSettings::of(Uri::default(), path.trim_end_matches('/').to_owned(), Some(ApiServer(client)), "")
    }

    /// Whether it is one of those.
    pub fn is_behind_api_server(&self) -> bool {
        self.through.is_some()
    }

    fn of(base: Uri, prefix: String, through: Option<ApiServer>, api: &'static str) -> HttpSettings {
        HttpSettings {
            base,
            through,
            api,
            prefix,
            headers: Vec::new(),
            basic: None,
            ca: None,
            insecure: false,
            client_certificate: None,
            token: Token::None,
            verb: Verb::default(),
            timeout: DEFAULT_TIMEOUT,
            max_connections: DEFAULT_MAX_CONNECTIONS,
            body_limit_bytes: DEFAULT_BODY_LIMIT_BYTES,
            scrape_interval: DEFAULT_SCRAPE_INTERVAL,
        }
    }

    /// Sends this header with every question, for example a tenant's; a name given twice is sent twice.
    ///
    /// # Errors
    /// What cannot be a header.
    pub fn header(&mut self, name: &str, value: &str) -> Result<(), SettingsError> {
        let refuse = |reason: String| SettingsError::Header { header: name.to_owned(), reason };
        let parsed: HeaderName = name.trim().parse().map_err(|_| refuse("no header has that name".into()))?;
        let value = HeaderValue::from_str(value.trim())
            .map_err(|_| refuse("its value has characters that no header can have".into()))?;
        self.headers.push((parsed, value));
        Ok(())
    }

    /// The same from `NAME=VALUE`, as the flag `--prometheus-header` has it.
    ///
    /// # Errors
    /// What has no `=`, or cannot be a header.
    pub fn header_pair(&mut self, pair: &str) -> Result<(), SettingsError> {
        let Some((name, value)) = pair.split_once('=') else {
            let reason = "it has to be of the form NAME=VALUE".to_owned();
            return Err(SettingsError::Header { header: pair.to_owned(), reason });
        };
        self.header(name, value)
    }

    /// Beginning of the API's paths.
    pub(crate) fn api(&self) -> &'static str {
        self.api
    }

    /// Where a path is.
    pub(crate) fn uri(&self, path_and_query: &str) -> Result<Uri, String> {
        if self.through.is_some() {
            return format!("{}{path_and_query}", self.prefix).parse().map_err(|error| format!("{error}"));
        }
        let mut parts = self.base.clone().into_parts();
        let text = format!("{}{path_and_query}", self.prefix);
        parts.path_and_query = Some(text.parse().map_err(|error| format!("{error}"))?);
        Uri::from_parts(parts).map_err(|error| error.to_string())
    }

    /// The headers that go with every question.
    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// User and password out of the address, with the colon between.
    pub(crate) fn basic(&self) -> Option<&str> {
        self.basic.as_deref()
    }

    /// Whether TLS is spoken.
    pub(crate) fn is_tls(&self) -> bool {
        self.base.scheme_str() == Some("https")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (url, path, expected) in [
            ("http://prometheus:9090", "/api/v1/query", "http://prometheus:9090/api/v1/query"),
            (
                "https://mimir/prometheus/",
                "/api/v1/query?query=a",
                "https://mimir/prometheus/api/v1/query?query=a",
            ),
            ("http://user:pa%3Ass@host", "/x", "http://host/x"),
            ("http://[::1]:9090/", "/x", "http://[::1]:9090/x"),
        ] {
            let settings = HttpSettings::new(url).unwrap();
            assert_eq!(settings.uri(path).unwrap().to_string(), expected, "{url}");
        }
        assert_eq!(HttpSettings::new("http://user:pa%3Ass@host").unwrap().basic(), Some("user:pa:ss"));
        for url in ["prometheus:9090", "ftp://x", "", "https://", "/path", "unix:///x"] {
            assert!(HttpSettings::new(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_refused_address_keeps_its_password() {
        let error = HttpSettings::new("ftp://user:secret@host").unwrap_err().to_string();
        assert!(error.contains("host") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn headers_are_checked() {
        let mut settings = HttpSettings::new("http://x").unwrap();
        settings.header_pair("X-Scope-OrgID=team=a").unwrap();
        assert_eq!(settings.headers()[0].1, "team=a");
        for bad in ["X-Scope-OrgID", "a b=c", "=x", "a=b\nc"] {
            assert!(settings.header_pair(bad).is_err(), "{bad:?}");
        }
    }
}
