//! Flags of upstream's generic API server that `metrics-server` shares with it: serving, authentication, authorization,
//! limits. Names, values and defaults are upstream's unless a comment says otherwise.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::TlsArgs;
use super::upstream::{Ignored, go_bool, go_duration};

/// How connections are served.
#[derive(Debug, Args)]
#[command(next_help_heading = "Serving")]
pub struct ServingArgs {
    /// Address to serve on.
    #[arg(long, default_value = "0.0.0.0", value_name = "ADDR")]
    pub bind_address: std::net::IpAddr,
    /// Port to serve on.
    #[arg(long, default_value_t = 4443, value_name = "PORT")]
    pub secure_port: u16,
    /// Serving certificate.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Folder of a self-signed certificate (apiserver.crt, apiserver.key), made there if it is not there. Used without
    /// --tls-cert-file. Unset: in memory.
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,
    /// Certificate and key file, comma-separated, for clients that ask for one of its names; behind a colon: for these
    /// names instead. May be given again.
    #[arg(long, value_parser = parse_sni, value_name = "CERT,KEY[:NAMES]")]
    pub tls_sni_cert_key: Vec<SniPair>,
    /// Lowest TLS version: VersionTLS12 or VersionTLS13.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "VERSION")]
    pub tls_min_version: String,
    /// TLS 1.2 cipher suites by their Go names. Unset: all.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub tls_cipher_suites: Vec<String>,
    /// Key exchanges by their Go numbers (23, 24, 29). Unset: all.
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    pub tls_curve_preferences: Vec<i32>,
    /// Offer HTTP/1.1 only.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_value = "false", default_missing_value = "true",
          require_equals = true, value_parser = go_bool)]
    pub disable_http2_serving: bool,
    /// Concurrent requests of one HTTP/2 connection; 0 = 100.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub http2_max_streams_per_connection: u32,
    /// Listen although sockets of the address still close (SO_REUSEADDR).
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_value = "false", default_missing_value = "true",
          require_equals = true, value_parser = go_bool)]
    pub permit_address_sharing: bool,
    /// Listen beside another program on the same port (SO_REUSEPORT).
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_value = "false", default_missing_value = "true",
          require_equals = true, value_parser = go_bool)]
    pub permit_port_sharing: bool,
}

/// Value of `--tls-sni-cert-key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SniPair {
    /// Certificate file.
    pub certificate: PathBuf,
    /// Key file.
    pub key: PathBuf,
    /// Names it is for; empty = those in it.
    pub names: Vec<String>,
}

fn parse_sni(text: &str) -> Result<SniPair, String> {
    let (files, names) = text.split_once(':').unwrap_or((text, ""));
    let (certificate, key) = files
        .split_once(',')
        .filter(|(certificate, key)| !certificate.is_empty() && !key.is_empty() && !key.contains(','))
        .ok_or_else(|| format!("{text:?} is not of the form certificate,key or certificate,key:name,name"))?;
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_ascii_lowercase);
    Ok(SniPair { certificate: certificate.into(), key: key.into(), names: names.collect() })
}

