//! Flags of `flyball explain` and `flyball lint`.

use std::path::PathBuf;

use clap::Args;

use super::{ClusterArgs, Output};

/// Flags of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The autoscaler: hpa/NAME.
    #[arg(value_name = "hpa/NAME", value_parser = parse_autoscaler)]
    pub autoscaler: String,
    /// How to reach the API server; the namespace is that of the autoscaler.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Form of the output; json and yaml have the whole trace.
    #[arg(short, long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    pub output: Output,
}

/// Flags of `lint`.
#[derive(Debug, Args)]
pub struct LintArgs {
    /// Manifests to look at, `-` for standard input; may be given again. Without it the cluster is asked.
    #[arg(short, long = "filename", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How to reach the API server; without a namespace that of the context.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Look at all namespaces of the cluster.
    #[arg(short = 'A', long, conflicts_with = "files")]
    pub all_namespaces: bool,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    pub output: Output,
}

/// `hpa/NAME`, as kubectl names resources.
fn parse_autoscaler(text: &str) -> Result<String, String> {
    const KINDS: [&str; 5] =
        ["hpa", "horizontalpodautoscaler", "horizontalpodautoscalers", "decision", "decisions"];
    let known =
        |kind: &str| KINDS.contains(&kind.split('.').next().unwrap_or_default().to_lowercase().as_str());
    match text.split_once('/') {
        Some((kind, name)) if known(kind) && !name.is_empty() && !name.contains('/') => Ok(name.to_owned()),
        Some((kind, _)) if !known(kind) => {
            Err(format!("{kind:?} is no kind that can be explained: give hpa/NAME"))
        }
        _ => Err(format!("{text:?} is not of the form hpa/NAME")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_autoscaler_is_named_as_kubectl_names_it() {
        for text in [
            "hpa/web",
            "HorizontalPodAutoscaler/web",
            "horizontalpodautoscalers.autoscaling/web",
            "decisions/web",
        ] {
            assert_eq!(parse_autoscaler(text).as_deref(), Ok("web"), "{text}");
        }
        for text in ["web", "pod/web", "hpa/", "hpa/a/b", "/web"] {
            assert!(parse_autoscaler(text).is_err(), "{text}");
        }
    }
}
