use proptest::prelude::*;

use super::*;

fn events(text: &str, format: Format) -> Result<Vec<Event<'_>>, ReadError> {
    Reader::new(text, format).collect()
}

fn sample<'a>(
    name: &'a str,
    labels: &[(&'a str, &'a str)],
    value: f64,
    timestamp_ms: Option<i64>,
) -> Event<'a> {
    let labels = labels.iter().map(|(name, value)| (*name, Cow::Borrowed(*value))).collect();
    Event::Sample(SampleRef { name, labels, value, timestamp_ms })
}

#[test]
fn text_004_of_a_kubelet() {
    let text = r#"# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="c0",namespace="ns",pod="p"} 4.710169 1633253812125
# TYPE scrape_error gauge
scrape_error 0
"#;
    assert_eq!(
        events(text, Format::Text004).unwrap(),
        [
            Event::Help {
                name: "container_cpu_usage_seconds_total",
                help: "[STABLE] Cumulative cpu time consumed by the container in core-seconds".into()
            },
            Event::Type { name: "container_cpu_usage_seconds_total", kind: MetricType::Counter },
            sample(
                "container_cpu_usage_seconds_total",
                &[("container", "c0"), ("namespace", "ns"), ("pod", "p")],
                4.710169,
                Some(1633253812125)
            ),
            Event::Type { name: "scrape_error", kind: MetricType::Gauge },
            sample("scrape_error", &[], 0.0, None),
        ]
    );
}

