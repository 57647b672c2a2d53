//! Flags of `flyball hpa`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::upstream::go_duration;
use super::{ClusterArgs, TlsArgs, parse_duration};

/// Flags of `hpa`; kube-controller-manager's names and meanings where it has them.
#[derive(Debug, Args)]
pub struct HpaArgs {
    /// How to reach the API server.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Serving certificate.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Address to serve on.
    #[arg(long, default_value = "0.0.0.0", value_name = "ADDR")]
    pub bind_address: std::net::IpAddr,
    /// Port to serve on.
    #[arg(long, default_value_t = 8443, value_name = "PORT")]
    pub secure_port: u16,
    /// Address at which the other replicas reach this one, to pass questions about decisions on to the leader.
    #[arg(long, env = "POD_IP", value_name = "ADDR")]
    pub pod_ip: Option<std::net::IpAddr>,
    /// `auto` scales where no other HPA controller runs and else only watches; `replace` scales, and leaves alone what another
    /// one writes; `own-kind` scales by HorizontalPodAutoscalers of autoscaling.flyball.io instead of the built-in ones;
    /// `shadow` decides and writes nothing.
    #[arg(long, value_enum, default_value_t = Mode::Auto, value_name = "MODE")]
    pub mode: Mode,
    /// `upstream`: decide every sync period and forget history on restart, as the built-in controller does.
    #[arg(long, value_enum, value_name = "WHOSE")]
    pub compat: Option<Compat>,
    /// Namespace of the history checkpoints.
    #[arg(long, env = "POD_NAMESPACE", default_value = "kube-system", value_name = "NAMESPACE")]
    pub checkpoint_namespace: String,
    /// Election of the replica that acts.
    #[command(flatten)]
    pub election: LeaderElectionArgs,
    /// HPAs evaluated at once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..), value_name = "N")]
    pub concurrent_horizontal_pod_autoscaler_syncs: u16,
    /// Longest time between two evaluations of an HPA.
    #[arg(long, default_value = "15s", value_parser = parse_duration, value_name = "DURATION")]
    pub horizontal_pod_autoscaler_sync_period: Duration,
    /// How far usage may be from its target without scaling, as a share.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    pub horizontal_pod_autoscaler_tolerance: f64,
    /// Time after a pod's start in which its CPU samples count only while it is Ready.
    #[arg(long, default_value = "5m", value_parser = go_duration, value_name = "DURATION")]
    pub horizontal_pod_autoscaler_cpu_initialization_period: Duration,
    /// Time after a pod's start in which a change to not Ready counts as its first start.
    #[arg(long, default_value = "30s", value_parser = go_duration, value_name = "DURATION")]
    pub horizontal_pod_autoscaler_initial_readiness_delay: Duration,
    /// Time over which the highest recommendation holds back scaling down.
    #[arg(long, default_value = "5m", value_parser = go_duration, value_name = "DURATION")]
    pub horizontal_pod_autoscaler_downscale_stabilization: Duration,
    /// Departures from upstream's decisions.
    #[command(flatten)]
    pub switches: SwitchArgs,
}

/// Departures from the built-in controller's decisions, each off by default. An HPA's annotation `hpa.flyball.io/NAME` goes
/// before the flag of that name.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Better than upstream")]
pub struct SwitchArgs {
    /// Leave out pods that another workload owns, whatever their labels.
    #[arg(long)]
    pub owned_pods: bool,
    /// Do not multiply by the extra pods of a rollout.
    #[arg(long)]
    pub surge_aware: bool,
    /// Round in integers, so that no float asks for a replica too many.
    #[arg(long)]
    pub exact_ceiling: bool,
    /// Treat samples older than this as missing; 0 for no limit.
    #[arg(long, value_parser = go_duration, value_name = "DURATION")]
    pub max_sample_age: Option<Duration>,
    /// Scale up to so many replicas when metrics have been missing for `--fallback-after`.
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..), value_name = "N")]
    pub fallback_replicas: Option<i32>,
    /// How long metrics are missing before `--fallback-replicas` applies.
    #[arg(long, default_value = "3m", value_parser = go_duration, value_name = "DURATION")]
    pub fallback_after: Duration,
}

