//! Two small HTTP/1.1 servers, one answer a connection: a target that Prometheus scrapes, and a way to Prometheus on which
//! time stands still, so that whoever asks later gets the same values.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest head of a request, and longest body.
const HEAD_LIMIT: usize = 1 << 20;
/// Longest wait for the other end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the target says, by the number of the scrape.
pub type Text = Box<dyn Fn(u64) -> String + Send>;

/// A target that says what it is told to.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    text: Arc<Mutex<Text>>,
    scrapes: Arc<AtomicU64>,
}

impl Target {
    /// Listens until the tests end.
    pub fn start(address: SocketAddr, text: Text) -> Target {
        let target = Target { address, text: Arc::new(Mutex::new(text)), scrapes: Arc::default() };
        let own = target.clone();
        serve(address, move |socket| own.answer(socket));
        target
    }

    /// Says something else from now on.
    pub fn say(&self, text: Text) {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// How often it was scraped.
    pub fn scrapes(&self) -> u64 {
        self.scrapes.load(Ordering::SeqCst)
    }

    fn answer(&self, mut socket: TcpStream) -> std::io::Result<()> {
        read_request(&mut socket)?;
        let scrape = self.scrapes.fetch_add(1, Ordering::SeqCst) + 1;
        let body = self.text.lock().unwrap_or_else(PoisonError::into_inner)(scrape);
        write!(
            socket,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

/// Leads to a Prometheus and asks for everything at one moment, Unix seconds.
pub fn at_one_moment(address: SocketAddr, prometheus: SocketAddr, seconds: u64) {
    serve(address, move |mut socket| {
        let (head, body) = read_request(&mut socket)?;
        let (line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
        let (path, query) = line.split_once('?').unwrap_or((line, ""));
        let (query, version) = query.rsplit_once(' ').unwrap_or((query, "HTTP/1.1"));
        let line = match query {
            "" => line.to_owned(),
            query => format!("{path}?{} {version}", pinned(query, seconds)),
        };
        let body = pinned(&body, seconds);
        let kept = headers.lines().filter(|header| {
            let name = header.split(':').next().unwrap_or_default().to_ascii_lowercase();
            !name.is_empty() && name != "content-length" && name != "connection"
        });
        let headers: String = kept.map(|header| format!("{header}\r\n")).collect();
        let mut other = TcpStream::connect(prometheus)?;
        write!(
            other,
            "{line}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        std::io::copy(&mut other, &mut socket)?;
        socket.shutdown(Shutdown::Both)
    });
}

/// Parameters with the time that is meant.
fn pinned(parameters: &str, seconds: u64) -> String {
    let one = |parameter: &str| match parameter.split_once('=') {
        Some(("time", _)) => format!("time={seconds}"),
        _ => parameter.to_owned(),
    };
    parameters.split('&').map(one).collect::<Vec<_>>().join("&")
}

fn serve(address: SocketAddr, answer: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static) {
    let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                // Whoever breaks off asks again.
                let _ = socket.set_read_timeout(Some(PATIENCE));
                drop(answer(socket));
            });
        }
    });
}

/// Head without its empty line, and body.
fn read_request(socket: &mut TcpStream) -> std::io::Result<(String, String)> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let count = socket.read(&mut part)?;
        bytes.extend_from_slice(&part[..count]);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let head = end.map(|end| String::from_utf8_lossy(&bytes[..end]).into_owned());
        let length = head.as_deref().map_or(0, content_length);
        if let (Some(end), Some(head)) = (end, head)
            && bytes.len() >= end + 4 + length
        {
            return Ok((head, String::from_utf8_lossy(&bytes[end + 4..end + 4 + length]).into_owned()));
        }
        if count == 0 || bytes.len() > HEAD_LIMIT {
            return Err(std::io::Error::other("no whole request"));
        }
    }
}

fn content_length(head: &str) -> usize {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let found = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    found.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

#[test]
fn only_the_time_is_pinned() {
    assert_eq!(pinned("query=a%3Dtime&time=12.5&timeout=10s", 7), "query=a%3Dtime&time=7&timeout=10s");
}
