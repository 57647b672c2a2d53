//! One server over HTTP: a limited number of kept connections, one time-out around everything, bounded answers.
#![allow(clippy::disallowed_methods, reason = "an edge: sends requests and keeps their time")]

use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::error::BackendError;
use super::settings::{ApiServer, HttpSettings};
use super::tls::Material;
use super::token::LiveToken;

/// How long certificate files are believed unchanged.
const REREAD_AFTER: Duration = Duration::from_secs(30);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(90);
/// What of a strange answer is told.
const EXCERPT_BYTES: usize = 200;

type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A question.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// Behind the server's prefix.
    pub(crate) path_and_query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn get(path_and_query: String) -> Asked {
        Asked { method: Method::GET, path_and_query, headers: HeaderMap::new(), body: Bytes::new() }
    }
}

/// What came back: any code, the whole body.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) code: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answered {
    /// The beginning of the body as one line, for messages.
    pub(crate) fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(EXCERPT_BYTES)]);
        let line: Vec<&str> = text.split_whitespace().collect();
        line.join(" ")
    }
}

/// A server.
pub(crate) struct HttpClient {
    name: String,
    settings: HttpSettings,
    token: LiveToken,
    permits: Semaphore,
    made: Mutex<Option<Made>>,
}

struct Made {
    looked_at: Instant,
    of: Material,
    http: Http,
}

impl HttpClient {
    pub(crate) fn new(name: &str, settings: HttpSettings) -> HttpClient {
        HttpClient {
            name: name.to_owned(),
            token: LiveToken::new(settings.token.clone()),
            permits: Semaphore::new(settings.max_connections.max(1)),
            settings,
            made: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn settings(&self) -> &HttpSettings {
        &self.settings
    }

    /// Sends one question. Dropping the future ends it.
    pub(crate) async fn send(&self, asked: Asked) -> Result<Answered, BackendError> {
        let after = self.settings.timeout;
        let work = async {
            let _permit =
                self.permits.acquire().await.map_err(|_| self.unreachable("it is being stopped"))?;
            self.exchange(asked).await
        };
        let late = |_| Err(BackendError::Timeout { backend: self.name.clone(), after });
        tokio::time::timeout(after, work).await.unwrap_or_else(late)
    }

    async fn exchange(&self, asked: Asked) -> Result<Answered, BackendError> {
        let request = self.request(asked)?;
        if let Some(ApiServer(client)) = &self.settings.through {
            let sent = client.send(request.map(|body| kube::client::Body::from(body.to_vec()))).await;
            return self.answered(sent.map_err(|error| self.unreachable(&causes(&error)))?).await;
        }
        let http = self.http().map_err(|reason| self.wrong_settings(reason))?;
        let request = request.map(Full::new);
        self.answered(http.request(request).await.map_err(|error| self.unreachable(&causes(&error)))?).await
    }

    async fn answered<B>(&self, response: http::Response<B>) -> Result<Answered, BackendError>
    where
        B: Body<Data = Bytes, Error: std::error::Error> + Unpin,
    {
        let (parts, body) = response.into_parts();
        let body = self.collect(body, &parts.headers).await?;
        Ok(Answered { code: parts.status, headers: parts.headers, body })
    }

    fn request(&self, asked: Asked) -> Result<Request<Bytes>, BackendError> {
        let uri = self.settings.uri(&asked.path_and_query).map_err(|reason| self.wrong_settings(reason))?;
        let mut request = Request::new(asked.body);
        *request.method_mut() = asked.method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        *headers = asked.headers;
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("flyball-adapter/", env!("CARGO_PKG_VERSION"))));
        if let Some(token) = self.token.now().map_err(|reason| self.wrong_settings(reason))? {
            headers.insert(header::AUTHORIZATION, self.secret(format!("Bearer {token}"))?);
        } else if let Some(basic) = self.settings.basic() {
            headers.insert(header::AUTHORIZATION, self.secret(format!("Basic {}", STANDARD.encode(basic)))?);
        }
        for (name, value) in self.settings.headers() {
            headers.append(name, value.clone());
        }
        Ok(request)
    }

    fn secret(&self, text: String) -> Result<HeaderValue, BackendError> {
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            self.wrong_settings("the credentials have characters that no header can have".into())
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The whole body, decompressed, within the limit.
    async fn collect<B>(&self, mut body: B, headers: &HeaderMap) -> Result<Bytes, BackendError>
    where
        B: Body<Data = Bytes, Error: std::error::Error> + Unpin,
    {
        let limit_bytes = self.settings.body_limit_bytes;
        let too_large = || BackendError::TooLarge { backend: self.name.clone(), limit_bytes };
        let mut collected = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.unreachable(&causes(&error)))?;
            let Ok(data) = frame.into_data() else { continue };
            if collected.len() + data.len() > limit_bytes {
                return Err(too_large());
            }
            collected.extend_from_slice(&data);
        }
        let packed = headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
        if !packed {
            return Ok(collected.freeze());
        }
        let mut unpacked = Vec::new();
        let read = flate2::read::MultiGzDecoder::new(collected.as_ref())
            .take(limit_bytes as u64 + 1)
            .read_to_end(&mut unpacked);
        match read {
            Err(error) => Err(BackendError::Garbage {
                backend: self.name.clone(),
                reason: format!("gzip that cannot be read: {error}"),
            }),
            Ok(length) if length > limit_bytes => Err(too_large()),
            Ok(_) => Ok(unpacked.into()),
        }
    }

    /// The client, made anew when a certificate file has changed.
    fn http(&self) -> Result<Http, String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref()
            && (!self.settings.is_tls() || made.looked_at.elapsed() < REREAD_AFTER)
        {
            return Ok(made.http.clone());
        }
        let fresh = match self.settings.is_tls() {
            true => Material::read(&self.settings),
            false => Ok(Material::default()),
        };
        let anew = fresh.and_then(|of| match made.as_ref() {
            Some(made) if made.of == of => Ok(None),
            _ => self.make(&of).map(|http| Some((of, http))),
        });
        match (anew, made.as_mut()) {
            (Ok(Some((of, http))), _) => {
                *made = Some(Made { looked_at: Instant::now(), of, http: http.clone() });
                Ok(http)
            }
            (Ok(None), Some(made)) => {
                made.looked_at = Instant::now();
                Ok(made.http.clone())
            }
            (Err(reason), Some(made)) => {
                tracing::warn!(backend = self.name, "{reason}; the certificates read before stay in use");
                made.looked_at = Instant::now();
                Ok(made.http.clone())
            }
            (Err(reason), None) => Err(reason),
            (Ok(None), None) => Err("no client was made".to_owned()),
        }
    }

    fn make(&self, of: &Material) -> Result<Http, String> {
        let tls = match self.settings.is_tls() {
            true => of.configuration(self.settings.insecure)?,
            // Never used: a configuration that believes nobody.
            false => rustls::ClientConfig::builder_with_provider(Arc::new(
                rustls::crypto::ring::default_provider(),
            ))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth(),
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(self.settings.timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(self.settings.max_connections.max(1))
            .build(connector))
    }

    fn unreachable(&self, reason: &str) -> BackendError {
        BackendError::Unreachable { backend: self.name.clone(), reason: reason.to_owned() }
    }

    fn wrong_settings(&self, reason: String) -> BackendError {
        BackendError::Settings { backend: self.name.clone(), reason }
    }
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The error and its causes; what a cause repeats is told once.
fn causes(error: &dyn std::error::Error) -> String {
    flyball_apiserver::api_error::causes(error)
}