#[test]
fn text_004_leaves_room() {
    for (line, want) in [
        ("a 1", sample("a", &[], 1.0, None)),
        ("\t a \t 1 \t 2 ", sample("a", &[], 1.0, Some(2))),
        ("a{} 1 -2", sample("a", &[], 1.0, Some(-2))),
        ("a{b=\"c\",} 1", sample("a", &[("b", "c")], 1.0, None)),
        ("a { b = \"c\" , d = \"e\" } 1", sample("a", &[("b", "c"), ("d", "e")], 1.0, None)),
        ("a{b=\"\"}1", sample("a", &[("b", "")], 1.0, None)),
        (r#"a{b="\\\"\n\x}{,"} 1"#, sample("a", &[("b", "\\\"\n\\x}{,")], 1.0, None)),
        (r#"{"my.metric","label.one"="v"} 1"#, sample("my.metric", &[("label.one", "v")], 1.0, None)),
        ("a:b_1 +Inf", sample("a:b_1", &[], f64::INFINITY, None)),
        ("a -inf", sample("a", &[], f64::NEG_INFINITY, None)),
        ("a 1.5e+09", sample("a", &[], 1.5e9, None)),
        ("a -.5", sample("a", &[], -0.5, None)),
        ("a{b=\"ä\"} 1", sample("a", &[("b", "ä")], 1.0, None)),
        ("# TYPE a untyped ", Event::Type { name: "a", kind: MetricType::Untyped }),
        (r"#HELP a x\\y\nz\q", Event::Help { name: "a", help: "x\\y\nz\\q".into() }),
        ("# HELP a", Event::Help { name: "a", help: "".into() }),
        ("# HELP \"a.b\" x", Event::Help { name: "a.b", help: "x".into() }),
    ] {
        assert_eq!(events(line, Format::Text004), Ok(vec![want]), "{line:?}");
    }
    for silent in ["", "\n\n", "#", "# a comment", "# UNIT a b", "# EOF\n", "#TYPER x y"] {
        assert_eq!(events(silent, Format::Text004), Ok(vec![]), "{silent:?}");
    }
    let nan = events("a nAn", Format::Text004).unwrap();
    assert!(matches!(&nan[0], Event::Sample(sample) if sample.value.to_bits() == f64::NAN.to_bits()));
}

#[test]
fn text_004_faults_name_the_line() {
    for (line, reason) in [
        ("1a 2", "a metric name was expected near \"1a 2\""),
        ("a", "a blank or '{' was expected near the end of the line"),
        ("a ", "value \"\" is no number"),
        ("a-b 1", "a blank or '{' was expected near \"-b 1\""),
        ("a x", "value \"x\" is no number"),
        ("a 0x1p3", "value \"0x1p3\" is no number"),
        ("a 1_000", "value \"1_000\" is no number"),
        ("a 1e999", "value \"1e999\" is no number"),
        ("a 1\r", "value \"1\\r\" is no number"),
        ("a 1 2\r", "timestamp \"2\\r\" is no time"),
        ("\r", "a metric name was expected near \"\\r\""),
        ("a 1 1.5", "timestamp \"1.5\" is no time"),
        ("a 1 9223372036854775808", "timestamp \"9223372036854775808\" is no time"),
        ("a 1 2 3", "the line should end near \"3\""),
        ("a 1 # {} 1", "timestamp \"#\" is no time"),
        ("a{b=\"c\" 1", "',' or '}' was expected near \"1\""),
        ("a{b=\"c} 1", "a text in quotes has no end near \"c} 1\""),
        ("a{b=\"c\\", "a text in quotes has no end near \"c\\\\\""),
        ("a{b=c} 1", "a text in double quotes was expected near \"c} 1\""),
        ("a{b} 1", "'=' was expected near \"} 1\""),
        ("a{b:c=\"d\"} 1", "'=' was expected near \":c=\\\"d\\\"} 1\""),
        ("a{,} 1", "a label name was expected near \",} 1\""),
        ("a{b=\"1\",b=\"2\"} 1", "label \"b\" appears twice"),
        ("a{\"b\"} 1", "metric \"b\" is named \"a\" outside of its braces"),
        ("{b=\"c\"} 1", "a metric name was expected near \" 1\""),
        ("{\"a\\n\"} 1", "escapes in the name \"a\\n\" are not supported"),
        ("{\"\"} 1", "a name in quotes is empty"),
        ("# TYPE a gorge", "\"gorge\" is no metric type"),
        ("# TYPE a info", "\"info\" is no metric type"),
        ("# HELP", "a metric name was expected near the end of the line"),
        ("# HELP a{ x", "a blank was expected near \"{ x\""),
    ] {
        let text = format!("ok 1\n{line}\nok 2\n");
        let got: Vec<_> = Reader::new(&text, Format::Text004).collect();
        assert_eq!(got[1], Err(ReadError { line: 2, reason: reason.into() }), "{line:?}");
        assert!(got[0].is_ok() && got[2].is_ok() && got.len() == 3, "reading goes on after {line:?}");
    }
    let error = events("ok 1\nbad", Format::Text004).unwrap_err();
    assert_eq!(error.to_string(), "line 2: a blank or '{' was expected near the end of the line");
}

#[test]
fn limits_hold() {
    let long = format!("a{{b=\"{}\"}} 1", "x".repeat(MAX_LINE_BYTES));
    assert!(
        events(&long, Format::Text004).unwrap_err().reason.ends_with("bytes, more than the 65536 allowed")
    );
    let labels: Vec<String> = (0..=MAX_LABELS).map(|index| format!("l{index}=\"\"")).collect();
    let many = format!("a{{{}}} 1", labels.join(","));
    assert_eq!(events(&many, Format::Text004).unwrap_err().reason, "more than 256 labels");
}

#[test]
fn openmetrics() {
    let text = r#"# HELP a_seconds what "it" \"counts\"
# TYPE a_seconds counter
# UNIT a_seconds seconds
a_seconds_total{x="y"} 17 1633253812.125 # {trace_id="KOO5S4vxi0o"} 0.67 1.5
a_seconds_created 1520430000.123 1.5e3
# TYPE b unknown
b NaN -1.5
b 1 # {} 1
# TYPE c gaugehistogram
# TYPE d stateset
# TYPE e info
# EOF
"#;
    let events = events(text, Format::OpenMetrics10).unwrap();
    assert_eq!(events[0], Event::Help { name: "a_seconds", help: "what \"it\" \"counts\"".into() });
    assert_eq!(events[2], Event::Unit { name: "a_seconds", unit: "seconds" });
    assert_eq!(events[3], sample("a_seconds_total", &[("x", "y")], 17.0, Some(1633253812125)));
    assert_eq!(events[4], sample("a_seconds_created", &[], 1520430000.123, Some(1_500_000)));
    assert_eq!(events[5], Event::Type { name: "b", kind: MetricType::Untyped });
    assert!(matches!(&events[6], Event::Sample(sample) if sample.timestamp_ms == Some(-1500)));
    assert_eq!(events[7], sample("b", &[], 1.0, None));
    assert_eq!(events[10], Event::Type { name: "e", kind: MetricType::Info });
    assert_eq!(events[11], Event::Eof);
    assert_eq!(events.len(), 12);
}

#[test]
fn openmetrics_faults() {
    for (text, line, reason) in [
        ("", 0, "the body does not end with # EOF"),
        ("a 1\n", 1, "the body does not end with # EOF"),
        ("a  1\n# EOF\n", 1, "value \"\" is no number"),
        ("a 1 \n# EOF\n", 1, "timestamp \"\" is no time"),
        ("a 1\r\n# EOF\n", 1, "value \"1\\r\" is no number"),
        ("\n# EOF\n", 1, "an empty line"),
        ("# a comment\n# EOF\n", 1, "HELP, TYPE, UNIT or EOF was expected, not \"a\""),
        ("# TYPE a untyped\n# EOF\n", 1, "\"untyped\" is no metric type"),
        ("# UNIT a_bytes seconds\n# EOF\n", 1, "unit \"seconds\" does not end the name \"a_bytes\""),
        ("# EOF\na 1\n", 2, "there is text after # EOF"),
        ("a 1 NaN\n# EOF\n", 1, "timestamp \"NaN\" is no time"),
        ("a 1 1e300\n# EOF\n", 1, "timestamp \"1e300\" is no time"),
        ("a 1 # {x=\"y\"}\n# EOF\n", 1, "a blank was expected near the end of the line"),
        ("a 1 # {\"b\"} 1\n# EOF\n", 1, "an exemplar has a name of its own"),
        ("a 1 # {b=\"c\"} 1 1 1\n# EOF\n", 1, "the line should end near \" 1\""),
    ] {
        let error = Reader::new(text, Format::OpenMetrics10).find_map(Result::err);
        assert_eq!(error, Some(ReadError { line, reason: reason.into() }), "{text:?}");
    }
    let long = format!("a 1 # {{b=\"{}\"}} 1\n# EOF", "ä".repeat(MAX_EXEMPLAR_CHARS));
    assert!(events(&long, Format::OpenMetrics10).unwrap_err().reason.contains("129 characters"));
}

#[test]
fn a_written_body() {
    let body = |format| {
        let mut writer = Writer::new(format);
        writer.family("req_seconds_total", "a \"b\"\n\\", MetricType::Counter, Some("seconds"));
        writer.sample("req_seconds_total", &[("x", "\"\\\n"), ("bad-name", "")], 1e-7, Some(1_500));
        writer.family("up", "", MetricType::StateSet, None);
        writer.sample("up", &[], 1.0, Some(-2_000));
        writer.finish()
    };
    assert_eq!(
        body(Format::Text004),
        r#"# HELP req_seconds_total a "b"\n\\
# TYPE req_seconds_total counter
req_seconds_total{x="\"\\\n",bad_name=""} 1e-7 1500
# HELP up 
# TYPE up gauge
up 1 -2000
"#
    );
    assert_eq!(
        body(Format::OpenMetrics10),
        r#"# HELP req_seconds a \"b\"\n\\
# TYPE req_seconds counter
# UNIT req_seconds seconds
req_seconds_total{x="\"\\\n",bad_name=""} 1e-7 1.500
# HELP up 
# TYPE up stateset
up 1 -2
# EOF
"#
    );
}

#[test]
fn numbers_are_written_short() {
    let written = |value| {
        let mut writer = Writer::new(Format::Text004);
        writer.sample("a", &[], value, None);
        writer.finish()
    };
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (3.0, "3"),
        (1_500_000_000.0, "1500000000"),
        (4.710169, "4.710169"),
        (1e300, "1e300"),
        (5e-324, "5e-324"),
        (f64::NAN, "NaN"),
        (-f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
    ] {
        assert_eq!(written(value), format!("a {text}\n"));
    }
}

#[test]
fn names_that_need_mending() {
    let mut writer = Writer::new(Format::Text004);
    for name in ["", "1a", "a.b", "ä", "a:b"] {
        writer.sample(name, &[("a:b", ""), ("9", "")], 1.0, None);
    }
    let text = writer.finish();
    let names: Vec<&str> = text.lines().filter_map(|line| line.split('{').next()).collect();
    assert_eq!(names, ["_", "_1a", "a_b", "__", "a:b"]);
    assert!(text.starts_with("_{a_b=\"\",_9=\"\"} 1\n"));
}

#[test]
fn format_from_headers() {
    use Format::{OpenMetrics10, Text004};
    for (accept, format) in [
        ("", Text004),
        ("*/*", Text004),
        ("text/plain", Text004),
        ("application/openmetrics-text", OpenMetrics10),
        ("application/openmetrics-text;version=0.0.1", Text004),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", OpenMetrics10),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OpenMetrics10,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3",
            OpenMetrics10,
        ),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.3", Text004),
        ("application/openmetrics-text;q=0,text/html", Text004),
        ("text/plain;version=\"0.0.4\",application/openmetrics-text", Text004),
    ] {
        assert_eq!(Format::from_accept(accept), format, "{accept}");
    }
    for format in [Text004, OpenMetrics10] {
        assert_eq!(Format::from_content_type(format.content_type()), Some(format));
    }
    assert_eq!(Format::from_content_type("TEXT/PLAIN; VERSION=0.0.4"), Some(Format::Text004));
    assert_eq!(Format::from_content_type("text/html"), None);
}

#[test]
fn an_owned_sample() {
    let mut reader = Reader::new("a{c=\"2\",b=\"1\"} 3 4", Format::Text004);
    let Some(Ok(Event::Sample(sample))) = reader.next() else { panic!("a sample") };
    assert_eq!((sample.label("b"), sample.label("x")), (Some("1"), None));
    let owned = sample.to_owned().unwrap();
    assert_eq!(owned.labels, Labels::from_pairs([("b", "1"), ("c", "2")]).unwrap());
    assert_eq!((owned.name.as_str(), owned.value, owned.timestamp_ms), ("a", 3.0, Some(4)));
}

type Row = (String, Vec<(String, String)>, f64, Option<i64>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let label = ("[a-zA-Z_][a-zA-Z0-9_]{0,5}", "(?s).{0,8}");
    let labels =
        prop::collection::btree_map(label.0, label.1, 0..4).prop_map(|map| map.into_iter().collect());
    let value =
        prop_oneof![any::<f64>(), any::<u64>().prop_map(f64::from_bits), (-1e6..1e6f64).prop_map(f64::trunc)];
    prop::collection::vec(("[a-zA-Z_:][a-zA-Z0-9_:]{0,8}", labels, value, any::<Option<i64>>()), 0..5)
}

fn read_back(text: &str, format: Format) -> Vec<Row> {
    let samples =
        Reader::new(text, format).filter_map(|event| match event.expect("what was written is well-formed") {
            Event::Sample(sample) => Some(sample),
            _ => None,
        });
    samples
        .map(|sample| {
            let labels = sample.labels.into_iter().map(|(name, value)| (name.to_owned(), value.into_owned()));
            (sample.name.to_owned(), labels.collect(), sample.value, sample.timestamp_ms)
        })
        .collect()
}

proptest! {
    #[test]
    fn what_is_written_reads_back(rows in rows(), openmetrics: bool) {
        let format = if openmetrics { Format::OpenMetrics10 } else { Format::Text004 };
        let mut writer = Writer::new(format);
        for (name, labels, value, timestamp_ms) in &rows {
            let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
            writer.sample(name, &labels, *value, *timestamp_ms);
        }
        let bits = |rows: Vec<Row>| -> Vec<_> {
            let canonical = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
            rows.into_iter().map(|(name, labels, value, ms)| (name, labels, canonical(value), ms)).collect()
        };
        prop_assert_eq!(bits(read_back(&writer.finish(), format)), bits(rows));
    }

    /// 0.0.4 trims the start of a help text, and its last carriage return is taken for a line end.
    #[test]
    fn help_reads_back(help in "(?s)([^ \t\r].{0,20}[^\r])?", openmetrics: bool) {
        let format = if openmetrics { Format::OpenMetrics10 } else { Format::Text004 };
        let mut writer = Writer::new(format);
        writer.family("a", &help, MetricType::Gauge, None);
        let text = writer.finish();
        prop_assert_eq!(Reader::new(&text, format).next(), Some(Ok(Event::Help { name: "a", help: help.into() })));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,80}", openmetrics: bool) {
        let format = if openmetrics { Format::OpenMetrics10 } else { Format::Text004 };
        for event in Reader::new(&text, format) {
            let _ = event;
        }
    }

    #[test]
    fn almost_a_body_is_read_or_refused(
        text in r#"((# (HELP|TYPE|UNIT|EOF) ?)?[a{}"\\=, #\n\t\r1.eE+-]{0,12}){0,8}"#,
        openmetrics: bool,
    ) {
        let format = if openmetrics { Format::OpenMetrics10 } else { Format::Text004 };
        let events = Reader::new(&text, format).count();
        prop_assert!(events <= text.lines().count() + 1);
    }
}

