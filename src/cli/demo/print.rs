//! How the tour looks: titles, tidy columns, one line for each claim. Colour only where a
//! terminal shows it; a reader that has gone away is no fault.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

/// Cells longer than this are cut, in characters.
const CELL_CHARS_MAX: usize = 60;
const INDENT: &str = "   ";

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const RED: &str = "1;31";

/// Standard output.
pub struct Page {
    colour: bool,
}

impl Page {
    pub fn new() -> Page {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Page { colour: !plain && std::io::stdout().is_terminal() }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn put(&self, line: &str) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }

    pub fn gap(&self) {
        self.put("");
    }

    pub fn title(&self, number: u32, text: &str) {
        self.gap();
        self.put(&self.paint(BOLD, &format!("{number}. {text}")));
        self.gap();
    }

    pub fn headline(&self, text: &str) {
        self.put(&self.paint(BOLD, text));
    }

    /// What is about to be seen; every line of it is indented.
    pub fn say(&self, text: &str) {
        for line in text.lines() {
            self.put(format!("{INDENT}{line}").trim_end());
        }
    }

    /// What another program said, word for word.
    pub fn quote(&self, text: &str) {
        for line in text.lines() {
            self.put(&self.paint(DIM, &format!("{INDENT}| {line}")));
        }
    }

    pub fn held(&self, claim: &str) {
        self.put(&format!("{INDENT}{}  {claim}", self.paint(GREEN, "ok")));
    }

    pub fn failed(&self, claim: &str, seen: &dyn Display, expected: &dyn Display) {
        self.put(&format!("{INDENT}{}  {claim}", self.paint(RED, "FAILED")));
        self.put(&format!("{INDENT}        seen      {seen}"));
        self.put(&format!("{INDENT}        expected  {expected}"));
    }

    /// Columns as wide as their widest cell; the first row is the heading.
    pub fn table(&self, rows: &[Vec<String>]) {
        let cells: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| fit(cell)).collect()).collect();
        let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (index, row) in cells.iter().enumerate() {
            let line: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            let line = format!("{INDENT}{}", line.join("  "));
            let line = line.trim_end();
            self.put(&if index == 0 { self.paint(DIM, line) } else { line.to_owned() });
        }
    }
}

fn fit(cell: &str) -> String {
    shorten(cell, CELL_CHARS_MAX)
}

/// The first characters of a text, and dots where there are more.
pub fn shorten(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max.saturating_sub(2)).chain("..".chars()).collect()
}

/// A row of a table.
pub fn row(cells: &[&dyn Display]) -> Vec<String> {
    cells.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn cuts_by_characters_and_says_so() {
        for (text, chars_max, expected) in
            [("short", 5, "short"), ("longer", 5, "lon.."), ("žžžžžž", 4, "žž.."), ("", 4, "")]
        {
            assert_eq!(shorten(text, chars_max), expected);
        }
    }
}
