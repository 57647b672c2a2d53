//! The checks behind probes: an HTTP GET, a TCP connection. (A command is run by the container itself.)
#![allow(clippy::disallowed_methods, reason = "edge: probes open connections to containers")]

use std::net::IpAddr;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

use super::probe::Outcome;

/// A check, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// GET this and expect 200 to 399.
    Http {
        /// Host to connect to.
        host: String,
        /// Port.
        port: u16,
        /// Path with query.
        path: String,
        /// Headers.
        headers: Vec<(String, String)>,
    },
    /// Connect.
    Tcp {
        /// Host to connect to.
        host: String,
        /// Port.
        port: u16,
    },
    /// Run these words in the container and expect exit code 0.
    Exec(Vec<String>),
}

/// Reads a probe's action.
///
/// # Errors
/// One sentence naming the field that cannot be used here.
pub fn read(probe: &Probe, container: &Container, pod_ip: IpAddr) -> Result<Check, String> {
    if let Some(get) = &probe.http_get {
        return http_check(get, container, pod_ip);
    }
    if let Some(tcp) = &probe.tcp_socket {
        let host = tcp.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| pod_ip.to_string());
        return Ok(Check::Tcp { host, port: port(&tcp.port, container)? });
    }
    if let Some(exec) = &probe.exec {
        return Ok(Check::Exec(exec.command.clone().unwrap_or_default()));
    }
    Err("only httpGet, tcpSocket and exec probes are supported here".to_owned())
}

fn http_check(get: &HTTPGetAction, container: &Container, pod_ip: IpAddr) -> Result<Check, String> {
    if get.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) {
        return Err("httpGet.scheme HTTPS is not supported here".to_owned());
    }
    let headers = get.http_headers.iter().flatten();
    let path = get.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
    Ok(Check::Http {
        host: get.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| pod_ip.to_string()),
        port: port(&get.port, container)?,
        path: if path.starts_with('/') { path } else { format!("/{path}") },
        headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
    })
}

fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            let named = ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port);
            named.or_else(|| name.parse().ok())
        }
    };
    let number = number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0);
    number.ok_or_else(|| format!("port {port:?} is neither a number nor the name of a port of the container"))
}

/// GETs and judges the answer.
pub async fn http(host: &str, port: u16, path: &str, headers: &[(String, String)]) -> Outcome {
    let url = format!("http://{host}:{port}{path}");
    let failed = |error: &dyn std::fmt::Display| format!("Get {url:?}: {error}");
    let stream = TcpStream::connect((host, port)).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let mut request =
        http::Request::get(path).header("user-agent", "kube-probe/1.34").header("accept", "*/*");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", format!("{host}:{port}"));
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request =
        request.header("connection", "close").body(Empty::<Bytes>::new()).map_err(|error| failed(&error))?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = answer.status();
        if status.is_success() || status.is_redirection() {
            return Ok(());
        }
        Err(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        outcome = &mut exchange => outcome,
        // The connection ends with the answer handed over, or with the exchange failed: either way it is decided now.
        _ended = connection => exchange.await,
    }
}

/// Connects.
pub async fn tcp(host: &str, port: u16) -> Outcome {
    let connected = TcpStream::connect((host, port)).await;
    connected.map(drop).map_err(|error| format!("dial tcp {host}:{port}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn check(probe: Value) -> Result<Check, String> {
        let container =
            serde_json::from_value(json!({"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}));
        read(&serde_json::from_value(probe).unwrap(), &container.unwrap(), IpAddr::from([127, 9, 0, 2]))
    }

    #[test]
    fn actions() {
        let get = check(json!({"httpGet": {"port": "web", "path": "/ok"}})).unwrap();
        let expected = Check::Http {
            host: "127.9.0.2".to_owned(),
            port: 8080,
            path: "/ok".to_owned(),
            headers: Vec::new(),
        };
        assert_eq!(get, expected);
        let tcp = check(json!({"tcpSocket": {"port": 1, "host": "h"}})).unwrap();
        assert_eq!(tcp, Check::Tcp { host: "h".to_owned(), port: 1 });
        assert!(check(json!({"httpGet": {"port": "no"}})).unwrap_err().contains("\"no\""));
        assert!(check(json!({"httpGet": {"port": 1, "scheme": "HTTPS"}})).unwrap_err().contains("HTTPS"));
        assert!(check(json!({"grpc": {"port": 1}})).is_err());
    }

    #[tokio::test]
    async fn judges_answers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = async {
            for answer in ["204 No Content", "302 Found", "503 Busy"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let read = stream.read(&mut request).await.unwrap();
                assert!(request[..read].starts_with(b"GET /x HTTP/1.1"));
                stream
                    .write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes())
                    .await
                    .unwrap();
            }
        };
        let client = async {
            let mut outcomes = Vec::new();
            for _ in 0..3 {
                outcomes.push(http("127.0.0.1", port, "/x", &[]).await);
            }
            outcomes
        };
        let ((), outcomes) = tokio::join!(server, client);
        let failure = Err("HTTP probe failed with statuscode: 503".to_owned());
        assert_eq!(outcomes, vec![Ok(()), Ok(()), failure]);
        assert!(tcp("127.0.0.1", port).await.is_ok());
        drop(listener);
        assert!(tcp("127.0.0.1", port).await.is_err());
    }
}
