//! TCP balancers: one listener per port of a Service, connections handed to ready endpoints in turn.
//!
//! A port without ready endpoints is not listened on, so connections to it are refused at once, as kube-proxy does it.
//! Each direction is closed on its own. Connections that exist survive changes of endpoints.
#![allow(clippy::disallowed_methods, reason = "edge: listens, connects and starts a task per connection")]

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::routes::Route;

/// Most connections at a time, over all Services; further ones are closed at once.
const MAX_CONNECTIONS: usize = 4096;
/// Buffer per direction and connection.
const BUFFER_BYTES: usize = 8 * 1024;
/// Longest time to reach one endpoint.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Endpoints tried for one connection.
const MAX_ATTEMPTS: usize = 3;
/// Pause after a failed accept, which usually means that no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Endpoints = Arc<Vec<SocketAddr>>;

/// All listeners of one instance. Dropping it ends listeners and connections.
pub struct Balancer {
    listeners: BTreeMap<SocketAddr, Listener>,
    connections: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Listener {
    endpoints: watch::Sender<Endpoints>,
    stop: CancellationToken,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Default for Balancer {
    fn default() -> Self {
        Self {
            listeners: BTreeMap::new(),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }
}

impl Balancer {
    /// Listens as the routes say. Returns what could not be listened on, to be tried again later.
    pub async fn apply(&mut self, routes: &BTreeMap<SocketAddr, Route>) -> Vec<(SocketAddr, io::Error)> {
        self.listeners
            .retain(|listen, _| routes.get(listen).is_some_and(|route| !route.endpoints.is_empty()));
        let mut failed = Vec::new();
        for (listen, route) in routes.iter().filter(|(_, route)| !route.endpoints.is_empty()) {
            let endpoints: Endpoints = Arc::new(route.endpoints.clone());
            if let Some(listener) = self.listeners.get(listen) {
                listener.endpoints.send_replace(endpoints);
                continue;
            }
            match TcpListener::bind(listen).await {
                Ok(socket) => {
                    let listener = self.listen(socket, endpoints);
                    self.listeners.insert(*listen, listener);
                }
                Err(error) => failed.push((*listen, error)),
            }
        }
        failed
    }

    fn listen(&self, socket: TcpListener, endpoints: Endpoints) -> Listener {
        let (sender, receiver) = watch::channel(endpoints);
        let stop = self.stop.child_token();
        let accept =
            Accept { endpoints: receiver, connections: self.connections.clone(), tasks: self.tasks.clone() };
        let (ended, all_ended) = (stop.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            ended.run_until_cancelled(accept.run(socket, all_ended)).await;
        });
        Listener { endpoints: sender, stop }
    }

    /// Ends all listeners and connections.
    pub async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

struct Accept {
    endpoints: watch::Receiver<Endpoints>,
    connections: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Accept {
    async fn run(self, socket: TcpListener, stop: CancellationToken) {
        let turn = AtomicUsize::new(0);
        loop {
            let client = match socket.accept().await {
                Ok((client, _)) => client,
                Err(error) => {
                    tracing::debug!(%error, "connection to a service not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = self.connections.clone().try_acquire_owned() else { continue };
            let endpoints = self.endpoints.borrow().clone();
            let first = turn.fetch_add(1, Ordering::Relaxed);
            let stop = stop.clone();
            self.tasks.spawn(async move {
                stop.run_until_cancelled(serve(client, &endpoints, first, permit)).await;
            });
        }
    }
}

/// Carries one connection to its end.
async fn serve(mut client: TcpStream, endpoints: &[SocketAddr], first: usize, _permit: OwnedSemaphorePermit) {
    let Some(mut server) = connect(endpoints, first).await else {
        // No endpoint answers: reset, so that the client does not mistake it for an empty answer.
        let _ = rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO));
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let copied =
        tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER_BYTES, BUFFER_BYTES).await;
    if let Err(error) = copied {
        tracing::trace!(%error, "connection to a service ended early");
    }
}

async fn connect(endpoints: &[SocketAddr], first: usize) -> Option<TcpStream> {
    for attempt in 0..endpoints.len().min(MAX_ATTEMPTS) {
        let endpoint = endpoints[first.wrapping_add(attempt) % endpoints.len()];
        if let Ok(Ok(server)) = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(endpoint)).await {
            return Some(server);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn route(endpoints: &[SocketAddr]) -> Route {
        Route { namespace: "ns".to_owned(), service: "web".to_owned(), endpoints: endpoints.to_vec() }
    }

    /// A server that reads to the end and answers with its name and what it read.
    async fn server(name: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = String::new();
                stream.read_to_string(&mut request).await.unwrap();
                stream.write_all(format!("{name} {request}").as_bytes()).await.unwrap();
            }
        });
        address
    }

    async fn ask(address: SocketAddr) -> io::Result<String> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"hello").await?;
        // Half-closed: the answer must still come.
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    async fn free_address() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn endpoints_take_turns_and_none_refuses() {
        let (a, b, gone) = (server("a").await, server("b").await, free_address().await);
        let listen = free_address().await;
        let mut balancer = Balancer::default();
        assert!(balancer.apply(&BTreeMap::from([(listen, route(&[a, b]))])).await.is_empty());
        let mut answers = vec![ask(listen).await.unwrap(), ask(listen).await.unwrap()];
        answers.sort();
        assert_eq!(answers, vec!["a hello", "b hello"]);
        // A dead endpoint is passed over; with none left the connection is reset.
        balancer.apply(&BTreeMap::from([(listen, route(&[gone, a]))])).await;
        assert_eq!(
            (ask(listen).await.unwrap(), ask(listen).await.unwrap()),
            ("a hello".into(), "a hello".into())
        );
        balancer.apply(&BTreeMap::from([(listen, route(&[gone]))])).await;
        assert!(ask(listen).await.is_err());
        // Without endpoints nobody listens.
        balancer.apply(&BTreeMap::from([(listen, route(&[]))])).await;
        tokio::task::yield_now().await;
        balancer.close().await;
        assert_eq!(ask(listen).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn address_in_use_is_reported() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen = taken.local_addr().unwrap();
        let mut balancer = Balancer::default();
        let failed = balancer.apply(&BTreeMap::from([(listen, route(&[listen]))])).await;
        assert_eq!(failed.first().map(|(address, _)| *address), Some(listen));
    }
}
