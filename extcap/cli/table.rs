//! Tables: aligned columns, which are shortened where the terminal is too narrow.

use std::cmp::Reverse;
use std::iter;

use containerdump::safe_text::SafeText;

/// A column of a table of `T`.
pub(super) struct Column<T> {
    title: &'static str,
    cell: fn(&T) -> String,
    narrowing: Option<Narrowing>,
}

impl<T> Column<T> {
    /// A column that is always whole.
    pub(super) const fn new(title: &'static str, cell: fn(&T) -> String) -> Self {
        Self { title, cell, narrowing: None }
    }

    pub(super) const fn narrowed(self, narrowing: Narrowing) -> Self {
        Self { narrowing: Some(narrowing), ..self }
    }
}

/// How a column is narrowed.
pub(super) struct Narrowing {
    /// Columns with a higher priority are narrowed first.
    pub(super) priority: u8,
    pub(super) min_width: usize,
    /// Shortens a cell to a number of characters.
    pub(super) shorten: fn(&str, usize) -> String,
}

/// A table as text.
pub(super) struct RenderedTable {
    pub(super) text: String,
    /// Whether columns were narrowed to the width.
    pub(super) is_shortened: bool,
    /// Whether a cell was longer than [`MAX_CELL_WIDTH`].
    pub(super) is_cut: bool,
}

/// Characters of a cell: each line is as wide as the widest cells, and padding in a format is limited to 65535.
pub(super) const MAX_CELL_WIDTH: usize = 1000;

const GAP: &str = "  ";

/// Renders a head and a line for each of `rows`, in `width` characters if given and possible.
pub(super) fn render<T>(columns: &[Column<T>], rows: &[T], width: Option<usize>) -> RenderedTable {
    let mut is_cut = false;
    let mut bounded = |cell: String| {
        let is_too_wide = cell.chars().nth(MAX_CELL_WIDTH).is_some();
        is_cut |= is_too_wide;
        if is_too_wide { SafeText::with_limit(&cell, MAX_CELL_WIDTH).to_string() } else { cell }
    };
    let head = columns.iter().map(|column| column.title.to_owned()).collect();
    let cells = |row: &T| columns.iter().map(|column| bounded((column.cell)(row))).collect();
    let lines: Vec<Vec<String>> = iter::once(head).chain(rows.iter().map(cells)).collect();
    let widest = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..columns.len()).map(widest).collect();
    let is_shortened = width.is_some_and(|width| narrow(columns, &mut widths, width));
    let mut text = String::new();
    for line in &lines {
        let cell = |((column, cell), width): ((&Column<T>, &String), usize)| match &column.narrowing {
            Some(narrowing) => padded((narrowing.shorten)(cell, width), width),
            None => padded(cell.clone(), width),
        };
        let cells: Vec<String> = columns.iter().zip(line).zip(widths.iter().copied()).map(cell).collect();
        text.push_str(cells.join(GAP).trim_end());
        text.push('\n');
    }
    RenderedTable { text, is_shortened, is_cut }
}

/// `cell` in `width` characters.
fn padded(mut cell: String, width: usize) -> String {
    let missing = width.saturating_sub(cell.chars().count());
    cell.extend(iter::repeat_n(' ', missing));
    cell
}

/// Narrows columns until a line has `width` characters, if possible. Returns whether a line was longer.
fn narrow<T>(columns: &[Column<T>], widths: &mut [usize], width: usize) -> bool {
    let gaps = GAP.len() * columns.len().saturating_sub(1);
    let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(width);
    let is_too_wide = excess > 0;
    let mut narrowings: Vec<(usize, &Narrowing)> = columns
        .iter()
        .enumerate()
        .filter_map(|(at, column)| Some((at, column.narrowing.as_ref()?)))
        .collect();
    narrowings.sort_by_key(|(_, narrowing)| Reverse(narrowing.priority));
    for (at, narrowing) in narrowings {
        let less = excess.min(widths[at].saturating_sub(narrowing.min_width));
        widths[at] -= less;
        excess -= less;
    }
    is_too_wide
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, width: usize) -> String {
        text.chars().take(width).collect()
    }

    fn columns<'a>() -> [Column<(&'a str, &'a str)>; 2] {
        let narrowing = Narrowing { priority: 1, min_width: 3, shorten: cut };
        [
            Column::new("A", |row: &(&str, &str)| row.0.to_owned()),
            Column::new("B", |row: &(&str, &str)| row.1.to_owned()).narrowed(narrowing),
        ]
    }

    #[test]
    fn columns_are_aligned() {
        let table = render(&columns(), &[("é", "1"), ("long", "2")], None);
        assert_eq!(table.text, "A     B\né     1\nlong  2\n");
        assert!(!table.is_shortened);
    }

    #[test]
    fn a_table_that_is_too_wide_is_narrowed_to_the_minimum_of_its_columns() {
        let rows = [("name", "abcdefgh")];
        let table = render(&columns(), &rows, Some(10));
        assert_eq!((table.text.as_str(), table.is_shortened), ("A     B\nname  abcd\n", true));
        assert_eq!(render(&columns(), &rows, Some(2)).text, "A     B\nname  abc\n");
        assert!(!render(&columns(), &rows, Some(14)).is_shortened);
    }

    #[test]
    fn a_cell_of_any_width_is_cut() {
        let huge = "x".repeat(70_000);
        let table = render(&columns(), &[(huge.as_str(), huge.as_str()), ("1", "2")], None);
        let widths: Vec<usize> = table.text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths, [MAX_CELL_WIDTH + 3, 2 * MAX_CELL_WIDTH + 2, MAX_CELL_WIDTH + 3]);
        assert!(table.is_cut && !table.is_shortened);
        assert!(!render(&columns(), &[(&huge[..MAX_CELL_WIDTH], "2")], None).is_cut);
    }
}
