//! One of `scrape_configs`. Pure.

use std::collections::BTreeMap;

use flyball_model::labels::Labels;

use super::super::job::{Discovery, Job, Protocol, StaticGroup};
use super::fields::{Fields, Item, Read};
use super::global::{protocol, shared, timeout};
use super::{Context, http, kubernetes, rules};

/// Other ways to find targets that Prometheus has.
const OTHER_DISCOVERIES: [&str; 29] = [
    "aws_sd_configs",
    "azure_sd_configs",
    "consul_sd_configs",
    "digitalocean_sd_configs",
    "dns_sd_configs",
    "docker_sd_configs",
    "dockerswarm_sd_configs",
    "ec2_sd_configs",
    "eureka_sd_configs",
    "file_sd_configs",
    "gce_sd_configs",
    "hetzner_sd_configs",
    "http_sd_configs",
    "ionos_sd_configs",
    "kuma_sd_configs",
    "lightsail_sd_configs",
    "linode_sd_configs",
    "marathon_sd_configs",
    "nerve_sd_configs",
    "nomad_sd_configs",
    "openstack_sd_configs",
    "ovhcloud_sd_configs",
    "puppetdb_sd_configs",
    "scaleway_sd_configs",
    "serverset_sd_configs",
    "stackit_sd_configs",
    "triton_sd_configs",
    "uyuni_sd_configs",
    "vultr_sd_configs",
];

/// Reads a job.
pub(super) fn read(item: &Item<'_>, context: &Context<'_>) -> Read<Job> {
    if item.is_null() {
        return Err(item.fault("it is empty"));
    }
    let mut fields = item.fields()?;
    let name = fields.required("job_name")?;
    let interval = fields.read("scrape_interval", Item::duration)?.filter(|some| !some.is_zero());
    let interval = interval.unwrap_or(context.global.interval);
    let timeout = timeout(&mut fields, interval, context.global.timeout)?;
    let shared = shared(&mut fields)?;
    let global = &context.global.shared;
    let legacy_names = shared.legacy_names.or(global.legacy_names).unwrap_or(false);
    let escaping = shared.escaping.or(global.escaping);
    if legacy_names && escaping == Some("allow-utf-8") {
        let reason = "allow-utf-8 and metric_name_validation_scheme: legacy contradict one another";
        return Err(fields.fault("metric_name_escaping_scheme", reason));
    }
    let relabel = fields.read("relabel_configs", rules::read)?.unwrap_or_default();
    let discovery = discovery(&mut fields, context, relabel.is_empty())?;
    // Of native histograms, which texts do not have.
    fields.ignore("native_histogram_bucket_limit", Item::number)?;
    fields.ignore("native_histogram_min_bucket_factor", Item::text)?;
    let job = Job {
        name,
        interval,
        timeout,
        scheme: fields.read("scheme", scheme)?.unwrap_or_else(|| "http".to_owned()),
        metrics_path: fields.read("metrics_path", Item::text)?.unwrap_or_else(|| "/metrics".to_owned()),
        params: fields.read("params", params)?.unwrap_or_default(),
        honor_labels: fields.read("honor_labels", Item::boolean)?.unwrap_or(false),
        honor_timestamps: fields.read("honor_timestamps", Item::boolean)?.unwrap_or(true),
        track_timestamps_staleness: fields
            .read("track_timestamps_staleness", Item::boolean)?
            .unwrap_or(false),
        compression: fields.read("enable_compression", Item::boolean)?.unwrap_or(true),
        protocols: shared
            .protocols
            .clone()
            .or_else(|| global.protocols.clone())
            .unwrap_or_else(|| Protocol::ALL.map(|(protocol, ..)| protocol).to_vec()),
        fallback: fields.read("fallback_scrape_protocol", fallback)?.flatten(),
        legacy_names,
        escaping: escaping.unwrap_or(if legacy_names { "underscores" } else { "allow-utf-8" }),
        access: http::read(&mut fields, context.folder)?,
        limits: shared.limits(global),
        relabel,
        extra_metrics: shared.extra_metrics.or(global.extra_metrics).unwrap_or(false),
        metric_relabel: fields.read("metric_relabel_configs", rules::read)?.unwrap_or_default(),
        discovery,
    };
    fields.finish()?;
    Ok(job)
}

fn fallback(item: &Item<'_>) -> Read<Option<Protocol>> {
    if item.text()?.is_empty() { Ok(None) } else { protocol(item).map(Some) }
}

fn scheme(item: &Item<'_>) -> Read<String> {
    let text = item.text()?;
    if text == "http" || text == "https" {
        Ok(text)
    } else {
        Err(item.fault(format!("http or https was expected, not {text:?}")))
    }
}

fn params(item: &Item<'_>) -> Read<BTreeMap<String, Vec<String>>> {
    item.entries()?.into_iter().map(|(name, values)| Ok((name.to_owned(), values.texts()?))).collect()
}

fn discovery(fields: &mut Fields<'_>, context: &Context<'_>, no_relabelling: bool) -> Read<Vec<Discovery>> {
    for other in OTHER_DISCOVERIES {
        fields.refuse(other, ": static_configs and kubernetes_sd_configs are")?;
    }
    let mut all = Vec::new();
    let groups = fields.take("static_configs").map(|item| item.items()).transpose()?.unwrap_or_default();
    let groups: Vec<StaticGroup> =
        groups.iter().map(|group| static_group(group, no_relabelling)).collect::<Read<_>>()?;
    if !groups.is_empty() {
        all.push(Discovery::Static(groups));
    }
    let lists = fields.take("kubernetes_sd_configs").map(|item| item.items()).transpose()?;
    for one in lists.unwrap_or_default() {
        all.push(Discovery::Kubernetes(kubernetes::read(&one, context.folder)?));
    }
    Ok(all)
}

fn static_group(item: &Item<'_>, no_relabelling: bool) -> Read<StaticGroup> {
    if item.is_null() {
        return Err(item.fault("it is empty"));
    }
    let mut fields = item.fields()?;
    let mut targets = Vec::new();
    for target in fields.take("targets").map(|item| item.items()).transpose()?.unwrap_or_default() {
        let text = target.text()?;
        if no_relabelling && text.contains('/') {
            return Err(target
                .fault(format!("{text:?} is no host with a port: scheme and path are fields of their own")));
        }
        targets.push(text);
    }
    let labels = fields.read("labels", labels)?.unwrap_or_default();
    fields.finish()?;
    Ok(StaticGroup { targets, labels })
}

fn labels(item: &Item<'_>) -> Read<Labels> {
    let mut pairs = Vec::new();
    for (name, value) in item.entries()? {
        pairs.push((name.to_owned(), value.text()?));
    }
    Labels::from_pairs(pairs).map_err(|error| item.fault(error.to_string()))
}
