//! Links, tests and paths in documents exist.

use std::path::Path;

use regex::Regex;

use crate::support::harness::tests;
use crate::{Page, PageTest, root, sources};

pub(crate) const TESTS: &[PageTest] = tests![
    every_link_and_image_leads_to_a_file,
    every_named_test_and_path_exists,
    every_document_is_linked_from_the_readme,
];

fn every_link_and_image_leads_to_a_file(pages: &[Page]) -> Vec<String> {
    let mut complaints = Vec::new();
    for page in pages {
        let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
        for link in page.links().iter().filter(|link| !link.starts_with("https://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() { Path::new(&page.path).to_owned() } else { folder.join(file) };
            if !root().join(&path).is_file() {
                complaints.push(format!("{}: there is no {link}", page.path));
            } else if !anchor.is_empty() {
                let anchors = Page::find(pages, &path.to_string_lossy()).anchors();
                if !anchors.iter().any(|there| there == anchor) {
                    complaints.push(format!("{}: there is no heading for {link}", page.path));
                }
            }
        }
    }
    complaints
}

fn every_named_test_and_path_exists(pages: &[Page]) -> Vec<String> {
    let code = ["tests", "src", "extcap", "installer"].map(|folder| sources(folder, ".rs")).concat();
    let test = Regex::new("^[a-z0-9]+(_[a-z0-9]+){3,}$").expect("an expression");
    let path = Regex::new("^(src|extcap|installer|tests|docs|benches|[.]ci)/[^ ]*$").expect("an expression");
    let mut complaints = Vec::new();
    for page in pages {
        for span in page.spans() {
            let missing = if test.is_match(span) {
                !code.contains(&format!("\"{span}\"")) && !code.contains(&format!("fn {span}("))
            } else {
                // The comparison names files of other projects, too.
                page.path != "docs/comparison.md" && path.is_match(span) && !root().join(span).exists()
            };
            if missing {
                complaints.push(format!("{}: there is no {span}", page.path));
            }
        }
    }
    complaints
}

fn every_document_is_linked_from_the_readme(pages: &[Page]) -> Vec<String> {
    let links = Page::find(pages, "README.md").links();
    pages
        .iter()
        .filter(|page| page.path != "README.md" && !links.contains(&page.path))
        .map(|page| format!("README.md has no link to {}", page.path))
        .collect()
}
