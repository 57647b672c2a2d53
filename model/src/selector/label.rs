//! Label selectors: conditions on labels that all must hold.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::SelectorError;
use crate::names;

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=`
    Equals,
    /// `==`, which means the same and prints as written.
    DoubleEquals,
    /// `!=`; an absent label passes.
    NotEquals,
    /// `in (…)`
    In,
    /// `notin (…)`; an absent label passes.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
    /// `>`; both sides are integers.
    GreaterThan,
    /// `<`; both sides are integers.
    LessThan,
}

/// One condition on one label. Made by parsing, so its key and values are valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

impl Requirement {
    /// A checked condition.
    ///
    /// # Errors
    /// A key or value that is no label key or value; a number of values that does not fit the operator.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Requirement, SelectorError> {
        let mut faults = Vec::new();
        let key_faults = names::label_key(key);
        if !key_faults.is_empty() {
            faults.push(format!("key: Invalid value: {key:?}: {}", key_faults.join("; ")));
        }
        if let Some(rule) = count_rule(operator, values.len()) {
            faults.push(format!("values: Invalid value: {}: {rule}", Value::from(values.clone())));
        }
        for (index, value) in values.iter().enumerate() {
            let compares = matches!(operator, Operator::GreaterThan | Operator::LessThan);
            if compares && value.parse::<i64>().is_err() {
                let rule = "for 'Gt', 'Lt' operators, the value must be an integer";
                faults.push(format!("values[{index}]: Invalid value: {value:?}: {rule}"));
            }
            let value_faults = names::label_value(value);
            if !value_faults.is_empty() {
                faults.push(format!(
                    "values[{index}][{key}]: Invalid value: {value:?}: {}",
                    value_faults.join("; ")
                ));
            }
        }
        match faults.len() {
            0 => Ok(Requirement { key: key.to_owned(), operator, values }),
            1 => Err(SelectorError(faults.remove(0))),
            _ => Err(SelectorError(format!("[{}]", faults.join(", ")))),
        }
    }

    /// The label's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How it compares.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// What it compares with, as given; empty for [`Operator::Exists`] and [`Operator::DoesNotExist`].
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Whether a label's value (`None`: no such label) satisfies it.
    pub fn accepts(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|have| have == value);
        match self.operator {
            Operator::Equals | Operator::DoubleEquals | Operator::In => value.is_some_and(listed),
            Operator::NotEquals | Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.numbers(value).is_some_and(|(have, bound)| have > bound),
            Operator::LessThan => self.numbers(value).is_some_and(|(have, bound)| have < bound),
        }
    }

    fn numbers(&self, value: Option<&str>) -> Option<(i64, i64)> {
        Some((value?.parse().ok()?, self.values.first()?.parse().ok()?))
    }
}

/// The rule on the number of values, when `count` breaks it.
fn count_rule(operator: Operator, count: usize) -> Option<&'static str> {
    match (operator, count) {
        (Operator::In | Operator::NotIn, 0) => Some("for 'in', 'notin' operators, values set can't be empty"),
        (Operator::In | Operator::NotIn, _) => None,
        (Operator::Exists | Operator::DoesNotExist, 0) => None,
        (Operator::Exists | Operator::DoesNotExist, _) => {
            Some("values set must be empty for exists and does not exist")
        }
        (_, 1) => None,
        (Operator::GreaterThan | Operator::LessThan, _) => {
            Some("for 'Gt', 'Lt' operators, exactly one value is required")
        }
        _ => Some("exact-match compatibility requires one single value"),
    }
}

/// Conditions that all must hold, sorted by key. None: everything matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

impl LabelSelector {
    /// Reads the query form: `a=b,c in (x,y),!d,e>3`. Empty text selects everything.
    ///
    /// # Errors
    /// With upstream's message.
    pub fn parse(text: &str) -> Result<LabelSelector, SelectorError> {
        super::parse::label_selector(text).map(LabelSelector::of)
    }

    /// Reads the object form: `matchLabels` and `matchExpressions`. An empty object selects everything.
    ///
    /// # Errors
    /// `null` is refused, because whether it means everything or nothing depends on the field; so is what upstream refuses.
    pub fn from_json(value: &Value) -> Result<LabelSelector, SelectorError> {
        let object =
            value.as_object().ok_or_else(|| SelectorError("a label selector is an object".into()))?;
        let mut requirements = Vec::new();
        if let Some(labels) = object.get("matchLabels").filter(|labels| !labels.is_null()) {
            let labels =
                labels.as_object().ok_or_else(|| SelectorError("matchLabels is a map of text".into()))?;
            for (key, value) in labels {
                let value = text(value, "a value of matchLabels")?;
                requirements.push(Requirement::new(key, Operator::Equals, vec![value])?);
            }
        }
        if let Some(expressions) = object.get("matchExpressions").filter(|list| !list.is_null()) {
            let list =
                expressions.as_array().ok_or_else(|| SelectorError("matchExpressions is a list".into()))?;
            for expression in list {
                requirements.push(expression_requirement(expression)?);
            }
        }
        Ok(LabelSelector::of(requirements))
    }

    /// All of these conditions.
    pub fn of(mut requirements: Vec<Requirement>) -> LabelSelector {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        LabelSelector(requirements)
    }

    /// The selector without conditions.
    pub fn everything() -> LabelSelector {
        LabelSelector::default()
    }

    /// Whether it has no conditions, so matches everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all conditions hold; `get` gives the value of a label, `None` when there is no such label.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| requirement.accepts(get(&requirement.key)))
    }

    /// [`LabelSelector::matches`] on a map.
    pub fn matches_map(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches(|key| labels.get(key).map(String::as_str))
    }

    /// The conditions, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.0
    }
}

fn text(value: &Value, what: &str) -> Result<String, SelectorError> {
    value.as_str().map(str::to_owned).ok_or_else(|| SelectorError(format!("{what} is text")))
}

fn expression_requirement(expression: &Value) -> Result<Requirement, SelectorError> {
    let key = expression.get("key").and_then(Value::as_str).unwrap_or("");
    let operator = match expression.get("operator").and_then(Value::as_str).unwrap_or("") {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => return Err(SelectorError(format!("{other:?} is not a valid label selector operator"))),
    };
    let values = match expression.get("values") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(values)) => {
            values.iter().map(|value| text(value, "a value of matchExpressions")).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(SelectorError("values of matchExpressions is a list".into())),
    };
    Requirement::new(key, operator, values)
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let key = &self.key;
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

impl fmt::Display for LabelSelector {
    /// The canonical query text; it parses back to an equal selector.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}
