//! CPU of one scrape of `/metrics/node`, beside node_exporter in the same run. By hand:
//!
//! ```sh
//! cargo run --release -p flyball-benches --bin node_metrics -- [--peer PROGRAM] [--rounds 300] [--print]
//! ```

#![allow(clippy::disallowed_methods, reason = "a program: it starts itself and its peer, and binds a socket")]

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Parser;
use flyball_apiserver::{
    Authenticators, CaBundle, CertificateAuthority, ClientCa, DenyAnonymous, LiveAuthenticators, ServingTls,
};
use flyball_benches::node_metrics::{Asked, Peer, find_peer, in_process, in_turns, series};
use flyball_collector::name_source::Clients;
use flyball_collector::{Config, Security, config, run_with};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;

/// Scrapes in this process.
const ALONE_ROUNDS: u32 = 2_000;

/// Measures a scrape of `/metrics/node` beside node_exporter.
#[derive(Debug, Parser)]
struct Flags {
    /// The node_exporter to measure beside; else one of PATH.
    #[arg(long)]
    peer: Option<PathBuf>,
    /// Measured scrapes over HTTP.
    #[arg(long, default_value_t = 300)]
    rounds: u32,
    /// Only print the body.
    #[arg(long)]
    print: bool,
    /// Be the collector that is measured; keys for its clients go into this folder.
    #[arg(long, hide = true)]
    serve: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    if flags.print {
        print!("{}", in_process(1).1);
        return Ok(());
    }
    // Fails when another provider was chosen before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if let Some(folder) = flags.serve {
        return runtime.block_on(serve(&folder));
    }
    let (cpu_us, body) = in_process(ALONE_ROUNDS);
    println!(
        "reading and rendering alone: {cpu_us:.0} us CPU, {} series, {} bytes",
        series(&body),
        body.len()
    );
    let Some(program) = flags.peer.or_else(find_peer) else {
        println!("SKIPPED: over HTTP: no node_exporter: --peer names none and PATH has none");
        return Ok(());
    };
    println!("peer: {}", version(&program)?);
    for gzip in [false, true] {
        let mut peer = Peer::start(&program)?;
        let own = Own::start()?;
        let client = runtime.block_on(own.client())?;
        let peers_body = String::from_utf8_lossy(&peer.get("/metrics", false)?).into_owned();
        let mut asked = [
            Asked { pid: own.child.id(), ask: Box::new(|| runtime.block_on(get(&client, gzip))) },
            Asked { pid: peer.pid(), ask: Box::new(move || peer.get("/metrics", gzip)) },
        ];
        let costs = in_turns(flags.rounds, &mut asked)?;
        let encoding = if gzip { "gzip" } else { "plain" };
        for (name, cost, series) in
            [("flyball", costs[0], series(&body)), ("peer", costs[1], series(&peers_body))]
        {
            println!(
                "{encoding}, {name}: {:.0} us CPU, {series} series, {} bytes, {} kB resident",
                cost.cpu_us, cost.bytes, cost.resident_kb
            );
        }
        println!("{encoding}: ratio {:.1}", costs[1].cpu_us / costs[0].cpu_us);
    }
    Ok(())
}

fn version(program: &Path) -> anyhow::Result<String> {
    let output = Command::new(program).arg("--version").output()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().next().unwrap_or("without a version").to_owned())
}

/// A collector in a process of its own, so that its CPU can be told.
struct Own {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Own {
    fn start() -> anyhow::Result<Own> {
        let folder = tempfile::tempdir()?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let port = line.trim().parse().context("the collector did not start")?;
        Ok(Own { child, port, folder })
    }

    async fn client(&self) -> anyhow::Result<kube::Client> {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let mut config = kube::Config::new(format!("https://127.0.0.1:{}", self.port).parse()?);
        let kubeconfig = serde_json::json!({
            "client-certificate": file("client.crt"), "client-key": file("client.key"),
        });
        config.auth_info = serde_json::from_value(kubeconfig)?;
        // It is our own child.
        config.accept_invalid_certs = true;
        Ok(kube::Client::try_from(config)?)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn get(client: &kube::Client, gzip: bool) -> anyhow::Result<Vec<u8>> {
    let request = http::Request::get("/metrics/node")
        .header("accept-encoding", if gzip { "gzip" } else { "identity" })
        .body(kube::client::Body::empty())?;
    let response = client.send(request).await?;
    if !response.status().is_success() {
        bail!("the collector answered {}", response.status());
    }
    Ok(response.into_body().collect().await?.to_bytes().to_vec())
}

async fn serve(folder: &Path) -> anyhow::Result<()> {
    let authority = CertificateAuthority::new("bench")?;
    let client = authority.issue_client("bench", &["bench"])?;
    std::fs::write(folder.join("client.crt"), &client.certificate_pem)?;
    std::fs::write(folder.join("client.key"), &client.key_pem)?;
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
    // Sweeps of control groups are not what is measured.
    let config = Config { interval: config::LONGEST_INTERVAL, ..Config::new("bench") };
    Ok(run_with(config, Clients::default(), listener, security, CancellationToken::new()).await?)
}
