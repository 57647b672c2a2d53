//! The processes that the collector's figures are taken of: a collector that serves without a cluster, and the loads in
//! its groups. Started by `scoreboard` and `node_metrics`.

#![allow(clippy::disallowed_methods, reason = "a program: it writes keys, joins groups and binds a socket")]

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, Parser};
use flyball_apiserver::{
    Authenticators, CaBundle, CertificateAuthority, ClientCa, DenyAnonymous, LiveAuthenticators, ServingTls,
};
use flyball_collector::log_folders::LogFolders;
use flyball_collector::name_source::Clients;
use flyball_collector::name_source::NameSource;
use flyball_collector::{Config, Security, run_with};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Parser)]
enum Role {
    /// Serve, and print the port.
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
            flyball_collector::files::raise_descriptor_limit();
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
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?.port());
    std::io::stdout().flush()?;
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
