//! Tells code from comments and literals in Rust source, so that a rule about code is not tripped by
//! a sentence about it. A lexer just good enough for source that compiles.

/// Two views of a source text, of the same byte length and with the same line breaks; whatever does
/// not belong to a view is blanks there. Literals are in neither.
pub(crate) struct RustText {
    pub(crate) code: String,
    pub(crate) comments: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

impl RustText {
    pub(crate) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut code = Vec::with_capacity(bytes.len());
        let mut comments = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let (kind, end) = token(bytes, at);
            for &byte in &bytes[at..end] {
                let keep = |wanted| if byte == b'\n' || kind == wanted { byte } else { b' ' };
                code.push(keep(Kind::Code));
                comments.push(keep(Kind::Comment));
            }
            at = end;
        }
        // Every token is blanked or kept as a whole and ends on a character boundary.
        let view = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: view(code), comments: view(comments) }
    }
}

/// The token at `at` and where it ends; a byte of plain code is a token of its own.
fn token(bytes: &[u8], at: usize) -> (Kind, usize) {
    let rest = &bytes[at..];
    match rest {
        [b'/', b'/', ..] => {
            let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            (Kind::Comment, at + length)
        }
        [b'/', b'*', ..] => (Kind::Comment, at + block_comment(rest)),
        [b'"', ..] => (Kind::Literal, at + quoted(rest, b'"')),
        [b'r', ..] if starts_word(bytes, at) => match raw_string(rest) {
            Some(length) => (Kind::Literal, at + length),
            None => (Kind::Code, at + 1),
        },
        [b'\'', ..] => match character(rest) {
            Some(length) => (Kind::Literal, at + length),
            None => (Kind::Code, at + 1),
        },
        _ => (Kind::Code, at + 1),
    }
}

/// True if no name ends just before `at`; the `b` and `c` of `br"…"` and `cr"…"` are no names.
fn starts_word(bytes: &[u8], at: usize) -> bool {
    let before = &bytes[..at];
    match before {
        [.., x, b'b' | b'c'] => !is_word(*x),
        [b'b' | b'c'] | [] => true,
        [.., x] => !is_word(*x),
    }
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of `r"…"` or `r#"…"#`; `None` for a name that begins with r, or a raw name.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let body = 2 + hashes;
    let end = rest[body..].windows(close.len()).position(|window| window == close);
    Some(end.map_or(rest.len(), |end| body + end + close.len()))
}

/// Length of a character literal; `None` for a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return Some(quoted(rest, b'\''));
    }
    let first = std::str::from_utf8(&rest[1..rest.len().min(5)])
        .or_else(|error| std::str::from_utf8(&rest[1..1 + error.valid_up_to()]))
        .ok()?
        .chars()
        .next()?;
    let end = 1 + first.len_utf8();
    (rest.get(end) == Some(&b'\'')).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        RustText::of(text).code
    }

    #[test]
    fn comments_and_code_part() {
        let text = RustText::of("a // b é\n/* c /* d */ e */ f");
        assert_eq!(text.code.replace(' ', ""), "a\nf");
        assert_eq!(text.comments.replace(' ', ""), "//bé\n/*c/*d*/e*/");
        assert_eq!(text.code.len(), text.comments.len());
    }

    #[test]
    fn literals_are_in_neither() {
        assert_eq!(code(r#"x("a // \" b", 'c', '\'', '"', 'é') y"#).replace(' ', ""), "x(,,,,)y");
        let raw = r##"r"\" r#"a " b"# br"c" bar"d" r#fn"##;
        assert_eq!(code(raw).replace(' ', ""), "bbarr#fn");
        assert_eq!(code("fn f<'a>(x: &'a str)"), "fn f<'a>(x: &'a str)");
    }

    #[test]
    fn unclosed_literals_end_with_the_text() {
        for text in ["\"a", "r#\"a", "/* a", "'\\", "'", "\"\\"] {
            assert_eq!(RustText::of(text).code.len(), text.len(), "{text}");
        }
    }
}
