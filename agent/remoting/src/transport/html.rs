//! One line of text out of an error page.

/// The longest text taken, in characters.
const MAX_CHARS: usize = 200;

/// The content of the first `<title>` in one line, entities decoded; `None` if there is none or it is empty.
pub(crate) fn title(page: &str) -> Option<String> {
    let start = find_ignoring_case(page, "<title")?;
    let page = &page[start..];
    let page = &page[page.find('>')? + 1..];
    let end = find_ignoring_case(page, "</title").unwrap_or(page.len());
    one_line(&decode_entities(&page[..end]))
}

/// Text in one line: white space collapsed, control characters dropped, length bounded.
pub(crate) fn one_line(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String =
        words.join(" ").chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect();
    (!line.is_empty()).then_some(line)
}

fn find_ignoring_case(text: &str, lower: &str) -> Option<usize> {
    text.as_bytes()
        .windows(lower.len())
        .position(|part| part.eq_ignore_ascii_case(lower.as_bytes()))
}

fn decode_entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity = rest.find(';').filter(|end| *end <= 10).and_then(|end| {
            let decoded = decode_entity(&rest[1..end])?;
            Some((decoded, end + 1))
        });
        let (decoded, length) = entity.unwrap_or(('&', 1));
        out.push(decoded);
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

fn decode_entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles() {
        for (page, expected) in [
            (
                "<html><head>\n<title>Error 400 no such agent</title>",
                Some("Error 400 no such agent"),
            ),
            (
                "<TITLE lang=en>a &lt;b&gt; &amp;amp; &#39;c&#x27; &nbsp; d\n e</TITLE><title>2",
                Some("a <b> &amp; 'c' d e"),
            ),
            ("<title>cut off &amp", Some("cut off &amp")),
            ("<title>&#0;&#7;\u{1b}[31mred</title>", Some("[31mred")),
            ("<title>é &unknown; &#xD800; &</title>", Some("é &unknown; &#xD800; &")),
            ("<title></title>", None),
            ("<title", None),
            ("no page", None),
        ] {
            assert_eq!(title(page).as_deref(), expected, "{page}");
        }
        assert_eq!(
            title(&format!("<title>{}", "é".repeat(10_000))).unwrap().chars().count(),
            MAX_CHARS
        );
    }
}
