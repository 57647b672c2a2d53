//! A custom metrics API of the smallest kind: every metric of every object is one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use flyball_apiserver::certs::Issued;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::behaviour::direct::chain;

/// Group and version.
pub const API: &str = "custom.metrics.k8s.io/v1beta2";

/// Longest head of a request.
const HEAD_LIMIT: usize = 64 * 1024;

/// Answers until the tests end.
pub fn serve(address: SocketAddr, issued: &Issued) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS")
        .with_no_client_auth()
        .with_single_cert(chain(&issued.certificate_pem), key)
        .expect("a pair");
    let config = Arc::new(config);
    let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let config = config.clone();
            // Whoever breaks off asks again.
            std::thread::spawn(move || drop(answer(socket, config)));
        }
    });
}

fn answer(socket: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, socket);
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_LIMIT {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).and_then(|path| path.split('?').next()).unwrap_or_default();
    let (status, body) = body(path);
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len(),
    )?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn body(path: &str) -> (&'static str, Value) {
    let root = format!("/apis/{API}");
    match path.strip_prefix(&root) {
        Some("" | "/") => (
            "200 OK",
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": API, "resources": []}),
        ),
        Some(_) => {
            let value = json!({
                "describedObject": {"kind": "Service", "name": "web", "apiVersion": "v1"},
                "metric": {"name": "any"}, "timestamp": "2026-01-01T00:00:00Z", "value": "1",
            });
            (
                "200 OK",
                json!({"kind": "MetricValueList", "apiVersion": API, "metadata": {}, "items": [value]}),
            )
        }
        None => {
            let message = "there is nothing else here";
            ("404 Not Found", json!({"kind": "Status", "apiVersion": "v1", "code": 404, "message": message}))
        }
    }
}
