//! A name server that knows one name: enough to see that the program in the image asks one.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;

/// How often it looks whether it is still wanted.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest question over UDP without extensions.
const MESSAGE_BYTES: usize = 512;
/// Bytes before the question.
const HEADER_BYTES: usize = 12;
/// Type of an IPv4 address record.
const TYPE_A: u16 = 1;

/// Answers on 127.0.0.1:53 until dropped.
pub struct NameServer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Starts it; `name` is at 127.0.0.1, and nothing else exists.
    pub fn start(name: &'static str) -> anyhow::Result<NameServer> {
        let socket = UdpSocket::bind(("127.0.0.1", 53)).context("cannot serve names on 127.0.0.1:53")?;
        socket.set_read_timeout(Some(PAUSE))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; MESSAGE_BYTES];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                if let Some(answer) = answer(&buffer[..length], name) {
                    drop(socket.send_to(&answer, from));
                }
            }
        });
        Ok(NameServer { stop, thread: Some(thread) })
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The answer to a question (RFC 1035): an address for `name` when one of IPv4 is asked for, an empty answer for its other
/// types, "no such name" for everything else. `None` for what is no question.
fn answer(question: &[u8], name: &str) -> Option<Vec<u8>> {
    let asked = question.get(HEADER_BYTES..)?;
    let mut labels: Vec<String> = Vec::new();
    let mut at = 0;
    loop {
        let length = usize::from(*asked.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(asked.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(asked.get(at..at + 2)?.try_into().ok()?);
    let asked = asked.get(..at + 4)?;
    let known = labels.join(".") == name;
    let has_address = known && kind == TYPE_A;

    let mut answer = question.get(..2)?.to_vec();
    // A response with recursion available; code 3: no such name.
    answer.extend([0x81, if known { 0x80 } else { 0x83 }]);
    answer.extend([0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
    answer.extend(asked);
    if has_address {
        // The name of the question, type A, class IN, 60 s, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u8) -> Vec<u8> {
        let mut bytes = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.extend([0, 0, kind, 0, 1]);
        bytes
    }

    #[test]
    fn one_name_has_an_address_and_others_do_not_exist() {
        let found = answer(&question("A.test", 1), "a.test").unwrap();
        assert_eq!((&found[..2], found[3], found[7]), (&[7, 7][..], 0x80, 1));
        assert!(found.ends_with(&[127, 0, 0, 1]));
        let other_type = answer(&question("a.test", 28), "a.test").unwrap();
        assert_eq!((other_type[3], other_type[7]), (0x80, 0));
        let unknown = answer(&question("b.test", 1), "a.test").unwrap();
        assert_eq!((unknown[3], unknown[7]), (0x83, 0));
        assert_eq!(answer(b"short", "a.test"), None);
    }
}
