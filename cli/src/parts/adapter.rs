//! The adapter as a program, and the commands that ask it without serving.

#![allow(clippy::disallowed_methods, reason = "a program: it reads files")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use flyball_adapter::backends::{ClientCertificate, HttpSettings, Pem, Token, Verb};
use flyball_adapter::cluster::Cluster;
use flyball_adapter::explain::Explanation;
use flyball_adapter::kinds::GroupResource;
use flyball_adapter::rules::NonFinite;
use flyball_adapter::sources::{self, Names, SourceKind, SourceSettings};
use flyball_adapter::{Adapter, Explained, OwnSeries, ServerSettings, Settings};
use flyball_apiserver::own_metrics::OwnMetrics;
use flyball_apiserver::standard::VersionInfo;
use flyball_apiserver::{Advice, Generic};
use flyball_model::selector::LabelSelector;
use flyball_model::time::parse_go_duration;
use kube::Client;
use kube::config::AuthInfo;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{API_VERSION, generic_server};
use crate::flags::{
    AdapterArgs, AdapterCommand, BackendArgs, CheckRulesArgs, ClusterArgs, ExplainAdapterArgs, ListArgs,
    Output, PrometheusVerb, RuleArgs,
};
use crate::{output, query};

/// Where a pod finds the cluster's CA, and its token.
const POD_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Word that stands for external metrics where a resource is named.
const EXTERNAL: &str = "external";
/// Where upstream looks for Prometheus when nobody says.
const DEFAULT_URL: &str = "https://localhost";
/// What the cluster's own history is called in messages.
const HISTORY: &str = "history";
/// Between two scrapes where a configuration in Prometheus' form does not say.
const PROMETHEUS_INTERVAL: Duration = Duration::from_secs(60);
/// How long the commands wait for the pods of the cluster.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the adapter, or one of the commands beside it.
///
/// # Errors
/// One sentence: a file, a flag, the listener, the cluster.
pub async fn adapter(args: AdapterArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    match &args.command {
        None => serve(args, shutdown).await,
        Some(AdapterCommand::List(list)) => self::list(&args, list).await,
        Some(AdapterCommand::Check(check)) => self::check(&args, check).await,
        Some(AdapterCommand::Explain(explain)) => self::explain(&args, explain).await,
    }
}

async fn serve(args: AdapterArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut generic = Generic::default();
    generic_server::serving(&args.serving, &mut generic)?;
    generic_server::delegation(&args.delegation, &mut generic).await?;
    generic_server::limits(&args.limits, &mut generic);
    generic.http2 &= !args.disable_http2;
    let mut cluster_args = ClusterArgs::from(&args.cluster);
    if cluster_args.kubeconfig.is_none() {
        cluster_args.kubeconfig.clone_from(&args.lister_kubeconfig);
    }
    let client = Client::try_from(query::config(&cluster_args).await?)?;
    let cluster = Arc::new(Cluster::default());
    if args.rules.config.is_some() {
        learn_kinds(&cluster, &client).await;
    }
    let adapter = Adapter::new(settings(&args).await?, cluster, OwnMetrics::new())?;
    let listener = generic_server::listen(&args.serving)?;
    let version = VersionInfo::new(API_VERSION.0, API_VERSION.1, env!("FLYBALL_COMMIT"));
    let server = ServerSettings { generic, version };
    Ok(flyball_adapter::run(adapter, server, client, listener, shutdown).await?)
}

/// What the flags say.
async fn settings(args: &AdapterArgs) -> anyhow::Result<Settings> {
    let mut settings = of_rules(&args.rules)?;
    if settings.sources.is_empty() {
        let http = Box::new(http(&args.backend).await?);
        let kind = SourceKind::Prometheus { http, automatic: None };
        settings.sources =
            vec![SourceSettings { name: "prometheus".to_owned(), kind, metrics: Names::default() }];
    }
    Ok(settings)
}