/// Who clients are, and what they may do.
#[derive(Debug, Args)]
#[command(next_help_heading = "Authentication and authorization")]
pub struct DelegationArgs {
    /// Kubeconfig for TokenReviews and the ConfigMap kube-system/extension-apiserver-authentication. Unset: as
    /// --kubeconfig.
    #[arg(long, value_name = "FILE")]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// Do not look that ConfigMap up.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_value = "false", default_missing_value = "true",
          require_equals = true, value_parser = go_bool)]
    pub authentication_skip_lookup: bool,
    /// Start without that ConfigMap if it cannot be read. Always so here: it is used as soon as it can be read.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_value = "true", default_missing_value = "true",
          require_equals = true, value_parser = go_bool, hide = true)]
    pub authentication_tolerate_lookup_failure: bool,
    /// How long answers of TokenReviews are believed.
    #[arg(long, default_value = "10s", value_parser = go_duration, value_name = "DURATION")]
    pub authentication_token_webhook_cache_ttl: Duration,
    /// CA of client certificates, instead of the ConfigMap's.
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// CA of proxies that state users in headers; with it nothing about proxies comes from the ConfigMap.
    #[arg(long, value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Common names that such a proxy's certificate may have. Unset: any. Without such a CA the ConfigMap's count.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub requestheader_allowed_names: Vec<String>,
    /// Headers with the user's name.
    #[arg(long, value_delimiter = ',', default_value = "x-remote-user", value_name = "HEADERS")]
    pub requestheader_username_headers: Vec<String>,
    /// Headers with the user's groups.
    #[arg(long, value_delimiter = ',', default_value = "x-remote-group", value_name = "HEADERS")]
    pub requestheader_group_headers: Vec<String>,
    /// Beginnings of headers with further attributes of the user.
    #[arg(long, value_delimiter = ',', default_value = "x-remote-extra-", value_name = "PREFIXES")]
    pub requestheader_extra_headers_prefix: Vec<String>,
    /// Headers with the user's UID. Unset: none.
    #[arg(long, value_delimiter = ',', value_name = "HEADERS")]
    pub requestheader_uid_headers: Vec<String>,
    /// Kubeconfig for SubjectAccessReviews. Unset: as --kubeconfig.
    #[arg(long, value_name = "FILE")]
    pub authorization_kubeconfig: Option<PathBuf>,
    /// How long a permission is believed.
    #[arg(long, default_value = "10s", value_parser = go_duration, value_name = "DURATION")]
    pub authorization_webhook_cache_authorized_ttl: Duration,
    /// How long a refusal is believed.
    #[arg(long, default_value = "10s", value_parser = go_duration, value_name = "DURATION")]
    pub authorization_webhook_cache_unauthorized_ttl: Duration,
    /// Paths that need no permission.
    #[arg(long, value_delimiter = ',', default_value = "/healthz,/readyz,/livez", value_name = "PATHS")]
    pub authorization_always_allow_paths: Vec<String>,
}

/// Limits of the server, and what else upstream's generic server takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Reading requests answered at once; 0 = no limit.
    #[arg(long, default_value_t = 400, value_name = "N")]
    pub max_requests_inflight: u32,
    /// Other requests answered at once; 0 = no limit.
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub max_mutating_requests_inflight: u32,
    /// Time to answer a request.
    #[arg(long, default_value = "1m", value_parser = super::parse_duration, value_name = "DURATION")]
    pub request_timeout: Duration,
    /// Least time in seconds that a watch lasts whose client does not ask for less; at most twice that.
    #[arg(long, default_value_t = 1800, value_name = "SECONDS")]
    pub min_request_timeout: u32,
    /// How long requests are still taken after the order to stop, while /readyz already fails.
    #[arg(long, default_value = "0s", value_parser = go_duration, value_name = "DURATION")]
    pub shutdown_delay_duration: Duration,
    /// How much is logged: 4 and more also debug lines, 8 and more all. --log says it more precisely.
    #[arg(short = 'v', long = "v", value_name = "N")]
    pub verbosity: Option<i32>,
    /// Form of the log lines, as --log-format.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub logging_format: Option<super::LogFormat>,
    /// Upstream's flags that mean nothing here.
    #[command(flatten)]
    pub ignored: Ignored,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sni_pairs() {
        let plain = parse_sni("a.crt,a.key").unwrap();
        assert_eq!((plain.key, plain.names.len()), (PathBuf::from("a.key"), 0));
        assert_eq!(parse_sni("a.crt,a.key:*.Foo.com,foo.com").unwrap().names, ["*.foo.com", "foo.com"]);
        for bad in ["a.crt", ",a.key", "a.crt,", "a,b,c"] {
            assert!(parse_sni(bad).is_err(), "{bad}");
        }
    }
}
