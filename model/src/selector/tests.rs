use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn query_text_and_its_canonical_form() {
    for (text, canonical) in [
        ("", ""),
        (" ", ""),
        ("x=a,y=b,z=c", "x=a,y=b,z=c"),
        ("z=c,x=a", "x=a,z=c"),
        ("x!=a,y==b", "x!=a,y==b"),
        ("x=", "x="),
        ("x= ,z= ", "x=,z="),
        ("x", "x"),
        ("!x", "!x"),
        ("! x , y", "!x,y"),
        ("x>1,y<2", "x>1,y<2"),
        ("x in (foo)", "x in (foo)"),
        ("x in (b,a,b)", "x in (a,b)"),
        ("x in ()", "x in ()"),
        ("x in (,)", "x in ()"),
        ("x in (a,)", "x in (,a)"),
        ("x in (foo,,baz),y,z notin ()", "x in (,baz,foo),y,z notin ()"),
        ("in in (in,notin)", "in in (in,notin)"),
        ("x=in", "x=in"),
        ("kubernetes.io/os=linux", "kubernetes.io/os=linux"),
    ] {
        let selector = LabelSelector::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(selector.to_string(), canonical, "{text:?}");
        assert_eq!(selector.is_empty(), canonical.is_empty());
        // An empty value set prints as one empty value, which is what it means.
        assert_eq!(LabelSelector::parse(canonical).unwrap().to_string(), canonical);
    }
}

#[test]
fn text_that_is_no_label_selector() {
    for (text, message) in [
        (
            "x=a||y=b",
            "unable to parse requirement: values[0][x]: Invalid value: \"a||y\": a valid label must be",
        ),
        ("x==a==b", "found '==', expected: ',' or 'end of string'"),
        ("!x=a", "found '=', expected: ',' or 'end of string'"),
        (
            "x<a",
            "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("x,", "found '', expected: identifier after ','"),
        ("x,,y", "found ',', expected: identifier after ','"),
        ("x in a", "unable to parse requirement: found 'a' expected: '('"),
        ("x in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("x in (a b)", "unable to parse requirement: found 'b', expected: ',' or ')'"),
        ("x in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        ("x y", "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("-x", "unable to parse requirement: <nil>: Invalid value: \"-x\": name part must consist of"),
        ("x=(", "unable to parse requirement: found '(', expected: identifier"),
    ] {
        let error = LabelSelector::parse(text).map(|selector| selector.to_string()).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text:?}: {error}");
    }
    assert!(LabelSelector::parse(&"x".repeat(MAX_TEXT_BYTES + 1)).is_err());
}

#[test]
fn matching() {
    let have = labels(&[("app", "web"), ("tier", ""), ("n", "10"), ("word", "ten")]);
    for (text, matches) in [
        ("", true),
        ("app=web", true),
        ("app==db", false),
        ("app!=db,gone!=x", true),
        ("app!=web", false),
        ("gone=x", false),
        ("gone=", false),
        ("tier=", true),
        ("tier", true),
        ("!tier", false),
        ("!gone", true),
        ("app in (db,web)", true),
        ("app notin (db,web)", false),
        ("gone notin (x)", true),
        ("n>9", true),
        ("n>10", false),
        ("n<11", true),
        ("word>1", false),
        ("gone<1", false),
        ("app=web,!tier", false),
    ] {
        assert_eq!(LabelSelector::parse(text).unwrap().matches_map(&have), matches, "{text}");
    }
    assert!(LabelSelector::everything().matches(|_| None));
}

#[test]
fn object_form() {
    let read = |value| LabelSelector::from_json(&value).map(|selector| selector.to_string());
    assert_eq!(read(json!({})).as_deref(), Ok(""));
    assert_eq!(read(json!({"matchLabels": null, "matchExpressions": null})).as_deref(), Ok(""));
    assert_eq!(
        read(json!({"matchLabels": {"b": "2", "a": ""}, "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["y", "x"]},
            {"key": "d", "operator": "NotIn", "values": ["z"]},
            {"key": "e", "operator": "Exists"},
            {"key": "f", "operator": "DoesNotExist", "values": []},
        ]}))
        .as_deref(),
        Ok("a=,b=2,c in (x,y),d notin (z),e,!f")
    );
    for (value, message) in [
        (json!(null), "a label selector is an object"),
        (json!({"matchLabels": {"a": 1}}), "a value of matchLabels is text"),
        (json!({"matchLabels": []}), "matchLabels is a map of text"),
        (json!({"matchExpressions": {}}), "matchExpressions is a list"),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}),
            "\"Gt\" is not a valid label selector operator",
        ),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
            "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
        ),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}),
            "values: Invalid value: [\"b\"]: values set must be empty for exists and does not exist",
        ),
    ] {
        assert_eq!(read(value).unwrap_err().to_string(), message);
    }
}

#[test]
fn field_selectors() {
    let parse = |text| FieldSelector::parse(text).map(|selector| selector.to_string());
    for (text, canonical) in [
        ("", ""),
        (",,", ""),
        ("metadata.name=a", "metadata.name=a"),
        ("b!=1,a==2", "a=2,b!=1"),
        ("a=", "a="),
        (r"a=x\,y\=z\\", r"a=x\,y\=z\\"),
    ] {
        assert_eq!(parse(text).as_deref(), Ok(canonical), "{text}");
    }
    for (text, message) in [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
        (r"a=\", r"invalid field selector: invalid escape sequence: \"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), message);
    }
    let selector = FieldSelector::parse("metadata.name=a,status.phase!=Running").unwrap();
    let matches = |name, phase| {
        selector.matches(|path| match path {
            "metadata.name" => Some(name),
            "status.phase" => phase,
            _ => None,
        })
    };
    assert!(matches("a", Some("Pending")) && matches("a", None));
    assert!(!matches("a", Some("Running")) && !matches("b", None));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,40}") {
        let _ = FieldSelector::parse(&text);
        let _ = LabelSelector::parse(&text);
    }

    #[test]
    fn canonical_text_reads_back(text in r"([!abcin=<>(),0-9 ]|not|in| in \(|\)|,){0,12}") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            let again = LabelSelector::parse(&selector.to_string());
            prop_assert_eq!(again.map(|selector| selector.to_string()), Ok(selector.to_string()));
        }
    }
}
