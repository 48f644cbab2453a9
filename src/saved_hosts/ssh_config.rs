//! Names of hosts in ssh's settings, ssh_config(5).

use std::io;
use std::path::{Path, PathBuf};

use super::folder;
use crate::error::Error;
use crate::settings_file;

/// How deep files may include each other, as in OpenSSH (`READCONF_MAX_DEPTH`, readconf.c).
const DEEPEST: usize = 16;
/// Files that are read: they may include each other over and over.
const MOST_FILES: usize = 500;

/// Names behind `Host` that are no patterns, in `~/.ssh/config` and what it includes; none where there is no such file.
///
/// Fails when that file cannot be read. Those that it includes are passed over then, as ssh does.
pub(super) fn names() -> Result<Vec<String>, Error> {
    let Some(home) = folder::home() else { return Ok(Vec::new()) };
    let path = home.join(".ssh/config");
    let mut reader = Reader { home: &home, names: Vec::new(), files: 0 };
    match reader.read(&path, 0) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(Error::new(
                format!("cannot read {}: {error}", path.display()),
                "see that the file is yours and may be read",
            ))
        }
        _ => Ok(reader.names),
    }
}

struct Reader<'a> {
    home: &'a Path,
    names: Vec<String>,
    files: usize,
}

impl Reader<'_> {
    fn read(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        let text = settings_file::read(path)?;
        for line in String::from_utf8_lossy(&text).lines() {
            let line = line.trim_start();
            let (keyword, rest) =
                line.split_once(|one: char| one.is_whitespace() || one == '=').unwrap_or((line, ""));
            let words = rest.split(|one: char| one.is_whitespace() || one == '=' || one == '"');
            let words = words.take_while(|word| !word.starts_with('#')).filter(|word| !word.is_empty());
            match keyword.to_ascii_lowercase().as_str() {
                "host" => words.for_each(|word| self.add(word)),
                "include" if depth < DEEPEST => words.for_each(|word| self.include(word, depth)),
                _ => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, word: &str) {
        if !word.contains(['*', '?', '!']) && !self.names.iter().any(|known| known == word) {
            self.names.push(word.to_owned());
        }
    }

    /// Reads the files that a pattern means: one without a folder means files beside the user's settings.
    fn include(&mut self, pattern: &str, depth: usize) {
        let pattern: PathBuf = match pattern.strip_prefix("~/") {
            Some(rest) => self.home.join(rest),
            None => self.home.join(".ssh").join(pattern),
        };
        let paths = pattern.to_str().and_then(|pattern| glob::glob(pattern).ok());
        for path in paths.into_iter().flatten().flatten() {
            self.files += 1;
            if self.files > MOST_FILES {
                return;
            }
            let _ = self.read(&path, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The names in files of a home, of which the first is the user's settings.
    fn names(files: &[(&str, &str)]) -> Vec<String> {
        let home = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text.replace("$HOME", home.path().to_str().expect("a path"))).expect("a file");
        }
        let mut reader = Reader { home: home.path(), names: Vec::new(), files: 0 };
        reader.read(&home.path().join(files[0].0), 0).expect("settings");
        reader.names
    }

    #[test]
    fn they_are_those_that_are_no_patterns() {
        let config = "Host build1 build2 *.example !x\n  HostName 192.0.2.1\nhost=\"build3\" # Host build4\n\
                      #Host build5\nMatch host build6\n\tHOST  build1\nHostName build7\nHost";
        assert_eq!(names(&[(".ssh/config", config)]), ["build1", "build2", "build3"]);
    }

    #[test]
    fn files_that_are_included_count() {
        let config = "Include d/* ~/more\nInclude $HOME/absolute nowhere \"d/[\"\nHost last";
        let files = [
            (".ssh/config", config),
            (".ssh/d/a", "Host a"),
            (".ssh/d/b", "Host b\n Include e"),
            (".ssh/e", "Host of-b"),
            ("more", "Host more"),
            ("absolute", "Host absolute"),
        ];
        assert_eq!(names(&files), ["a", "b", "of-b", "more", "absolute", "last"]);
    }

    #[test]
    fn a_circle_comes_to_an_end() {
        let config = "Host a\nInclude config config\nHost z";
        assert_eq!(names(&[(".ssh/config", config)]), ["a", "z"]);
    }
}
