//! One sentence for a metric that is not there, with the names that are near.

use std::collections::BTreeSet;

use crate::automatic::split_quantile;
use crate::kinds::GroupResource;
use crate::rules::Catalogue;

/// Most names in a sentence.
const SHOWN: usize = 3;
/// Most names that are compared letter by letter.
const MAX_COMPARISONS: usize = 10_000;
/// Longest name that is compared letter by letter; beyond it only equal beginnings count.
const MAX_COMPARED: usize = 200;

/// The names nearest to one, the nearest first; none that is too far to be meant. Of very many names only the first
/// [`MAX_COMPARISONS`] that could be near are compared, for a request of anybody ends here.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let length = wanted.chars().count();
    let close = (length / 3).max(2);
    let words: BTreeSet<&str> = words(wanted).collect();
    let mut ranked: Vec<(usize, &str)> = names
        .into_iter()
        .filter(|name| *name != wanted)
        .map(|name| (name, shares_words(&words, name)))
        .filter(|(name, shares)| *shares || name.chars().count().abs_diff(length) <= close)
        .take(MAX_COMPARISONS)
        .map(|(name, shares)| (distance(wanted, name), shares, name))
        .filter(|(distance, shares, _)| *shares || *distance <= close)
        .map(|(distance, _, name)| (distance, name))
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.into_iter().take(SHOWN).map(|(_, name)| name).collect()
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split('_').filter(|word| !word.is_empty())
}

/// One of the names holds all words of the other, as `http_requests` and `http_requests_per_second` do.
fn shares_words(wanted: &BTreeSet<&str>, name: &str) -> bool {
    let held = words(name).all(|word| wanted.contains(word));
    let holds = wanted.iter().all(|wanted| words(name).any(|word| word == *wanted));
    !wanted.is_empty() && words(name).next().is_some() && (held || holds)
}

/// Letters to change, add or drop.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().max(b.len()) > MAX_COMPARED {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Why a custom metric is not there, in one sentence.
pub fn missing_custom(
    catalogue: &Catalogue,
    resource: &GroupResource,
    namespaced: bool,
    metric: &str,
) -> String {
    let Some(kind) = catalogue.kinds().of(resource) else {
        return format!("the cluster has no resource {resource}");
    };
    let resource = kind.group_resource();
    let same: Vec<_> = catalogue.custom_metrics().filter(|have| have.metric == metric).collect();
    if same.iter().any(|have| have.resource == resource && have.namespaced != namespaced) {
        let place = if namespaced { "is not in a namespace" } else { "is in a namespace" };
        return format!("{metric} of {resource} {place}: ask for it there");
    }
    if !same.is_empty() {
        let others: BTreeSet<String> = same.iter().map(|have| have.resource.to_string()).collect();
        let others = others.into_iter().collect::<Vec<_>>().join(", ");
        return format!("{metric} exists for {others}, but its series has no label that names {resource}");
    }
    let for_series = catalogue
        .custom_sources()
        .find(|(have, source)| source.series == metric && have.resource == resource);
    if let Some((have, _)) = for_series {
        return format!("the series {metric} is served for {resource} as {}", have.metric);
    }
    let meant = [Some(metric), split_quantile(metric).map(|(name, _)| name)];
    let skipped = catalogue.skipped().iter().find(|skipped| meant.contains(&Some(skipped.series.as_str())));
    if let Some(skipped) = skipped {
        return format!("the series {} gives no metric: {}", skipped.series, skipped.why);
    }
    let of_resource = catalogue.custom_metrics().filter(|have| have.resource == resource);
    let near = nearest(metric, of_resource.map(|have| have.metric.as_str()));
    sentence(metric, &near, catalogue.custom_metrics().next().is_none())
}

/// Why an external metric is not there, in one sentence; `more` are names from elsewhere, as schedules.
pub fn missing_external(catalogue: &Catalogue, metric: &str, more: &[&str]) -> String {
    let names = || catalogue.external_metrics().chain(more.iter().copied());
    sentence(metric, &nearest(metric, names()), names().next().is_none())
}

fn sentence(metric: &str, near: &[&str], empty: bool) -> String {
    match near {
        _ if empty => format!("no rule gives {metric}: no rule matches any series now"),
        [] => format!("no rule gives {metric}, and no name is near it"),
        near => format!("no rule gives {metric}; the nearest names are {}", near.join(", ")),
    }
}
