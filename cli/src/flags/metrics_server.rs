//! Flags of `flyball metrics-server`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::generic_server::{DelegationArgs, LimitArgs, ServingArgs};
use super::{ClusterArgs, KubeletArgs, parse_duration};

/// Flags of `metrics-server`; upstream's names and meanings.
#[derive(Debug, Args)]
pub struct MetricsServerArgs {
    /// How to reach the API server.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Connections.
    #[command(flatten)]
    pub serving: ServingArgs,
    /// Identities and permissions.
    #[command(flatten)]
    pub delegation: DelegationArgs,
    /// Limits and logging.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Service that leads to this server; with it the server tells when an APIService leads elsewhere.
    #[arg(long, env = "OWN_SERVICE", value_parser = parse_object, value_name = "NAMESPACE/NAME", help_heading = "Surroundings")]
    pub own_service: Option<ObjectName>,
    /// Secret with the certificate of the collectors: made, renewed and trusted by this server. Without it collectors
    /// are verified like kubelets.
    #[arg(long, value_parser = parse_object, value_name = "NAMESPACE/NAME", help_heading = "Surroundings")]
    pub collector_certificate_secret: Option<ObjectName>,
    /// Where the other replicas are, by a name that leads to all of them: their last points are taken over at the start.
    #[arg(long, requires = "peer_token_file", value_name = "HOST:PORT", help_heading = "Peers")]
    pub peers: Option<String>,
    /// Token that is shown to them, for the audience flyball-metrics-server.
    #[arg(long, requires = "peers", value_name = "FILE", help_heading = "Peers")]
    pub peer_token_file: Option<PathBuf>,
    /// CA of their serving certificates. Unset: not verified.
    #[arg(long, requires = "peers", value_name = "FILE", help_heading = "Peers")]
    pub peer_certificate_authority: Option<PathBuf>,
    /// Time between two scrapes of a node. Unset: automatic, 1 s from Flyball collectors, 15 s from kubelets.
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    pub metric_resolution: Option<Duration>,
    /// Window that usage is computed over. Unset: as long as the use is level, short after a step.
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    pub usage_window: Option<Duration>,
    /// Where kubelets are, and how they are spoken to.
    #[command(flatten)]
    pub kubelets: KubeletArgs,
    /// Scrape only the nodes that match this label selector.
    #[arg(short = 'l', long, default_value = "", value_name = "SELECTOR")]
    pub node_selector: String,
}

/// An object by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

fn parse_object(text: &str) -> Result<ObjectName, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(ObjectName { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => Err(format!("{text:?} is not of the form NAMESPACE/NAME")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::{Cli, Command, LogFormat};

    fn parse(arguments: &[&str]) -> Result<MetricsServerArgs, clap::Error> {
        let cli = Cli::try_parse_from(["flyball", "metrics-server"].iter().chain(arguments))?;
        match cli.command {
            Command::MetricsServer(args) => Ok(*args),
            other => panic!("another command: {other:?}"),
        }
    }

    /// The arguments of upstream's published manifests, and of its chart.
    #[test]
    fn upstreams_arguments_work_unchanged() {
        let args = parse(&[
            "--cert-dir=/tmp",
            "--secure-port=10250",
            "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
            "--kubelet-use-node-status-port",
            "--metric-resolution=15s",
            "--kubelet-insecure-tls",
            "--authorization-always-allow-paths=/metrics",
            "--v=2",
        ])
        .expect("upstream's flags");
        assert!(args.kubelets.kubelet_use_node_status_port && args.kubelets.kubelet_insecure_tls);
        assert_eq!((args.serving.secure_port, args.limits.verbosity), (10250, Some(2)));
        assert_eq!(args.delegation.authorization_always_allow_paths, ["/metrics"]);
        assert!(args.limits.ignored.0.is_empty());
    }

    #[test]
    fn flags_are_read_as_upstream_reads_them() {
        let args = parse(&[
            "--kubelet-insecure-tls=false",
            "--kubelet-insecure-tls=T",
            "--secure-port",
            "1",
            "--secure-port=2",
            "-v",
            "4",
            "--logging-format=json",
            "--profiling=false",
            "--audit-log-path=-",
            "--enable-priority-and-fairness",
            "--shutdown-delay-duration=0s",
            "--tls-cipher-suites=a,b",
            "--tls-sni-cert-key=a,b",
            "--tls-sni-cert-key=c,d:e",
            "--requestheader-client-ca-file=f",
            "--requestheader-allowed-names=aggregator,other",
        ])
        .expect("upstream's flags");
        assert!(args.kubelets.kubelet_insecure_tls, "the last one counts");
        assert_eq!((args.serving.secure_port, args.limits.verbosity), (2, Some(4)));
        assert_eq!(args.limits.logging_format, Some(LogFormat::Json));
        assert_eq!(
            args.limits.ignored.0,
            ["--audit-log-path", "--enable-priority-and-fairness", "--profiling"]
        );
        assert_eq!((args.serving.tls_cipher_suites.len(), args.serving.tls_sni_cert_key.len()), (2, 2));
        assert_eq!(args.delegation.requestheader_allowed_names, ["aggregator", "other"]);
        assert!(parse(&["--no-such-flag"]).is_err());
        assert!(parse(&["--own-service=x"]).unwrap_err().to_string().contains("NAMESPACE/NAME"));
    }
}
