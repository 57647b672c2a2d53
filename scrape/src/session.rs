//! A TLS session over a TCP connection that holds no buffers between two exchanges.
//!
//! The library's usual connection keeps what it read last, some kilobytes for each of thousands of nodes, and copies
//! every byte twice. Here records are read into [`Buffers`], which live for one exchange, and are decrypted in place.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::spare;

/// Bytes asked of the socket at once: most answers come whole.
const READ_BYTES: usize = 32 * 1024;
/// Most rounds between two reads: a handshake takes five or so.
const STEPS_LIMIT: usize = 4096;

/// What one exchange needs: TLS records as they come and as they go.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Buffers {
    /// Whether every byte that came was used. A rest would be missing in the next exchange.
    pub(crate) fn are_empty(&self) -> bool {
        self.incoming.is_empty()
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        spare::give(std::mem::take(&mut self.incoming));
        spare::give(std::mem::take(&mut self.outgoing));
    }
}

/// The session.
pub(crate) struct Session {
    tcp: TcpStream,
    tls: Box<UnbufferedClientConnection>,
}

/// What the session wants after everything that came was used.
#[derive(Debug, PartialEq, Eq)]
enum Wants {
    /// More of the handshake.
    Handshake,
    /// Nothing: application data may be sent, or come.
    Nothing,
    /// The other side has closed.
    Closed,
}

/// Appends what comes next, `room` bytes or more; how many they are, 0 at the end. Thousands of nodes may be slow at
/// once, so the room is made when something is there, and an empty buffer takes none while it is waited for.
pub(crate) async fn read_when_ready(
    tcp: &mut TcpStream,
    out: &mut Vec<u8>,
    room: usize,
) -> io::Result<usize> {
    if out.is_empty() {
        spare::give(std::mem::take(out));
    }
    tcp.readable().await?;
    if out.capacity() == 0 {
        *out = spare::take();
    }
    out.reserve(room);
    // If less comes than there is room for, this remembers that nothing is left, and the next wait begins without asking.
    tcp.read_buf(out).await
}

impl Session {
    /// Shakes hands.
    pub(crate) async fn open(
        tcp: TcpStream,
        config: ClientConfig,
        name: ServerName<'static>,
        buffers: &mut Buffers,
    ) -> io::Result<Session> {
        let tls = UnbufferedClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let mut session = Session { tcp, tls: Box::new(tls) };
        let mut early = Vec::new();
        while session.advance(buffers, &mut early).await? == Wants::Handshake {
            session.read(buffers).await?;
        }
        if early.is_empty() { Ok(session) } else { Err(io::Error::other("it spoke before it was asked")) }
    }

    /// The certificate that the other side has shown.
    pub(crate) fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.tls.peer_certificates()?.first()
    }

    /// Sends all of `data`.
    pub(crate) async fn send(&mut self, data: &[u8], buffers: &mut Buffers) -> io::Result<()> {
        let mut early = Vec::new();
        if self.process(buffers, &mut early)? != Wants::Nothing || !early.is_empty() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let Buffers { incoming, outgoing } = buffers;
        match self.tls.process_tls_records(incoming).state.map_err(io::Error::other)? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let begin = outgoing.len();
                let mut room = data.len() + 128;
                let written = loop {
                    outgoing.resize(begin + room, 0);
                    match traffic.encrypt(data, &mut outgoing[begin..]) {
                        Ok(written) => break written,
                        Err(EncryptError::InsufficientSize(need)) if need.required_size > room => {
                            room = need.required_size;
                        }
                        Err(error) => return Err(io::Error::other(error)),
                    }
                };
                outgoing.truncate(begin + written);
            }
            _ => return Err(io::ErrorKind::NotConnected.into()),
        }
        self.flush(buffers).await
    }

    /// Appends what comes next; how many bytes that is, 0 at the end.
    pub(crate) async fn receive(&mut self, out: &mut Vec<u8>, buffers: &mut Buffers) -> io::Result<usize> {
        let before = out.len();
        loop {
            let ended = self.read(buffers).await.map(|()| false).or_else(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Ok(true),
                _ => Err(error),
            })?;
            if ended {
                return Ok(0);
            }
            let wants = self.advance(buffers, out).await?;
            if out.len() > before || wants == Wants::Closed {
                return Ok(out.len() - before);
            }
        }
    }

    async fn read(&mut self, buffers: &mut Buffers) -> io::Result<()> {
        match read_when_ready(&mut self.tcp, &mut buffers.incoming, READ_BYTES).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn flush(&mut self, buffers: &mut Buffers) -> io::Result<()> {
        if !buffers.outgoing.is_empty() {
            self.tcp.write_all(&buffers.outgoing).await?;
            buffers.outgoing.clear();
        }
        Ok(())
    }

    /// Uses what has come, and sends what the protocol wants sent.
    async fn advance(&mut self, buffers: &mut Buffers, out: &mut Vec<u8>) -> io::Result<Wants> {
        let result = self.process(buffers, out);
        // Also an alert, which tells the other side why.
        self.flush(buffers).await?;
        result
    }

    fn process(&mut self, buffers: &mut Buffers, out: &mut Vec<u8>) -> io::Result<Wants> {
        let Buffers { incoming, outgoing } = buffers;
        let mut used = 0;
        let mut failure = None;
        for _ in 0..STEPS_LIMIT {
            let UnbufferedStatus { mut discard, state, .. } =
                self.tls.process_tls_records(&mut incoming[used..]);
            let wants = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        discard += record.discard;
                        out.extend_from_slice(record.payload);
                    }
                    None
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let begin = outgoing.len();
                    let need = match data.encode(&mut []) {
                        Err(EncodeError::InsufficientSize(need)) => need.required_size,
                        Ok(_) => 0,
                        Err(error) => return Err(io::Error::other(error)),
                    };
                    outgoing.resize(begin + need, 0);
                    if need > 0 {
                        let written = data.encode(&mut outgoing[begin..]).map_err(io::Error::other)?;
                        outgoing.truncate(begin + written);
                    }
                    None
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It is sent before anything else is read.
                    data.done();
                    None
                }
                Ok(ConnectionState::BlockedHandshake) => Some(Wants::Handshake),
                Ok(ConnectionState::WriteTraffic(_)) => Some(Wants::Nothing),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Some(Wants::Closed),
                Ok(_) => return Err(io::Error::other("an unexpected state of TLS")),
                // No records at all: rustls must not be given the same again, and who sent them reads no alert.
                Err(error @ rustls::Error::InvalidMessage(_)) => {
                    incoming.clear();
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
                // Once more, for the alert; the second time it is the end.
                Err(error) if failure.is_none() => {
                    failure = Some(error);
                    None
                }
                Err(_) => Some(Wants::Closed),
            };
            used += discard;
            if let Some(wants) = wants {
                incoming.drain(..used);
                return failure
                    .map_or(Ok(wants), |error| Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
        }
        Err(io::Error::other("TLS goes round in circles"))
    }
}
