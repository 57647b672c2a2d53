//! Go's `fmt`, for the values a template has.

use flyball_tsdb::promql::print::quote;

use super::Value;

/// As `fmt.Sprint`: a space between two operands when neither is text.
pub(super) fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        let text = |value: &Value| matches!(value, Value::Text(_));
        if index > 0 && !text(value) && !text(&values[index - 1]) {
            out.push(' ');
        }
        out.push_str(&shown(value));
    }
    out
}

/// As `%v` prints an argument.
pub(super) fn shown(value: &Value) -> String {
    if *value == Value::Nil { "<nil>".into() } else { value.print() }
}

/// Widest field, so that no format makes a text of any length.
const MAX_WIDTH: usize = 1000;

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Between `%` and the verb.
#[derive(Default)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// As `fmt.Sprintf`.
pub(super) fn printf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut next = 0;
    while let Some(character) = chars.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let spec = read_spec(&mut chars, values, &mut next);
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => {
                match values.get(next) {
                    Some(value) => out.push_str(&verb_text(verb, &spec, value)),
                    None => out.push_str(&format!("%!{verb}(MISSING)")),
                }
                next += 1;
            }
        }
    }
    if next < values.len() {
        let extra: Vec<String> =
            values[next..].iter().map(|value| format!("{}={}", value.type_name(), shown(value))).collect();
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn read_spec(chars: &mut Chars<'_>, values: &[Value], next: &mut usize) -> Spec {
    let mut spec = Spec::default();
    while let Some(character) = chars.peek() {
        match character {
            '-' => spec.minus = true,
            '+' => spec.plus = true,
            '#' => spec.sharp = true,
            ' ' => spec.space = true,
            '0' => spec.zero = true,
            _ => break,
        }
        chars.next();
    }
    choose_argument(chars, next);
    spec.width = read_size(chars, values, next);
    if chars.peek() == Some(&'.') {
        chars.next();
        choose_argument(chars, next);
        spec.precision = Some(read_size(chars, values, next).unwrap_or(0));
    }
    choose_argument(chars, next);
    spec
}

/// `[3]`: the next argument is the third.
fn choose_argument(chars: &mut Chars<'_>, next: &mut usize) {
    if chars.peek() == Some(&'[') {
        let mut ahead = chars.clone();
        ahead.next();
        let number = read_number(&mut ahead);
        if let (Some(number), Some(']')) = (number.and_then(|number| number.checked_sub(1)), ahead.next()) {
            *next = number;
            *chars = ahead;
        }
    }
}

/// A number, or `*` for the one that the next argument is.
fn read_size(chars: &mut Chars<'_>, values: &[Value], next: &mut usize) -> Option<usize> {
    if chars.peek() != Some(&'*') {
        return read_number(chars);
    }
    chars.next();
    let value = values.get(*next);
    *next += 1;
    match value {
        Some(Value::Int(number)) => usize::try_from(*number).ok().map(|number| number.min(MAX_WIDTH)),
        _ => None,
    }
}

fn read_number(chars: &mut Chars<'_>) -> Option<usize> {
    let mut number = None;
    while let Some(digit) = chars.peek().and_then(|character| character.to_digit(10)) {
        number = Some((number.unwrap_or(0) * 10 + digit as usize).min(MAX_WIDTH));
        chars.next();
    }
    number
}

/// A value under a verb; of a list, a map and a structure each element by itself.
fn verb_text(verb: char, spec: &Spec, value: &Value) -> String {
    let each = |values: &mut dyn Iterator<Item = &Value>| {
        values.map(|value| verb_text(verb, spec, value)).collect::<Vec<_>>().join(" ")
    };
    match value {
        value if verb == 'T' => value.type_name().to_owned(),
        Value::List(list) => format!("[{}]", each(&mut list.iter())),
        Value::Struct(fields) => format!("{{{}}}", each(&mut fields.iter().map(|(_, value)| value))),
        Value::Map(map) => {
            let text = |text: &String| verb_text(verb, spec, &Value::text(text.as_str()));
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{}:{}", text(key), text(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        value => match plain_text(verb, spec, value) {
            Some(text) => pad(text, verb, spec, value),
            None if *value == Value::Nil => format!("%!{verb}(<nil>)"),
            None => format!("%!{verb}({}={})", value.type_name(), verb_text('v', spec, value)),
        },
    }
}

/// `None`: the verb does not fit the value.
fn plain_text(verb: char, spec: &Spec, value: &Value) -> Option<String> {
    let cut = |text: &str| match spec.precision {
        Some(count) => text.chars().take(count).collect(),
        None => text.to_owned(),
    };
    Some(match (verb, value) {
        ('v', Value::Text(text)) if spec.sharp => quote(text),
        ('v' | 's', Value::Text(text) | Value::Named(text, _)) => cut(text),
        ('v' | 'd', Value::Int(number)) => signed(spec, number.to_string()),
        ('v' | 'g', Value::Float(number)) => signed(spec, general(*number, spec.precision)),
        ('v', value) => shown(value),
        ('q', Value::Text(text)) if spec.sharp && !text.contains('`') => format!("`{text}`"),
        ('q', Value::Text(text) | Value::Named(text, _)) => quote(&cut(text)),
        ('q', Value::Int(number)) => quoted_character(char::from_u32(u32::try_from(*number).ok()?)?),
        ('x', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('X', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02X}")).collect(),
        ('t', Value::Bool(value)) => value.to_string(),
        ('f' | 'F', Value::Float(number)) => {
            signed(spec, format!("{number:.precision$}", precision = spec.precision.unwrap_or(6)))
        }
        ('e', Value::Float(number)) => signed(spec, exponent(*number, spec.precision.unwrap_or(6))),
        ('x', Value::Int(number)) => radix(*number, |magnitude| format!("{magnitude:x}"), spec, "0x"),
        ('X', Value::Int(number)) => radix(*number, |magnitude| format!("{magnitude:X}"), spec, "0X"),
        ('o', Value::Int(number)) => radix(*number, |magnitude| format!("{magnitude:o}"), spec, "0"),
        ('b', Value::Int(number)) => radix(*number, |magnitude| format!("{magnitude:b}"), spec, "0b"),
        ('c', Value::Int(number)) => char::from_u32(u32::try_from(*number).ok()?)?.to_string(),
        ('U', Value::Int(number)) => format!("U+{number:04X}"),
        _ => return None,
    })
}

fn quoted_character(character: char) -> String {
    match character {
        '\'' => "'\\''".into(),
        '"' => "'\"'".into(),
        other => format!("'{}'", quote(&other.to_string()).trim_matches('"')),
    }
}

fn radix(number: i64, digits: impl Fn(u64) -> String, spec: &Spec, prefix: &str) -> String {
    let prefix = if spec.sharp { prefix } else { "" };
    let sign = if number < 0 { "-" } else { "" };
    signed(spec, format!("{sign}{prefix}{}", digits(number.unsigned_abs())))
}

fn signed(spec: &Spec, text: String) -> String {
    match () {
        () if text.starts_with('-') => text,
        () if spec.plus => format!("+{text}"),
        () if spec.space => format!(" {text}"),
        () => text,
    }
}

fn pad(text: String, verb: char, spec: &Spec, value: &Value) -> String {
    let length = text.chars().count();
    let Some(missing) = spec.width.and_then(|width| width.checked_sub(length)) else { return text };
    if spec.minus {
        return text + &" ".repeat(missing);
    }
    if spec.zero && verb != 'q' {
        let number = matches!(value, Value::Int(_) | Value::Float(_));
        let (sign, rest) = match text.strip_prefix(['-', '+']).filter(|_| number) {
            Some(rest) => text.split_at(text.len() - rest.len()),
            None => ("", text.as_str()),
        };
        return format!("{sign}{}{rest}", "0".repeat(missing));
    }
    " ".repeat(missing) + &text
}

/// `%e`: at least two digits of exponent.
fn exponent(number: f64, precision: usize) -> String {
    if !number.is_finite() {
        return general(number, None);
    }
    let text = format!("{number:.precision$e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{digits}e{sign}{power:0>2}")
}

/// `%g` and `%v`: the shortest digits that read back, with an exponent below 1e-4 and from 1e6 on.
pub(super) fn general(number: f64, precision: Option<usize>) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let shortest = match precision {
        None => format!("{number:e}"),
        Some(digits) => format!("{number:.0$e}", digits.max(1) - 1),
    };
    let power: i32 = shortest.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
    let limit = precision.map_or(6, |digits| digits.max(1) as i32);
    if power < -4 || power >= limit {
        let digits = shortest.split_once('e').map_or("", |(digits, _)| digits);
        let digits =
            if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", power.abs());
    }
    match precision {
        None => number.to_string(),
        Some(digits) => {
            let decimals = usize::try_from(digits.max(1) as i32 - 1 - power).unwrap_or(0);
            let text = format!("{number:.decimals$}");
            if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                text
            }
        }
    }
}
