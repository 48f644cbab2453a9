//! The table that a benchmark prints.

use super::figures;
use super::spread::Spread;

/// Rows of cells, aligned when printed.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        let head: Vec<String> = head.iter().map(|&word| word.to_owned()).collect();
        let rule = vec!["---".to_owned(); head.len()];
        Self(vec![head, rule])
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push(cells.into_iter().collect());
    }

    /// Prints it and keeps it as `NAME.md` in `target/bench`.
    pub(crate) fn publish(&self, name: &str) {
        print!("\n{}", self.markdown());
        figures::save(&format!("{name}.md"), &self.markdown());
    }

    fn markdown(&self) -> String {
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let line = |row: &Vec<String>| {
            let cells: Vec<String> = row
                .iter()
                .enumerate()
                .map(|(column, cell)| format!("{cell:width$}", width = width(column)))
                .collect();
            format!("| {} |\n", cells.join(" | "))
        };
        self.0.iter().map(line).collect()
    }
}

/// Goals and whether they were met.
pub(crate) struct Goals(Table);

impl Goals {
    pub(crate) fn new() -> Self {
        Self(Table::new(&["goal", "", "measured", "met"]))
    }

    /// A goal that is met by values up to `limit`.
    pub(crate) fn at_most(&mut self, what: &str, limit: f64, measured: f64, unit: &str) {
        self.judge(what, format!("≤ {limit}{unit}"), format!("{measured:.2}{unit}"), measured <= limit);
    }

    pub(crate) fn judge(&mut self, what: &str, limit: String, measured: String, met: bool) {
        self.0.row([what.to_owned(), limit, measured, if met { "yes" } else { "NO" }.to_owned()]);
    }

    pub(crate) fn publish(&self, name: &str) {
        self.0.publish(name);
    }
}

/// The last two cells of a row: the goal for a ratio, and whether it was met.
pub(crate) fn judged(ratio: &Spread, goal: Option<f64>) -> [String; 2] {
    match goal {
        None => [String::new(), String::new()],
        Some(goal) => {
            let met = if ratio.median <= goal { "yes" } else { "NO" };
            [format!("≤ {goal}"), met.to_owned()]
        }
    }
}
