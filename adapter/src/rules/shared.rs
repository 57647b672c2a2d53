//! One query for many objects: when a query's answer for all of them holds the answer for each.
//!
//! A rule's query is free text, so this is decided on its tree. Every series it reads must be confined by the labels of
//! namespace and object (to any value), and every step must keep apart what differs in them: an aggregation by both, a join on
//! both. Then each element of the answer is made from one object's series alone, and is what the query for that object
//! alone would have answered.
//!
//! One thing more is needed where the query covers all namespaces: the query for one object groups by the object alone, so
//! there the namespace is missing on what was grouped and present on what was not. Where the two meet by that label, they do
//! not match, while they do in the wide query, in which everything has both labels. [`is_even`] finds such meetings.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use flyball_tsdb::promql;
use flyball_tsdb::promql::ast::{
    AggregateOp, BinaryOp, Card, Expr, Grouping, Matching, Node, Selector, Type,
};
use flyball_tsdb::series::{MatchOp, Matcher};

use super::query::{ANY, escape, selectors};

/// Most findings that are remembered; beyond them all are forgotten.
const FINDINGS_LIMIT: usize = 4_096;

/// What was found about the queries of a rule. To read a query is to compile its expressions, which for the names of fifty
/// pods takes longer than all else that a request needs; autoscalers ask with the same names again and again.
///
/// A question is remembered by 128 bits of two keyed hashes, so that two are as good as never taken for one another.
#[derive(Debug, Default)]
pub(super) struct Findings {
    hashers: [RandomState; 2],
    known: Mutex<HashMap<[u64; 2], bool>>,
}

impl Findings {
    /// [`keeps_apart`]
    pub(super) fn keeps_apart(&self, text: &str, labels: &[&str]) -> bool {
        self.find(("apart", text, labels), || keeps_apart(text, labels))
    }

    /// [`is_even`]
    pub(super) fn is_even(&self, text: &str, label: &str) -> bool {
        self.find(("even", text, label), || is_even(text, label))
    }

    fn find(&self, question: impl Hash, find: impl FnOnce() -> bool) -> bool {
        let key = self.hashers.each_ref().map(|hasher| hasher.hash_one(&question));
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().get(&key) {
            return *found;
        }
        let found = find();
        let mut known = known();
        if known.len() >= FINDINGS_LIMIT {
            known.clear();
        }
        known.insert(key, found);
        found
    }
}

/// Functions whose result is not that of each series by itself.
const MIXING: &[&str] = &["absent", "absent_over_time", "info", "scalar", "vector"];

/// Whether the query, made for any value of these labels, answers for each value by itself.
fn keeps_apart(text: &str, labels: &[&str]) -> bool {
    promql::parse(text)
        .is_ok_and(|expr| expr.value_type() == Type::Vector && reads_series(&expr) && apart(&expr, labels))
}

/// The query, made for any value of a label and found to keep its values apart, for these values alone; `None` where the text
/// cannot be read.
pub(super) fn confined_to<'a>(
    text: &str,
    label: &str,
    values: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let values: Vec<String> = values.map(escape).collect();
    let value = values.join("|");
    let mut expr = promql::parse(text).ok()?;
    selectors(&mut expr, &mut |selector| {
        let any = |matcher: &&mut Matcher| {
            matcher.name == label && matcher.op == MatchOp::Matches && matcher.value == ANY
        };
        selector.matchers.iter_mut().filter(any).for_each(|matcher| value.clone_into(&mut matcher.value));
    });
    Some(expr.to_string())
}

/// Whether in a query for one object nothing with this label meets something without it, where it would matter.
fn is_even(text: &str, label: &str) -> bool {
    promql::parse(text).is_ok_and(|expr| has_label(&expr, label).is_some())
}

