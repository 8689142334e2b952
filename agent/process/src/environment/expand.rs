//! Macro expansion in texts (Java: `hudson.Util.replaceMacro`).

/// Replaces `$NAME`, `${NAME}` by what `resolve` gives and `$$` by `$`; keeps what it does not
/// know. `None` if the result would be longer than `limit` bytes.
pub(super) fn replace_macros<'a>(
    text: &str,
    limit: usize,
    resolve: impl Fn(&str) -> Option<&'a str>,
) -> Option<String> {
    let mut result = String::with_capacity(text.len().min(limit));
    let mut rest = text;
    let mut push = |piece: &str| -> Option<()> {
        if result.len() + piece.len() > limit {
            return None;
        }
        result.push_str(piece);
        Some(())
    };
    while let Some(dollar) = rest.find('$') {
        push(&rest[..dollar])?;
        rest = &rest[dollar..];
        let (length, replacement) = match reference(rest) {
            Some(Reference::Dollar) => (2, Some("$")),
            Some(Reference::Variable { name, length }) => (length, resolve(name)),
            None => (1, None),
        };
        push(replacement.unwrap_or(&rest[..length]))?;
        rest = &rest[length..];
    }
    push(rest)?;
    Some(result)
}

/// The names of all variables a text refers to, as they are spelled there.
pub(super) fn referred_names(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.find('$')?..];
            match reference(rest) {
                Some(Reference::Variable { name, length }) => {
                    rest = &rest[length..];
                    return Some(name);
                }
                Some(Reference::Dollar) => rest = &rest[2..],
                None => rest = &rest[1..],
            }
        }
    })
}

enum Reference<'a> {
    /// `$$`.
    Dollar,
    /// `$NAME` or `${NAME}`; `length` in bytes, the dollar included.
    Variable { name: &'a str, length: usize },
}

/// The reference a text that begins with `$` begins with.
fn reference(text: &str) -> Option<Reference<'_>> {
    let after = text.get(1..)?;
    if after.starts_with('$') {
        return Some(Reference::Dollar);
    }
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if let Some(braced) = after.strip_prefix('{') {
        let end = braced.bytes().position(|b| !word(b) && b != b'.')?;
        let closed = end > 0 && braced.as_bytes()[end] == b'}';
        return closed.then(|| Reference::Variable { name: &braced[..end], length: end + 3 });
    }
    let end = after.bytes().position(|b| !word(b)).unwrap_or(after.len());
    (end > 0).then(|| Reference::Variable { name: &after[..end], length: end + 1 })
}
