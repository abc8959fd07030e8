//! Licences and bans of `deny.toml`, held without a tool to install: every package that is linked or built.

use anyhow::{Context, Result};

use super::{text_of, tree};

pub(super) fn check() -> Result<Vec<String>> {
    let rules = text_of("deny.toml").context("deny.toml is missing")?;
    let allowed = list_after(&rules, "[licenses]", "allow = [");
    let banned: Vec<String> = list_after(&rules, "[bans]", "deny = [");
    let mut findings = Vec::new();
    for line in tree(&["--workspace", "--edges", "normal,build,dev", "--format", "{p}|{l}"])? {
        let (package, licence) = line.split_once('|').unwrap_or((&line, ""));
        let name = package.split(' ').next().unwrap_or(package);
        if !is_allowed(licence, &allowed) {
            findings.push(format!("{package}: licence `{licence}` is not accepted by deny.toml"));
        }
        if banned.iter().any(|ban| ban == name) {
            findings.push(format!("{package} is banned by deny.toml"));
        }
    }
    Ok(findings)
}

/// The strings of a list that begins with `opening` inside of `section`.
fn list_after(toml: &str, section: &str, opening: &str) -> Vec<String> {
    let Some((_, rest)) = toml.split_once(section) else { return Vec::new() };
    let Some((_, rest)) = rest.split_once(opening) else { return Vec::new() };
    let list =
        rest.lines().take_while(|line| !line.starts_with(']')).filter(|line| !line.trim_start().starts_with('#'));
    list.filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be satisfied with `allowed` licences. The old form `A/B` is read as `A OR B`.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "\u{1}");
    let words: Vec<String> = spaced.split_whitespace().map(|word| word.replace('\u{1}', " WITH ")).collect();
    let mut rest = words.as_slice();
    any_of(&mut rest, allowed) && rest.is_empty()
}

fn any_of(words: &mut &[String], allowed: &[String]) -> bool {
    let mut satisfied = all_of(words, allowed);
    while next_is(words, "OR") {
        satisfied |= all_of(words, allowed);
    }
    satisfied
}

fn all_of(words: &mut &[String], allowed: &[String]) -> bool {
    let mut satisfied = one(words, allowed);
    while next_is(words, "AND") {
        satisfied &= one(words, allowed);
    }
    satisfied
}

fn one(words: &mut &[String], allowed: &[String]) -> bool {
    if next_is(words, "(") {
        return any_of(words, allowed) & next_is(words, ")");
    }
    let Some((name, rest)) = words.split_first() else { return false };
    *words = rest;
    allowed.contains(name)
}

fn next_is(words: &mut &[String], word: &str) -> bool {
    let is = words.first().is_some_and(|first| first == word);
    if is {
        *words = &words[1..];
    }
    is
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        let allowed = ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
        for accepted in
            ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR X) AND Unicode-3.0", "Apache-2.0 WITH LLVM-exception"]
        {
            assert!(is_allowed(accepted, &allowed), "{accepted}");
        }
        for refused in ["", "GPL-3.0", "MIT AND GPL-3.0", "MIT AND (GPL-3.0 OR X)", "Apache-2.0 WITH Other"] {
            assert!(!is_allowed(refused, &allowed), "{refused}");
        }
    }

    #[test]
    fn a_list_is_read_from_its_section() {
        let toml = "[a]\nallow = [\n  \"X\",\n]\n[b]\nallow = [\n  # no\n  \"Y\",\n  { name = \"Z\" },\n]\n";
        assert_eq!(list_after(toml, "[b]", "allow = ["), ["Y", "Z"]);
    }
}
