//! Flags of `flyball doctor`.

use clap::{Args, Subcommand};

use super::{ClusterArgs, KubeletArgs, Output};

/// What to look at.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// What to look at.
    #[command(subcommand)]
    pub command: DoctorCommand,
}

/// The things that can be looked at.
#[derive(Debug, Subcommand)]
pub enum DoctorCommand {
    /// Walk each hop to each kubelet: address, TCP, certificate, authentication, authorization, body, series
    #[command(
        args_override_self = true,
        after_help = "Run it where the metrics server runs, with its flags and its credentials, to see what it meets: \
                      `kubectl exec` into its pod, or --kubeconfig with its account. Exits 0 only if every kubelet can be \
                      read."
    )]
    Kubelets(DoctorKubeletsArgs),
}

/// Flags of `doctor kubelets`.
#[derive(Debug, Args)]
pub struct DoctorKubeletsArgs {
    /// Names of nodes; without them all.
    #[arg(value_name = "NODE")]
    pub nodes: Vec<String>,
    /// How to reach the API server, and the credentials that are shown to the kubelets.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Where kubelets are, and how they are spoken to.
    #[command(flatten)]
    pub kubelets: KubeletArgs,
    /// Only nodes that match this label selector.
    #[arg(short = 'l', long = "selector", default_value = "", value_name = "SELECTOR")]
    pub selector: String,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    pub output: Output,
}
