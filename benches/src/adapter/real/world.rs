//! Pods and their series, by number: 100 namespaces with 40 pods each, and one with a thousand.

/// Namespaces with autoscalers, one for each metric.
pub(super) const TEAMS: usize = 100;
/// Pods of each.
pub(super) const TEAM_PODS: usize = 40;
/// The namespace with many.
pub(super) const LONG: &str = "long";
/// Its pods, in ten parts.
pub(super) const LONG_PODS: usize = 1_000;
/// Metrics of each pod, and rules.
pub(super) const METRICS: usize = 10;
/// Every team has one for each metric.
pub(super) const AUTOSCALERS: usize = TEAMS * METRICS;

/// A pod's place and labels.
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) app: String,
    pub(super) part: String,
}

/// Everything.
pub(super) struct World;

impl World {
    /// All pods.
    pub(super) fn pods() -> impl Iterator<Item = Pod> {
        let teams = (0..TEAMS).flat_map(|team| (0..TEAM_PODS).map(move |pod| (Some(team), pod)));
        let long = (0..LONG_PODS).map(|pod| (None, pod));
        teams.chain(long).map(|(team, pod)| {
            let (namespace, app) = match team {
                Some(team) => (self::team(team), format!("app-{team}")),
                None => (LONG.to_owned(), "long".to_owned()),
            };
            Pod {
                name: format!("{app}-7d4f9c6b5d-{pod:05}"),
                part: format!("part-{}", pod / 100),
                namespace,
                app,
            }
        })
    }

    /// Series that Prometheus gets.
    pub(super) fn series() -> usize {
        (TEAMS * TEAM_PODS + LONG_PODS) * METRICS
    }
}

/// A namespace.
pub(super) fn team(number: usize) -> String {
    format!("team-{number}")
}

/// A metric's name in the API.
pub(super) fn metric(number: usize) -> String {
    format!("m{number}_per_second")
}

/// What the target says at a scrape: counters that grow, and gauges that were added.
pub(super) fn exposition(scrape: u64, added: &[&'static str]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(6 << 20);
    for (number, pod) in World::pods().enumerate() {
        let labels = format!("namespace=\"{}\",pod=\"{}\"", pod.namespace, pod.name);
        for metric in 0..METRICS {
            let value = scrape * (1 + (number + metric) as u64 % 97);
            // Writing into memory cannot fail.
            let _ = writeln!(text, "m{metric}_total{{{labels}}} {value}");
        }
        if pod.namespace == LONG {
            for name in added {
                let _ = writeln!(text, "{name}{{{labels}}} 1");
            }
        }
    }
    text
}

/// A configuration as prometheus-adapter's users have it: a rule for each metric, and one for gauges that may come.
pub(super) fn config() -> String {
    let rule = |series: &str, matches: &str, name: &str, query: &str| {
        format!(
            "- seriesQuery: '{{__name__=~\"{series}\",namespace!=\"\",pod!=\"\"}}'\n  \
             resources: {{overrides: {{namespace: {{resource: namespace}}, pod: {{resource: pod}}}}}}\n  \
             name: {{matches: '{matches}', as: '{name}'}}\n  metricsQuery: '{query}'\n"
        )
    };
    let rate = "sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)";
    let sum = "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)";
    let counters = (0..METRICS)
        .map(|number| rule(&format!("^m{number}_total$"), "^(.*)_total$", "${1}_per_second", rate))
        .collect::<String>();
    format!("rules:\n{counters}{}", rule("^new_.*", "", "", sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_large_as_it_says() {
        assert_eq!((World::series(), World::pods().count()), (50_000, 5_000));
        assert_eq!(exposition(1, &["new_a"]).lines().count(), 51_000);
        assert_eq!(World::pods().filter(|pod| pod.namespace == LONG && pod.part == "part-0").count(), 100);
    }
}
