//! What must not stay behind: marks of unfinished work, and paths of the machine on which somebody worked.

use anyhow::Result;

use super::text_of;

/// Unfinished work belongs on a branch. Written in two halves, so that this file does not find itself.
const UNFINISHED: &[(&str, &str)] =
    &[("TO", "DO"), ("FIX", "ME"), ("to", "do!("), ("unimple", "mented!("), ("#[ig", "nore]"), ("db", "g!(")];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[(&str, &str)] = &[("/wo", "rk/"), ("/ro", "ot/"), ("/home/", "user"), ("/Us", "ers/")];

pub(super) fn check(files: &[String]) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !file.ends_with(".lock")) {
        let Some(text) = text_of(file) else { continue };
        for (index, line) in text.lines().enumerate() {
            for (what, words) in [("unfinished", UNFINISHED), ("a path of one machine", MACHINE_PATHS)] {
                for word in words.iter().map(|(a, b)| format!("{a}{b}")).filter(|word| line.contains(word)) {
                    findings.push(format!("{file}:{}: {what}: {word}", index + 1));
                }
            }
        }
    }
    Ok(findings)
}
