//! Go's text/template between `<<` and `>>`, as far as queries use it.
//!
//! Promise: a template that [`Template::parse`] takes does what Go's would do on the same values, down to how a list and
//! a map print; one that Go refuses is refused. All of Go's actions and built-in functions are there but `define`,
//! `template`, `block` and `call`, for which a query has no use: they are refused by name. No text takes more than
//! [`MAX_OUTPUT_BYTES`] or [`MAX_STEPS`], nothing nests deeper than [`MAX_DEPTH`].

mod exec;
mod functions;
mod lex;
mod parse;
mod printf;
mod value;

use thiserror::Error;
pub use value::Value;

/// Longest text that a template makes, bytes.
pub const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// Most nodes that are visited for one text.
pub const MAX_STEPS: usize = 1_000_000;
/// Deepest nesting of actions and parentheses.
pub const MAX_DEPTH: usize = 100;

/// Why a template cannot be read, or makes no text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("template: {message}")]
pub struct TemplateError {
    /// Lines before the fault, in the template's own text.
    pub line_offset: usize,
    /// What is wrong.
    pub message: String,
}

impl TemplateError {
    fn at(line_offset: usize, message: impl Into<String>) -> TemplateError {
        TemplateError { line_offset, message: message.into() }
    }
}

/// A template that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    nodes: Vec<parse::Node>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What Go refuses too: an action without end, an unknown function, an unknown variable and so on.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        Ok(Template { nodes: parse::parse(lex::lex(text)?)? })
    }

    /// The text for a value, which the template knows as `.` and `$`.
    ///
    /// # Errors
    /// What Go fails on too: a field that is not there, an index out of range, values that cannot be compared.
    pub fn render(&self, root: &Value) -> Result<String, TemplateError> {
        exec::render(&self.nodes, root)
    }

    /// Names of fields asked of the root value, wherever in the template: `.Series`, or `$.Series` below `range`.
    pub fn root_fields(&self) -> Vec<&str> {
        let mut found = Vec::new();
        parse::root_fields(&self.nodes, true, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests;
