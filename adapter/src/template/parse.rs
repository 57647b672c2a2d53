//! Tokens become a tree.

use super::functions;
use super::lex::{Kind, Part, Token};
use super::{MAX_DEPTH, TemplateError};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    /// `if`, `with`, `range` and their `else`.
    Branch {
        keyword: Keyword,
        pipe: Pipe,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Break,
    Continue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    If,
    With,
    Range,
}

/// Commands joined by `|`, with what they are given to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipe {
    /// Variables on the left; two only below `range`.
    pub variables: Vec<String>,
    /// `:=`, not `=`.
    pub declares: bool,
    /// At least one.
    pub commands: Vec<Vec<Operand>>,
    pub line: usize,
}

/// A value, and fields of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operand {
    pub base: Base,
    pub fields: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Base {
    Dot,
    Variable(String),
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Nil,
    Pipe(Box<Pipe>),
    Function(&'static str),
}

pub(super) fn parse(parts: Vec<Part>) -> Result<Vec<Node>, TemplateError> {
    let mut parser =
        Parser { parts: parts.into_iter(), variables: vec!["$".into()], depth: 0, loops: 0, last_line: 0 };
    let (nodes, end) = parser.list()?;
    match end {
        End::File => Ok(nodes),
        End::Closed => Err(TemplateError::at(parser.last_line, "unexpected {{end}}")),
        End::Else(_) => Err(TemplateError::at(parser.last_line, "unexpected {{else}}")),
    }
}

/// What ended a list of nodes.
enum End {
    File,
    Closed,
    /// With what follows the word.
    Else(Tokens),
}

struct Parser {
    parts: std::vec::IntoIter<Part>,
    /// Those in scope.
    variables: Vec<String>,
    depth: usize,
    loops: usize,
    last_line: usize,
}

/// Words of one action that are still to be read.
struct Tokens {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    line: usize,
}

impl Tokens {
    fn word(&mut self) -> Option<String> {
        match &self.tokens.peek()?.kind {
            Kind::Word(word) => Some(word.clone()),
            _ => None,
        }
    }

    fn kind(&mut self) -> Option<&Kind> {
        self.tokens.peek().map(|token| &token.kind)
    }

    fn error(&self, message: impl Into<String>) -> TemplateError {
        TemplateError::at(self.line, message)
    }

    fn finish(&mut self, context: &str) -> Result<(), TemplateError> {
        match self.tokens.next() {
            None => Ok(()),
            Some(token) => {
                Err(TemplateError::at(token.line, format!("unexpected {:?} in {context}", token.kind)))
            }
        }
    }
}

impl Parser {
    fn list(&mut self) -> Result<(Vec<Node>, End), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(part) = self.parts.next() {
            let tokens = match part {
                Part::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Part::Action(tokens) => tokens,
            };
            let line = tokens.first().map_or(self.last_line, |token| token.line);
            self.last_line = line;
            let mut tokens = Tokens { tokens: tokens.into_iter().peekable(), line };
            match tokens.word().as_deref() {
                Some("end") => {
                    tokens.tokens.next();
                    tokens.finish("end")?;
                    return Ok((nodes, End::Closed));
                }
                Some("else") => {
                    tokens.tokens.next();
                    return Ok((nodes, End::Else(tokens)));
                }
                Some(word) => nodes.push(self.keyword(word, tokens)?),
                None => nodes.push(self.action(tokens)?),
            }
        }
        Ok((nodes, End::File))
    }

    fn keyword(&mut self, word: &str, mut tokens: Tokens) -> Result<Node, TemplateError> {
        let keyword = match word {
            "if" => Keyword::If,
            "with" => Keyword::With,
            "range" => Keyword::Range,
            "break" | "continue" => {
                tokens.tokens.next();
                tokens.finish(word)?;
                if self.loops == 0 {
                    return Err(tokens.error(format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                return Ok(if word == "break" { Node::Break } else { Node::Continue });
            }
            "define" | "template" | "block" => {
                return Err(tokens.error(format!("{word:?} is not supported in a query")));
            }
            _ => return self.action(tokens),
        };
        tokens.tokens.next();
        self.branch(keyword, tokens)
    }

    fn action(&mut self, mut tokens: Tokens) -> Result<Node, TemplateError> {
        let pipe = self.pipe(&mut tokens, false)?;
        tokens.finish("command")?;
        Ok(Node::Action(pipe))
    }

    fn branch(&mut self, keyword: Keyword, mut tokens: Tokens) -> Result<Node, TemplateError> {
        self.descend(tokens.line)?;
        let scope = self.variables.len();
        let pipe = self.pipe(&mut tokens, keyword == Keyword::Range)?;
        tokens.finish("control structure")?;
        self.loops += usize::from(keyword == Keyword::Range);
        let (then, end) = self.list()?;
        self.loops -= usize::from(keyword == Keyword::Range);
        let otherwise = self.otherwise(keyword, end)?;
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(Node::Branch { keyword, pipe, then, otherwise })
    }

    fn otherwise(&mut self, keyword: Keyword, end: End) -> Result<Vec<Node>, TemplateError> {
        let mut tokens = match end {
            End::Closed => return Ok(Vec::new()),
            End::File => return Err(TemplateError::at(self.last_line, "unexpected EOF: {{end}} is missing")),
            End::Else(tokens) => tokens,
        };
        let chained = match (tokens.word().as_deref(), keyword) {
            (Some("if"), Keyword::If) => Some(Keyword::If),
            (Some("with"), Keyword::With) => Some(Keyword::With),
            _ => None,
        };
        if let Some(keyword) = chained {
            // `else if` shares the end of the first one.
            tokens.tokens.next();
            return Ok(vec![self.branch(keyword, tokens)?]);
        }
        tokens.finish("else")?;
        match self.list()? {
            (nodes, End::Closed) => Ok(nodes),
            (_, End::File) => Err(TemplateError::at(self.last_line, "unexpected EOF: {{end}} is missing")),
            (_, End::Else(_)) => Err(TemplateError::at(self.last_line, "expected end; found {{else}}")),
        }
    }

    fn descend(&mut self, line: usize) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(TemplateError::at(line, format!("nested deeper than {MAX_DEPTH}")));
        }
        Ok(())
    }

    fn pipe(&mut self, tokens: &mut Tokens, ranges: bool) -> Result<Pipe, TemplateError> {
        let line = tokens.line;
        let (variables, declares) = self.variables_of(tokens, ranges)?;
        let mut commands = Vec::new();
        loop {
            let command = self.command(tokens)?;
            if command.is_empty() {
                // Go takes a pipe with nothing after it for the end.
                if !commands.is_empty() && tokens.kind() != Some(&Kind::Pipe) {
                    break;
                }
                return Err(tokens.error(if commands.is_empty() {
                    "missing value"
                } else {
                    "empty command"
                }));
            }
            let literal = matches!(
                command[0].base,
                Base::Text(_) | Base::Int(_) | Base::Float(_) | Base::Bool(_) | Base::Nil | Base::Dot
            ) && command[0].fields.is_empty();
            if literal && !commands.is_empty() {
                let stage = commands.len() + 1;
                return Err(tokens.error(format!("non executable command in pipeline stage {stage}")));
            }
            commands.push(command);
            if tokens.kind() != Some(&Kind::Pipe) {
                break;
            }
            tokens.tokens.next();
        }
        Ok(Pipe { variables, declares, commands, line })
    }

    /// `$x :=`, `$x =`, and below `range` also `$i, $x :=`.
    fn variables_of(
        &mut self,
        tokens: &mut Tokens,
        ranges: bool,
    ) -> Result<(Vec<String>, bool), TemplateError> {
        let ahead: Vec<Kind> = tokens.tokens.clone().take(4).map(|token| token.kind).collect();
        let (names, operator) = match ahead.as_slice() {
            [Kind::Variable(a), Kind::Comma, Kind::Variable(b), op @ (Kind::Declare | Kind::Assign)]
                if ranges =>
            {
                (vec![a.clone(), b.clone()], op)
            }
            [Kind::Variable(_), Kind::Comma, ..] => {
                return Err(tokens.error("too many declarations in a command"));
            }
            [Kind::Variable(a), op @ (Kind::Declare | Kind::Assign), ..] => (vec![a.clone()], op),
            _ => return Ok((Vec::new(), false)),
        };
        let declares = *operator == Kind::Declare;
        for _ in 0..names.len() * 2 {
            tokens.tokens.next();
        }
        // Go knows a name from here on, even if it is only assigned; whether it has a value shows when it is used.
        self.variables.extend(names.iter().cloned());
        Ok((names, declares))
    }

    fn command(&mut self, tokens: &mut Tokens) -> Result<Vec<Operand>, TemplateError> {
        let mut operands: Vec<Operand> = Vec::new();
        while let Some(kind) = tokens.kind() {
            if matches!(kind, Kind::Pipe | Kind::Close) {
                break;
            }
            if !operands.is_empty() && tokens.tokens.peek().is_some_and(|token| !token.spaced) {
                let kind = format!("{:?}", tokens.kind());
                return Err(tokens.error(format!("unexpected {kind} in operand: white space is missing")));
            }
            operands.push(self.operand(tokens)?);
        }
        Ok(operands)
    }

    fn operand(&mut self, tokens: &mut Tokens) -> Result<Operand, TemplateError> {
        let Some(token) = tokens.tokens.next() else { return Err(tokens.error("missing value")) };
        let mut fields = Vec::new();
        let base = match token.kind {
            Kind::Dot => Base::Dot,
            Kind::Field(name) => {
                fields.push(name);
                Base::Dot
            }
            Kind::Variable(name) if self.variables.contains(&name) => Base::Variable(name),
            Kind::Variable(name) => {
                return Err(TemplateError::at(token.line, format!("undefined variable {name:?}")));
            }
            Kind::Text(text) => Base::Text(text),
            Kind::Int(value) => Base::Int(value),
            Kind::Float(value) => Base::Float(value),
            Kind::Word(word) => {
                word_operand(&word).map_err(|message| TemplateError::at(token.line, message))?
            }
            Kind::Open => {
                self.descend(token.line)?;
                let pipe = self.pipe(tokens, false)?;
                self.depth -= 1;
                match tokens.tokens.next().map(|token| token.kind) {
                    Some(Kind::Close) => Base::Pipe(Box::new(pipe)),
                    _ => return Err(TemplateError::at(token.line, "unclosed left paren")),
                }
            }
            other => return Err(TemplateError::at(token.line, format!("unexpected {other:?} in operand"))),
        };
        while let Some(Token { kind: Kind::Field(name), spaced: false, .. }) = tokens.tokens.peek() {
            if matches!(base, Base::Text(_) | Base::Int(_) | Base::Float(_) | Base::Bool(_) | Base::Nil) {
                return Err(TemplateError::at(token.line, format!("unexpected . after a constant: .{name}")));
            }
            fields.push(name.clone());
            tokens.tokens.next();
        }
        Ok(Operand { base, fields })
    }
}

fn word_operand(word: &str) -> Result<Base, String> {
    match word {
        "true" => Ok(Base::Bool(true)),
        "false" => Ok(Base::Bool(false)),
        "nil" => Ok(Base::Nil),
        word => {
            functions::named(word).map(Base::Function).ok_or_else(|| format!("function {word:?} not defined"))
        }
    }
}

/// Fields of the root; `dot` tells whether `.` is the root here.
pub(super) fn root_fields<'a>(nodes: &'a [Node], dot: bool, found: &mut Vec<&'a str>) {
    for node in nodes {
        match node {
            Node::Text(_) | Node::Break | Node::Continue => {}
            Node::Action(pipe) => pipe_fields(pipe, dot, found),
            Node::Branch { keyword, pipe, then, otherwise } => {
                pipe_fields(pipe, dot, found);
                root_fields(then, dot && *keyword == Keyword::If, found);
                root_fields(otherwise, dot, found);
            }
        }
    }
}

fn pipe_fields<'a>(pipe: &'a Pipe, dot: bool, found: &mut Vec<&'a str>) {
    for operand in pipe.commands.iter().flatten() {
        let root = match &operand.base {
            Base::Dot => dot,
            Base::Variable(name) => name == "$",
            Base::Pipe(inner) => {
                pipe_fields(inner, dot, found);
                false
            }
            _ => false,
        };
        if let (true, Some(first)) = (root, operand.fields.first()) {
            found.push(first);
        }
    }
}
