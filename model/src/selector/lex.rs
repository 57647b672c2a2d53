//! Tokens of the label selector syntax.

/// One token, with its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Word,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
    End,
}

/// The tokens of a text and a place among them. After the last one comes [`Token::End`], for ever.
pub(super) struct Lexer<'a> {
    tokens: Vec<(Token, &'a str)>,
    place: usize,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_symbol(byte: u8) -> bool {
    matches!(byte, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<')
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        let mut tokens = Vec::new();
        let mut rest = text.trim_start_matches([' ', '\t', '\r', '\n']);
        while let Some(first) = rest.bytes().next() {
            let length = if is_symbol(first) {
                symbol_length(rest.as_bytes())
            } else {
                rest.bytes().position(|byte| is_symbol(byte) || is_blank(byte)).unwrap_or(rest.len())
            };
            let (token, tail) = rest.split_at(length);
            tokens.push((kind(token), token));
            rest = tail.trim_start_matches([' ', '\t', '\r', '\n']);
        }
        Lexer { tokens, place: 0 }
    }

    /// The next token, left in place. A keyword counts as a word.
    pub(super) fn peek(&self) -> (Token, &'a str) {
        let (token, text) = self.tokens.get(self.place).copied().unwrap_or((Token::End, ""));
        if matches!(token, Token::In | Token::NotIn) { (Token::Word, text) } else { (token, text) }
    }

    /// The next token. A keyword counts as a word.
    pub(super) fn next(&mut self) -> (Token, &'a str) {
        let token = self.peek();
        self.place += 1;
        token
    }

    /// The next token where an operator belongs, so that `in` is one.
    pub(super) fn next_operator(&mut self) -> (Token, &'a str) {
        let token = self.tokens.get(self.place).copied().unwrap_or((Token::End, ""));
        self.place += 1;
        token
    }
}

/// `==`, `!=`, or one byte. A longer run of symbols is several tokens, as in upstream's lexer.
fn symbol_length(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"==") || bytes.starts_with(b"!=") { 2 } else { 1 }
}

fn kind(token: &str) -> Token {
    match token {
        ")" => Token::Close,
        "," => Token::Comma,
        "!" => Token::Not,
        "==" => Token::DoubleEquals,
        "=" => Token::Equals,
        ">" => Token::Greater,
        "in" => Token::In,
        "<" => Token::Less,
        "!=" => Token::NotEquals,
        "notin" => Token::NotIn,
        "(" => Token::Open,
        _ => Token::Word,
    }
}
