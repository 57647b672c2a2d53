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
        "x or offset @ 5",
        "x and offset offset 5m",
        "x == bool offset",
        "or offset 5m",
        "x or or or or",
        "x or on (a) offset @ 5",
        "x + on (a) group_left (b) offset offset 5m",
    ] {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn numbers_and_durations_are_one() {
    for (text, value) in [
        ("1_000", 1000.0),
        ("1e1_0", 1e10),
        ("0x_f", 15.0),
        ("017", 15.0),
        ("09", 9.0),
        ("5m", 300.0),
        ("1m30s", 90.0),
        ("0s", 0.0),
        ("1ms", 0.001),
        ("iNf", f64::INFINITY),
        ("18446744073709551616", 1.8446744073709552e19),
        ("5e-324", 5e-324),
    ] {
        let expr = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(matches!(expr.node, Node::Number(number) if number == value), "{text}: {expr:?}");
    }
    for text in ["1e400", "1e5.5", "0xFFFFFFFFFFFFFFFFF"] {
        assert!(fails(text).starts_with("1:1: parse error: error parsing number"), "{}", fails(text));
    }
    assert_eq!(parse("x > 1_000_000").unwrap().to_string(), "x > 1000000");
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
        ("x{a=~\"(\"}", "1:3: parse error: error parsing regexp: missing closing )"),
        ("x[]", "number or duration"),
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
            r#"1:12: parse error: unexpected identifier "foo" in offset, expected number or duration"#,
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
        (
            "1 + + \"\"",
            r#"1:5: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "string""#,
        ),
        (
            "+x[5m]",
            r#"1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "range vector""#,
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

/// What Prometheus 3.5 says of these.
#[test]
fn messages_and_places_are_those_of_prometheus() {
    let mut others = Vec::new();
    for (text, expected) in [
        ("x y", "1:3: parse error: unexpected identifier \"y\""),
        ("x +", "1:4: parse error: unexpected end of input"),
        ("sum(", "1:5: parse error: unclosed left parenthesis"),
        ("sum(x", "1:6: parse error: unclosed left parenthesis"),
        ("sum x", "1:5: parse error: unexpected identifier \"x\""),
        ("sum by x (y)", "1:8: parse error: unexpected identifier \"x\" in grouping opts, expected \"(\""),
        (
            "sum by (x y) (z)",
            "1:11: parse error: unexpected identifier \"y\" in grouping opts, expected \",\" or \")\"",
        ),
        (
            "sum(x) by test",
            "1:11: parse error: unexpected identifier \"test\" in grouping opts, expected \"(\"",
        ),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        (
            "sum(x, y)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2",
        ),
        (
            "topk(x)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        (
            "topk(1, x, 2)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 3",
        ),
        (
            "sum by (\"a\", 5) (x)",
            "1:14: parse error: unexpected number \"5\" in grouping opts, expected label",
        ),
        ("sum by (inf) (x)", "1:9: parse error: unexpected number \"inf\" in grouping opts, expected label"),
        ("x{", "1:3: parse error: unexpected end of input inside braces"),
        ("x{a", "1:4: parse error: unexpected end of input inside braces"),
        ("x{a}", "1:4: parse error: unexpected \"}\" in label matching, expected label matching operator"),
        ("x{a=}", "1:5: parse error: unexpected \"}\" in label matching, expected string"),
        ("x{a=b}", "1:5: parse error: unexpected identifier \"b\" in label matching, expected string"),
        ("x{a=\"b\"", "1:8: parse error: unexpected end of input inside braces"),
        (
            "x{a=\"b\" c=\"d\"}",
            "1:9: parse error: unexpected identifier \"c\" in label matching, expected \",\" or \"}\"",
        ),
        (
            "x{a=\"b\",,}",
            "1:9: parse error: unexpected \",\" in label matching, expected identifier or \"}\"",
        ),
        ("x{,}", "1:3: parse error: unexpected \",\" in label matching, expected identifier or \"}\""),
        ("x{a==\"b\"}", "1:5: parse error: unexpected \"=\" in label matching, expected string"),
        ("x{5=\"a\"}", "1:3: parse error: unexpected character inside braces: '5'"),
        ("x{a=5}", "1:5: parse error: unexpected character inside braces: '5'"),
        (
            "x{\"b\" \"c\"}",
            "1:7: parse error: unexpected string \"\\\"c\\\"\" in label matching, expected \",\" or \"}\"",
        ),
        (
            "x{a=\"b\" or c=\"d\"}",
            "1:9: parse error: unexpected identifier \"or\" in label matching, expected \",\" or \"}\"",
        ),
        ("x{a:b=\"c\"}", "1:4: parse error: unexpected character inside braces: ':'"),
        ("x{{}}", "1:3: parse error: unexpected left brace '{'"),
        ("x[", "1:3: parse error: unexpected end of input in duration expression"),
        ("x[5m", "1:5: parse error: unclosed left bracket"),
        ("x[]", "1:3: parse error: unexpected \"]\" in subquery selector, expected number or duration"),
        ("x[abc]", "1:3: parse error: unexpected character in duration expression: 'a'"),
        ("x[\"5m\"]", "1:3: parse error: unexpected character in duration expression: '\"'"),
        ("x[5m:", "1:6: parse error: unclosed left bracket"),
        ("x[5m:1m", "1:8: parse error: unclosed left bracket"),
        ("x[5m:1m:2m]", "1:8: parse error: unexpected colon ':'"),
        (
            "x[5m 6m]",
            "1:6: parse error: unexpected duration \"6m\" in subquery or range, expected \":\" or \"]\"",
        ),
        ("x[5m,6m]", "1:5: parse error: unexpected \",\" in subquery or range, expected \":\" or \"]\""),
        ("x[5m][5m]", "1:6: parse error: ranges only allowed for vector selectors"),
        ("(x)[5m]", "1:4: parse error: ranges only allowed for vector selectors"),
        ("x offset", "1:9: parse error: unexpected end of input in offset, expected number or duration"),
        (
            "x offset y",
            "1:10: parse error: unexpected identifier \"y\" in offset, expected number or duration",
        ),
        ("x offset 5m offset 5m", "1:1: parse error: offset may not be set multiple times"),
        (
            "1 offset 5m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        (
            "rate(x[5m]) offset 5m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("x @", "1:4: parse error: unexpected end of input in @, expected timestamp"),
        ("x @ y", "1:5: parse error: unexpected identifier \"y\" in @, expected timestamp"),
        ("x @ start", "1:10: parse error: unexpected end of input in @, expected timestamp"),
        ("x @ start()(", "1:12: parse error: unexpected \"(\""),
        ("x @ 5 @ 6", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        (
            "1 @ 5",
            "1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("x offset 5m [5m]", "1:13: parse error: no offset modifiers allowed before range"),
        ("x @ 5 [5m]", "1:7: parse error: no @ modifiers allowed before range"),
        ("rate(x[5m)", "1:10: parse error: unexpected \")\" in subquery or range, expected \":\" or \"]\""),
        ("rate(x y)", "1:8: parse error: unexpected identifier \"y\""),
        ("sum(rate(x y))", "1:12: parse error: unexpected identifier \"y\" in aggregation"),
        ("rate(x[5m],)", "1:11: parse error: trailing commas not allowed in function call args"),
        ("rate(,)", "1:6: parse error: unexpected \",\""),
        ("foo(x)", "1:1: parse error: unknown function with name \"foo\""),
        ("foo(x y)", "1:7: parse error: unexpected identifier \"y\""),
        ("x + on y", "1:8: parse error: unexpected identifier \"y\" in grouping opts, expected \"(\""),
        (
            "x + on(a) group_left(b c) y",
            "1:24: parse error: unexpected identifier \"c\" in grouping opts, expected \",\" or \")\"",
        ),
        ("x + group_left(b) y", "1:5: parse error: unexpected <group_left>"),
        ("x == bool", "1:10: parse error: unexpected end of input"),
        ("bool", "1:1: parse error: unexpected <bool>"),
        ("on", "1:1: parse error: unexpected <on>"),
        ("x and", "1:6: parse error: unexpected end of input"),
        ("x)", "1:3: parse error: unexpected right parenthesis ')'"),
        (")", "1:2: parse error: unexpected right parenthesis ')'"),
        ("(x", "1:3: parse error: unclosed left parenthesis"),
        ("(x y)", "1:4: parse error: unexpected identifier \"y\""),
        ("()", "1:2: parse error: unexpected \")\""),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("{a=~\"(\"}", "1:2: parse error: error parsing regexp: missing closing ): `(`"),
        ("5m5", "1:1: parse error: bad number or duration syntax: \"5m5\""),
        ("1e", "1:1: parse error: bad number or duration syntax: \"1e\""),
        ("0xg", "1:1: parse error: bad number or duration syntax: \"0x\""),
        ("\"abc", "1:1: parse error: unterminated quoted string"),
        ("'abc", "1:1: parse error: unterminated quoted string"),
        ("`abc", "1:1: parse error: unterminated raw string"),
        ("x = y", "1:3: parse error: unexpected \"=\""),
        ("x =~ y", "1:3: parse error: unexpected character after '=': '~'"),
        ("x !~ y", "1:3: parse error: unexpected character after '!': '~'"),
        ("x ! y", "1:3: parse error: unexpected character after '!': ' '"),
        ("x ~ y", "1:3: parse error: unexpected character: '~'"),
        ("x $ y", "1:3: parse error: unexpected character: '$'"),
        ("x % % y", "1:5: parse error: unexpected <op:%>"),
        ("- ", "1:3: parse error: unexpected end of input"),
        ("--", "1:3: parse error: unexpected end of input"),
        ("1 2", "1:3: parse error: unexpected number \"2\""),
        ("\"a\" \"b\"", "1:5: parse error: unexpected string \"\\\"b\\\"\""),
        ("x \"a\"", "1:3: parse error: unexpected string \"\\\"a\\\"\""),
        ("x 5", "1:3: parse error: unexpected number \"5\""),
        ("a:b c:d", "1:5: parse error: unexpected metric identifier \"c:d\""),
        ("sum(x) sum(y)", "1:8: parse error: unexpected <aggr:sum>"),
        ("x by y", "1:3: parse error: unexpected <by>"),
        ("x start", "1:3: parse error: unexpected \"start\""),
        ("x,y", "1:2: parse error: unexpected \",\""),
        ("sum(x,)", "1:6: parse error: trailing commas not allowed in function call args"),
        ("sum(x))", "1:8: parse error: unexpected right parenthesis ')'"),
        ("label_replace(x, \"a\" \"b\")", "1:22: parse error: unexpected string \"\\\"b\\\"\""),
        (
            "\"a\" + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "\"verylongstring\" \"anotherverylongstring\"",
            "1:18: parse error: unexpected string \"\\\"anotherve\"...",
        ),
        ("x[5m] offset", "1:13: parse error: unexpected end of input in offset, expected number or duration"),
        ("x[0]", "1:3: parse error: duration must be greater than 0"),
        ("x[-5m]", "1:3: parse error: duration must be greater than 0"),
        ("x[5m:0]", "1:6: parse error: duration must be greater than 0"),
        ("x[1y1d1]", "1:3: parse error: bad number or duration syntax: \"1y1d1\""),
        ("x[5k]", "1:3: parse error: bad number or duration syntax: \"5\""),
        ("x offset 5k", "1:10: parse error: bad number or duration syntax: \"5\""),
        (
            "histogram_quantile(x)",
            "1:1: parse error: expected 2 argument(s) in call to \"histogram_quantile\", got 1",
        ),
        ("time(1)", "1:1: parse error: expected 0 argument(s) in call to \"time\", got 1"),
        ("round()", "1:1: parse error: expected at least 1 argument(s) in call to \"round\", got 0"),
        ("round(x,1,2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        (
            "x[5m] == x",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        ("1 and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("x and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("x{a=\"\\q\"}", "1:5: parse error: unknown escape sequence U+0071 'q'"),
        ("\"\\400\"", "1:1: parse error: escape sequence is an invalid Unicode code point"),
        ("sum without (x", "1:15: parse error: unclosed left parenthesis"),
        ("sum without", "1:12: parse error: unexpected end of input in grouping opts, expected \"(\""),
        ("sum by", "1:7: parse error: unexpected end of input in grouping opts, expected \"(\""),
        ("sum by (", "1:9: parse error: unclosed left parenthesis"),
        ("topk(", "1:6: parse error: unclosed left parenthesis"),
        (
            "offset offset",
            "1:14: parse error: unexpected end of input in offset, expected number or duration",
        ),
        (
            "x offset offset 5m",
            "1:10: parse error: unexpected <offset> in offset, expected number or duration",
        ),
        ("x[5m:]] ", "1:7: parse error: unexpected right bracket ']'"),
        ("x]", "1:2: parse error: unexpected right bracket ']'"),
        ("x[5m]]", "1:6: parse error: unexpected right bracket ']'"),
        ("x[[5m]]", "1:3: parse error: unexpected character in duration expression: '['"),
        ("x{}{}", "1:4: parse error: unexpected \"{\""),
        ("{a=\"b\"}{c=\"d\"}", "1:8: parse error: unexpected \"{\""),
        ("x group_left y", "1:3: parse error: unexpected <group_left>"),
        ("min_over_time()", "1:1: parse error: expected 1 argument(s) in call to \"min_over_time\", got 0"),
        (
            "min_over_time(x[5m], 1)",
            "1:1: parse error: expected 1 argument(s) in call to \"min_over_time\", got 2",
        ),
    ] {
        let message = fails(text);
        if message != expected {
            others.push(format!("{text}\n    {message}\n    {expected}"));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}
