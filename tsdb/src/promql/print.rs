//! Queries as text: on one line, or broken into lines as Prometheus formats them.

use super::ast::{At, Card, Expr, Grouping, Matching, Node, Selector, When};
use super::number::write_plain;
use super::parse::strings;
use crate::series::{MatchOp, Matcher};

/// Longest line that is not broken.
const MAX_LINE: usize = 100;

/// On one line.
impl std::fmt::Display for Expr {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.node {
            Node::Number(value) => out.write_str(&write_plain(*value)),
            Node::Text(text) => write!(out, "{}", quote(text)),
            Node::Selector(selector) => write!(out, "{}{}", head(selector), tail(&selector.when)),
            Node::Range { selector, range } => {
                write!(out, "{}[{range}]{}", head(selector), tail(&selector.when))
            }
            Node::Subquery { expr, .. } => write!(out, "{expr}{}", subquery_tail(self)),
            Node::Call { function, args } => write!(out, "{}({})", function.name, list(args)),
            Node::Aggregate { op, param, expr, grouping } => {
                write!(out, "{}{}(", op.name(), group(grouping))?;
                if let Some(param) = param {
                    write!(out, "{param}, ")?;
                }
                write!(out, "{expr})")
            }
            Node::Binary { op, left, right, to_bool, matching } => {
                write!(out, "{left} {}{} {right}", op.name(), modifiers(*to_bool, matching))
            }
            Node::Negate(inner) => write!(out, "-{inner}"),
            Node::Paren(inner) => write!(out, "({inner})"),
        }
    }
}

/// In several lines where one would be too long.
pub fn pretty(expr: &Expr) -> String {
    at_level(expr, 0)
}

fn at_level(expr: &Expr, level: usize) -> String {
    let indent = "  ".repeat(level);
    let line = expr.to_string();
    if line.chars().count() <= MAX_LINE {
        return format!("{indent}{line}");
    }
    let deeper = |inner: &Expr| at_level(inner, level + 1);
    match &expr.node {
        Node::Call { function, args } => {
            let args: Vec<String> = args.iter().map(deeper).collect();
            format!("{indent}{}(\n{}\n{indent})", function.name, args.join(",\n"))
        }
        Node::Aggregate { op, param, expr, grouping } => {
            let param = param.as_ref().map(|param| format!("{},\n", deeper(param))).unwrap_or_default();
            format!("{indent}{}{}(\n{param}{}\n{indent})", op.name(), group(grouping), deeper(expr))
        }
        Node::Binary { op, left, right, to_bool, matching } => {
            let operator = format!("{}{}", op.name(), modifiers(*to_bool, matching));
            format!("{}\n{indent}{operator}\n{}", deeper(left), deeper(right))
        }
        Node::Paren(inner) => format!("{indent}(\n{}\n{indent})", deeper(inner)),
        Node::Negate(inner) => format!("{indent}-{}", at_level(inner, level).trim_start()),
        Node::Subquery { expr: inner, .. } => format!("{}{}", at_level(inner, level), subquery_tail(expr)),
        _ => format!("{indent}{line}"),
    }
}

fn list(args: &[Expr]) -> String {
    args.iter().map(Expr::to_string).collect::<Vec<_>>().join(", ")
}

fn group(grouping: &Grouping) -> String {
    let names = names(&grouping.labels);
    match (grouping.without, grouping.labels.is_empty()) {
        (true, _) => format!(" without ({names}) "),
        (false, false) => format!(" by ({names}) "),
        (false, true) => String::new(),
    }
}

fn modifiers(to_bool: bool, matching: &Matching) -> String {
    let mut out = if to_bool { " bool".to_owned() } else { String::new() };
    let grouped = matches!(matching.card, Card::ManyToOne | Card::OneToMany);
    if matching.on || !matching.labels.is_empty() || grouped {
        let keyword = if matching.on { "on" } else { "ignoring" };
        out.push_str(&format!(" {keyword} ({})", names(&matching.labels)));
        match matching.card {
            Card::ManyToOne => out.push_str(&format!(" group_left ({})", names(&matching.include))),
            Card::OneToMany => out.push_str(&format!(" group_right ({})", names(&matching.include))),
            Card::OneToOne | Card::ManyToMany => {}
        }
    }
    out
}

