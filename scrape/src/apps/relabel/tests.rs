use super::*;

/// `a=b c=d` as labels; a value may hold no blank.
fn set(text: &str) -> LabelSet {
    text.split_whitespace().filter_map(|pair| pair.split_once('=')).collect()
}

fn shown(labels: &LabelSet) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

fn rule(action: Action, change: impl FnOnce(&mut Draft)) -> Rule {
    let mut draft = Draft { action, ..Draft::default() };
    change(&mut draft);
    draft.check().unwrap()
}

fn sources(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

/// What becomes of labels under rules; "dropped" if they are.
#[track_caller]
fn check(before: &str, rules: &[Rule], after: &str) {
    let mut labels = set(before);
    let kept = apply(rules, &mut labels);
    assert_eq!(if kept { shown(&labels) } else { "dropped".to_owned() }, after, "{before}");
}

fn replace(from: &[&str], regex: &str, target: &str, replacement: &str) -> Rule {
    rule(Action::Replace, |draft| {
        draft.source_labels = sources(from);
        draft.regex = Some(regex.to_owned());
        draft.target_label = target.to_owned();
        draft.replacement = replacement.to_owned();
    })
}

fn filter(action: Action, from: &[&str], regex: &str) -> Rule {
    rule(action, |draft| {
        draft.source_labels = sources(from);
        draft.regex = Some(regex.to_owned());
    })
}

#[test]
fn replacing() {
    check("a=foo b=bar", &[replace(&["a"], "f(.*)", "d", "ch${1}-ch${1}")], "a=foo b=bar d=choo-choo");
    check("a=foo b=bar", &[replace(&["a", "b"], "f(.*);(.*)r", "c", "$2$1")], "a=foo b=bar c=baoo");
    // Anchored: what matches only in part does not match.
    check("a=foobar", &[replace(&["a"], "foo", "b", "x")], "a=foobar");
    check("a=foo", &[replace(&["a"], "(foo|bar)", "b", "x")], "a=foo b=x");
    // Nothing to set removes the label.
    check("a=foo b=bar", &[replace(&["a"], "foo", "b", "")], "a=foo");
    check("a=foo b=bar", &[replace(&["a"], "(x)?foo", "b", "$1")], "a=foo");
    // A label that is not there is empty, and the usual expression matches that.
    check("a=foo", &[replace(&["none"], "(.*)", "b", "const")], "a=foo b=const");
    check("a=foo b=bar", &[replace(&["none"], "(.+)", "b", "const")], "a=foo b=bar");
    check("a=foo", &[replace(&[], "(.*)", "b", "c")], "a=foo b=c");
    // The target is a template too.
    check(
        "a=some-name-value",
        &[replace(&["a"], "some-([^-]+)-([^,]+)", "${1}", "${2}")],
        "a=some-name-value name=value",
    );
    check("a=x;y", &[replace(&["a"], "(.*);(.*)", "${3}", "$1")], "a=x;y");
    // One rule sees what the one before it did.
    let chain = [replace(&["a"], "(.*)", "b", "1$1"), replace(&["b"], "(.*)", "c", "2$1")];
    check("a=0", &chain, "a=0 b=10 c=210");
    // The usual way to put a port into an address.
    let port = replace(&["__address__", "port"], r"([^:]+)(?::\d+)?;(\d+)", "__address__", "$1:$2");
    check("__address__=10.0.0.1:80 port=9", std::slice::from_ref(&port), "__address__=10.0.0.1:9 port=9");
    check("__address__=10.0.0.1", &[port], "__address__=10.0.0.1");
    let separated = rule(Action::Replace, |draft| {
        draft.source_labels = sources(&["a", "b"]);
        draft.separator = "||".to_owned();
        draft.target_label = "c".to_owned();
    });
    check("a=1 b=2", &[separated], "a=1 b=2 c=1||2");
}

#[test]
fn a_dot_matches_line_ends() {
    let mut labels: LabelSet = [("a", "x\ny")].into_iter().collect();
    assert!(apply(&[replace(&["a"], "x.y", "b", "yes")], &mut labels));
    assert_eq!(labels.get("b"), "yes");
}

#[test]
fn keeping_and_dropping() {
    check("a=foo", &[filter(Action::Keep, &["a"], "f|foo")], "a=foo");
    check("a=foo", &[filter(Action::Keep, &["a"], "no-match")], "dropped");
    check("a=foo", &[filter(Action::Keep, &["a"], "f")], "dropped");
    check("a=foo", &[filter(Action::Drop, &["a"], ".*o.*")], "dropped");
    check("a=foo", &[filter(Action::Drop, &["a"], "f")], "a=foo");
    check("a=foo", &[filter(Action::Drop, &["none"], "")], "dropped");
    // Nothing after the rule that drops is done.
    check("a=foo", &[filter(Action::Drop, &["a"], "foo"), replace(&[], "(.*)", "b", "c")], "dropped");
}

#[test]
fn equal_to_the_target() {
    let equal = |action| {
        rule(action, |draft| {
            draft.source_labels = sources(&["port"]);
            draft.target_label = "named".to_owned();
        })
    };
    check("named=80 port=80", &[equal(Action::KeepEqual)], "named=80 port=80");
    check("named=80 port=81", &[equal(Action::KeepEqual)], "dropped");
    check("named=80 port=80", &[equal(Action::DropEqual)], "dropped");
    check("named=80 port=81", &[equal(Action::DropEqual)], "named=80 port=81");
    check("x=1", &[equal(Action::KeepEqual)], "x=1");
}

#[test]
fn hashes_are_prometheus() {
    let hash = |from: &[&str], modulus| {
        rule(Action::HashMod, |draft| {
            draft.source_labels = sources(from);
            draft.target_label = "d".to_owned();
            draft.modulus = modulus;
        })
    };
    check("c=baz", &[hash(&["c"], 1000)], "c=baz d=976");
    let mut multi: LabelSet = [("a", "foo\nbar")].into_iter().collect();
    assert!(apply(&[hash(&["a"], 1000)], &mut multi));
    assert_eq!(multi.get("d"), "734");
    check("", &[hash(&["none"], u64::MAX)], "d=16825458760271544958");
}

#[test]
fn names_of_labels() {
    let map = |regex: &str, replacement: &str| {
        rule(Action::LabelMap, |draft| {
            draft.regex = Some(regex.to_owned());
            draft.replacement = replacement.to_owned();
        })
    };
    check("a=foo b1=bar b2=baz", &[map("(b.*)", "bar_${1}")], "a=foo b1=bar b2=baz bar_b1=bar bar_b2=baz");
    check(
        "__meta_my_bar=aaa __meta_my_baz=bbb __meta_other=ccc a=foo",
        &[map("__meta_(my.*)", "${1}")],
        "__meta_my_bar=aaa __meta_my_baz=bbb __meta_other=ccc a=foo my_bar=aaa my_baz=bbb",
    );
    // What is new is not mapped once more.
    check("a=1", &[map("(a+)", "a$1")], "a=1 aa=1");
    let names = |action, regex: &str| rule(action, |draft| draft.regex = Some(regex.to_owned()));
    check("a=foo b1=bar b2=baz", &[names(Action::LabelDrop, "(b.*)")], "a=foo");
    check("a=foo b1=bar b2=baz", &[names(Action::LabelKeep, "(b.*)")], "b1=bar b2=baz");
    check("ab=1", &[names(Action::LabelDrop, "a")], "ab=1");
}

#[test]
fn cases() {
    let case = |action| {
        rule(action, |draft| {
            draft.source_labels = sources(&["a"]);
            draft.target_label = "b".to_owned();
        })
    };
    check("a=bAr123Foo", &[case(Action::Lowercase)], "a=bAr123Foo b=bar123foo");
    check("a=bAr123Foo", &[case(Action::Uppercase)], "a=bAr123Foo b=BAR123FOO");
    check("a=Äß", &[case(Action::Uppercase)], "a=Äß b=Äß");
    check("a=ÄİΣ", &[case(Action::Lowercase)], "a=ÄİΣ b=äiσ");
}

#[test]
fn rules_that_do_not_hold_together() {
    let base = |action| Draft { action, ..Draft::default() };
    let target = |action| Draft { target_label: "t".to_owned(), ..base(action) };
    let text = |text: &str| text.to_owned();
    for (draft, field) in [
        (base(Action::Replace), "target_label"),
        (base(Action::Lowercase), "target_label"),
        (base(Action::KeepEqual), "target_label"),
        (target(Action::HashMod), "modulus"),
        (Draft { modulus: 8, ..base(Action::HashMod) }, "target_label"),
        (Draft { replacement: text("x"), ..target(Action::Uppercase) }, "replacement"),
        (Draft { replacement: text("x"), ..target(Action::KeepEqual) }, "replacement"),
        (Draft { separator: text(","), ..target(Action::DropEqual) }, "separator"),
        (Draft { regex: Some(text("x")), ..target(Action::DropEqual) }, "regex"),
        (Draft { modulus: 1, ..target(Action::DropEqual) }, "modulus"),
        (Draft { source_labels: sources(&["a"]), ..base(Action::LabelDrop) }, "source_labels"),
        (target(Action::LabelKeep), "target_label"),
        (Draft { replacement: text("x"), ..base(Action::LabelDrop) }, "replacement"),
        (Draft { replacement: String::new(), ..base(Action::LabelMap) }, "replacement"),
        (Draft { regex: Some(text("(")), ..base(Action::Keep) }, "regex"),
    ] {
        assert_eq!(draft.clone().check().unwrap_err().field, field, "{draft:?}");
    }
    for action in [Action::Keep, Action::Drop, Action::LabelMap, Action::LabelDrop, Action::LabelKeep] {
        assert!(base(action).check().is_ok(), "{action:?}");
    }
}

#[test]
fn actions_have_names_in_any_case() {
    for (action, name) in Action::ALL {
        assert_eq!(Action::from_name(&name.to_uppercase()), Some(action));
        assert_eq!(action.name(), name);
    }
    assert_eq!(Action::from_name("other"), None);
}

use proptest::prelude::*;

proptest! {
    /// Whatever the expression and the labels are, nothing panics, and no label is left with an empty value.
    #[test]
    fn any_rule(
        regex in r"[a-c(|)*+.?$]{0,6}",
        replacement in r"[a$1{}x]{0,5}",
        target in r"[a-c$1{}]{1,4}",
        labels in proptest::collection::btree_map("[a-c]{1,2}", "[a-c;\n]{0,3}", 0..4),
        action in 0..Action::ALL.len(),
    ) {
        let action = Action::ALL[action].0;
        let draft = Draft {
            action,
            source_labels: sources(&["a", "b"]),
            regex: Some(regex),
            modulus: 3,
            target_label: target,
            replacement,
            ..Draft::default()
        };
        if let Ok(rule) = draft.check() {
            let mut set: LabelSet = labels.into_iter().collect();
            let _ = apply(&[rule], &mut set);
            prop_assert!(set.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()));
        }
    }
}
