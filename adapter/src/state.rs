//! A configuration put together with the sources: what one generation of the adapter serves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::automatic;
use crate::backends::{Backend, OwnStore, Prometheus};
use crate::config::{Config, ConfigError};
use crate::kinds::Kinds;
use crate::rules::{Rule, RuleSet, UsageRules};
use crate::schedule::Schedules;
use crate::server::Clock;
use crate::settings::{OwnSeries, RATE_WINDOW, Settings, own_rate_window};
use crate::sources::{Looks, Proxied, Queried, QueriedParts, Source, SourceKind};

/// How often the own store has new values for our purpose: it answers so fast that nothing is gained by keeping longer.
const OWN_INTERVAL: Duration = Duration::from_secs(1);
/// A look at the own store costs little, so what discovery lists need not be old.
const OWN_LOOK: Duration = Duration::from_secs(30);
/// Least time between two looks at the own store, and at another one.
const OWN_MISS: Duration = Duration::from_secs(1);
const REMOTE_MISS: Duration = Duration::from_secs(10);
/// A proxied server's list is a question of its own, and short.
const PROXIED_INTERVAL: Duration = Duration::from_secs(60);

/// Something that can be asked in PromQL, and how often it has new values.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) interval: Duration,
    /// Looked at no less often than this.
    pub(crate) look: Duration,
    pub(crate) at_miss: Duration,
}

/// Backends by the name of their source; they outlive configurations, with their connections.
pub(crate) type Backends = BTreeMap<String, Asked>;

/// Makes the backends of the sources.
///
/// # Errors
/// A source that is the own store where there is none.
pub(crate) fn backends(settings: &Settings) -> Result<Backends, String> {
    let mut backends = Backends::new();
    for source in &settings.sources {
        let asked = match &source.kind {
            SourceKind::Store { .. } => {
                let Some(OwnSeries { series, types, .. }) = &settings.own else {
                    return Err(format!("source {:?}: this program has no store of its own", source.name));
                };
                let backend = Arc::new(OwnStore::new(&source.name, series.clone(), types.clone()));
                Asked { backend, interval: OWN_INTERVAL, look: OWN_LOOK, at_miss: OWN_MISS }
            }
            SourceKind::Prometheus { http, .. } => {
                let interval = http.scrape_interval;
                let backend = Arc::new(Prometheus::new(&source.name, (**http).clone()));
                Asked { backend, interval, look: Duration::MAX, at_miss: REMOTE_MISS.min(interval) }
            }
            SourceKind::Server(_) => continue,
        };
        backends.insert(source.name.clone(), asked);
    }
    Ok(backends)
}

/// One generation.
pub struct State {
    /// In order.
    pub sources: Vec<Source>,
    /// External metrics from a calendar.
    pub schedules: Schedules,
    /// metrics.k8s.io, with the source that it comes from.
    pub usage: Option<(Arc<UsageRules>, Arc<Queried>)>,
}

/// Where faults of the configuration are told, and the time.
pub(crate) struct Around<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) backends: &'a Backends,
    pub(crate) clock: &'a Clock,
}

/// Puts a configuration together with the sources. `None`: no configuration file, metrics are made from what is scraped.
///
/// # Errors
/// Everything that is wrong with the configuration, each with its line.
pub(crate) fn assemble(
    around: &Around<'_>,
    config: Option<&Config>,
    kinds: &Arc<Kinds>,
) -> Result<State, Vec<ConfigError>> {
    let nothing = Config::default();
    let rules = RuleSet::compile(config.unwrap_or(&nothing), kinds)?;
    let schedules = Schedules::compile(config.unwrap_or(&nothing))?;
    let first = around.settings.sources.iter().find(|source| around.backends.contains_key(&source.name));
    let first = first.map(|source| source.name.as_str()).unwrap_or_default();
    unknown_sources(&rules, around.backends)?;
    let mut sources = Vec::new();
    for source in &around.settings.sources {
        let automatic = match &source.kind {
            SourceKind::Server(server) => {
                let advice = around.settings.advice.clone();
                let proxied = Proxied::new(source, server, PROXIED_INTERVAL, advice);
                sources.push(Source::Proxied(Arc::new(proxied)));
                continue;
            }
            SourceKind::Store { automatic } | SourceKind::Prometheus { automatic, .. } => *automatic,
        };
        let Some(asked) = around.backends.get(&source.name) else { continue };
        let of = |rule: &&Arc<Rule>| rule.source().unwrap_or(first) == source.name;
        let own = RuleSet {
            custom: rules.custom.iter().filter(of).cloned().collect(),
            external: rules.external.iter().filter(of).cloned().collect(),
            ..RuleSet::default()
        };
        let rate_window = rate_window(&source.kind, around.settings.own.as_ref());
        let rate_window_ms = u64::try_from(rate_window.as_millis()).unwrap_or(u64::MAX);
        let parts = QueriedParts {
            backend: asked.backend.clone(),
            interval: asked.interval,
            rules: own,
            automatic: automatic.unwrap_or(config.is_none()).then_some(automatic::Options { rate_window_ms }),
            kinds: kinds.clone(),
            looks: Looks {
                interval: around.settings.relist_interval.min(asked.look),
                at_miss: asked.at_miss,
                max_age: around.settings.max_age,
            },
            non_finite: around.settings.non_finite,
            clock: around.clock.clone(),
            advice: around.settings.advice.clone(),
        };
        sources.push(Source::Queried(Arc::new(Queried::new(source, parts))));
    }
    let queried = sources.iter().find_map(|source| match source {
        Source::Queried(source) if source.name() == first => Some(source.clone()),
        _ => None,
    });
    let usage = rules.resource.clone().filter(|_| around.settings.usage).zip(queried);
    Ok(State { sources, schedules, usage })
}

/// Range of the rates that are made without a rule.
fn rate_window(source: &SourceKind, own: Option<&OwnSeries>) -> Duration {
    match (source, own) {
        (SourceKind::Store { .. }, Some(own)) => own_rate_window((own.scrape_interval)()),
        (SourceKind::Prometheus { http, .. }, _) if http.is_behind_api_server() => {
            own_rate_window(http.scrape_interval)
        }
        _ => RATE_WINDOW,
    }
}

fn unknown_sources(rules: &RuleSet, backends: &Backends) -> Result<(), Vec<ConfigError>> {
    let known: Vec<&str> = backends.keys().map(String::as_str).collect();
    let unknown = rules.custom.iter().chain(&rules.external).filter_map(|rule| {
        let source = rule.source().filter(|source| !backends.contains_key(*source))?;
        let message = format!("source {source:?} is not known; there are: {}", known.join(", "));
        Some(ConfigError { line: rule.line(), message })
    });
    let unknown: Vec<ConfigError> = unknown.collect();
    if unknown.is_empty() { Ok(()) } else { Err(unknown) }
}
