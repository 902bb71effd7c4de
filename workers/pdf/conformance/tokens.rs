//! The tokens of PDF syntax: numbers, names, strings, operators.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A name with `#xx` resolved.
    Name(Vec<u8>),
    /// The bytes between parentheses, escapes included.
    Literal(&'a [u8]),
    Hexadecimal(&'a [u8]),
    /// A number, an operator, a keyword or a bracket.
    Word(&'a [u8]),
}

fn is_space(byte: u8) -> bool {
    matches!(byte, 0 | 9 | 10 | 12 | 13 | 32)
}

fn is_delimiter(byte: u8) -> bool {
    b"()<>[]{}/%".contains(&byte)
}

pub(crate) fn tokens(bytes: &[u8]) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let length = match byte {
            byte if is_space(byte) => 1,
            b'%' => rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len()),
            b'/' => {
                let length = 1 + word(&rest[1..]);
                found.push(Token::Name(unescaped(&rest[1..length])));
                length
            }
            b'(' => {
                let length = literal(rest);
                found.push(Token::Literal(&rest[1..length.saturating_sub(1).max(1)]));
                length
            }
            b'<' | b'>' if rest.get(1) == Some(&byte) => {
                found.push(Token::Word(&rest[..2]));
                2
            }
            b'<' => {
                let length = rest.iter().position(|byte| *byte == b'>').map_or(rest.len(), |end| end + 1);
                found.push(Token::Hexadecimal(&rest[1..length - 1]));
                length
            }
            byte if is_delimiter(byte) => {
                found.push(Token::Word(&rest[..1]));
                1
            }
            _ => {
                let length = word(rest);
                found.push(Token::Word(&rest[..length]));
                length
            }
        };
        at += length;
    }
    found
}

fn word(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| is_space(byte) || is_delimiter(byte)).unwrap_or(bytes.len())
}

fn literal(bytes: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at.min(bytes.len())
}

fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        let code = (byte == b'#')
            .then(|| after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()))
            .flatten();
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(code) => {
                bytes.push(code);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes
}

#[test]
fn splits_tokens() {
    let word = |text: &'static str| Token::Word(text.as_bytes());
    assert_eq!(
        tokens(b"<</A#20b(x(y)\\)z)/N<0aF>>>[1 -2.5]%c\nBT"),
        [
            word("<<"),
            Token::Name(b"A b".to_vec()),
            Token::Literal(b"x(y)\\)z"),
            Token::Name(b"N".to_vec()),
            Token::Hexadecimal(b"0aF"),
            word(">>"),
            word("["),
            word("1"),
            word("-2.5"),
            word("]"),
            word("BT")
        ]
    );
}
