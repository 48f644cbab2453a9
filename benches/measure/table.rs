//! The table that a benchmark prints.

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

    pub(crate) fn print(&self) {
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        println!();
        for row in &self.0 {
            let cells: Vec<String> = row
                .iter()
                .enumerate()
                .map(|(column, cell)| format!("{cell:width$}", width = width(column)))
                .collect();
            println!("| {} |", cells.join(" | "));
        }
    }
}

/// The last two cells of a row: the goal for a ratio, and whether it was met.
pub(crate) fn judged(ratio: &Spread, goal: Option<f64>) -> [String; 2] {
    match goal {
        None => [String::new(), String::new()],
        Some(goal) => {
            let met = if ratio.median <= goal { "yes" } else { "NO" };
            [format!("≤ {goal:.1}"), met.to_owned()]
        }
    }
}