/// Whether the elements of a vector have a label; none: some have it and others do not, or it decided a meeting.
fn has_label(expr: &Expr, label: &str) -> Option<bool> {
    let named = |labels: &[String]| labels.iter().any(|have| have == label);
    match &expr.node {
        Node::Number(_) | Node::Text(_) | Node::Selector(_) | Node::Range { .. } => Some(true),
        Node::Subquery { expr, .. } | Node::Negate(expr) | Node::Paren(expr) => has_label(expr, label),
        Node::Call { args, .. } => args
            .iter()
            .filter(|arg| matches!(arg.value_type(), Type::Vector | Type::Matrix))
            .try_fold(true, |all, arg| Some(all && has_label(arg, label)?)),
        Node::Aggregate { expr, grouping, op, .. } => {
            let inside = has_label(expr, label)?;
            Some(inside && (op.chooses() || named(&grouping.labels) != grouping.without))
        }
        Node::Binary { op, left, right, matching, .. } => {
            let (left_has, right_has) = (has_label(left, label)?, has_label(right, label)?);
            match (left.value_type(), right.value_type()) {
                (Type::Vector, Type::Vector) => {}
                (Type::Vector, _) => return Some(left_has),
                _ => return Some(right_has),
            }
            let compared = named(&matching.labels) == matching.on;
            if left_has != right_has && (compared || *op == BinaryOp::Or) {
                return None;
            }
            Some(match matching.card {
                Card::OneToOne => left_has && compared,
                Card::ManyToOne | Card::ManyToMany => left_has,
                Card::OneToMany => right_has,
            })
        }
    }
}

fn reads_series(expr: &Expr) -> bool {
    let mut reads = false;
    expr.selectors(&mut |_| reads = true);
    reads
}

fn apart(expr: &Expr, labels: &[&str]) -> bool {
    match &expr.node {
        Node::Number(_) | Node::Text(_) => true,
        Node::Selector(selector) | Node::Range { selector, .. } => confined(selector, labels),
        Node::Subquery { expr, .. } | Node::Negate(expr) | Node::Paren(expr) => apart(expr, labels),
        Node::Call { function, args } => {
            !MIXING.contains(&function.name)
                && !writes(function.name, args, labels)
                && args.iter().all(|arg| apart(arg, labels))
        }
        Node::Aggregate { op, param, expr, grouping } => {
            let chosen_freely = matches!(op, AggregateOp::Limitk | AggregateOp::LimitRatio);
            let param = param.as_deref();
            !chosen_freely
                && groups_by(grouping, labels)
                && param.is_none_or(|param| !reads_series(param))
                && param.and_then(Expr::text).is_none_or(|label| !labels.contains(&label))
                && apart(expr, labels)
        }
        Node::Binary { left, right, matching, .. } => {
            let vectors = left.value_type() == Type::Vector && right.value_type() == Type::Vector;
            apart(left, labels) && apart(right, labels) && (!vectors || joins_on(matching, labels))
        }
    }
}

fn confined(selector: &Selector, labels: &[&str]) -> bool {
    labels.iter().all(|label| {
        selector
            .matchers
            .iter()
            .any(|matcher| matcher.name == *label && matcher.op == MatchOp::Matches && matcher.value == ANY)
    })
}

/// Whether a function gives one of the labels another value.
fn writes(function: &str, args: &[Expr], labels: &[&str]) -> bool {
    matches!(function, "label_replace" | "label_join")
        && args.get(1).and_then(Expr::text).is_none_or(|target| labels.contains(&target))
}

fn groups_by(grouping: &Grouping, labels: &[&str]) -> bool {
    labels.iter().all(|label| grouping.labels.iter().any(|have| have == label) != grouping.without)
}