#[test]
fn text_samples_read_as_the_others_do() {
    for format in [Format::Text004, Format::OpenMetrics10] {
        let mut writer = Writer::new(format);
        writer.family("x", "help", MetricType::Gauge, None);
        let (mut first, mut second) = (String::new(), String::new());
        push_label(&mut first, "a", "b\"\\\n");
        push_label(&mut second, "c", "d");
        push_label(&mut second, "e", "");
        for (value, ms) in [
            (Number::Count(0), None),
            (Number::Count(12_345), Some(1_700_000_000_123)),
            (Number::Count(u64::MAX), Some(-5)),
            (Number::Float(0.5), Some(0)),
            (Number::Scaled(1_500, 3), Some(1_050)),
        ] {
            writer.sample_text("x", &[&first, "", &second], value, ms);
        }
        writer.sample_text("x", &[], Number::Count(7), None);
        let text = writer.finish();
        let samples: Vec<_> = Reader::new(&text, format)
            .filter_map(|event| match event.unwrap() {
                Event::Sample(sample) => Some(sample.to_owned().unwrap()),
                _ => None,
            })
            .collect();
        let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
        assert_eq!(values, [0.0, 12_345.0, u64::MAX as f64, 0.5, 1.5, 7.0]);
        let times: Vec<_> = samples.iter().map(|sample| sample.timestamp_ms).collect();
        assert_eq!(times, [None, Some(1_700_000_000_123), Some(-5), Some(0), Some(1_050), None]);
        assert_eq!(samples[0].labels.get("a"), Some("b\"\\\n"));
        assert_eq!(samples[0].labels.get("c"), Some("d"));
    }
}

