//! Java `.properties` text, as `java.util.Properties.load` reads it.

/// Keys and values in order; a later key overrides an earlier one.
pub(super) fn parse(text: &str) -> Vec<(String, String)> {
    logical_lines(text).iter().map(|line| pair(line)).collect()
}

/// Lines without comments and blank ones, joined where a line ends with an odd number of backslashes.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut continued = false;
    for line in text.lines() {
        let line = line.trim_start_matches([' ', '\t', '\u{c}']);
        if !continued && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = line.bytes().rev().take_while(|&byte| byte == b'\\').count();
        let (body, more) = match backslashes % 2 {
            1 => (&line[..line.len() - 1], true),
            _ => (line, false),
        };
        match lines.last_mut().filter(|_| continued) {
            Some(last) => last.push_str(body),
            None => lines.push(body.to_owned()),
        }
        continued = more;
    }
    lines
}

fn pair(line: &str) -> (String, String) {
    let mut escaped = false;
    let end = line.char_indices().find(|&(_, character)| {
        let ends = !escaped && matches!(character, '=' | ':' | ' ' | '\t' | '\u{c}');
        escaped = !escaped && character == '\\';
        ends
    });
    let (key, rest) = line.split_at(end.map_or(line.len(), |(at, _)| at));
    let rest = rest.trim_start_matches([' ', '\t', '\u{c}']);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (unescaped(key), unescaped(rest.trim_start_matches([' ', '\t', '\u{c}'])))
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let rest = characters.as_str();
                let code = rest.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                match code.and_then(char::from_u32) {
                    Some(decoded) => {
                        plain.push(decoded);
                        characters = rest.get(4..).unwrap_or_default().chars();
                    }
                    None => plain.push('u'),
                }
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_java_reads() {
        let text =
            "# comment\n ! other\n\na=b\n c : d e \nf g\nh\\=i=j\\\n   k\\\\\nl=\\u0041\\t\nm\n";
        let expected =
            [("a", "b"), ("c", "d e "), ("f", "g"), ("h=i", "jk\\"), ("l", "A\t"), ("m", "")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(parse(text), expected);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a=:\\\\u0é \n#]{0,40}") {
            let _ = parse(&text);
        }
    }
}
