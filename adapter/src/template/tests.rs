//! What Go does not say: limits, lines, fields; that hostile text does no harm. `tests/upstream.rs` holds the rest.

use proptest::prelude::*;

use super::*;

fn root() -> Value {
    Value::Struct(vec![("Series", Value::text("x")), ("GroupBySlice", Value::list(["a", "b"]))])
}

fn render(text: &str) -> Result<String, TemplateError> {
    Template::parse(text)?.render(&root())
}

#[test]
fn errors_know_their_line() {
    for (text, line) in [
        ("a\nb <<unknown>>", 1),
        ("\n\n<<.Series | index 1\n>>", 2),
        ("<<if .Series>>\n\n<<.No>>\n<<end>>", 2),
    ] {
        assert_eq!(render(text).unwrap_err().line_offset, line, "{text}");
    }
    assert_eq!(render("<<define \"x\">>").unwrap_err().message, "\"define\" is not supported in a query");
}

#[test]
fn limits_hold() {
    assert!(render("<<range 10000000>><<end>>").unwrap_err().message.contains("steps"));
    assert!(render("<<range 100000>><<printf \"%1000d\" 1>><<end>>").unwrap_err().message.contains("bytes"));
    assert_eq!(render("<<printf \"%99999d\" 1>>").unwrap().len(), 1000);
    let deep = format!("<<{}1{}>>", "(".repeat(MAX_DEPTH + 1), ")".repeat(MAX_DEPTH + 1));
    assert!(render(&deep).unwrap_err().message.contains("nested"));
    let deep = "<<if 1>>".repeat(MAX_DEPTH + 1) + &"<<end>>".repeat(MAX_DEPTH + 1);
    assert!(render(&deep).unwrap_err().message.contains("nested"));
    let chain = format!("<<if 0>>{}<<end>>", "<<else if 0>>".repeat(MAX_DEPTH + 1));
    assert!(render(&chain).unwrap_err().message.contains("nested"));
}

#[test]
fn root_fields_are_those_of_the_root() {
    let text = "<<.A>><<range .B>><<.no>><<$.C>><<end>><<with (index .D .E)>><<.no>><<else>><<.F>><<end>><<if .G>><<.H>><<end>>";
    assert_eq!(Template::parse(text).unwrap().root_fields(), ["A", "B", "C", "D", "E", "F", "G", "H"]);
}

proptest! {
    #[test]
    fn hostile_text_does_no_harm(text in "(<<|>>|-| |\\.|\\$|x|if|end|range|else|with|index|printf|\"|'|`|\\(|\\)|\\||:=|=|,|%[0-9*.\\[\\]a-z]|[0-9]|\\\\|\n|é){0,40}") {
        let _ = render(&text);
        let _ = render(&format!("<<{text}>>"));
    }

    #[test]
    fn text_without_delimiters_stays(text in "[^<]*") {
        prop_assert_eq!(render(&text).unwrap(), text);
    }
}
