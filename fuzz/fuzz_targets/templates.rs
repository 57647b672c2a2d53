//! Templates of Go's kind, in queries of the adapter: read or refused; what they make is no longer than promised, and the
//! same each time.

#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use flyball_adapter::template::{MAX_OUTPUT_BYTES, Template, Value};
use libfuzzer_sys::fuzz_target;

/// What a query knows, and values of every other kind.
static ROOT: LazyLock<Value> = LazyLock::new(|| {
    let labels =
        BTreeMap::from([("namespace".to_owned(), "shop".to_owned()), ("pod".to_owned(), "a|b".to_owned())]);
    Value::Struct(vec![
        ("Series", Value::text("http_requests_total")),
        ("LabelMatchers", Value::text("namespace=\"shop\",pod=~\"a|b\"")),
        ("LabelValuesByName", Value::Map(labels)),
        ("GroupBy", Value::text("pod")),
        ("GroupBySlice", Value::list(["pod", "ns"])),
        ("Quantile", Value::Float(0.99)),
        ("Count", Value::Int(i64::MIN)),
        ("Empty", Value::Bool(false)),
        ("Nothing", Value::Nil),
        ("Resource", Value::Named("pods".to_owned(), vec![("Group", Value::text(""))])),
    ])
});

fuzz_target!(|text: &str| {
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => {
            assert!(error.line_offset <= text.lines().count() && !error.message.is_empty(), "{error}");
            return;
        }
    };
    let _ = template.root_fields();
    let made = template.render(&ROOT);
    if let Ok(text) = &made {
        assert!(text.len() <= MAX_OUTPUT_BYTES);
    }
    assert_eq!(made, template.render(&ROOT));
});
