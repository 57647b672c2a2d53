//! What is wrong with one field of an object, in the words of apimachinery's `field.Error`.

use std::fmt;

use serde_json::Value;

/// The kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldErrorKind {
    /// A value that must be given is missing.
    Required,
    /// The value breaks a rule.
    Invalid,
    /// The value is not one of a fixed list.
    NotSupported,
    /// The value would be fine elsewhere, not here.
    Forbidden,
    /// A value that must be unique is there twice.
    Duplicate,
    /// The value is too long.
    TooLong,
    /// What the value names does not exist.
    NotFound,
}

/// One fault. [`fmt::Display`] is upstream's text: `spec.maxReplicas: Invalid value: 0: must be greater than 0`.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// Path of the field: `spec.metrics[0].resource.name`, `metadata.labels[app]`.
    pub path: String,
    /// What kind of fault it is.
    pub kind: FieldErrorKind,
    /// The value at fault; printed for the kinds for which upstream prints it.
    pub bad_value: Option<Value>,
    /// The rule, for people; may be empty.
    pub detail: String,
}

impl FieldError {
    /// The field must be given.
    pub fn required(path: impl Into<String>, detail: impl Into<String>) -> FieldError {
        FieldError {
            path: path.into(),
            kind: FieldErrorKind::Required,
            bad_value: None,
            detail: detail.into(),
        }
    }

    /// The field's value breaks a rule.
    pub fn invalid(
        path: impl Into<String>,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> FieldError {
        FieldError {
            path: path.into(),
            kind: FieldErrorKind::Invalid,
            bad_value: Some(value.into()),
            detail: detail.into(),
        }
    }

    /// The field's value is none of `supported`, which the message lists.
    pub fn not_supported(path: impl Into<String>, value: impl Into<Value>, supported: &[&str]) -> FieldError {
        let quoted: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        FieldError {
            path: path.into(),
            kind: FieldErrorKind::NotSupported,
            bad_value: Some(value.into()),
            detail,
        }
    }

    /// The field may not be set here.
    pub fn forbidden(path: impl Into<String>, detail: impl Into<String>) -> FieldError {
        FieldError {
            path: path.into(),
            kind: FieldErrorKind::Forbidden,
            bad_value: None,
            detail: detail.into(),
        }
    }

    /// The value is there twice.
    pub fn duplicate(path: impl Into<String>, value: impl Into<Value>) -> FieldError {
        FieldError {
            path: path.into(),
            kind: FieldErrorKind::Duplicate,
            bad_value: Some(value.into()),
            detail: String::new(),
        }
    }

    /// The value is longer than `max_bytes`.
    pub fn too_long(path: impl Into<String>, max_bytes: usize) -> FieldError {
        let unit = if max_bytes == 1 { "byte" } else { "bytes" };
        FieldError {
            path: path.into(),
            kind: FieldErrorKind::TooLong,
            bad_value: None,
            detail: format!("may not be more than {max_bytes} {unit}"),
        }
    }

    /// What the value names does not exist.
    pub fn not_found(path: impl Into<String>, value: impl Into<Value>) -> FieldError {
        FieldError {
            path: path.into(),
            kind: FieldErrorKind::NotFound,
            bad_value: Some(value.into()),
            detail: String::new(),
        }
    }

    /// The machine-readable reason of a cause in a `Status`: `FieldValueInvalid` and its kin.
    pub fn reason(&self) -> &'static str {
        match self.kind {
            FieldErrorKind::Required => "FieldValueRequired",
            FieldErrorKind::Invalid => "FieldValueInvalid",
            FieldErrorKind::NotSupported => "FieldValueNotSupported",
            FieldErrorKind::Forbidden => "FieldValueForbidden",
            FieldErrorKind::Duplicate => "FieldValueDuplicate",
            FieldErrorKind::TooLong => "FieldValueTooLong",
            FieldErrorKind::NotFound => "FieldValueNotFound",
        }
    }

    /// The message without the path, as a cause in a `Status` carries it: `Invalid value: 0: must be greater than 0`.
    pub fn body(&self) -> String {
        let mut text = String::from(match self.kind {
            FieldErrorKind::Required => "Required value",
            FieldErrorKind::Invalid => "Invalid value",
            FieldErrorKind::NotSupported => "Unsupported value",
            FieldErrorKind::Forbidden => "Forbidden",
            FieldErrorKind::Duplicate => "Duplicate value",
            FieldErrorKind::TooLong => "Too long",
            FieldErrorKind::NotFound => "Not found",
        });
        let shows_value = !matches!(
            self.kind,
            FieldErrorKind::Required | FieldErrorKind::Forbidden | FieldErrorKind::TooLong
        );
        if let (true, Some(value)) = (shows_value, &self.bad_value) {
            text.push_str(": ");
            text.push_str(&value.to_string());
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

impl std::error::Error for FieldError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_upstreams() {
        for (error, text, reason) in [
            (
                FieldError::invalid("spec.maxReplicas", 0, "must be greater than 0"),
                "spec.maxReplicas: Invalid value: 0: must be greater than 0",
                "FieldValueInvalid",
            ),
            (
                FieldError::invalid("metadata.name", "A\"b", "x"),
                r#"metadata.name: Invalid value: "A\"b": x"#,
                "FieldValueInvalid",
            ),
            (
                FieldError::required("spec.scaleTargetRef.kind", ""),
                "spec.scaleTargetRef.kind: Required value",
                "FieldValueRequired",
            ),
            (
                FieldError::not_supported("a.b", "x", &["Max", "Min"]),
                r#"a.b: Unsupported value: "x": supported values: "Max", "Min""#,
                "FieldValueNotSupported",
            ),
            (FieldError::forbidden("a", "no"), "a: Forbidden: no", "FieldValueForbidden"),
            (FieldError::duplicate("a", "x"), r#"a: Duplicate value: "x""#, "FieldValueDuplicate"),
            (
                FieldError::too_long("a", 63),
                "a: Too long: may not be more than 63 bytes",
                "FieldValueTooLong",
            ),
            (FieldError::not_found("a", "x"), r#"a: Not found: "x""#, "FieldValueNotFound"),
        ] {
            assert_eq!(error.to_string(), text);
            assert_eq!(error.reason(), reason);
        }
    }
}