fn number_text(number: Number) -> String {
    let mut writer = Writer::new(Format::Text004);
    writer.sample_text("x", &[], number, None);
    writer.finish()
}

#[test]
fn decimal_parts_read_as_the_float_does() {
    let counts =
        [0, 1, 9, 10, 99, 100, 9_999, 10_000, 123_456_789, 1_000_000_000, 1_500_000_000, 10_u64.pow(15) - 1];
    for count in counts.into_iter().chain([10_u64.pow(15), 1 << 53, u64::MAX]) {
        for decimals in [3, 6, 9] {
            let float = Number::Float(count as f64 / 10_f64.powi(decimals as i32));
            assert_eq!(
                number_text(Number::Scaled(count, decimals)),
                number_text(float),
                "{count} {decimals}"
            );
        }
    }
    assert_eq!(number_text(Number::Scaled(1_050_000_000, 9)), "x 1.05\n");
}

#[test]
fn a_body_in_pieces_is_the_body() {
    let write = |taken: bool| {
        let mut writer = Writer::new(Format::OpenMetrics10);
        let mut body = String::new();
        for value in 0..100 {
            writer.sample_text("x", &["a=\"b\""], Number::Count(value), Some(1_500));
            if taken && writer.written() > 50 {
                body.push_str(&writer.take());
            }
        }
        body.push_str(&writer.finish());
        body
    };
    assert_eq!(write(true), write(false));
}

