//! Tables for terminals: columns as wide as their widest cell, nothing around them.

/// A table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    /// A table with these heads.
    pub fn new(heads: &[&str]) -> Self {
        Self { lines: vec![heads.iter().map(|head| (*head).to_owned()).collect()] }
    }

    /// One more line. Control characters, of which a terminal would make something, are left out.
    pub fn line<const N: usize>(&mut self, cells: [String; N]) {
        let clean = |cell: String| match cell.contains(char::is_control) {
            true => cell.chars().map(|one| if one.is_control() { ' ' } else { one }).collect(),
            false => cell,
        };
        self.lines.push(cells.into_iter().map(clean).collect());
    }

    /// The text; nothing at all without a line.
    pub fn text(&self) -> String {
        if self.lines.len() < 2 {
            return String::new();
        }
        let columns = self.lines[0].len();
        let width = |column: usize| {
            let cells = self.lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for line in &self.lines {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// A time span for people: `42s`, `3m 5s`, `2h 10m`, `4d 3h`.
pub(super) fn span(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let mut table = Table::new(&["NAME", "STATE"]);
        assert_eq!(table.text(), "");
        table.line(["größe".to_owned(), "a\u{1b}[31mb".to_owned()]);
        assert_eq!(table.text(), "NAME   STATE\ngröße  a [31mb\n");
    }

    #[test]
    fn spans_are_short() {
        let seconds = [-1, 59, 61, 3 * 3600 + 120, 2 * 86_400 + 7200];
        let told: Vec<String> = seconds.iter().map(|one| span(one * 1000)).collect();
        assert_eq!(told, ["0s", "59s", "1m 1s", "3h 2m", "2d 2h"]);
    }
}
