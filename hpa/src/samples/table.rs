//! The last samples of every selector that is followed.
//!
//! A list or a watch of all pods is sorted by the selectors here. Which of a namespace's selectors select a pod is found
//! once per set of labels, for pods of one template have the same.

use super::{Sample, Texts, WirePod};
use flyball_model::selector::LabelSelector;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Namespace and selector text.
pub(crate) type MetricsKey = (String, String);

/// Sets of labels of one namespace whose selectors are remembered.
const MAX_ROUTES: usize = 4_096;

/// The samples behind a selector, or why there are none.
type Samples<'a> = Result<Arc<Vec<Sample>>, &'a str>;

/// When something was asked for, by the steady clock, and what failed then.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    at_ms: i64,
    failure: Option<String>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Table {
    namespaces: HashMap<String, Namespace>,
    texts: Texts,
    hashes: RandomState,
    /// Number of the last list that was begun.
    list: u64,
    /// The last list of all pods that ended.
    all: Option<(u64, Asked)>,
    /// All pods are watched since that list.
    watches_all: bool,
    /// Selectors behind which something changed.
    news: Vec<MetricsKey>,
}

#[derive(Debug, Default)]
struct Namespace {
    positions: HashMap<String, usize>,
    selectors: Vec<Selected>,
    /// Positions of the selectors that select a set of labels, by a digest of it.
    routes: HashMap<u64, Box<[usize]>>,
    /// Digest of the labels that each pod had last, by a digest of its name.
    labels: HashMap<u64, u64>,
}

/// The samples behind one selector, sorted by pod.
#[derive(Debug)]
struct Selected {
    text: String,
    /// `None`: the text is none, so that nothing is selected.
    selector: Option<LabelSelector>,
    samples: Arc<Vec<Sample>>,
    /// The list that told of each sample last, or that was begun last when a watch did.
    told: Vec<u64>,
    /// It is among the news.
    is_news: bool,
    /// Lists of all pods that began later tell of all its pods.
    since: u64,
    /// The last list of it alone that ended.
    asked: Option<Asked>,
    /// It is watched since that list.
    is_watched: bool,
    /// Lists are sorted: where the next sample probably belongs.
    next: usize,
}

impl Table {
    /// Follows a selector from now on.
    pub(crate) fn follow(&mut self, key: &MetricsKey) {
        let list = self.list;
        self.namespaces.entry(key.0.clone()).or_default().add(&key.1, list);
    }

    /// Forgets a selector.
    pub(crate) fn forget(&mut self, key: &MetricsKey) {
        let Some(found) = self.namespaces.get_mut(&key.0) else { return };
        found.remove(&key.1);
        if found.selectors.is_empty() {
            self.namespaces.remove(&key.0);
        }
    }

    fn get(&self, key: &MetricsKey) -> Option<&Selected> {
        let found = self.namespaces.get(&key.0)?;
        found.selectors.get(*found.positions.get(&key.1)?)
    }

    fn get_mut(&mut self, key: &MetricsKey) -> Option<&mut Selected> {
        let found = self.namespaces.get_mut(&key.0)?;
        found.selectors.get_mut(*found.positions.get(&key.1)?)
    }

    /// The samples behind a selector, or why there are none, and when that was asked for. What is watched is as of now.
    pub(crate) fn answer(&self, key: &MetricsKey, now_ms: i64) -> Option<(i64, Samples<'_>)> {
        let selected = self.get(key)?;
        let all = self.all.as_ref().filter(|(list, _)| *list > selected.since);
        let at_ms = |asked: &Asked, is_watched: bool| if is_watched { now_ms } else { asked.at_ms };
        let all = all.map(|(_, asked)| (at_ms(asked, self.watches_all), asked));
        let alone = selected.asked.as_ref().map(|asked| (at_ms(asked, selected.is_watched), asked));
        let (at_ms, asked) = all.into_iter().chain(alone).max_by_key(|(at_ms, _)| *at_ms)?;
        let samples = asked.failure.as_deref().map_or_else(|| Ok(selected.samples.clone()), Err);
        Some((at_ms, samples))
    }

    /// A list of all pods begins. What it does not tell of is gone when it ends.
    pub(crate) fn begin_all(&mut self) -> u64 {
        self.namespaces.values_mut().for_each(|found| found.labels.clear());
        self.begin()
    }

