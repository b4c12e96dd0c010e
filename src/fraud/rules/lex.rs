//! Text of a condition into tokens.

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Name(String),
    Number(f64),
    Text(String),
    /// An operator or bracket.
    Sign(&'static str),
}

/// Longer signs first.
const SIGNS: &[&str] =
    &["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "(", ")", "[", "]", ",", "?", ":"];

/// Tokens with the byte at which each begins.
pub fn tokens(text: &str) -> Result<Vec<(usize, Token)>, (usize, String)> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let begin = at;
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let token = if c.is_ascii_alphabetic() || c == '_' {
            let len = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
            at += len;
            Token::Name(rest[..len].to_owned())
        } else if c.is_ascii_digit() {
            let len = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(rest.len());
            at += len;
            let number = rest[..len].replace('_', "").parse().map_err(|_| (begin, "is not a number".to_owned()))?;
            Token::Number(number)
        } else if c == '"' || c == '\'' {
            let (text, len) = quoted(rest, c).ok_or((begin, "this text does not end".to_owned()))?;
            at += len;
            Token::Text(text)
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or((begin, format!("{c:?} means nothing here")))?;
            at += sign.len();
            Token::Sign(sign)
        };
        tokens.push((begin, token));
    }
    Ok(tokens)
}

/// A text in quotes and the bytes that it takes. A backslash stands before a quote, a backslash, n or t.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((text, at + 1)),
            '\\' => text.push(match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                c => c,
            }),
            c => text.push(c),
        }
    }
    None
}
