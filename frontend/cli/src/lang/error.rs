//! Errors that point at the program's text.

use std::fmt;
use std::sync::Arc;
use unicode_width::UnicodeWidthChar;

/// A range of bytes of the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// The span from the start of `self` to the end of `other`.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// A program's text and what to call it.
#[derive(Debug)]
pub struct Source {
    /// The file's name, or `<expression>`.
    pub name: String,
    /// The text.
    pub text: String,
}

/// What is wrong where; [`Problem::in_source`] makes an error of it.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) message: String,
    pub(super) span: Span,
    /// Further facts, one a line.
    pub(super) notes: Vec<String>,
    pub(super) help: Option<String>,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>, span: Span) -> Problem {
        Problem { message: message.into(), span, notes: Vec::new(), help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    pub(super) fn maybe_help(mut self, help: Option<String>) -> Problem {
        self.help = help.or(self.help);
        self
    }

    pub(super) fn in_source(self, source: &Arc<Source>) -> LangError {
        LangError { problem: Box::new(self), source: source.clone() }
    }
}

/// A fault of a program, with the place in its text.
///
/// Its `Display` shows the line with carets below the fault, and what to do about it where that is known:
/// ```
/// let error = lazuli_cli::lang::parse("demo.lz", "y = (1 + 2").unwrap_err();
/// assert_eq!(error.to_string(), "\
/// '(' is never closed
///  --> demo.lz:1:5
///   |
/// 1 | y = (1 + 2
///   |     ^");
/// ```
#[derive(Clone, Debug)]
pub struct LangError {
    problem: Box<Problem>,
    source: Arc<Source>,
}

impl LangError {
    /// What is wrong, in one line or a few.
    pub fn message(&self) -> &str {
        &self.problem.message
    }

    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<&str> {
        self.problem.help.as_deref()
    }

    /// Where, in bytes of the source.
    pub fn span(&self) -> Span {
        self.problem.span
    }

    /// Line and column of the fault, both from 1; columns count characters.
    pub fn line_column(&self) -> (usize, usize) {
        let before = self.text_before(self.problem.span.start);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    fn text_before(&self, at: usize) -> &str {
        let text = &self.source.text;
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        &text[..at]
    }
}

/// Columns shown of a line that is longer than a terminal is wide.
const WINDOW: usize = 100;

impl fmt::Display for LangError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { message, span, notes, help } = &*self.problem;
        let (line, column) = self.line_column();
        let before = self.text_before(span.start);
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let text = self.source.text[start..].lines().next().unwrap_or("");
        let marked = span.end.saturating_sub(span.start).max(1);

        // One entry a character: what is printed for it, and whether it is marked.
        let mut cells: Vec<(char, bool)> = Vec::new();
        let mut at = start;
        for c in text.chars() {
            let hit = (span.start..span.start + marked).contains(&at);
            at += c.len_utf8();
            // Control characters, tabs among them, would move the carets.
            cells.push((if c.is_control() { ' ' } else { c }, hit));
        }
        if !cells.iter().any(|c| c.1) {
            cells.push((' ', true));
        }
        let first = cells.iter().position(|c| c.1).unwrap_or(0);
        let from = if cells.len() > WINDOW { first.saturating_sub(WINDOW / 2) } else { 0 };
        let to = (from + WINDOW).min(cells.len());
        let (mut shown, mut carets) = (String::new(), String::new());
        if from > 0 {
            shown.push('…');
            carets.push(' ');
        }
        for (c, hit) in &cells[from..to] {
            shown.push(*c);
            carets.extend(std::iter::repeat_n(if *hit { '^' } else { ' ' }, c.width().unwrap_or(0)));
        }
        if !carets.contains('^') {
            // The fault is a character without a width.
            carets.push('^');
        }
        if to < cells.len() {
            shown.push('…');
        }
        let gutter = line.to_string().len();
        writeln!(f, "{message}")?;
        writeln!(f, "{:gutter$}--> {}:{line}:{column}", "", self.source.name)?;
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{}", format!("{line} | {shown}").trim_end())?;
        write!(f, "{:gutter$} | {}", "", carets.trim_end())?;
        for note in notes {
            write!(f, "\n{:gutter$} = {note}", "")?;
        }
        if let Some(help) = help {
            write!(f, "\n{:gutter$} = help: {help}", "")?;
        }
        Ok(())
    }
}

impl std::error::Error for LangError {}

/// The name among `known` that `name` was most likely meant to be.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Names longer than any that is known have no neighbour, and would take long to compare.
    if name.len() > 64 {
        return None;
    }
    let most = name.chars().count().div_ceil(3);
    let near = known.into_iter().map(|k| (distance(name, k), k)).filter(|(d, k)| *d <= most && *d < k.chars().count());
    near.min().map(|(_, k)| k)
}

/// Edits between two words: insert, delete, replace, swap neighbours; letter case counts nothing.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut rows: [Vec<usize>; 3] = [vec![0; b.len() + 1], (0..=b.len()).collect(), vec![0; b.len() + 1]];
    for i in 1..=a.len() {
        rows[2][0] = i;
        for j in 1..=b.len() {
            let replace = rows[1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[1][j] + 1).min(rows[2][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[0][j - 2] + 1);
            }
            rows[2][j] = best;
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, d) in [("", "abc", 3), ("sin", "sin", 0), ("isn", "sin", 1), ("Sqrt", "sqrt", 0), ("cos", "cosh", 1)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (d, d), "{a} {b}");
        }
        assert_eq!(nearest("elv", ["elev", "slope"]), Some("elev"));
        assert_eq!(nearest("q", ["x", "y"]), None);
        assert_eq!(nearest("zzzzz", ["sin"]), None);
    }

    #[test]
    fn carets_stand_below_wide_and_control_characters() {
        let source = Arc::new(Source { name: "w".into(), text: "ok\n日本\t= x\n".into() });
        let start = source.text.find('x').unwrap();
        let error = Problem::new("bad", Span { start, end: start + 1 }).help("look").in_source(&source);
        assert_eq!(error.line_column(), (2, 6));
        assert_eq!(error.to_string(), "bad\n --> w:2:6\n  |\n2 | 日本 = x\n  |        ^\n  = help: look");
    }

    #[test]
    fn long_lines_are_cut_around_the_fault() {
        let source = Arc::new(Source { name: "w".into(), text: format!("{}!{}", "a".repeat(5000), "b".repeat(5000)) });
        let shown = Problem::new("bad", Span { start: 5000, end: 5001 }).in_source(&source).to_string();
        assert!(shown.lines().all(|l| l.chars().count() < 120), "{shown}");
        let lines: Vec<Vec<char>> = shown.lines().map(|l| l.chars().collect()).collect();
        let caret = lines[4].iter().position(|&c| c == '^').unwrap();
        assert_eq!(lines[3][caret], '!');
    }

    #[test]
    fn a_fault_at_the_end_or_outside_still_prints() {
        for (text, start) in [("", 0), ("ab", 2), ("ab\n", 3), ("é", 1), ("ab", 99)] {
            let source = Arc::new(Source { name: "w".into(), text: text.into() });
            let shown = Problem::new("bad", Span { start, end: start }).in_source(&source).to_string();
            assert!(shown.contains('^'), "{shown}");
        }
    }
}