/// Leader election, kube-controller-manager's flags.
#[derive(Debug, Clone, Args)]
pub struct LeaderElectionArgs {
    /// Act only while holding a Lease, so that several replicas may run.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "true|false")]
    pub leader_elect: bool,
    /// How long the others wait after the last renewal they saw before one of them takes the Lease.
    #[arg(long, default_value = "15s", value_parser = parse_duration, value_name = "DURATION")]
    pub leader_elect_lease_duration: Duration,
    /// How long the leader tries to renew before it stops acting; less than the lease duration.
    #[arg(long, default_value = "10s", value_parser = parse_duration, value_name = "DURATION")]
    pub leader_elect_renew_deadline: Duration,
    /// Pause between attempts to take or renew the Lease.
    #[arg(long, default_value = "2s", value_parser = parse_duration, value_name = "DURATION")]
    pub leader_elect_retry_period: Duration,
    /// What is locked; there are only Leases.
    #[arg(long, value_enum, default_value_t = ResourceLock::Leases, value_name = "KIND")]
    pub leader_elect_resource_lock: ResourceLock,
    /// Name of the Lease.
    #[arg(long, default_value = "flyball-hpa", value_name = "NAME")]
    pub leader_elect_resource_name: String,
    /// Namespace of the Lease; without it that of the checkpoints.
    #[arg(long, value_name = "NAMESPACE")]
    pub leader_elect_resource_namespace: Option<String>,
    /// Name of this pod, the first half of the identity in the Lease; without it the host's name.
    #[arg(long, env = "POD_NAME", hide = true, value_name = "NAME")]
    pub pod_name: Option<String>,
}

/// What can be locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ResourceLock {
    /// Leases of coordination.k8s.io.
    Leases,
}

/// What the autoscaler may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Decide and scale where no other HPA controller runs; else decide and write nothing.
    Auto,
    /// Decide and scale.
    Replace,
    /// Decide and scale, for the kind of group autoscaling.flyball.io.
    OwnKind,
    /// Decide and write nothing.
    Shadow,
}

/// Whose timing the autoscaler follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compat {
    /// The built-in controller's.
    Upstream,
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::{HpaArgs, Mode};
    use clap::Parser;
    use std::time::Duration;

    fn parse(flags: &[&str]) -> HpaArgs {
        let cli = Cli::try_parse_from(["flyball", "hpa"].iter().chain(flags)).expect("flags");
        let Command::Hpa(args) = cli.command else { panic!("another command") };
        args
    }

    #[test]
    fn departures_from_upstream_are_off() {
        let defaults = parse(&[]).switches;
        assert!(!defaults.owned_pods && !defaults.surge_aware && !defaults.exact_ceiling);
        assert_eq!((defaults.max_sample_age, defaults.fallback_replicas), (None, None));
        let given = parse(&["--owned-pods", "--max-sample-age=45s", "--fallback-replicas=4"]).switches;
        assert!(given.owned_pods && !given.surge_aware);
        assert_eq!((given.max_sample_age, given.fallback_replicas), (Some(Duration::from_secs(45)), Some(4)));
        assert_eq!(given.fallback_after, Duration::from_secs(180));
    }

    #[test]
    fn upstreams_flags_take_what_they_take_there() {
        let given = parse(&[
            "--concurrent-horizontal-pod-autoscaler-syncs=5000",
            "--horizontal-pod-autoscaler-sync-period=30s",
            "--horizontal-pod-autoscaler-tolerance=0",
            "--horizontal-pod-autoscaler-cpu-initialization-period=0s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=0",
            "--horizontal-pod-autoscaler-downscale-stabilization=0s",
            "--leader-elect-resource-lock=leases",
        ]);
        assert_eq!(given.concurrent_horizontal_pod_autoscaler_syncs, 5_000);
        assert_eq!(given.horizontal_pod_autoscaler_cpu_initialization_period, Duration::ZERO);
        assert_eq!(given.horizontal_pod_autoscaler_initial_readiness_delay, Duration::ZERO);
        assert_eq!(given.horizontal_pod_autoscaler_downscale_stabilization, Duration::ZERO);
    }

    #[test]
    fn leader_election_flags_are_upstreams() {
        let defaults = parse(&[]);
        assert_eq!((defaults.mode, defaults.election.leader_elect), (Mode::Auto, true));
        assert_eq!(defaults.election.leader_elect_lease_duration, Duration::from_secs(15));
        for (flag, expected) in
            [("--leader-elect", true), ("--leader-elect=true", true), ("--leader-elect=false", false)]
        {
            assert_eq!(parse(&[flag]).election.leader_elect, expected, "{flag}");
        }
        let given = parse(&[
            "--leader-elect-lease-duration=1m",
            "--leader-elect-renew-deadline=40s",
            "--leader-elect-retry-period",
            "5s",
            "--leader-elect-resource-name=x",
            "--leader-elect-resource-namespace=y",
        ]);
        assert_eq!(given.election.leader_elect_renew_deadline, Duration::from_secs(40));
        assert_eq!(given.election.leader_elect_resource_namespace.as_deref(), Some("y"));
    }
}
