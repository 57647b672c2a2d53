//! Names and units of the sensors of /sys/class/hwmon, as node_exporter has them.

use flyball_model::exposition::MetricType;
use std::collections::BTreeMap;
use std::path::Path;

/// What is measured, by the start of a file's name.
const TYPES: [&str; 14] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
    "freq",
];

/// Sensor to element to text; the element of a file without one is empty.
pub type Sensors = BTreeMap<String, BTreeMap<String, String>>;

/// A sample.
#[derive(Debug, PartialEq)]
pub struct Value {
    /// Family.
    pub name: String,
    /// Its help text.
    pub help: String,
    /// Its type.
    pub kind: MetricType,
    /// Label `sensor`.
    pub sensor: String,
    /// Value in base units.
    pub value: f64,
}

/// Lower case; what a metric's name may not have becomes `_`, none of which stays at the ends.
pub fn clean(name: &str) -> String {
    let replaced =
        name.to_lowercase().replace(|c: char| !matches!(c, 'a'..='z' | '0'..='9' | ':' | '_'), "_");
    replaced.trim_matches('_').to_owned()
}

/// A chip's name: that of its device with that of the bus before it, else what it calls itself, else `hwmonN`.
pub fn chip_name(device: Option<&Path>, name: &str, folder: &Path) -> Option<String> {
    let last = |path: &Path| clean(&path.file_name().unwrap_or_default().to_string_lossy());
    let device_name = device.map(last).unwrap_or_default();
    let bus = device.and_then(Path::parent).map(last).unwrap_or_default();
    let choices = match (bus.is_empty(), device_name.is_empty()) {
        (false, false) => [format!("{bus}_{device_name}"), clean(name), last(folder)],
        _ => [device_name, clean(name), last(folder)],
    };
    choices.into_iter().find(|choice| !choice.is_empty())
}

/// `temp1_crit_alarm` is element `crit_alarm` of sensor `temp1`: `^(type: no digits)(id: digits)?(_(element))?$`.
pub fn sensor_of_file(file: &str) -> Option<(String, String)> {
    let digits = file.find(|c: char| c.is_ascii_digit()).unwrap_or(file.len());
    let (start, rest) = file.split_at(digits);
    // Without digits the type is all of it, underscores too.
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (id, rest) = rest.split_at(end);
    let element = match rest.strip_prefix('_') {
        Some(element) if !element.is_empty() => element,
        None if rest.is_empty() => "",
        _ => return None,
    };
    let id: u32 = if id.is_empty() { 0 } else { id.parse().ok()? };
    TYPES.contains(&start).then(|| (format!("{start}{id}"), element.to_owned()))
}

/// The samples of one sensor.
pub fn values(sensor: &str, elements: &BTreeMap<String, String>) -> Vec<Value> {
    let kind = sensor.trim_end_matches(|c: char| c.is_ascii_digit());
    let whole = elements.get("").map(|text| text.as_str());
    let gauge = |name: &str, help: &str, value| {
        let (name, help, kind, sensor) =
            (name.to_owned(), help.to_owned(), MetricType::Gauge, sensor.to_owned());
        Value { name, help, kind, sensor, value }
    };
    let parsed = whole.and_then(parse);
    match kind {
        "beep_enable" => {
            let on = f64::from(u8::from(whole == Some("1")));
            return vec![gauge("node_hwmon_beep_enabled", "Hardware beep enabled", on)];
        }
        "vrm" => {
            let value = parsed.map(|value| {
                gauge("node_hwmon_voltage_regulator_version", "Hardware voltage regulator", value)
            });
            return value.into_iter().collect();
        }
        "update_interval" => {
            let value = parsed.map(|ms| {
                gauge("node_hwmon_update_interval_seconds", "Hardware monitor update interval", ms * 0.001)
            });
            return value.into_iter().collect();
        }
        _ => {}
    }
    elements
        .iter()
        .filter_map(|(element, text)| element_value(sensor, kind, element, text, elements))
        .collect()
}

fn parse(text: &str) -> Option<f64> {
    super::text::float(text.as_bytes())
}

