//! The processes that the collector's figures are taken of: a collector that serves without a cluster, and the loads in
//! its groups. Started by `scoreboard` and `node_metrics`.

#![allow(clippy::disallowed_methods, reason = "a program: it writes keys, joins groups and binds a socket")]

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, Parser};
use flyball_apiserver::own_metrics::{OwnMetrics, ServerMetrics};
use flyball_apiserver::{
    Authenticators, CaBundle, CertificateAuthority, ClientCa, DenyAnonymous, Handler, Limits,
    LiveAuthenticators, Request, Response, Server, ServingTls, full, serve,
};
use flyball_collector::log_folders::LogFolders;
use flyball_collector::name_source::Clients;
use flyball_collector::name_source::NameSource;
use flyball_collector::{Config, Security, run_with};
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Parser)]
enum Role {
    /// Serve, and print the port, and that of a server of plain bytes.
    Serve(Serve),
    /// Use a little CPU, and more and less memory, again and again.
    Load {
        /// Time between two uses, milliseconds.
        #[arg(long)]
        period_ms: u64,
        /// Control groups to join.
        groups: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// Where keys for its clients go.
    folder: PathBuf,
    #[arg(long)]
    cgroup_root: String,
    #[arg(long)]
    interval_ms: u64,
    #[arg(long)]
    names: Option<PathBuf>,
    #[arg(long)]
    joins: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    // However its parent ends.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    match Role::parse() {
        Role::Load { period_ms, groups } => load(Duration::from_millis(period_ms), &groups),
        Role::Serve(serve) => {
            if let Some(group) = &serve.joins {
                join(group)?;
            }
            // As `flyball collector` does.
            flyball_collector::process::prepare();
            tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
            let _ = rustls::crypto::ring::default_provider().install_default();
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(run(serve))
        }
    }
}

fn join(group: &Path) -> anyhow::Result<()> {
    Ok(std::fs::write(group.join("cgroup.procs"), "0")?)
}

async fn run(serve: Serve) -> anyhow::Result<()> {
    let authority = CertificateAuthority::new("bench")?;
    let client = authority.issue_client("bench", &["bench"])?;
    std::fs::write(serve.folder.join("client.crt"), &client.certificate_pem)?;
    std::fs::write(serve.folder.join("client.key"), &client.key_pem)?;
    let server = authority.issue_server(&["localhost"], &[Ipv4Addr::LOCALHOST.into()])?;
    let bundle = CaBundle::from_pem(&authority.certificate_pem(), "bench")?;
    let authenticators =
        Authenticators { client_ca: Some(ClientCa { bundle }), anonymous: true, ..Authenticators::default() };
    let security = Security {
        authenticators: LiveAuthenticators::new(authenticators),
        authorizer: Arc::new(DenyAnonymous::default()),
        ..Security::closed(ServingTls::new(server.resolver()?))
    };
    let listen = || tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (listener, plain) = (listen().await?, listen().await?);
    println!("{} {}", listener.local_addr()?.port(), plain.local_addr()?.port());
    std::io::stdout().flush()?;
    tokio::spawn(serve_bytes(plain, security.clone()));
    let names = serve.names.map(|folder| {
        NameSource::Logs(LogFolders { containers: folder.join("containers"), pods: folder.join("pods") })
    });
    let config = Config {
        cgroup_root: serve.cgroup_root,
        interval: Duration::from_millis(serve.interval_ms),
        names: names.into_iter().collect(),
        ..Config::new("bench")
    };
    Ok(run_with(config, Clients::default(), listener, security, CancellationToken::new()).await?)
}

/// The floor of a scrape: as many bytes as are asked for, which are there already, from the same server.
struct Plain(Mutex<Bytes>);

impl Handler for Plain {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let wanted = request.path().trim_start_matches('/').parse().unwrap_or(0);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() != wanted {
            *kept = Bytes::from(vec![b'x'; wanted]);
        }
        Box::pin(std::future::ready(http::Response::new(full(kept.clone()))))
    }
}

async fn serve_bytes(listener: tokio::net::TcpListener, security: Security) -> std::io::Result<()> {
    let server = Server {
        tls: security.tls,
        authenticators: security.authenticators,
        authorizer: security.authorizer,
        handler: Arc::new(Plain(Mutex::default())),
        limits: Limits::default(),
        metrics: ServerMetrics::register(&OwnMetrics::new()),
    };
    serve(listener, Arc::new(server), CancellationToken::new()).await
}

/// Bytes by which memory goes up and down; beyond what the allocator keeps.
const STEP_BYTES: usize = 160 << 10;
/// Steps of memory.
const STEPS: usize = 5;
/// CPU used each time.
const BURST: Duration = Duration::from_micros(50);

fn load(period: Duration, groups: &[PathBuf]) -> anyhow::Result<()> {
    groups.iter().try_for_each(|group| join(group))?;
    // Whoever started it waits for this.
    println!("joined");
    let mut kept = Vec::new();
    for step in (1..=STEPS).cycle() {
        drop(std::mem::replace(&mut kept, vec![1_u8; step * STEP_BYTES]));
        let started = Instant::now();
        while started.elapsed() < BURST {
            std::hint::spin_loop();
        }
        std::thread::sleep(period);
    }
    Ok(())
}