/// What the flags say about rules; without a file of sources there are none.
fn of_rules(args: &RuleArgs) -> anyhow::Result<Settings> {
    let max_age = args.metrics_max_age.unwrap_or(args.metrics_relist_interval);
    if max_age < args.metrics_relist_interval {
        bail!(
            "--metrics-max-age {max_age:?} is less than --metrics-relist-interval {:?}: metrics would be gone between \
             two looks",
            args.metrics_relist_interval
        );
    }
    Ok(Settings {
        sources: args.sources.as_deref().map(sources_of).transpose()?.unwrap_or_default(),
        config: args.config.clone(),
        relist_interval: args.metrics_relist_interval,
        max_age,
        non_finite: if args.nan_is_zero { NonFinite::Zero } else { NonFinite::LeaveOut },
        ..Settings::default()
    })
}

/// The adapter beside a metrics server and its history: the own store comes first unless a file of sources says otherwise.
pub struct AdapterBeside(Settings);

impl AdapterBeside {
    /// What the flags say.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn of_flags(args: &RuleArgs) -> anyhow::Result<AdapterBeside> {
        let mut settings = of_rules(args)?;
        if settings.sources.is_empty() {
            settings.sources = Self::default().0.sources;
        }
        Ok(AdapterBeside(Settings { usage: false, ..settings }))
    }

    /// The adapter over the own store, in a cluster whose kinds are asked for.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub(super) async fn start(
        self,
        own: OwnSeries,
        client: &Client,
        metrics: &OwnMetrics,
        advice: &Advice,
    ) -> anyhow::Result<Arc<Adapter>> {
        let settings = Settings { own: Some(own), advice: advice.clone(), ..self.0 };
        let cluster = Arc::new(Cluster::default());
        if settings.config.is_some() {
            learn_kinds(&cluster, client).await;
        }
        Ok(Adapter::new(settings, cluster, metrics.clone())?)
    }
}

impl Default for AdapterBeside {
    /// Metrics made from what is in the own store.
    fn default() -> AdapterBeside {
        let kind = SourceKind::Store { automatic: None };
        let own = SourceSettings { name: "store".to_owned(), kind, metrics: Names::default() };
        AdapterBeside(Settings { sources: vec![own], usage: false, ..Settings::default() })
    }
}

async fn learn_kinds(cluster: &Cluster, client: &Client) {
    if let Err(reason) = cluster.learn_kinds(client).await {
        tracing::warn!(reason, "rules are read with the kinds that every cluster has");
    }
}

fn sources_of(file: &Path) -> anyhow::Result<Vec<SourceSettings>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("--sources {}", file.display()))?;
    sources::parse(&text).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("--sources {}: {}", file.display(), errors.join("; "))
    })
}

/// How Prometheus is spoken to by the flags. As upstream, the credentials of a kubeconfig or of the pod count only without
/// --prometheus-ca-file; here they are taken beside it too, for that is what a user of both means.
async fn http(args: &BackendArgs) -> anyhow::Result<HttpSettings> {
    let url = args.prometheus_url.as_deref().unwrap_or(DEFAULT_URL);
    let mut http = HttpSettings::new(url).context("--prometheus-url")?;
    if args.prometheus_auth_incluster && args.prometheus_auth_config.is_some() {
        bail!("--prometheus-auth-incluster and --prometheus-auth-config exclude one another");
    }
    if args.prometheus_auth_incluster {
        http.ca = Some(Pem::File(POD_CA.into()));
        http.token = Token::File(POD_TOKEN.into());
    }
    if let Some(file) = &args.prometheus_auth_config {
        let cluster = ClusterArgs { kubeconfig: Some(file.clone()), ..ClusterArgs::default() };
        let config = query::config(&cluster).await.context("--prometheus-auth-config")?;
        credentials(&config, &mut http).context("--prometheus-auth-config")?;
    }
    if let Some(file) = &args.prometheus_ca_file {
        http.ca = Some(Pem::File(file.clone()));
    }
    match (&args.prometheus_client_tls_cert_file, &args.prometheus_client_tls_key_file) {
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (Pem::File(certificate.clone()), Pem::File(key.clone()));
            http.client_certificate = Some(ClientCertificate { certificate, key });
        }
        (None, None) => {}
        _ => bail!("--prometheus-client-tls-cert-file and --prometheus-client-tls-key-file belong together"),
    }
    if let Some(file) = &args.prometheus_token_file {
        http.token = Token::File(file.clone());
    }
    for header in &args.prometheus_header {
        http.header_pair(header).context("--prometheus-header")?;
    }
    http.verb = match args.prometheus_verb {
        PrometheusVerb::Get => Verb::Get,
        PrometheusVerb::Post => Verb::Post,
    };
    if args.prometheus_max_connections == 0 {
        bail!("--prometheus-max-connections 0: at least one is needed");
    }
    http.max_connections = args.prometheus_max_connections as usize;
    http.timeout = args.prometheus_timeout;
    http.scrape_interval = args.prometheus_scrape_interval;
    Ok(http)
}