    /// A list of the pods behind a selector begins.
    pub(crate) fn begin(&mut self) -> u64 {
        self.list += 1;
        self.list
    }

    /// Takes the sample of a pod for every selector that selects it; gives its time, if one does. `labels` are known from
    /// elsewhere, for APIs that do not tell them.
    pub(crate) fn put<L>(
        &mut self,
        pod: &WirePod,
        labels: impl FnOnce(&str, &str) -> Option<L>,
    ) -> Option<i64>
    where
        L: std::ops::Deref<Target = BTreeMap<String, String>>,
    {
        let Table { namespaces, texts, hashes, list, news, .. } = self;
        let found = namespaces.get_mut(pod.namespace())?;
        let Namespace { selectors, routes, labels: before, .. } = found;
        let mut is_relabelled = false;
        let known;
        let route: &[usize] = match pod.labels() {
            None => {
                let labels = labels(pod.namespace(), pod.name())?;
                known = selecting(selectors, &labels);
                &known
            }
            Some(told) => {
                let digest = hashes.hash_one(&told);
                let old = before.insert(hashes.hash_one(pod.name()), digest);
                is_relabelled = old.is_some_and(|old| old != digest);
                if routes.len() >= MAX_ROUTES && !routes.contains_key(&digest) {
                    routes.clear();
                }
                routes.entry(digest).or_insert_with(|| selecting(selectors, &told.to_map()))
            }
        };
        if is_relabelled {
            let others = selectors.iter_mut().enumerate().filter(|(position, _)| !route.contains(position));
            for (_, selected) in others {
                if selected.remove(pod.name()) && !std::mem::replace(&mut selected.is_news, true) {
                    news.push((pod.namespace().to_owned(), selected.text.clone()));
                }
            }
        }
        for position in route {
            let selected = &mut selectors[*position];
            if selected.put(pod, *list, texts) && !std::mem::replace(&mut selected.is_news, true) {
                news.push((pod.namespace().to_owned(), selected.text.clone()));
            }
        }
        (!route.is_empty()).then(|| texts.timestamp_ms(pod))
    }

    /// Takes the sample of a pod for one selector, which the API has applied.
    pub(crate) fn put_for(&mut self, key: &MetricsKey, pod: &WirePod) {
        let Table { namespaces, texts, list, news, .. } = self;
        let Some(found) = namespaces.get_mut(&key.0) else { return };
        let Some(position) = found.positions.get(&key.1) else { return };
        let selected = &mut found.selectors[*position];
        if selected.put(pod, *list, texts) && !std::mem::replace(&mut selected.is_news, true) {
            news.push(key.clone());
        }
    }

    /// A pod has no sample any more.
    pub(crate) fn remove(&mut self, namespace: &str, pod: &str) {
        let Some(found) = self.namespaces.get_mut(namespace) else { return };
        for selected in &mut found.selectors {
            if selected.remove(pod) && !std::mem::replace(&mut selected.is_news, true) {
                self.news.push((namespace.to_owned(), selected.text.clone()));
            }
        }
    }

    /// The same for one selector.
    pub(crate) fn remove_for(&mut self, key: &MetricsKey, pod: &str) {
        let Some(selected) = self.get_mut(key) else { return };
        if selected.remove(pod) && !std::mem::replace(&mut selected.is_news, true) {
            self.news.push(key.clone());
        }
    }

    /// A list of all pods ended, well or with a failure.
    pub(crate) fn end(&mut self, list: u64, failure: Option<String>, at_ms: i64) {
        if failure.is_none() {
            for (namespace, found) in &mut self.namespaces {
                for selected in &mut found.selectors {
                    if selected.end(list) && !std::mem::replace(&mut selected.is_news, true) {
                        self.news.push((namespace.clone(), selected.text.clone()));
                    }
                }
            }
        }
        self.all = Some((list, Asked { at_ms, failure }));
    }

    /// The same for one selector.
    pub(crate) fn end_for(&mut self, key: &MetricsKey, list: u64, failure: Option<String>, at_ms: i64) {
        let Some(selected) = self.get_mut(key) else { return };
        if failure.is_none() {
            selected.end(list);
            selected.since = 0;
        }
        selected.asked = Some(Asked { at_ms, failure });
    }

