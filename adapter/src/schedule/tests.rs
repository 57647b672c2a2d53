use flyball_model::selector::LabelSelector;
use flyball_model::time::parse_rfc3339_ms;

use super::*;

fn schedules(text: &str) -> Result<Schedules, Vec<String>> {
    let config = crate::config::parse(text).map_err(|error| vec![error.to_string()])?;
    Schedules::compile(&config).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn at(schedules: &Schedules, time: &str) -> i64 {
    let now_ms = parse_rfc3339_ms(time).unwrap();
    let values = schedules.values("floor", "shop", &LabelSelector::everything(), now_ms).unwrap();
    assert_eq!(values.len(), 1);
    values[0].milli
}

fn check(text: &str, times: &[(&str, i64)]) {
    let schedules = schedules(text).unwrap();
    for (time, milli) in times {
        assert_eq!(at(&schedules, time), *milli, "{time}");
    }
}

#[test]
fn weekdays_and_ramps() {
    // 2026-11-23 is a Monday.
    check(
        "schedules:\n- name: floor\n  outside: 2\n  windows:\n  - {days: [Mon-Fri], from: '08:00', to: '20:00', value: 12, ramp: 30m}\n",
        &[
            ("2026-11-23T07:29:59Z", 2000),
            ("2026-11-23T07:30:00Z", 2000),
            ("2026-11-23T07:45:00Z", 7000),
            ("2026-11-23T07:59:57Z", 11_983),
            ("2026-11-23T08:00:00Z", 12_000),
            ("2026-11-23T19:59:59Z", 12_000),
            ("2026-11-23T20:00:00Z", 12_000),
            ("2026-11-23T20:15:00Z", 7000),
            ("2026-11-23T20:30:00Z", 2000),
            ("2026-11-28T12:00:00Z", 2000),
            ("2026-11-29T12:00:00Z", 2000),
        ],
    );
}

#[test]
fn windows_over_midnight_begin_on_their_day() {
    check(
        "schedules:\n- name: floor\n  windows:\n  - {days: [fri], from: '22:00', to: '06:00', value: 5, ramp: 3h}\n",
        &[
            ("2026-11-27T18:59:00Z", 0),
            ("2026-11-27T20:30:00Z", 2500),
            ("2026-11-27T22:00:00Z", 5000),
            ("2026-11-28T05:59:59Z", 5000),
            ("2026-11-28T07:30:00Z", 2500),
            ("2026-11-28T09:00:00Z", 0),
            ("2026-11-26T23:00:00Z", 0),
        ],
    );
    // A ramp of the day before, and the whole day.
    check(
        "schedules:\n- name: floor\n  windows:\n  - {days: [Sunday], from: '00:00', to: '24:00', value: 4, ramp: 2h}\n",
        &[
            ("2026-11-28T23:00:00Z", 2000),
            ("2026-11-29T00:00:00Z", 4000),
            ("2026-11-29T23:59:59Z", 4000),
            ("2026-11-30T01:00:00Z", 2000),
        ],
    );
}

#[test]
fn the_largest_of_the_open_windows() {
    check(
        "schedules:\n- name: floor\n  outside: 3\n  windows:\n  - {from: '08:00', to: '20:00', value: 5}\n  - {from: '12:00', to: '13:00', value: 9}\n  - {from: '23:00', to: '23:30', value: 1}\n",
        &[
            ("2026-11-23T09:00:00Z", 5000),
            ("2026-11-23T12:30:00Z", 9000),
            ("2026-11-23T13:00:00Z", 5000),
            ("2026-11-23T23:10:00Z", 1000),
            ("2026-11-23T23:30:00Z", 3000),
        ],
    );
}

#[test]
fn local_time_follows_the_zone() {
    // In Berlin clocks skip from 02:00 to 03:00 on 2026-03-29 and repeat 02:00 to 03:00 on 2026-10-25.
    check(
        "schedules:\n- name: floor\n  timeZone: Europe/Berlin\n  windows:\n  - {from: '08:00', to: '09:00', value: 1}\n  - {from: '02:30', to: '02:45', value: 7}\n",
        &[
            ("2026-03-28T07:00:00Z", 1000),
            ("2026-03-28T01:30:00Z", 7000),
            ("2026-03-29T06:00:00Z", 1000),
            ("2026-03-29T07:00:00Z", 0),
            ("2026-03-29T01:30:00Z", 7000),
            ("2026-10-25T00:30:00Z", 7000),
            ("2026-10-25T01:30:00Z", 0),
            ("2026-10-25T07:00:00Z", 1000),
        ],
    );
}

#[test]
fn who_may_ask_and_by_which_labels() {
    let text = "schedules:\n- {name: floor, namespaces: [shop], labels: {team: a}, windows: [{from: '00:00', to: '24:00', value: 1}]}\n- {name: floor, namespaces: [shop], labels: {team: b}, windows: [{from: '00:00', to: '24:00', value: 2.5}]}\n- {name: other, windows: [{from: '00:00', to: '24:00', value: 3}]}\n";
    let schedules = schedules(text).unwrap();
    assert_eq!(schedules.metrics(), ["floor", "other"]);
    let ask = |metric: &str, namespace: &str, selector: &str| {
        let values = schedules.values(metric, namespace, &LabelSelector::parse(selector).unwrap(), 0)?;
        Some(values.iter().map(|value| value.milli).collect::<Vec<_>>())
    };
    assert_eq!(ask("floor", "shop", ""), Some(vec![1000, 2500]));
    assert_eq!(ask("floor", "shop", "team=b"), Some(vec![2500]));
    assert_eq!(ask("floor", "shop", "team=c"), Some(vec![]));
    assert_eq!(ask("floor", "bank", ""), None);
    assert_eq!(ask("other", "bank", ""), Some(vec![3000]));
    assert_eq!(ask("none", "shop", ""), None);
}

#[test]
fn hostile_schedules_are_refused_with_their_line() {
    let of = |field: &str, value: &str| {
        let mut fields =
            vec![("days", "[Mon]"), ("from", "'08:00'"), ("to", "'20:00'"), ("value", "1"), ("ramp", "1m")];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value));
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("      {name}: {value}\n")).collect();
        format!("schedules:\n- name: floor\n  windows:\n    -\n{}", fields.concat())
    };
    let good = of("value", "2");
    schedules(&good).unwrap();
    for (text, expected) in [
        (of("days", "[Mob]"), "line 9: days: \"Mob\" is no day of the week"),
        (of("days", "[]"), "line 5: days: the list is empty"),
        (of("from", "'25:00'"), "line 9: from: \"25:00\" is no time of day"),
        (of("from", "'24:00'"), "line 9: from: \"24:00\" is no time of day"),
        (of("from", "'8:00'"), "line 9: from: \"8:00\" is no time of day"),
        (of("to", "noon"), "line 9: to: \"noon\" is no time of day"),
        (of("value", ".nan"), "line 9: value: NaN is no value of a metric"),
        (of("value", "1e300"), "line 9: value: "),
        (of("value", "many"), "line 9: "),
        (of("ramp", "25h"), "line 9: ramp: \"25h\" is longer than a day"),
        (of("ramp", "soon"), "line 9: ramp: \"soon\" is no length of time"),
        (of("until", "x"), "line 10: unknown field"),
        (good.replace("floor", "a/b"), "line 2: name: may not contain '/'"),
        (good.replace("floor", "''"), "line 2: name: it is empty"),
        (
            good.replace("  windows", "  timeZone: Mars/Olympus\n  windows"),
            "line 3: timeZone: the time zone database has no zone \"Mars/Olympus\"",
        ),
        (good.replace("  windows", "  namespaces: [A]\n  windows"), "line 3: namespaces: "),
        (good.replace("  windows", "  labels: {a: '-'}\n  windows"), "line 3: labels.a: "),
        ("schedules:\n- {name: x, windows: []}".into(), "line 2: windows: there must be 1 to 100, not 0"),
        (
            format!(
                "schedules:\n- {{name: x, windows: [{}]}}",
                "{from: '00:00', to: '01:00', value: 1},".repeat(101)
            ),
            "line 2: windows: there must be",
        ),
        (
            format!("{good}{}", &good["schedules:\n".len()..]),
            "line 10: name: \"floor\" with the same labels is already in line 2",
        ),
        (
            format!("schedules:\n{}", "- {name: x, windows: []}\n".repeat(1001)),
            "line 1002: schedules has more than",
        ),
    ] {
        let errors = schedules(&text).expect_err(&text);
        assert!(errors[0].starts_with(expected), "{text}\n  said {}\n  not  {expected}", errors[0]);
    }
}

#[test]
fn any_time_has_a_value() {
    let text = "schedules:\n- name: floor\n  timeZone: America/New_York\n  windows:\n  - {from: '08:00', to: '09:00', value: 1, ramp: 24h}\n";
    let schedules = schedules(text).unwrap();
    for now_ms in [i64::MIN, -1, 0, i64::MAX, 253_402_300_799_999] {
        let values = schedules.values("floor", "shop", &LabelSelector::everything(), now_ms).unwrap();
        assert!((0..=1000).contains(&values[0].milli), "{now_ms}");
    }
}