proptest! {
    #[test]
    fn any_decimal_parts_read_as_the_float_does(count: u64, shift in 0_u32..64, decimals in 0..=MOST_DECIMALS) {
        let count = count >> shift;
        let float = Number::Float(count as f64 / 10_f64.powi(decimals as i32));
        prop_assert_eq!(number_text(Number::Scaled(count, decimals)), number_text(float));
    }
}

/// Bits of a value, and its time.
type Measured = (u64, Option<i64>);

/// Every line by itself, and once more by the series that it told: value and time, or that it cannot be read.
fn by_series(text: &str, format: Format) -> Vec<(Option<Measured>, Option<Measured>)> {
    let bits = |measured: (f64, Option<i64>)| (measured.0.to_bits(), measured.1);
    let mut all = Vec::new();
    let mut reader = Reader::new(text, format);
    let mut again = Reader::new(text, format);
    while let Some(event) = reader.next() {
        match event {
            Ok(Event::Sample(sample)) => {
                let slow = bits((sample.value, sample.timestamp_ms));
                let known = again.known(reader.series()).map(|measured| bits(measured.unwrap()));
                if known.is_none() {
                    again.next();
                }
                all.push((Some(slow), known));
            }
            _ => drop(again.next()),
        }
    }
    all
}

#[test]
fn known_series_are_not_read_again() {
    let text =
        "# TYPE a counter\na 1\na{b=\"c\"} 2 5\na {b=\"c\"}  3\t7\nab 4\n{\"d.e\"} NaN\na{b=\"}\"} 1\n";
    let both = by_series(text, Format::Text004);
    assert_eq!(both.len(), 6);
    assert!(both.iter().all(|(slow, known)| slow == known), "{both:?}");
    let openmetrics = "a_total 1 # {x=\"y\"} 2\nb 1 1.5\n# EOF\n";
    let both = by_series(openmetrics, Format::OpenMetrics10);
    assert!(both.len() == 2 && both.iter().all(|(slow, known)| slow == known), "{both:?}");
}

