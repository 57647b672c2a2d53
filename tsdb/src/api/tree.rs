//! The tree of a query as JSON: what `/parse_query` answers, for clients that draw or edit queries. Pure.
//!
//! Promise: fields and values are those of Prometheus; what this parser does not know (anchored and smoothed selectors, fill
//! values) is said to be off.

use serde_json::{Value, json};

use crate::promql::ast::{At, Card, Expr, Matching, Node, Selector, Type, When};
use crate::promql::duration::{DurationExpr, Sign};
use crate::promql::functions::{Arity, Function};
use crate::promql::number::write_plain;
use crate::series::{MatchOp, Matcher};

/// An expression with all below it.
pub(super) fn of(expr: &Expr) -> Value {
    match &expr.node {
        Node::Number(value) => json!({"type": "numberLiteral", "val": write_plain(*value)}),
        Node::Text(text) => json!({"type": "stringLiteral", "val": text}),
        Node::Paren(inner) => json!({"type": "parenExpr", "expr": of(inner)}),
        Node::Negate(inner) => json!({"type": "unaryExpr", "op": "-", "expr": of(inner)}),
        Node::Selector(selector) => Value::Object(of_selector("vectorSelector", selector)),
        Node::Range { selector, range } => {
            let mut fields = of_selector("matrixSelector", selector);
            fields.insert("range".into(), millis(Some(range)).into());
            fields.insert("rangeExpr".into(), computed(Some(range)));
            Value::Object(fields)
        }
        Node::Subquery { expr, range, step, when } => {
            let mut fields = of_when(when);
            fields.insert("type".into(), "subquery".into());
            fields.insert("expr".into(), of(expr));
            fields.insert("range".into(), millis(Some(range)).into());
            fields.insert("rangeExpr".into(), computed(Some(range)));
            fields.insert("step".into(), millis(step.as_ref()).into());
            fields.insert("stepExpr".into(), computed(step.as_ref()));
            Value::Object(fields)
        }
        Node::Call { function, args } => {
            let args: Vec<Value> = args.iter().map(of).collect();
            json!({"type": "call", "func": of_function(function), "args": args})
        }
        Node::Aggregate { op, param, expr, grouping } => json!({
            "type": "aggregation",
            "op": op.name(),
            "expr": of(expr),
            "param": param.as_deref().map(of),
            "grouping": grouping.labels,
            "without": grouping.without,
        }),
        Node::Binary { op, left, right, to_bool, matching } => {
            let vectors = left.value_type() == Type::Vector && right.value_type() == Type::Vector;
            json!({
                "type": "binaryExpr",
                "op": op.name(),
                "lhs": of(left),
                "rhs": of(right),
                "matching": vectors.then(|| of_matching(matching)),
                "bool": to_bool,
            })
        }
    }
}

type Fields = serde_json::Map<String, Value>;

fn of_selector(kind: &str, selector: &Selector) -> Fields {
    let mut fields = of_when(&selector.when);
    fields.insert("type".into(), kind.into());
    fields.insert("name".into(), selector.name.clone().unwrap_or_default().into());
    fields.insert("matchers".into(), selector.matchers.iter().map(of_matcher).collect());
    fields.insert("anchored".into(), false.into());
    fields.insert("smoothed".into(), false.into());
    fields
}

fn of_matcher(matcher: &Matcher) -> Value {
    let op = match matcher.op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Matches => "=~",
        MatchOp::NotMatches => "!~",
    };
    json!({"name": matcher.name, "value": matcher.value, "type": op})
}

fn of_when(when: &When) -> Fields {
    let (timestamp, bound) = match when.at {
        None => (Value::Null, Value::Null),
        Some(At::Time(millis)) => (millis.into(), Value::Null),
        Some(At::Start) => (Value::Null, "start".into()),
        Some(At::End) => (Value::Null, "end".into()),
    };
    let mut fields = Fields::new();
    fields.insert("offset".into(), millis(when.offset.as_ref()).into());
    fields.insert("offsetExpr".into(), computed(when.offset.as_ref()));
    fields.insert("timestamp".into(), timestamp);
    fields.insert("startOrEnd".into(), bound);
    fields
}

fn of_matching(matching: &Matching) -> Value {
    let card = match matching.card {
        Card::OneToOne => "one-to-one",
        Card::ManyToOne => "many-to-one",
        Card::OneToMany => "one-to-many",
        Card::ManyToMany => "many-to-many",
    };
    json!({
        "card": card,
        "labels": matching.labels,
        "on": matching.on,
        "include": matching.include,
        "fillValues": {"lhs": null, "rhs": null},
    })
}