/// Takes CA and credentials out of a kubeconfig.
fn credentials(config: &kube::Config, http: &mut HttpSettings) -> anyhow::Result<()> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use secrecy::ExposeSecret as _;
    http.insecure = config.accept_invalid_certs;
    if let Some(roots) = &config.root_cert {
        let pem = |der: &Vec<u8>| {
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
        };
        http.ca = Some(Pem::Text(roots.iter().map(pem).collect::<String>().into_bytes()));
    }
    let AuthInfo { token, token_file, username, password, .. } = &config.auth_info;
    http.token = match (token_file, token) {
        (Some(file), _) => Token::File(file.into()),
        (None, Some(token)) => Token::Fixed(token.expose_secret().to_owned()),
        (None, None) => Token::None,
    };
    if let (Some(user), Some(password)) = (username, password) {
        let basic = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
        http.header("Authorization", &format!("Basic {basic}"))?;
    }
    let auth = &config.auth_info;
    let data = |text: &str| STANDARD.decode(text).context("client certificate or key data");
    let pem = |file: &Option<String>, text: Option<&str>| -> anyhow::Result<Option<Pem>> {
        match (text, file) {
            (Some(text), _) => Ok(Some(Pem::Text(data(text)?))),
            (None, Some(file)) => Ok(Some(Pem::File(file.into()))),
            (None, None) => Ok(None),
        }
    };
    let certificate = pem(&auth.client_certificate, auth.client_certificate_data.as_deref())?;
    let key = pem(&auth.client_key, auth.client_key_data.as_ref().map(|key| key.expose_secret()))?;
    http.client_certificate =
        certificate.zip(key).map(|(certificate, key)| ClientCertificate { certificate, key });
    Ok(())
}

/// What the flags say for the commands beside the server. Where they name no backend, or the store of the server's own process,
/// the cluster's history is asked through the API server.
async fn settings_of_command(args: &AdapterArgs, client: Option<&Client>) -> anyhow::Result<Settings> {
    let mut settings = of_rules(&args.rules)?;
    if settings.sources.is_empty() && args.backend.prometheus_url.is_none() && client.is_some() {
        let kind = SourceKind::Store { automatic: None };
        settings.sources = vec![SourceSettings { name: HISTORY.to_owned(), kind, metrics: Names::default() }];
    } else if settings.sources.is_empty() {
        return self::settings(args).await;
    }
    let Some(client) = client else { return Ok(settings) };
    for source in &mut settings.sources {
        if let SourceKind::Store { automatic } = source.kind {
            let http = Box::new(history(client, args).await);
            source.kind = SourceKind::Prometheus { http, automatic };
        }
    }
    Ok(settings)
}

/// The history of the cluster, or of the namespace that is named: then permission for the namespace is enough.
async fn history(client: &Client, args: &AdapterArgs) -> HttpSettings {
    let mut path = format!("/apis/{}/{}", flyball_tsdb::server::GROUP, flyball_tsdb::server::VERSION);
    if let Some(namespace) = &args.cluster.namespace {
        path = format!("{path}/namespaces/{}", query::encode(namespace));
    }
    let mut http = HttpSettings::behind_api_server(client.clone(), &path);
    http.timeout = args.backend.prometheus_timeout;
    // Whoever may not see the configuration is told of the queries that the default makes.
    if let Ok(answer) = query::get(client, &format!("{path}/status/config")).await {
        let text = answer["data"]["yaml"].as_str().unwrap_or_default();
        http.scrape_interval = longest_interval(text).unwrap_or(http.scrape_interval);
    }
    http
}

