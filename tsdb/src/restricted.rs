//! A source that shows the series of one namespace only.
//!
//! Promise: whatever is read through it has the label `namespace` with that very value, because every way to the series
//! passes here and gets that matcher added; a query cannot take a matcher away, only add further ones.

use std::ops::ControlFlow;
use std::sync::Arc;

use flyball_model::labels::Labels;

use crate::series::{By, GroupVisitor, MatchOp, Matcher, Point, ReadError, ReadLimits, Series, SeriesSource};

/// The label that says to which namespace a series belongs.
const NAMESPACE: &str = "namespace";

/// See the module.
pub(crate) struct Restricted {
    inner: Arc<dyn SeriesSource>,
    matcher: Matcher,
}

impl Restricted {
    /// The series of a namespace; none when the name is empty, which would match those without one.
    pub(crate) fn to_namespace(inner: Arc<dyn SeriesSource>, namespace: &str) -> Restricted {
        debug_assert!(!namespace.is_empty(), "an empty value would match series without the label");
        let matcher = Matcher { name: NAMESPACE.into(), op: MatchOp::Equal, value: namespace.into() };
        Restricted { inner, matcher }
    }

    fn and(&self, matchers: &[Matcher]) -> Vec<Matcher> {
        matchers.iter().chain([&self.matcher]).cloned().collect()
    }

    fn shows_nothing(&self) -> bool {
        self.matcher.value.is_empty()
    }
}

impl SeriesSource for Restricted {
    fn select(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        limits: ReadLimits,
    ) -> Result<Vec<Series>, ReadError> {
        if self.shows_nothing() {
            return Ok(Vec::new());
        }
        self.inner.select(&self.and(matchers), start_ms, end_ms, limits)
    }

    fn scan(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        limits: ReadLimits,
        visit: &mut dyn FnMut(&Arc<Labels>, &[Point]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        if self.shows_nothing() {
            return Ok(());
        }
        self.inner.scan(&self.and(matchers), start_ms, end_ms, limits, visit)
    }

    fn scan_groups(
        &self,
        matchers: &[Matcher],
        by: &By<'_>,
        start_ms: i64,
        end_ms: i64,
        limits: ReadLimits,
        visitors: &mut [Box<GroupVisitor<'_>>],
    ) -> Result<Option<Vec<Labels>>, ReadError> {
        if self.shows_nothing() {
            return Ok(Some(Vec::new()));
        }
        self.inner.scan_groups(&self.and(matchers), by, start_ms, end_ms, limits, visitors)
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        if self.shows_nothing() {
            return Ok(Vec::new());
        }
        self.inner.label_names(&self.and(matchers), start_ms, end_ms)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        if self.shows_nothing() {
            return Ok(Vec::new());
        }
        self.inner.label_values(name, &self.and(matchers), start_ms, end_ms)
    }

    fn series(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<Arc<Labels>>, ReadError> {
        if self.shows_nothing() {
            return Ok(Vec::new());
        }
        self.inner.series(&self.and(matchers), start_ms, end_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemorySource;
    use crate::promql::engine::{Options, Unwatched, Value, instant};
    use crate::promql::parse;

    fn restricted() -> Restricted {
        let mut source = MemorySource::default();
        for (namespace, pod) in [("a", "p1"), ("a", "p2"), ("b", "secret"), ("", "nowhere")] {
            let labels = Labels::from_pairs([("__name__", "x"), ("namespace", namespace), ("pod", pod)]);
            source.add(&Arc::new(labels.unwrap()), Point { timestamp_ms: 1000, value: 1.0 });
        }
        Restricted::to_namespace(Arc::new(source), "a")
    }

    #[test]
    fn no_query_leaves_the_namespace() {
        for query in [
            r#"x"#,
            r#"{__name__=~".+"}"#,
            r#"x{namespace="b"}"#,
            r#"x{namespace!="a"}"#,
            r#"x{namespace=""}"#,
            r#"x{namespace=~".*"} or x{namespace=~"b|a"} or x"#,
            r#"max_over_time(x[5m:1s])"#,
            r#"count by (pod) (x or on() x{namespace="b"})"#,
            r#"label_replace(x, "namespace", "b", "", "")"#,
            r#"sum by (pod) (x{namespace="b"})"#,
            r#"max by (pod) (max_over_time(x[5m]))"#,
        ] {
            let outcome =
                instant(&restricted(), &parse(query).unwrap(), 1000, &Options::default(), &Unwatched);
            let text = format!("{:?}", outcome.unwrap().value);
            assert!(!text.contains("secret") && !text.contains("nowhere"), "{query}: {text}");
        }
        let all = instant(&restricted(), &parse("count(x)").unwrap(), 1000, &Options::default(), &Unwatched);
        let Value::Vector(all) = all.unwrap().value else { panic!("a vector") };
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn names_and_values_of_other_namespaces_do_not_exist() {
        let source = restricted();
        assert_eq!(source.label_values("pod", &[], 0, 2000).unwrap(), ["p1", "p2"]);
        assert_eq!(source.label_values("namespace", &[], 0, 2000).unwrap(), ["a"]);
        assert_eq!(source.series(&[], 0, 2000).unwrap().len(), 2);
        assert_eq!(source.label_names(&[], 0, 2000).unwrap(), ["__name__", "namespace", "pod"]);
        let limits = ReadLimits { series: 10, samples: 10 };
        assert_eq!(source.select(&[], 0, 2000, limits).unwrap().len(), 2);
    }
}
