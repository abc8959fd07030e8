//! Documents name files: those must exist. A page that points at nothing is worse than no page.

use std::path::Path;

use anyhow::Result;

use super::text_of;
use crate::process::root;

/// Folders whose paths are written from the root of the tree.
const FROM_ROOT: &[&str] = &["crates/", "xtask/", "docs/", "packaging/", "tests/", "bench/", ".ci/"];

pub(super) fn check(files: &[String]) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.ends_with(".md")) {
        let text = text_of(file).unwrap_or_default();
        for (index, line) in text.lines().enumerate() {
            let named = quoted_paths(line).chain(links(line).map(|link| beside(file, link)));
            for path in named.filter(|path| !exists(path)) {
                findings.push(format!("{file}:{}: there is no {path}", index + 1));
            }
        }
    }
    Ok(findings)
}

/// Paths from the root that stand in backticks. Patterns (`*`, `<…>`, `{…}`) are no paths.
fn quoted_paths(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| FROM_ROOT.iter().any(|folder| word.starts_with(folder)))
        .filter(|word| !word.contains(['*', '<', '{', '…', ' ']))
        .map(|word| word.split("::").next().unwrap_or(word).to_owned())
}

/// Targets of Markdown links that lie in the tree.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).filter_map(|target| {
        let path = target.split('#').next().unwrap_or_default();
        (!path.is_empty() && !path.contains(':')).then_some(path)
    })
}

fn beside(file: &str, link: &str) -> String {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    folder.join(link).display().to_string()
}

fn exists(path: &str) -> bool {
    root().join(path).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_links_are_found_in_a_line() {
        let line = "see `crates/log/src/wal.rs`, [the format](format.md#wal), [Kafka](https://x) and `crates/*/src`";
        assert_eq!(quoted_paths(line).collect::<Vec<_>>(), ["crates/log/src/wal.rs"]);
        assert_eq!(links(line).collect::<Vec<_>>(), ["format.md"]);
        assert_eq!(beside("docs/a.md", "b.md"), "docs/b.md");
    }
}