/// The longest time between two scrapes by a configuration in Prometheus' form.
fn longest_interval(text: &str) -> Option<Duration> {
    let config: Value = serde_saphyr::from_str(text).ok()?;
    let interval = |of: &Value| parse_go_duration(of["scrape_interval"].as_str()?);
    let global = interval(&config["global"]).unwrap_or(PROMETHEUS_INTERVAL);
    let jobs = config["scrape_configs"].as_array()?;
    jobs.iter().map(|job| interval(job).unwrap_or(global)).max()
}

/// A client of the cluster, if there is one.
async fn client(args: &AdapterArgs) -> anyhow::Result<Option<Client>> {
    let config = query::config(&ClusterArgs::from(&args.cluster)).await;
    Ok(config.ok().map(Client::try_from).transpose()?)
}

/// An adapter that has looked once. The cluster is asked for its kinds if there is one.
async fn looked(
    args: &AdapterArgs,
    config: Option<PathBuf>,
) -> anyhow::Result<(Arc<Adapter>, Option<Client>)> {
    let cluster = Arc::new(Cluster::default());
    let client = client(args).await?;
    let mut settings = settings_of_command(args, client.as_ref()).await?;
    settings.config = config.or(settings.config);
    if let Some(client) = &client
        && let Err(reason) = cluster.learn_kinds(client).await
    {
        eprintln!("flyball: {reason}; going on with the kinds that every cluster has");
    }
    let adapter = Adapter::new(settings, cluster, OwnMetrics::new())?;
    adapter.look_once().await;
    for failure in adapter.failures() {
        let history = failure.what.contains(&format!("{HISTORY} refuses (404"));
        let hint = match history {
            true => {
                "; nothing serves history in this cluster (`flyball server` does): name a Prometheus by --prometheus-url"
            }
            false => "",
        };
        eprintln!("flyball: source {}: {}{hint}", failure.source, failure.what);
    }
    Ok((adapter, client))
}

async fn list(args: &AdapterArgs, list: &ListArgs) -> anyhow::Result<()> {
    let (adapter, _) = looked(args, None).await?;
    let listed = adapter.list();
    if listed.is_empty() && !adapter.failures().is_empty() {
        bail!("no source could be asked");
    }
    let wanted = list.resource.as_deref().map(|resource| match resource {
        EXTERNAL => None,
        resource => {
            let asked = GroupResource::parse(resource);
            Some(adapter.cluster().kind(&asked).map_or(asked, |kind| kind.group_resource()))
        }
    });
    let chosen =
        listed.iter().filter(|said| wanted.as_ref().is_none_or(|wanted| said.what.resource == *wanted));
    if list.output != Output::Table {
        let items: Vec<Value> = chosen
            .map(|said| {
                let one = &said.what;
                json!({
                    "metric": one.metric,
                    "resource": one.resource.as_ref().map(ToString::to_string),
                    "namespaced": one.namespaced,
                    "series": one.series,
                    "source": said.source,
                    "rule": one.rule,
                    "query": one.query.as_ref().ok(),
                })
            })
            .collect();
        return output::print(&Value::from(items), list.output);
    }
    let rows = chosen.map(|said| {
        let one = &said.what;
        let query = match &one.query {
            Ok(query) => query.clone(),
            Err(reason) => format!("({reason})"),
        };
        let resource = one.resource.as_ref().map_or_else(|| EXTERNAL.to_owned(), ToString::to_string);
        vec![one.metric.clone(), resource, said.source.clone(), one.rule.clone(), query]
    });
    output::table(&["METRIC", "OF", "SOURCE", "RULE", "QUERY"], rows.collect(), list.no_headers)
}

