//! Simulated kubelets for use by hand: registers hollow nodes in a cluster and runs their pods until it is stopped.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use flyball_benches::kubelets::{Config, Credentials, Sampling, Simulation};
use flyball_model::time::parse_go_duration;

const EXAMPLES: &str = "\
Examples:
  Ten nodes for the cluster of this kubeconfig, then an app whose pods share 1200m:
    ip addr add 198.19.0.1/24 dev lo
    cargo run -p flyball-benches --bin kubelets -- --nodes 10 --kubeconfig F --address 198.19.0.10
    kubectl create deployment web --image=any --replicas=2 --dry-run=client -o json |
      jq '.spec.template.metadata.annotations={\"sim.flyball.io/load-cpu\":\"1200m\"}' | kubectl apply -f -

  A thousand kubelets without a cluster, to be scraped:
    cargo run -p flyball-benches --bin kubelets -- --nodes 1000 --address 127.1.0.1

Annotations of pods:
  sim.flyball.io/cpu, memory            what the pod uses: 250m, or main=200m,side=50m
  sim.flyball.io/load-cpu, load-memory  what the ready pods of the app use together
  sim.flyball.io/app                    name of the app (else label app.kubernetes.io/name or app, else the owner)
  sim.flyball.io/ready                  \"false\" keeps the pod from becoming ready
  sim.flyball.io/startup                time from running to ready, such as 20s";

/// Simulated kubelets: hollow nodes whose pods run without containers, each node with its own address, TLS and
/// /metrics/resource.
#[derive(Debug, Parser)]
#[command(name = "kubelets", after_help = EXAMPLES)]
struct Flags {
    /// Number of nodes.
    #[arg(long, default_value_t = 10)]
    nodes: u16,
    /// Cluster to join; without one there are kubelets only.
    #[arg(long, env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Address of the first kubelet; the others count up from it. All must be this machine's.
    #[arg(long, default_value = "127.64.0.1")]
    address: Ipv4Addr,
    /// Port of every kubelet.
    #[arg(long, default_value_t = 10250)]
    port: u16,
    /// Beginning of the nodes' names.
    #[arg(long, default_value = "sim")]
    prefix: String,
    /// Time between two looks of a kubelet at its containers; 0 looks at each request.
    #[arg(long, default_value = "10s", value_parser = duration)]
    sampling: Duration,
    /// Time of a pod from running to ready.
    #[arg(long, default_value = "0s", value_parser = duration)]
    startup: Duration,
    /// Who may ask for metrics.
    #[arg(long, value_enum, default_value_t = Access::Credentials)]
    access: Access,
    /// Leave the Node objects when it is stopped.
    #[arg(long)]
    keep_nodes: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Access {
    /// Whoever shows an Authorization header (it is not checked).
    Credentials,
    /// Anyone.
    Anyone,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_go_duration(text).ok_or_else(|| "a duration such as 10s is expected".to_owned())
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let simulation = Simulation::start(config(&flags))?;
    let nodes = simulation.nodes();
    if let (Some((first, from)), Some((last, to))) = (nodes.first(), nodes.last()) {
        println!("{} kubelets: {first} at {from} to {last} at {to}", nodes.len());
    }
    if let Some(pem) = simulation.authority_pem() {
        println!("authority of their certificates:\n{}", pem.trim_end());
    }
    wait_for_signal()?;
    if !flags.keep_nodes {
        simulation.remove_nodes()?;
    }
    Ok(())
}

fn config(flags: &Flags) -> Config {
    let first = u32::from(flags.address);
    let addresses = (0..u32::from(flags.nodes)).map(|index| Ipv4Addr::from(first.wrapping_add(index)));
    let mut config =
        Config::new(&flags.prefix, addresses.map(|address| SocketAddr::from((address, flags.port))));
    config.kubeconfig = flags.kubeconfig.clone();
    config.startup = flags.startup;
    config.sampling = match flags.sampling {
        Duration::ZERO => Sampling::Continuous,
        period => Sampling::Every { period, spread: true },
    };
    config.credentials = match flags.access {
        Access::Credentials => Credentials::Demanded { client_authority_pem: None },
        Access::Anyone => Credentials::None,
    };
    config
}

/// Waits for SIGINT or SIGTERM.
fn wait_for_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ended = signal(SignalKind::terminate()).context("cannot wait for signals")?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result.context("cannot wait for signals"),
            _ = ended.recv() => Ok(()),
        }
    })
}
