//! How upstream's programs read their flags (Go's pflag): switches that take a value after `=`, durations that may be
//! zero, and the flags of upstream's metrics-server that have no effect here.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

/// `true` and `false` as Go writes them.
pub fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}

/// A duration as Go writes it; zero is allowed.
pub fn go_duration(text: &str) -> Result<Duration, String> {
    flyball_model::time::parse_go_duration(text)
        .or_else(|| (text == "0").then_some(Duration::ZERO))
        .ok_or_else(|| format!("{text:?} is not a duration such as 10s, 1m30s or 500ms"))
}

/// Flags of upstream's programs that are as good as not given when their value is empty, which is how templates leave them out.
const EMPTY_IS_UNSET: [&str; 15] = [
    "authentication-kubeconfig",
    "authorization-kubeconfig",
    "cert-dir",
    "client-ca-file",
    "kubeconfig",
    "kubelet-certificate-authority",
    "kubelet-client-certificate",
    "kubelet-client-key",
    "requestheader-allowed-names",
    "requestheader-client-ca-file",
    "requestheader-uid-headers",
    "tls-cert-file",
    "tls-cipher-suites",
    "tls-curve-preferences",
    "tls-private-key-file",
];

/// The arguments without those flags, where they are empty.
pub fn without_empty(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut kept: Vec<OsString> = Vec::new();
    for argument in arguments {
        let flag = |argument: &OsString| {
            let name = argument.to_str()?.strip_prefix("--")?;
            EMPTY_IS_UNSET.contains(&name).then_some(())
        };
        let alone = argument.to_str().and_then(|text| text.strip_suffix('=')).map(OsString::from);
        if alone.as_ref().and_then(flag).is_some() {
            continue;
        }
        if argument.is_empty() && kept.last().and_then(flag).is_some() {
            kept.pop();
            continue;
        }
        kept.push(argument);
    }
    kept
}

/// What a flag without effect takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// A value.
    Value,
    /// Nothing, or a value after `=`.
    Switch,
}

use Takes::{Switch, Value};

/// Flags of upstream's metrics-server (of the generic API server in it, and of its logger) that mean nothing here.
const IGNORED: [(&str, Takes); 59] = [
    ("advertise-address", Value),
    ("alsologtostderr", Switch),
    ("audit-log-batch-buffer-size", Value),
    ("audit-log-batch-max-size", Value),
    ("audit-log-batch-max-wait", Value),
    ("audit-log-batch-throttle-burst", Value),
    ("audit-log-batch-throttle-enable", Switch),
    ("audit-log-batch-throttle-qps", Value),
    ("audit-log-compress", Switch),
    ("audit-log-format", Value),
    ("audit-log-maxage", Value),
    ("audit-log-maxbackup", Value),
    ("audit-log-maxsize", Value),
    ("audit-log-mode", Value),
    ("audit-log-path", Value),
    ("audit-log-truncate-enabled", Switch),
    ("audit-log-truncate-max-batch-size", Value),
    ("audit-log-truncate-max-event-size", Value),
    ("audit-log-version", Value),
    ("audit-policy-file", Value),
    ("audit-webhook-batch-buffer-size", Value),
    ("audit-webhook-batch-initial-backoff", Value),
    ("audit-webhook-batch-max-size", Value),
    ("audit-webhook-batch-max-wait", Value),
    ("audit-webhook-batch-throttle-burst", Value),
    ("audit-webhook-batch-throttle-enable", Switch),
    ("audit-webhook-batch-throttle-qps", Value),
    ("audit-webhook-config-file", Value),
    ("audit-webhook-initial-backoff", Value),
    ("audit-webhook-mode", Value),
    ("audit-webhook-truncate-enabled", Switch),
    ("audit-webhook-truncate-max-batch-size", Value),
    ("audit-webhook-truncate-max-event-size", Value),
    ("audit-webhook-version", Value),
    ("contention-profiling", Switch),
    ("cors-allowed-origins", Value),
    ("debug-socket-path", Value),
    ("emulated-version", Value),
    ("emulation-forward-compatible", Switch),
    ("enable-priority-and-fairness", Switch),
    ("external-hostname", Value),
    ("feature-gates", Value),
    ("goaway-chance", Value),
    ("livez-grace-period", Value),
    ("log-flush-frequency", Value),
    ("log-json-info-buffer-size", Value),
    ("log-json-split-stream", Switch),
    ("log-text-info-buffer-size", Value),
    ("log-text-split-stream", Switch),
    ("logtostderr", Switch),
    ("min-compatibility-version", Value),
    ("profiling", Switch),
    ("runtime-config-emulation-forward-compatible", Switch),
    ("shutdown-send-retry-after", Switch),
    ("shutdown-watch-termination-grace-period", Value),
    ("stderrthreshold", Value),
    ("storage-initialization-timeout", Value),
    ("strict-transport-security-directives", Value),
    ("vmodule", Value),
];

/// The flags without effect that were given, with their dashes.
#[derive(Debug, Clone, Default)]
pub struct Ignored(pub Vec<String>);

impl clap::Args for Ignored {
    fn augment_args(command: Command) -> Command {
        IGNORED.iter().fold(command, |command, (name, takes)| {
            let arg = Arg::new(*name).long(*name).hide(true).action(ArgAction::Append);
            command.arg(match takes {
                Value => arg,
                Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Ignored {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = IGNORED.iter().filter(|(name, _)| matches.contains_id(name));
        Ok(Self(given.map(|(name, _)| format!("--{name}")).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_files_are_none() {
        let given =
            ["flyball", "metrics-server", "--tls-cert-file=", "--client-ca-file", "", "--kubelet-port=1"];
        let kept = without_empty(given.iter().chain(&["--peers", "", "--cert-dir=x"]).map(OsString::from));
        assert_eq!(kept, ["flyball", "metrics-server", "--kubelet-port=1", "--peers", "", "--cert-dir=x"]);
    }

    #[test]
    fn values_as_go_writes_them() {
        assert_eq!((go_bool("T"), go_bool("0")), (Ok(true), Ok(false)));
        assert!(go_bool("yes").is_err());
        assert_eq!(go_duration("0s"), Ok(Duration::ZERO));
        assert_eq!(go_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(go_duration("soon").is_err());
    }
}