fn names(labels: &[String]) -> String {
    labels.iter().map(|name| label_name(name)).collect::<Vec<_>>().join(", ")
}

/// Whether a name stands in a query without quotes; `colons`: a metric's name may have them.
pub fn is_plain(name: &str, colons: bool) -> bool {
    let mut bytes = name.bytes();
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || (colons && byte == b':');
    bytes.next().is_some_and(first) && bytes.all(|byte| first(byte) || byte.is_ascii_digit())
}

/// A label's name as it stands in a query: in quotes when it is no plain word.
pub fn label_name(name: &str) -> String {
    if is_plain(name, false) { name.into() } else { quote(name) }
}

/// With the quotes and escapes of Go, which shows printable characters as they are.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            character if character.is_control() && u32::from(character) < 0x80 => {
                out.push_str(&format!("\\x{:02x}", u32::from(character)));
            }
            character if character.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            character if strings::stray(character).is_some() => {
                out.push_str(&format!("\\x{:02x}", strings::stray(character).unwrap_or_default()));
            }
            character => out.push(character),
        }
    }
    out.push('"');
    out
}

fn head(selector: &Selector) -> String {
    let mut matchers = selector.matchers.as_slice();
    let mut name = String::new();
    let mut conditions = Vec::new();
    if let Some(given) = &selector.name {
        matchers = &matchers[..matchers.len() - 1];
        name.clone_from(given);
    }
    for matcher in matchers {
        conditions.push(condition(matcher));
    }
    conditions.sort_unstable();
    match (name.is_empty(), conditions.is_empty()) {
        (false, true) => name,
        _ => format!("{name}{{{}}}", conditions.join(",")),
    }
}

fn condition(matcher: &Matcher) -> String {
    let op = match matcher.op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Matches => "=~",
        MatchOp::NotMatches => "!~",
    };
    format!("{}{op}{}", label_name(&matcher.name), quote(&matcher.value))
}

fn tail(when: &When) -> String {
    let at = match when.at {
        None => String::new(),
        Some(At::Start) => " @ start()".into(),
        Some(At::End) => " @ end()".into(),
        Some(At::Time(millis)) => format!(" @ {:.3}", millis as f64 / 1000.0),
    };
    let offset = when.offset.as_ref().map(|offset| format!(" offset {offset}")).unwrap_or_default();
    format!("{at}{offset}")
}

fn subquery_tail(expr: &Expr) -> String {
    let Node::Subquery { range, step, when, .. } = &expr.node else { return String::new() };
    let step = step.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("[{range}:{step}]{}", tail(when))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn written_on_one_line() {
        for (text, expected) in [
            ("sum(rate(x{a=\"b\"}[5m]))by(c)", "sum by (c) (rate(x{a=\"b\"}[5m]))"),
            ("a+on(b)group_left(c)d", "a + on (b) group_left (c) d"),
            ("a==bool 1e3", "a == bool 1000"),
            ("a*ignoring()group_right()b", "a * ignoring () group_right () b"),
            ("x[1h:30s]offset 90s@5", "x[1h:30s] @ 5.000 offset 1m30s"),
            ("{b!='c',__name__=~'a',A='d'}", "{A=\"d\",__name__=~\"a\",b!=\"c\"}"),
            ("{\"a.b\",'c.d'=\"e\"}", "{\"c.d\"=\"e\",__name__=\"a.b\"}"),
            ("x{\"z\"=\"1\",a=\"2\"}", "x{a=\"2\",z=\"1\"}"),
            ("-(topk(3,x))", "-(topk(3, x))"),
            ("sum without() (x offset -1w)", "sum without () (x offset -1w)"),
        ] {
            let expr = parse(text).unwrap();
            assert_eq!(expr.to_string(), expected);
            assert_eq!(parse(expected).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn long_ones_are_broken() {
        let text = format!("sum by (a) (rate({}[5m])) / on (a) group_left () x", "y".repeat(100));
        let expected = format!(
            "  sum by (a) (\n    rate(\n      {}[5m]\n    )\n  )\n/ on (a) group_left ()\n  x",
            "y".repeat(100)
        );
        assert_eq!(pretty(&parse(&text).unwrap()), expected);
    }
}