    /// The pods behind a selector, or all, are watched from now on, or are not any more.
    pub(crate) fn watch(&mut self, of: Option<&MetricsKey>, is_watched: bool) {
        match of {
            None => self.watches_all = is_watched,
            Some(key) => self.get_mut(key).into_iter().for_each(|selected| selected.is_watched = is_watched),
        }
    }

    /// Selectors behind which something changed since this was last asked.
    pub(crate) fn news(&mut self) -> Vec<MetricsKey> {
        let news = std::mem::take(&mut self.news);
        for key in &news {
            self.get_mut(key).into_iter().for_each(|selected| selected.is_news = false);
        }
        news
    }
}

/// Positions of the selectors that select these labels.
fn selecting(selectors: &[Selected], labels: &BTreeMap<String, String>) -> Box<[usize]> {
    let selects = |(_, selected): &(usize, &Selected)| {
        selected.selector.as_ref().is_some_and(|selector| selector.matches_map(labels))
    };
    selectors.iter().enumerate().filter(selects).map(|(position, _)| position).collect()
}

impl Namespace {
    fn add(&mut self, text: &str, list: u64) {
        if self.positions.contains_key(text) {
            return;
        }
        self.positions.insert(text.to_owned(), self.selectors.len());
        self.selectors.push(Selected {
            text: text.to_owned(),
            selector: LabelSelector::parse(text).ok(),
            samples: Arc::default(),
            told: Vec::new(),
            is_news: false,
            since: list,
            asked: None,
            is_watched: false,
            next: 0,
        });
        self.routes.clear();
    }

    fn remove(&mut self, text: &str) {
        let Some(position) = self.positions.remove(text) else { return };
        self.selectors.swap_remove(position);
        if let Some(moved) = self.selectors.get(position) {
            self.positions.insert(moved.text.clone(), position);
        }
        self.routes.clear();
    }
}

impl Selected {
    /// True if that is something new; so are the others.
    fn put(&mut self, pod: &WirePod, list: u64, texts: &mut Texts) -> bool {
        // Evaluations let go of the samples at once, so that this seldom copies.
        let samples = Arc::make_mut(&mut self.samples);
        let found = match samples.get(self.next) {
            Some(sample) if &*sample.pod == pod.name() => Ok(self.next),
            _ => samples.binary_search_by(|sample| (*sample.pod).cmp(pod.name())),
        };
        let (at, is_new) = match found {
            Ok(at) => {
                self.told[at] = list;
                (at, samples[at].update(pod, texts))
            }
            Err(at) => {
                samples.insert(at, Sample::new(pod, texts));
                self.told.insert(at, list);
                (at, true)
            }
        };
        self.next = at + 1;
        is_new
    }

    fn remove(&mut self, pod: &str) -> bool {
        let Ok(at) = self.samples.binary_search_by(|sample| (*sample.pod).cmp(pod)) else { return false };
        Arc::make_mut(&mut self.samples).remove(at);
        self.told.remove(at);
        true
    }