fn of_function(function: &Function) -> Value {
    let types: Vec<&str> = function.args.iter().map(|kind| type_name(*kind)).collect();
    // How many arguments more or less: any number of further ones is -1.
    let variadic = match function.arity {
        Arity::Fixed => 0,
        Arity::LastOptional => 1,
        Arity::LastRepeated => -1,
    };
    json!({
        "name": function.name,
        "argTypes": types,
        "variadic": variadic,
        "returnType": type_name(function.returns),
    })
}

fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Scalar => "scalar",
        Type::Vector => "vector",
        Type::Matrix => "matrix",
        Type::Text => "string",
    }
}

/// Milliseconds of a literal; 0 of one that is computed, or not there.
fn millis(duration: Option<&DurationExpr>) -> i64 {
    let literal = duration.filter(|duration| is_literal(duration));
    literal.and_then(|duration| duration.millis(0, Sign::Any).ok()).unwrap_or(0)
}

fn is_literal(duration: &DurationExpr) -> bool {
    match duration {
        DurationExpr::Literal(_) => true,
        DurationExpr::Negate(inner) => matches!(**inner, DurationExpr::Literal(_)),
        _ => false,
    }
}

/// A duration that is computed, as a tree; null for a literal.
fn computed(duration: Option<&DurationExpr>) -> Value {
    duration
        .filter(|duration| !is_literal(duration))
        .map_or(Value::Null, |duration| of_duration(duration, false))
}

fn of_duration(duration: &DurationExpr, wrapped: bool) -> Value {
    let node = |op: String, left: Value, right: Value| json!({"type": "durationExpr", "op": op, "lhs": left, "rhs": right, "wrapped": wrapped});
    match duration {
        DurationExpr::Literal(seconds) => {
            json!({"type": "numberLiteral", "val": write_plain(*seconds), "duration": true})
        }
        DurationExpr::Step => node("step".into(), Value::Null, Value::Null),
        DurationExpr::Negate(inner) => node("-".into(), Value::Null, of_duration(inner, false)),
        DurationExpr::Paren(inner) => of_duration(inner, true),
        DurationExpr::Binary(left, op, right) => {
            node(op.to_string(), of_duration(left, false), of_duration(right, false))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse;

    /// As a Prometheus 3.13 answered.
    #[test]
    fn trees_are_those_of_prometheus() {
        for (query, expected) in [
            (r#""str""#, r#"{"type":"stringLiteral","val":"str"}"#),
            ("-1", r#"{"type":"numberLiteral","val":"-1"}"#),
            (
                "-up",
                r#"{"expr":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"up"}],"name":"up","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"op":"-","type":"unaryExpr"}"#,
            ),
            (
                r#"rate(foo{a="b"}[5m] offset 5m)"#,
                r#"{"args":[{"anchored":false,"matchers":[{"name":"a","type":"=","value":"b"},{"name":"__name__","type":"=","value":"foo"}],"name":"foo","offset":300000,"offsetExpr":null,"range":300000,"rangeExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"matrixSelector"}],"func":{"argTypes":["matrix"],"name":"rate","returnType":"vector","variadic":0},"type":"call"}"#,
            ),
            (
                "topk(3, foo @ 5)",
                r#"{"expr":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"foo"}],"name":"foo","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":5000,"type":"vectorSelector"},"grouping":[],"op":"topk","param":{"type":"numberLiteral","val":"3"},"type":"aggregation","without":false}"#,
            ),
            (
                "up[5m:]",
                r#"{"expr":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"up"}],"name":"up","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"offset":0,"offsetExpr":null,"range":300000,"rangeExpr":null,"startOrEnd":null,"step":0,"stepExpr":null,"timestamp":null,"type":"subquery"}"#,
            ),
        ] {
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(of(&parse(query).unwrap()), expected, "{query}");
        }
    }

    #[test]
    fn vectors_say_how_they_meet() {
        let matching = |query: &str| of(&parse(query).unwrap())["matching"].take();
        assert_eq!(matching("1 + up"), Value::Null);
        assert_eq!(
            matching("foo / on (a) group_left (b) bar"),
            json!({"card": "many-to-one", "labels": ["a"], "on": true, "include": ["b"], "fillValues": {"lhs": null, "rhs": null}})
        );
        assert_eq!(matching("a and b")["card"], "many-to-many");
    }
}
