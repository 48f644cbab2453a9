//! The Markdown of the documents.

use regex::Regex;

use crate::root;

/// A document.
#[derive(Clone)]
pub(crate) struct Page {
    /// Its path from the root of the repository.
    pub(crate) path: String,
    /// Its lines outside of blocks.
    pub(crate) prose: Vec<String>,
    pub(crate) blocks: Vec<Block>,
}

/// A fenced block.
#[derive(Clone)]
pub(crate) struct Block {
    /// The language of its fence: `sh`, `console`, `json`.
    pub(crate) kind: String,
    pub(crate) lines: Vec<String>,
}

impl Page {
    /// The documents in the root and in docs/.
    pub(crate) fn all() -> Vec<Self> {
        let mut pages: Vec<Self> = ["", "docs"]
            .iter()
            .flat_map(|folder| std::fs::read_dir(root().join(folder)).expect("a folder").flatten())
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "md"))
            .map(|entry| {
                let path = entry.path();
                let text = std::fs::read_to_string(&path).expect("text");
                let path = path.strip_prefix(root()).expect("a path of the repository");
                Self::read(&path.to_string_lossy(), &text)
            })
            .collect();
        pages.sort_by(|a, b| a.path.cmp(&b.path));
        pages
    }

    fn read(path: &str, text: &str) -> Self {
        let mut page = Self { path: path.to_owned(), prose: Vec::new(), blocks: Vec::new() };
        let mut within = false;
        for line in text.lines() {
            match (line.trim_start().strip_prefix("```"), within) {
                (Some(kind), false) => {
                    page.blocks.push(Block { kind: kind.trim().to_owned(), lines: Vec::new() });
                    within = true;
                }
                (Some(_), true) => within = false,
                (None, true) => {
                    page.blocks.last_mut().expect("a block").lines.push(line.trim_start().to_owned());
                }
                (None, false) => page.prose.push(line.to_owned()),
            }
        }
        assert!(!within, "{path}: a block does not end");
        page
    }

    /// The page of this path.
    pub(crate) fn find<'a>(pages: &'a [Self], path: &str) -> &'a Self {
        pages.iter().find(|page| page.path == path).unwrap_or_else(|| panic!("there is no {path}"))
    }

    /// Code spans in the prose.
    pub(crate) fn spans(&self) -> Vec<&str> {
        self.prose.iter().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
    }

    /// Targets of links and images.
    pub(crate) fn links(&self) -> Vec<String> {
        let link = Regex::new(r"\[[^\]]*\]\(([^)\s]+)\)").expect("an expression");
        // Code is not a link.
        let prose: Vec<String> = self
            .prose
            .iter()
            .map(|line| line.split('`').step_by(2).collect::<Vec<_>>().join("code"))
            .collect();
        prose.iter().flat_map(|line| link.captures_iter(line)).map(|found| found[1].to_owned()).collect()
    }

    /// Anchors of its headings.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let headings = self.prose.iter().filter(|line| line.starts_with('#'));
        headings
            .map(|line| {
                let text = line.trim_start_matches('#').trim().to_lowercase();
                let kept = text.chars().filter(|one| one.is_alphanumeric() || " -_".contains(*one));
                kept.map(|one| if one == ' ' { '-' } else { one }).collect()
            })
            .collect()
    }

    /// Cells of its tables without their headers.
    pub(crate) fn rows(&self) -> Vec<Vec<&str>> {
        let mut rows = Vec::new();
        let mut within = false;
        for line in &self.prose {
            match line.strip_prefix('|') {
                None => within = false,
                Some(rule) if rule.starts_with("---") => within = true,
                Some(row) if within => {
                    rows.push(row.trim_end().trim_end_matches('|').split('|').map(str::trim).collect());
                }
                Some(_) => {}
            }
        }
        rows
    }
}
