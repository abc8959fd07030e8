//! `cargo xtask tidy`: the boundaries that no compiler holds. Which crate may know which, what may be linked, whether
//! documents name files that exist, whether something unfinished or foreign was left behind.

mod boundaries;
mod documents;
mod licences;
mod remains;

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{cargo, root};

/// Runs all checks and tells all findings.
pub(crate) fn run() -> Result<()> {
    let mut findings = Vec::new();
    findings.extend(boundaries::check()?);
    findings.extend(licences::check()?);
    let files = tracked_files()?;
    findings.extend(documents::check(&files)?);
    findings.extend(remains::check(&files)?);
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    eprintln!("tidy: nothing to find");
    Ok(())
}

/// Files that belong to the tree, relative to its root.
fn tracked_files() -> Result<Vec<String>> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root()).output().context("git ls-files")?;
    if !listed.status.success() {
        bail!("git ls-files ended with {}", listed.status);
    }
    // A file that was deleted and not yet committed is no longer part of the tree.
    let names = String::from_utf8(listed.stdout)?;
    Ok(names.lines().filter(|name| root().join(name).exists()).map(str::to_owned).collect())
}

/// The text of a file of the tree; none for what is not text.
fn text_of(file: &str) -> Option<String> {
    std::fs::read_to_string(root().join(file)).ok()
}

/// What `cargo tree` says, one package a line, without duplicates.
fn tree(arguments: &[&str]) -> Result<Vec<String>> {
    let output = cargo().arg("tree").args(["--prefix", "none", "--locked"]).args(arguments).output()?;
    if !output.status.success() {
        bail!("cargo tree {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    let mut lines: Vec<String> = String::from_utf8(output.stdout)?
        .lines()
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    lines.sort();
    lines.dedup();
    Ok(lines)
}
