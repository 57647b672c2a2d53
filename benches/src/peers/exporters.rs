//! Applications whose series move at every scrape: the load that all servers get.

#![allow(clippy::disallowed_methods, reason = "edge: opens listeners")]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use flyball_model::labels::Labels;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::tsdb_load::{Walk, labels, request_labels};

/// Series of one application.
const SERIES_EACH: u32 = 1000;

/// One application.
struct Exporter {
    names: Vec<String>,
    walks: Mutex<Vec<Walk>>,
}

/// Starts as many as have this many series together, half of them one metric's; answers where they listen.
pub(super) async fn start(series: u32) -> std::io::Result<Vec<SocketAddr>> {
    let half = series / 2;
    let mut addresses = Vec::new();
    for first in (0..series).step_by(SERIES_EACH as usize) {
        let numbers = first..(first + SERIES_EACH).min(series);
        let set = |number| if number < half { request_labels(number) } else { labels(number - half) };
        let exporter = Arc::new(Exporter {
            names: numbers.clone().map(|number| text(&set(number))).collect(),
            walks: Mutex::new(numbers.map(Walk::new).collect()),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        addresses.push(listener.local_addr()?);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let exporter = exporter.clone();
                tokio::spawn(async move {
                    // A server closes its connection when it ends.
                    let _ = exporter.serve(socket).await;
                });
            }
        });
    }
    Ok(addresses)
}

/// A series as it is exposed; `instance` and `job` are the target's.
fn text(labels: &Labels) -> String {
    let exposed = labels.iter().filter(|(name, _)| !matches!(*name, "__name__" | "instance" | "job"));
    let pairs: Vec<String> = exposed.map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    format!("{}{{{}}}", labels.get("__name__").unwrap_or_default(), pairs.join(","))
}

impl Exporter {
    async fn serve(&self, mut socket: TcpStream) -> std::io::Result<()> {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await?);
            }
            let body = self.body();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            socket.write_all(head.as_bytes()).await?;
            socket.write_all(body.as_bytes()).await?;
        }
    }

    fn body(&self) -> String {
        let mut body = String::with_capacity(self.names.len() * 200);
        let mut walks = self.walks.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, walk) in self.names.iter().zip(walks.iter_mut()) {
            let _ = writeln!(body, "{name} {}", walk.next_value());
        }
        body
    }
}