#[test]
fn another_series_is_not_taken_for_a_known_one() {
    for (line, known) in [
        ("ab 1\n", "a"),
        ("a{b=\"c\"} 1\n", "a"),
        ("a {b=\"c\"} 1\n", "a"),
        ("a\t{b=\"c\"} 1\n", "a"),
        ("a 1\n", ""),
        ("a\n", "a"),
        ("a \n", "a"),
    ] {
        assert_eq!(Reader::new(line, Format::Text004).known(known), None, "{line}");
    }
    let mut ended = Reader::new("# EOF\na 1\n", Format::OpenMetrics10);
    ended.next();
    assert_eq!(ended.known("a"), None);
    let long = format!("a 1{}\n", " ".repeat(MAX_LINE_BYTES));
    assert!(Reader::new(&long, Format::Text004).known("a").unwrap().is_err());
    assert_eq!(Reader::new("a x\n", Format::Text004).known("a").unwrap().unwrap_err().line, 1);
}

proptest! {
    #[test]
    fn a_known_series_reads_the_same(
        text in r#"([a-c]{1,2} ?(\{([a-c]="[a-c}\\"]{0,2}",?){0,2}\})?[ \t]{0,2}[0-9+Nae.-]{0,3} ?[0-9]{0,2}( # \{\} 1)?\n){1,6}"#,
        openmetrics: bool,
    ) {
        let format = if openmetrics { Format::OpenMetrics10 } else { Format::Text004 };
        for (slow, known) in by_series(&text, format) {
            prop_assert!(known.is_none() || slow == known);
        }
    }
}
