use super::super::ast::{Card, Node};
use super::*;

fn fails(text: &str) -> String {
    parse(text).map(|expr| panic!("{text} parsed: {expr:?}")).unwrap_err().to_string()
}

#[test]
fn places_are_found() {
    let text = "sum by (a) (rate(x{b=~\"c|d\"}[5m] offset -(1m + 2m) @ 5)) / on(a) group_left() +y{}";
    let expr = parse(text).unwrap();
    assert_eq!(&text[expr.span.clone()], text);
    let Node::Binary { left, right, matching, .. } = &expr.node else { panic!("{expr:?}") };
    assert_eq!(matching.card, Card::ManyToOne);
    assert_eq!(&text[right.span.clone()], "+y{}");
    let Node::Aggregate { expr: rate, .. } = &left.node else { panic!("{left:?}") };
    let Node::Call { args, .. } = &rate.node else { panic!("{rate:?}") };
    assert_eq!(&text[args[0].span.clone()], "x{b=~\"c|d\"}[5m] offset -(1m + 2m) @ 5");
}

#[test]
fn names_may_be_keywords_and_quoted() {
    for text in [
        "offset",
        "sum",
        "sum{by=\"x\"}",
        "by + without",
        "{\"a.b\", c=\"d\"}",
        "sum by (\"a.b\", on) (x)",
        "start + end",
        "x{offset=\"1\"}",
        "offset offset 5m",
        "{__name__=~\"a.*\"}",
        "x{bool=\"x\"}",
        "sum(offset)",
        "count_values(\"a\", x)",
        "x{a=\"or\"} or y",
    ] {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (text, expected) in [
        ("", "no expression found in input"),
        ("sum(1)", "parse error: expected type instant vector in aggregation expression, got scalar"),
        ("sum(rate(x))", "1:10: parse error: expected type range vector in call to function \"rate\""),
        ("1 + rate(x[1m], 2)", "1:5: parse error: expected 1 argument(s) in call to \"rate\", got 2"),
        (
            "x[5m] + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        ("1 == 2", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("1 and x", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("{a=\"\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("sum(", "1:5: parse error: unclosed left parenthesis"),
        ("x{", "1:3: parse error: unexpected end of input inside braces"),
        ("{a=~\".*\"}", "at least one non-empty matcher"),
        ("x{__name__=\"y\"}", "metric name must not be set twice"),
        ("x{a=~\"(\"}", "1:6: parse error: invalid regular expression \"(\""),
        ("x[]", "missing duration"),
        ("x and on(a) group_left y", "no grouping allowed for \"and\" operation"),
        ("x + on(a) group_left(a) y", "must not occur in ON and GROUP clause at once"),
        ("1 + foo(x)", "1:5: parse error: unknown function with name \"foo\""),
        ("x @ Inf", "timestamp out of bounds"),
        (
            "x{a=\"b\" or c=\"d\"}",
            "1:9: parse error: unexpected identifier \"or\" in label matching, expected \",\" or \"}\"",
        ),
        ("x[5m] offset 1m offset 2m", "offset may not be set multiple times"),
        ("x +", "1:4: parse error: unexpected end of input"),
    ] {
        let message = fails(text);
        assert!(message.contains(expected), "{text}: {message}");
    }
}

/// As a Prometheus 3.13 said it.
#[test]
fn what_is_wrong_is_said_as_prometheus_says_it() {
    for (text, expected) in [
        ("foo bar", r#"1:5: parse error: unexpected identifier "bar""#),
        ("1 2", r#"1:3: parse error: unexpected number "2""#),
        ("foo \"x\"", r#"1:5: parse error: unexpected string "\"x\"""#),
        ("foo{a}", r#"1:6: parse error: unexpected "}" in label matching, expected label matching operator"#),
        ("foo{a=}", r#"1:7: parse error: unexpected "}" in label matching, expected string"#),
        (
            "foo{a=\"b\",,}",
            r#"1:11: parse error: unexpected "," in label matching, expected identifier or "}""#,
        ),
        (
            "foo{a=\"b\" c=\"d\"}",
            r#"1:11: parse error: unexpected identifier "c" in label matching, expected "," or "}""#,
        ),
        ("foo{a=b}", r#"1:7: parse error: unexpected identifier "b" in label matching, expected string"#),
        ("foo{a===\"b\"}", r#"1:7: parse error: unexpected "=" in label matching, expected string"#),
        ("foo{\"a\"}", r#"1:1: parse error: metric name must not be set twice: "foo" or "a""#),
        ("foo{__name__=\"bar\"}", r#"1:1: parse error: metric name must not be set twice: "foo" or "bar""#),
        ("foo[5m", "1:7: parse error: unclosed left bracket"),
        (
            "foo offset foo",
            r#"1:12: parse error: unexpected identifier "foo" in offset, expected number, duration, step(), or range()"#,
        ),
        ("foo @ bar", r#"1:7: parse error: unexpected identifier "bar" in @, expected timestamp"#),
        ("foo @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        ("sum(foo))", "1:10: parse error: unexpected right parenthesis ')'"),
        (
            "sum by foo (bar)",
            r#"1:8: parse error: unexpected identifier "foo" in grouping opts, expected "(""#,
        ),
        ("sum by (1) (foo)", r#"1:9: parse error: unexpected number "1" in grouping opts, expected label"#),
        (
            "topk(foo)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        ("topk(1,2)", "1:8: parse error: expected type instant vector in aggregation expression, got scalar"),
        ("topk(\"a\", foo)", "1:6: parse error: expected type scalar in aggregation parameter, got string"),
        ("foo + * bar", "1:7: parse error: unexpected <op:*>"),
        (
            "foo == \"a\"",
            "1:8: parse error: binary expression must contain only scalar and instant vector types",
        ),
        ("foo on(a) bar", "1:5: parse error: unexpected <on>"),
        ("foo + group_left bar", "1:7: parse error: unexpected <group_left>"),
        (
            "foo unless on() group_left() bar",
            r#"1:1: parse error: no grouping allowed for "unless" operation"#,
        ),
        ("foo ^ bool 2", "1:5: parse error: bool modifier can only be used on comparison operators"),
        ("(foo)[5m]", "1:6: parse error: ranges only allowed for vector selectors"),
        ("foo offset 1h[5m]", "1:14: parse error: no offset modifiers allowed before range"),
        (
            "-foo[5m]",
            r#"1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "range vector""#,
        ),
        ("foo{a=\"b\"}{c=\"d\"}", r#"1:11: parse error: unexpected "{""#),
        ("()", r#"1:2: parse error: unexpected ")""#),
        ("}", "1:1: parse error: unexpected character: '}'"),
        ("foo = 1", r#"1:5: parse error: unexpected "=""#),
        ("foo,bar", r#"1:4: parse error: unexpected ",""#),
        ("foo\n bar", r#"2:2: parse error: unexpected identifier "bar""#),
        ("bool", "1:1: parse error: unexpected <bool>"),
        ("atan2", "1:1: parse error: unexpected <op:atan2>"),
        ("foo and group_left(a) bar", "1:9: parse error: unexpected <group_left>"),
        ("foo + ignoring(a) group_left(b) on(c) bar", "1:33: parse error: unexpected <on>"),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        ("sum(foo bar)", r#"1:9: parse error: unexpected identifier "bar" in aggregation"#),
        ("rate(foo[5m] bar)", r#"1:14: parse error: unexpected identifier "bar""#),
        (
            "sum by (a b) (x)",
            r#"1:11: parse error: unexpected identifier "b" in grouping opts, expected "," or ")""#,
        ),
        ("foo offset 5m offset 2m", "1:1: parse error: offset may not be set multiple times"),
        ("foo{1=\"a\"}", "1:5: parse error: unexpected character inside braces: '1'"),
        ("foo{=\"a\"}", r#"1:5: parse error: unexpected "=" in label matching, expected identifier or "}""#),
        ("foo{a=\"b\",", "1:11: parse error: unexpected end of input inside braces"),
        (
            "sum(sum(foo[5m]))",
            "1:9: parse error: expected type instant vector in aggregation expression, got range vector",
        ),
        ("foo a_long_identifier", r#"1:5: parse error: unexpected identifier "a_long_identifier""#),
        ("foo 123456789012", r#"1:5: parse error: unexpected number "1234567890"..."#),
    ] {
        assert_eq!(fails(text), expected, "{text}");
    }
}

#[test]
fn depth_has_a_limit_before_recursion() {
    let deep = |levels: usize| format!("{}1{}", "(".repeat(levels), ")".repeat(levels));
    let on_a_small_stack = |text: String| {
        std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(move || parse(&text).map(|expr| expr.value_type()))
            .unwrap()
            .join()
            .unwrap()
    };
    assert!(on_a_small_stack(deep(MAX_DEPTH)).is_ok());
    assert!(on_a_small_stack(deep(100_000)).unwrap_err().to_string().contains("250 levels"));
    assert!(on_a_small_stack(vec!["1"; MAX_DEPTH].join("+")).is_ok());
    assert!(on_a_small_stack(vec!["1"; 100_000].join("+")).is_err());
    // Siblings are not depth.
    let args = vec!["\"a\""; 5000].join(", ");
    assert!(on_a_small_stack(format!("label_join(x, {args})")).is_ok());
    let matchers = vec!["a=~\"b+\""; 1000].join(",");
    assert!(on_a_small_stack(format!("x{{{matchers}}}")).is_ok());
    assert!(on_a_small_stack("x".repeat(MAX_QUERY_BYTES + 1)).is_err());
}