fn element_value(
    sensor: &str,
    kind: &str,
    element: &str,
    text: &str,
    elements: &BTreeMap<String, String>,
) -> Option<Value> {
    if element == "label" {
        return None;
    }
    let value = parse(text)?;
    let mut name = format!("node_hwmon_{kind}");
    if element == "input" {
        // The value itself, but where there is a file without an element too.
        if elements.contains_key("") {
            name.push_str("_input");
        }
    } else if !element.is_empty() {
        name.push('_');
        name.push_str(&clean(element));
    }
    let shown = if kind == "temp" && element.is_empty() { "input" } else { element };
    let (unit, factor, help) = match (kind, element) {
        (_, "fault" | "alarm") => ("", 1.0, format!("Hardware sensor {element} status ({kind})")),
        (_, "beep") => ("_enabled", 1.0, "Hardware monitor sensor has beeping enabled".to_owned()),
        ("in" | "cpu", _) => ("_volts", 1e-3, format!("Hardware monitor for voltage ({element})")),
        ("temp", element) if element != "type" => {
            ("_celsius", 1e-3, format!("Hardware monitor for temperature ({shown})"))
        }
        ("curr", _) => ("_amps", 1e-3, format!("Hardware monitor for current ({element})")),
        ("energy", _) => {
            ("_joule_total", 1e-6, format!("Hardware monitor for joules used so far ({element})"))
        }
        ("power", "accuracy") => ("", 1e-6, "Hardware monitor power meter accuracy, as a ratio".to_owned()),
        ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
            ("_seconds", 1e-3, format!("Hardware monitor power usage update interval ({element})"))
        }
        ("power", _) => ("_watt", 1e-6, format!("Hardware monitor for power usage in watts ({element})")),
        ("humidity", _) => (
            "",
            1e-6,
            format!(
                "Hardware monitor for humidity, as a ratio (multiply with 100.0 to get the humidity as a percentage) ({element})"
            ),
        ),
        ("fan", "input" | "min" | "max" | "target") => {
            ("_rpm", 1.0, format!("Hardware monitor for fan revolutions per minute ({element})"))
        }
        ("freq", "input") => {
            let sensor = clean(elements.get("label")?);
            let (name, help) =
                (format!("{name}_freq_mhz"), "Hardware monitor for GPU frequency in MHz".to_owned());
            return Some(Value { name, help, kind: MetricType::Gauge, sensor, value: value * 1e-6 });
        }
        _ => ("", 1.0, format!("Hardware monitor {kind} element {element}")),
    };
    name.push_str(unit);
    let kind = if unit == "_joule_total" { MetricType::Counter } else { MetricType::Gauge };
    Some(Value { name, help, kind, sensor: sensor.to_owned(), value: scaled(value, factor) })
}

/// Divided where the factor is a fraction: 61000 thousandths are 61 and not 61.00000000000001.
fn scaled(value: f64, factor: f64) -> f64 {
    if factor < 1.0 { value / (1.0 / factor).round() } else { value * factor }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_chips() {
        let folder = Path::new("/sys/devices/x/hwmon/hwmon2");
        let device = Path::new("/sys/devices/platform/coretemp.0");
        assert_eq!(chip_name(Some(device), "coretemp", folder).as_deref(), Some("platform_coretemp_0"));
        assert_eq!(chip_name(None, "ACPI fan", folder).as_deref(), Some("acpi_fan"));
        assert_eq!(chip_name(None, "", folder).as_deref(), Some("hwmon2"));
    }

    #[test]
    fn names_of_files() {
        for (file, expected) in [
            ("temp1_input", Some(("temp1", "input"))),
            ("temp12_crit_alarm", Some(("temp12", "crit_alarm"))),
            ("pwm1", Some(("pwm1", ""))),
            ("update_interval", Some(("update_interval0", ""))),
            ("in0_input", Some(("in0", "input"))),
            ("temp1_", None),
            ("temp1x", None),
            ("uevent", None),
            ("temp99999999999_input", None),
            ("", None),
        ] {
            let expected = expected.map(|(sensor, element)| (sensor.to_owned(), element.to_owned()));
            assert_eq!(sensor_of_file(file), expected, "{file}");
        }
    }

    #[test]
    fn values_have_upstreams_names_and_units() {
        for (sensor, element, text, expected) in [
            ("temp1", "input", "61000", Some(("node_hwmon_temp_celsius", 61.0))),
            ("temp1", "crit_alarm", "0", Some(("node_hwmon_temp_crit_alarm_celsius", 0.0))),
            ("temp1", "alarm", "1", Some(("node_hwmon_temp_alarm", 1.0))),
            ("temp1", "type", "4", Some(("node_hwmon_temp_type", 4.0))),
            ("fan1", "input", "1200", Some(("node_hwmon_fan_rpm", 1200.0))),
            ("fan1", "pulses", "2", Some(("node_hwmon_fan_pulses", 2.0))),
            ("in0", "max", "1700", Some(("node_hwmon_in_max_volts", 1.7))),
            ("power1", "average", "5000000", Some(("node_hwmon_power_average_watt", 5.0))),
            ("energy1", "input", "7000000", Some(("node_hwmon_energy_joule_total", 7.0))),
            ("pwm1", "", "128", Some(("node_hwmon_pwm", 128.0))),
            ("temp1", "label", "Core 0", None),
            ("temp1", "input", "N/A", None),
        ] {
            let elements = BTreeMap::from([(element.to_owned(), text.to_owned())]);
            let values = values(sensor, &elements);
            let seen = values.first().map(|value| (value.name.as_str(), value.value));
            assert_eq!(seen, expected, "{sensor}_{element}");
        }
    }
}