async fn check(args: &AdapterArgs, check: &CheckRulesArgs) -> anyhow::Result<()> {
    if check.offline {
        let settings = Settings { config: Some(check.file.clone()), ..settings(args).await? };
        Adapter::new(settings, Arc::new(Cluster::default()), OwnMetrics::new())?;
        return output::text(&format!("{}: good\n", check.file.display()));
    }
    let (adapter, _) = looked(args, Some(check.file.clone())).await?;
    let (checked, usage, schedules) =
        (adapter.check(), adapter.check_usage().await, adapter.check_schedules());
    let mut text = String::new();
    for said in &checked {
        text.push_str(&said.what.to_string());
    }
    for one in &usage {
        text.push_str(&one.to_string());
    }
    for one in &schedules {
        text.push_str(&format!("{one}\n"));
    }
    if text.is_empty() {
        text = format!("{}: neither rules nor schedules\n", check.file.display());
    }
    output::text(&text)?;
    let bad = checked.iter().filter(|said| !said.what.bad_queries.is_empty()).count()
        + usage.iter().filter(|one| !one.is_query()).count();
    match (bad, adapter.failures().len()) {
        (0, 0) => Ok(()),
        (0, _) => bail!("not every source could be asked"),
        (bad, _) => bail!("{bad} rules make queries that are none"),
    }
}

async fn explain(args: &AdapterArgs, explain: &ExplainAdapterArgs) -> anyhow::Result<()> {
    let (adapter, client) = looked(args, None).await?;
    let selector = |flag: &str, text: &str| {
        LabelSelector::parse(text).with_context(|| format!("{flag} {text:?} is not a label selector"))
    };
    let resource = match explain.resource.as_deref() {
        Some(EXTERNAL) => None,
        Some(resource) => Some(GroupResource::parse(resource)),
        None => adapter.resource_of(&explain.metric),
    };
    let namespace = match query::config(&ClusterArgs::from(&args.cluster)).await {
        Ok(config) => config.default_namespace,
        Err(_) => args.cluster.namespace.clone().unwrap_or_else(|| "default".to_owned()),
    };
    let explained = Explained {
        metric: explain.metric.clone(),
        resource,
        namespace,
        name: explain.name.clone(),
        selector: selector("--selector", &explain.selector)?,
        metric_selector: selector("--metric-selector", &explain.metric_selector)?,
    };
    let stop = CancellationToken::new();
    let following = client.map(|client| tokio::spawn(adapter.cluster().clone().follow(client, stop.clone())));
    if following.is_some() && explained.name.is_none() && explained.resource.is_some() {
        let known = async {
            while !adapter.cluster().has_pods() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        // Without them the API server is asked for a list.
        let _ = tokio::time::timeout(PATIENCE, known).await;
    }
    let explanations = adapter.explain(&explained).await;
    stop.cancel();
    if let Some(following) = following {
        following.await?;
    }
    let explanations = explanations.context("the objects are not known")?;
    let mut text = String::new();
    for said in &explanations {
        text.push_str(&told(&said.source, &said.what));
    }
    output::text(&text)?;
    match explanations.iter().any(|said| said.what.is_good()) {
        true => Ok(()),
        false => bail!("the autoscaler gets no value of {}", explain.metric),
    }
}

/// An explanation as text, a line each.
fn told(source: &str, explanation: &Explanation) -> String {
    let mut text = format!("source {source}\n");
    for step in &explanation.steps {
        text.push_str(&format!("{} {}\n", if step.ok { "[ok]" } else { "[no]" }, step.title));
        for line in &step.lines {
            text.push_str(&format!("     {line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_interval_of_a_configuration() {
        let of = |text: &str| longest_interval(text).map(|interval| interval.as_secs());
        let jobs = "scrape_configs: [{job_name: a}, {job_name: b, scrape_interval: 30s}]";
        assert_eq!(of(&format!("global: {{scrape_interval: 15s}}\n{jobs}")), Some(30));
        assert_eq!(of(jobs), Some(60), "Prometheus' default");
        assert_eq!(of("global: {scrape_interval: 15s}\nscrape_configs: [{job_name: a}]"), Some(15));
        for nothing in ["", "global: {scrape_interval: 15s}", "scrape_configs: []", ": ["] {
            assert_eq!(of(nothing), None, "{nothing}");
        }
    }
}