    fn end(&mut self, list: u64) -> bool {
        self.next = 0;
        if self.told.iter().all(|told| *told >= list) {
            return false;
        }
        let mut told = self.told.iter();
        Arc::make_mut(&mut self.samples).retain(|_| told.next().is_some_and(|told| *told >= list));
        self.told.retain(|told| *told >= list);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    type Known = Option<Arc<BTreeMap<String, String>>>;

    fn object(name: &str, app: Option<&str>, second: u32, milli: u32) -> String {
        let mut object = json!({
            "metadata": { "name": name, "namespace": "ns" },
            "timestamp": format!("2026-01-01T00:00:{second:02}Z"), "window": "15s",
            "containers": [{ "name": "c", "usage": { "cpu": format!("{milli}m"), "memory": "1Ki" } }],
        });
        if let Some(app) = app {
            object["metadata"]["labels"] = json!({ "app": app });
        }
        object.to_string()
    }

    fn put(table: &mut Table, text: &str, known: Known) {
        table.put(&serde_json::from_str(text).unwrap(), |_, _| known);
    }

    fn key(selector: &str) -> MetricsKey {
        ("ns".to_owned(), selector.to_owned())
    }

    /// Pods behind a selector with their CPU.
    fn told(table: &Table, selector: &str) -> Vec<(String, i64)> {
        let (_, samples) = table.answer(&key(selector), 0).unwrap();
        samples.unwrap().iter().map(|sample| (sample.pod.to_string(), sample.whole("cpu").unwrap())).collect()
    }

    fn named(pods: &[(&str, i64)]) -> Vec<(String, i64)> {
        pods.iter().map(|(name, milli)| ((*name).to_owned(), *milli)).collect()
    }

    #[test]
    fn samples_go_where_their_labels_say() {
        let mut table = Table::default();
        for selector in ["app=web", "app=api", "app"] {
            table.follow(&key(selector));
        }
        let first = table.begin_all();
        for (name, app, milli) in [("w1", "web", 1), ("w2", "web", 2), ("a1", "api", 3), ("x", "other", 4)] {
            put(&mut table, &object(name, Some(app), 1, milli), None);
        }
        table.end(first, None, 1_000);
        assert_eq!(told(&table, "app=web"), named(&[("w1", 1), ("w2", 2)]));
        assert_eq!(told(&table, "app"), named(&[("a1", 3), ("w1", 1), ("w2", 2), ("x", 4)]), "by name");
        assert_eq!(table.news().len(), 3);
        let second = table.begin_all();
        put(&mut table, &object("w2", Some("web"), 2, 9), None);
        put(&mut table, &object("a1", Some("api"), 1, 3), None);
        table.end(second, None, 2_000);
        assert_eq!(told(&table, "app=web"), named(&[("w2", 9)]), "what a list does not tell of is gone");
        let mut news = table.news();
        news.sort();
        assert_eq!(news, [key("app"), key("app=web")], "the same again is no news");
        table.forget(&key("app=web"));
        put(&mut table, &object("a2", Some("api"), 2, 5), None);
        assert_eq!(told(&table, "app=api"), named(&[("a1", 3), ("a2", 5)]), "routes follow the selectors");
        assert_eq!(told(&table, "app"), named(&[("a1", 3), ("a2", 5), ("w2", 9)]));
        table.remove("ns", "a1");
        assert_eq!(told(&table, "app=api"), named(&[("a2", 5)]));
        for selector in ["app=api", "app", "app=never"] {
            table.forget(&key(selector));
        }
        assert!(table.namespaces.is_empty());
    }

    /// As when someone takes a pod out of its workload to look at it.
    #[test]
    fn a_pod_with_other_labels_is_behind_other_selectors() {
        let mut table = Table::default();
        table.follow(&key("app=web"));
        table.follow(&key("app=api"));
        let list = table.begin_all();
        put(&mut table, &object("w1", Some("web"), 1, 1), None);
        put(&mut table, &object("w2", Some("web"), 1, 2), None);
        table.end(list, None, 0);
        table.news();
        put(&mut table, &object("w1", Some("api"), 2, 3), None);
        assert_eq!(told(&table, "app=web"), named(&[("w2", 2)]));
        assert_eq!(told(&table, "app=api"), named(&[("w1", 3)]));
        assert_eq!(table.news().len(), 2);
        put(&mut table, &object("w1", Some("none"), 3, 3), None);
        assert_eq!(told(&table, "app=api"), named(&[]));
    }

    #[test]
    fn an_api_without_labels_is_sorted_by_those_of_the_pods() {
        let mut table = Table::default();
        table.follow(&key("app=web"));
        let list = table.begin();
        let labels = Arc::new(BTreeMap::from([("app".to_owned(), "web".to_owned())]));
        put(&mut table, &object("w1", None, 1, 1), Some(labels));
        put(&mut table, &object("unknown", None, 1, 1), None);
        table.end(list, None, 0);
        assert_eq!(told(&table, "app=web"), named(&[("w1", 1)]));
    }

    #[test]
    fn one_selector_is_listed_by_itself() {
        let mut table = Table::default();
        table.follow(&key("app=web"));
        table.follow(&key("app=api"));
        let list = table.begin();
        put(&mut table, &object("a1", Some("api"), 1, 3), None);
        table.end(list, None, 0);
        let list = table.begin();
        table.put_for(&key("app=web"), &serde_json::from_str(&object("w1", None, 1, 7)).unwrap());
        table.end_for(&key("app=web"), list, None, 0);
        assert_eq!(told(&table, "app=web"), named(&[("w1", 7)]));
        assert_eq!(told(&table, "app=api"), named(&[("a1", 3)]), "the others stay");
        let list = table.begin();
        table.end_for(&key("app=web"), list, None, 0);
        assert_eq!(told(&table, "app=web"), named(&[]));
    }

    #[test]
    fn values_change_in_place_and_shapes_anew() {
        let mut table = Table::default();
        table.follow(&key("app"));
        let list = table.begin();
        put(&mut table, &object("w", Some("web"), 1, 1), None);
        table.end(list, None, 0);
        let containers = |table: &Table| table.get(&key("app")).unwrap().samples[0].containers.as_ptr();
        let before = containers(&table);
        put(&mut table, &object("w", Some("web"), 2, 2), None);
        assert_eq!((containers(&table), told(&table, "app")), (before, named(&[("w", 2)])));
        let other = object("w", Some("web"), 3, 3).replace("\"memory\"", "\"gpu\"");
        put(&mut table, &other, None);
        let sample = &table.get(&key("app")).unwrap().samples[0];
        assert_eq!((sample.container("c", "gpu"), sample.whole("memory")), (Some(1_024_000), None));
        assert_eq!((sample.container("d", "cpu"), sample.window_ms), (None, 15_000));
    }

    #[test]
    fn what_is_odd_about_a_sample() {
        let mut table = Table::default();
        table.follow(&key("app"));
        let text = r#"{"metadata":{"name":"w","namespace":"ns","labels":{"app":"\"x\""}},"timestamp":null,"containers":[{"name":"c"}],"more":1}"#;
        put(&mut table, text, None);
        let sample = &table.get(&key("app")).unwrap().samples[0];
        assert_eq!((sample.timestamp_ms, sample.window_ms, sample.whole("cpu")), (0, 0, None));
        put(
            &mut table,
            r#"{"metadata":{"name":"w","namespace":"ns","labels":{"app":"x"}},"containers":[]}"#,
            None,
        );
        assert_eq!(table.get(&key("app")).unwrap().samples[0].whole("cpu"), None);
        let bad = r#"{"containers":[{"name":"c","usage":{"cpu":"much"}}]}"#;
        assert!(serde_json::from_str::<WirePod>(bad).is_err());
    }

    #[test]
    fn the_newest_answer_counts_and_a_watch_is_always_new() {
        let mut table = Table::default();
        let web = key("app=web");
        let answer = |table: &Table| {
            let (at_ms, samples) = table.answer(&web, 9_000)?;
            Some((at_ms, samples.map(|samples| samples.len()).map_err(str::to_owned)))
        };
        let early = table.begin();
        table.follow(&web);
        table.end(early, None, 1_000);
        assert_eq!(answer(&table), None, "a list that began before says nothing of all its pods");
        let list = table.begin();
        table.end_for(&web, list, Some("no".into()), 2_000);
        assert_eq!(answer(&table), Some((2_000, Err("no".into()))));
        let list = table.begin();
        put(&mut table, &object("w", Some("web"), 1, 1), None);
        table.end(list, None, 3_000);
        assert_eq!(answer(&table), Some((3_000, Ok(1))));
        let list = table.begin();
        table.end(list, Some("down".into()), 4_000);
        assert_eq!(answer(&table), Some((4_000, Err("down".into()))));
        let list = table.begin();
        put(&mut table, &object("w", Some("web"), 1, 1), None);
        table.end_for(&web, list, None, 5_000);
        table.watch(Some(&web), true);
        assert_eq!(answer(&table), Some((9_000, Ok(1))), "what is watched is as of now");
        table.watch(Some(&web), false);
        assert_eq!(answer(&table), Some((5_000, Ok(1))));
        let list = table.begin();
        put(&mut table, &object("w", Some("web"), 1, 1), None);
        table.end(list, None, 6_000);
        table.watch(None, true);
        assert_eq!(answer(&table), Some((9_000, Ok(1))));
    }
}