fn joins_on(matching: &Matching, labels: &[&str]) -> bool {
    labels.iter().all(|label| {
        matching.labels.iter().any(|have| have == label) == matching.on
            && !matching.include.iter().any(|have| have == label)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: bool) {
        let text = text.replace('#', "namespace=~\".+\",pod=~\".+\"");
        assert_eq!(keeps_apart(&text, &["pod", "namespace"]), expected, "{text}");
    }

    #[test]
    fn queries_that_answer_for_each() {
        for text in [
            "x{#}",
            "sum(rate(x{#,a=\"b\"}[2m])) by (pod,namespace)",
            "sum by (namespace,pod) (x{#}) / sum by (namespace,pod) (y{#}) * 100",
            "sum without (instance) (x{#})",
            "histogram_quantile(0.9, sum(rate(x_bucket{#}[5m])) by (le,pod,namespace))",
            "x{#} * on (namespace,pod) group_left (version) y{#}",
            "x{#} / ignoring (job) y{#}",
            "max_over_time((sum by (pod,namespace) (x{#}))[5m:1m])",
            "topk by (pod,namespace) (1, x{#})",
            "-clamp_min(x{#} > 3, 2)",
        ] {
            check(text, true);
        }
    }

    #[test]
    fn a_finding_is_of_its_question_alone() {
        let findings = Findings::default();
        let (even, uneven) = ("y unless on (pod) sum(x) by (pod)", "sum(x) by (pod) or y");
        for _ in 0..2 {
            assert!(findings.is_even(even, "namespace"));
            assert!(!findings.is_even(uneven, "namespace"));
            assert!(!findings.keeps_apart(even, &["pod"]));
            assert!(findings.keeps_apart("sum(x{pod=~\".+\"}) by (pod)", &["pod"]));
            assert!(!findings.keeps_apart("sum(x{pod=~\".+\"}) by (pod)", &["pod", "namespace"]));
        }
        for number in 0..2 * FINDINGS_LIMIT {
            findings.find(number, || false);
        }
        assert!(findings.known.lock().unwrap().len() <= FINDINGS_LIMIT);
        assert!(findings.is_even(even, "namespace"));
    }

    #[test]
    fn what_was_grouped_meets_what_was_not() {
        for (text, expected) in [
            ("sum(x) by (pod) / sum(y) by (pod)", true),
            ("x / y", true),
            ("sum(x) by (pod) / ignoring (code) avg without (code) (y)", false),
            ("sum(x) by (pod) / on (pod) y", true),
            ("sum(x) by (pod) / on (pod,namespace) y", false),
            ("y * on (pod) group_left () sum(x) by (pod)", true),
            ("(y * on (pod) group_left () sum(x) by (pod)) / y", true),
            ("(sum(x) by (pod) * on (pod) group_right () y) / y", true),
            ("(x * on (pod) y) / y", false),
            ("sum(x) by (pod) or y", false),
            ("sum(x) by (pod) or on (pod) y", false),
            ("y unless on (pod) sum(x) by (pod)", true),
            ("topk by (pod) (1, x) / y", true),
            ("2 * sum(x) by (pod) + 1", true),
            ("max_over_time(sum(x) by (pod)[5m:1m]) / y", false),
        ] {
            assert_eq!(is_even(text, "namespace"), expected, "{text}");
        }
    }

    #[test]
    fn queries_that_mix() {
        for text in [
            "sum(x{#})",
            "sum(x{#}) by (pod)",
            "sum without (pod) (x{#})",
            "count(x{namespace=~\".+\"}) by (pod,namespace)",
            "x{#} / on (pod) group_left () y{#}",
            "x{#} / ignoring (namespace) y{#}",
            "x{#} * on (namespace,pod) group_left (pod) y{#}",
            "topk(3, x{#})",
            "limitk by (pod,namespace) (1, x{#})",
            "label_replace(x{#}, \"pod\", \"$1\", \"other\", \"(.*)\")",
            "x{#} or vector(0)",
            "absent(x{#})",
            "x{#} * scalar(sum(y{#}))",
            "x{#} / total",
            "x{#,pod=\"p\",namespace=~\".*\"} + x",
            "1",
            "vector(1)",
            "not a query(",
        ] {
            check(text, false);
        }
    }
}
