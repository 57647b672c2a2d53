//! Requests over one kept TLS connection, timed to the first and to the last byte.

#![allow(clippy::disallowed_methods, reason = "edge: a client with a clock")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use flyball_apiserver::certs::Unvouched;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bytes asked for at once.
const READ_BYTES: usize = 256 * 1024;

/// What a request took.
#[derive(Debug, Clone, Default)]
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// Until the first byte of the body.
    pub first_byte: Duration,
    /// Until the last one.
    pub total: Duration,
    /// Bytes of the body as sent.
    pub bytes: usize,
    /// The body, if it was to be kept.
    pub body: Vec<u8>,
}

/// How a request is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct How<'a> {
    /// Header lines, each with its line end.
    pub headers: &'a str,
    /// Whether the body is kept.
    pub keep: bool,
    /// A reader that takes its time: so many bytes a second.
    pub bytes_per_second: Option<usize>,
}

/// Who a client is.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// What a connection reads and writes.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection.
pub struct Client {
    stream: Box<dyn Stream>,
    address: SocketAddr,
}

impl Client {
    /// Connects; the certificate is not looked at.
    ///
    /// # Errors
    /// Nobody listens there, or not with TLS.
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Client> {
        Client::connect_with(address, None).await
    }

    /// As [`Client::connect`], with the client's certificate and key in these files.
    ///
    /// # Errors
    /// Those, and that a file cannot be read.
    pub async fn connect_as(address: SocketAddr, certificate: &Path, key: &Path) -> anyhow::Result<Client> {
        let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
        Client::connect_with(address, Some((chain, PrivateKeyDer::from_pem_file(key)?))).await
    }

    async fn connect_with(address: SocketAddr, identity: Option<Identity>) -> anyhow::Result<Client> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Unvouched::any(provider));
        let mut config = match identity {
            Some((chain, key)) => config.with_client_auth_cert(chain, key)?,
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::from(address.ip());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
        Ok(Client { stream: Box::new(stream), address })
    }

    /// Connects without TLS.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn connect_plain(address: SocketAddr) -> anyhow::Result<Client> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Client { stream: Box::new(socket), address })
    }

    async fn send(&mut self, path: &str, headers: &str) -> anyhow::Result<()> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer bench\r\n{headers}\r\n",
            self.address
        );
        self.stream.write_all(request.as_bytes()).await?;
        Ok(self.stream.flush().await?)
    }

    /// Asks for a path whose answer does not end, and reads it for so long; how many bytes came, head and all.
    ///
    /// # Errors
    /// The connection breaks or ends.
    pub async fn follow(&mut self, path: &str, headers: &str, during: Duration) -> anyhow::Result<usize> {
        let until = tokio::time::Instant::now() + during;
        self.send(path, headers).await?;
        let (mut buffer, mut bytes) = (Vec::with_capacity(READ_BYTES), 0);
        while let Ok(read) = tokio::time::timeout_at(until, self.stream.read_buf(&mut buffer)).await {
            anyhow::ensure!(read? > 0, "the watch ended");
            bytes += buffer.len();
            buffer.clear();
        }
        Ok(bytes)
    }

    /// Asks for a path.
    ///
    /// # Errors
    /// The connection breaks.
    pub async fn get(&mut self, path: &str, how: How<'_>) -> anyhow::Result<Answered> {
        let started = Instant::now();
        self.send(path, how.headers).await?;
        let mut buffer = Vec::with_capacity(READ_BYTES);
        let (head, length) = loop {
            let read = self.stream.read_buf(&mut buffer).await?;
            anyhow::ensure!(read > 0, "the connection ended");
            if let Some(found) = flyball_scrape::http1::Head::read(&buffer)? {
                break found;
            }
        };
        let mut answered = Answered { status: head.status, ..Answered::default() };
        let mut body = Reader::new(&head)?;
        buffer.drain(..length);
        loop {
            if !buffer.is_empty() && answered.first_byte.is_zero() {
                answered.first_byte = started.elapsed();
            }
            answered.bytes += buffer.len();
            body.take(&buffer, how.keep.then_some(&mut answered.body))?;
            if body.done() {
                break;
            }
            if let Some(rate) = how.bytes_per_second {
                let due = Duration::from_secs_f64(answered.bytes as f64 / rate as f64);
                tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
            }
            buffer.clear();
            let read = self.stream.read_buf(&mut buffer).await?;
            anyhow::ensure!(read > 0, "the body was cut off");
        }
        answered.total = started.elapsed();
        Ok(answered)
    }
}

/// Finds the end of a body without a limit to its size: lists here are larger than any scrape.
struct Reader {
    chunked: bool,
    /// Bytes left of the body or of the present chunk.
    left: usize,
    line: Vec<u8>,
    last: bool,
    done: bool,
}

impl Reader {
    fn new(head: &flyball_scrape::http1::Head) -> anyhow::Result<Reader> {
        use flyball_scrape::http1::Framing;
        let (chunked, left) = match head.body {
            Framing::Length(length) => (false, usize::try_from(length)?),
            Framing::Chunked => (true, 0),
            Framing::Close => anyhow::bail!("a body that ends with the connection"),
        };
        Ok(Reader { chunked, left, line: Vec::new(), last: false, done: !chunked && left == 0 })
    }

    fn done(&self) -> bool {
        self.done
    }

    fn take(&mut self, mut input: &[u8], mut keep: Option<&mut Vec<u8>>) -> anyhow::Result<()> {
        while !input.is_empty() && !self.done {
            if self.left > 0 {
                let (data, rest) = input.split_at(self.left.min(input.len()));
                if let Some(body) = &mut keep {
                    body.extend_from_slice(data);
                }
                self.left -= data.len();
                self.done = !self.chunked && self.left == 0;
                input = rest;
                continue;
            }
            let end = input.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let (part, rest) = input.split_at(end.unwrap_or(input.len()));
            self.line.extend_from_slice(part);
            input = rest;
            if end.is_some() {
                self.line()?;
            }
        }
        Ok(())
    }

    fn line(&mut self) -> anyhow::Result<()> {
        let line = std::mem::take(&mut self.line);
        let text = std::str::from_utf8(&line)?.trim();
        if self.last {
            self.done = text.is_empty();
        } else if !text.is_empty() {
            self.left = usize::from_str_radix(text, 16).context("a chunk's size")?;
            self.last = self.left == 0;
        }
        Ok(())
    }
}
