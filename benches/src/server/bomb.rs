//! An application whose every answer has series that were never there before.

#![allow(clippy::disallowed_methods, reason = "edge: opens a listener")]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Series of one answer.
const SERIES: u64 = 100_000;

/// It listens as long as its runtime runs.
#[derive(Debug, Clone)]
pub(super) struct Bomb {
    pub(super) address: SocketAddr,
    armed: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Bomb {
    pub(super) async fn start() -> std::io::Result<Bomb> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let bomb = Bomb { address: listener.local_addr()?, armed: Arc::default(), sent: Arc::default() };
        let serving = bomb.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move {
                    // The server closes the connection when it likes.
                    let _ = serving.serve(socket).await;
                });
            }
        });
        Ok(bomb)
    }

    /// Whether answers hold new series.
    pub(super) fn arm(&self, armed: bool) {
        self.armed.store(armed, Ordering::SeqCst);
    }

    /// Series sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

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
        let mut body = String::from("quiet 1\n");
        if self.armed.load(Ordering::SeqCst) {
            let first = self.sent.fetch_add(SERIES, Ordering::SeqCst);
            for number in first..first + SERIES {
                let _ = writeln!(body, "bomb{{session=\"{number:016x}\",path=\"/{number}\"}} {number}");
            }
        }
        body
    }
}
