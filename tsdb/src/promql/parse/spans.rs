//! Where each expression stands: the tree tells which tokens must come, so a walk over both finds every place.

use std::ops::Range;

use crate::promql::ast::{Expr, Node};
use crate::promql::lex::{Kind, Token};

/// Fills in the places of a whole tree.
pub(super) fn locate(tokens: &[Token<'_>], expr: &mut Expr) {
    Walk { tokens, at: 0 }.expr(expr);
}

struct Walk<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
}

impl Walk<'_> {
    fn is(&self, mark: &str) -> bool {
        self.tokens.get(self.at).is_some_and(|token| token.is(mark))
    }

    fn is_word(&self, words: &[&str]) -> bool {
        self.tokens.get(self.at).is_some_and(|token| words.iter().any(|word| token.is_word(word)))
    }

    fn start(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |token| token.span.start)
    }

    fn end(&self) -> usize {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(0, |token| token.span.end)
    }

    /// Skips a bracket and everything up to its partner.
    fn group(&mut self) {
        let mut depth = 0_usize;
        while let Some(token) = self.tokens.get(self.at) {
            self.at += 1;
            match token.text {
                "(" | "[" | "{" if token.kind == Kind::Mark => depth += 1,
                ")" | "]" | "}" if token.kind == Kind::Mark => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    /// Skips `offset …` and `@ …` as often as they come.
    fn modifiers(&mut self) {
        while self.is_word(&["offset"]) || self.is("@") {
            self.at += 1;
            if self.is("-") || self.is("+") {
                self.at += 1;
            }
            if self.is("(") {
                self.group();
                continue;
            }
            let word = self.tokens.get(self.at).is_some_and(|token| token.kind == Kind::Word);
            self.at += 1;
            if word && self.is("(") {
                self.group();
            }
        }
    }

    fn expr(&mut self, expr: &mut Expr) {
        // The grammar drops a plus in front; it still belongs to the expression's place.
        let start = self.start();
        while self.is("+") {
            self.at += 1;
        }
        let span = self.node(&mut expr.node, start);
        expr.span = span;
    }

    fn node(&mut self, node: &mut Node, start: usize) -> Range<usize> {
        match node {
            Node::Number(_) => {
                // A minus in front became part of the number.
                while self.is("-") || self.is("+") {
                    self.at += 1;
                }
                self.at += 1;
            }
            Node::Text(_) => self.at += 1,
            Node::Selector(_) => self.selector(),
            Node::Range { .. } => {
                self.name();
                self.group();
                self.modifiers();
            }
            Node::Subquery { expr, .. } => {
                self.expr(expr);
                self.group();
                self.modifiers();
            }
            Node::Paren(inner) => {
                self.at += 1;
                self.expr(inner);
                self.at += 1;
            }
            Node::Negate(inner) => {
                self.at += 1;
                self.expr(inner);
            }
            Node::Call { args, .. } => {
                self.at += 2;
                self.arguments(args.iter_mut());
            }
            Node::Aggregate { param, expr, .. } => {
                self.at += 1;
                self.grouping();
                self.at += 1;
                self.arguments(param.iter_mut().map(|param| &mut **param).chain([&mut **expr]));
                self.grouping();
            }
            Node::Binary { left, right, .. } => {
                self.expr(left);
                self.at += 1;
                while self.is_word(&["bool", "on", "ignoring", "group_left", "group_right"]) {
                    // The right side may be a metric that is called like a keyword; only these take labels.
                    let takes_labels = !self.is_word(&["bool"]);
                    self.at += 1;
                    if takes_labels && self.is("(") {
                        self.group();
                    }
                }
                self.expr(right);
            }
        }
        start..self.end()
    }

    /// Arguments up to and with the closing parenthesis, whose partner was skipped already.
    fn arguments<'e>(&mut self, args: impl Iterator<Item = &'e mut Expr>) {
        for arg in args {
            self.expr(arg);
            if self.is(",") {
                self.at += 1;
            }
        }
        if self.is(")") {
            self.at += 1;
        }
    }

    fn grouping(&mut self) {
        if self.is_word(&["by", "without"]) && self.tokens.get(self.at + 1).is_some_and(|next| next.is("(")) {
            self.at += 1;
            self.group();
        }
    }

    fn name(&mut self) {
        if self.tokens.get(self.at).is_some_and(|token| token.kind == Kind::Word) {
            self.at += 1;
        }
        if self.is("{") {
            self.group();
        }
    }

    fn selector(&mut self) {
        self.name();
        self.modifiers();
    }
}
