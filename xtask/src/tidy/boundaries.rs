//! Forbidden edges: what a crate must not reach, not even through others; and what its sources must not name.

use anyhow::Result;

use super::{text_of, tracked_files, tree};

/// A crate, what it must not depend on, and the sentence that this keeps true.
const EDGES: &[(&str, &[&str], &str)] = &[
    ("chronik-state", &["tokio", "bytes", "rand", "chronik-log", "chronik-wire"], "state decides and does nothing"),
    (
        "chronik-log",
        &["tokio", "mio", "socket2", "chronik-wire", "kafka-wire", "chronik-broker"],
        "log opens files and knows no network, request or runtime",
    ),
    (
        "chronik-wire",
        &["tokio", "mio", "socket2", "chronik-state", "chronik-log", "chronik-broker"],
        "wire knows Kafka's bytes and nothing else",
    ),
    ("chronik-client", &["chronik-state", "chronik-log", "chronik-broker"], "client knows only the wire"),
    (
        "chronik-load",
        &["chronik-state", "chronik-log", "chronik-broker", "chronik-cli"],
        "a load knows a broker only from outside",
    ),
    (
        "chronik-council",
        &["tokio", "mio", "socket2", "chronik-wire", "chronik-broker"],
        "a seat in the Raft group is the same in the server and in the simulator",
    ),
    ("chronik-admin", &["chronik-client", "chronik-cli"], "admin asks the broker of its own process and nobody else"),
    ("chronik-broker", &["clap", "toml", "chronik-client", "chronik-cli"], "broker is handed its settings"),
    ("chronik-cli", &["chronik-sim"], "nobody depends on the simulator"),
    ("chronik-sim", &["tokio", "chronik-broker", "chronik-wire"], "the simulator drives log, council and state"),
];

/// Folders of sources, words that must not stand in them, where they may all the same, and why.
const WORDS: &[(&str, &[&str], &[&str], &str)] = &[
    (
        "crates/state/src/",
        &["std::time", "std::fs", "std::net", "HashMap", "Instant::now"],
        &[],
        "time is an argument, and order is part of the result",
    ),
    (
        "crates/log/src/",
        &["std::fs", "std::net", "SystemTime"],
        &["crates/log/src/disk"],
        "files are opened in disk.rs alone; time is an argument",
    ),
    (
        "crates/broker/src/",
        &["std::fs", "std::env", "std::process"],
        &[],
        "broker neither opens files nor reads the environment",
    ),
    ("crates/council/src/", &["std::time", "std::fs", "std::net", "SystemTime"], &[], "time and disk are arguments"),
    ("crates/wire/src/", &["std::fs", "std::net"], &[], "wire knows no sockets and files"),
    ("crates/", &["hyper::", "http_body_util::"], &["crates/admin/src/"], "one crate speaks HTTP"),
    ("crates/admin/src/", &["std::fs", "std::env", "std::process"], &[], "admin looks at the node and at nothing else"),
];

pub(super) fn check() -> Result<Vec<String>> {
    let mut findings = edges()?;
    findings.extend(words()?);
    Ok(findings)
}

fn edges() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (package, forbidden, why) in EDGES {
        let reached = tree(&["--package", package, "--edges", "normal", "--format", "{p}"])?;
        let names: Vec<&str> = reached.iter().filter_map(|line| line.split(' ').next()).collect();
        for name in forbidden.iter().filter(|name| names.contains(name)) {
            findings.push(format!("{package} reaches {name}: {why}"));
        }
    }
    Ok(findings)
}

fn words() -> Result<Vec<String>> {
    let files = tracked_files()?;
    let mut findings = Vec::new();
    for (folder, words, allowed, why) in WORDS {
        let sources = files
            .iter()
            .filter(|file| file.starts_with(folder) && file.ends_with(".rs"))
            .filter(|file| !allowed.iter().any(|prefix| file.starts_with(prefix)));
        for file in sources {
            let text = text_of(file).unwrap_or_default();
            for (number, line) in before_tests(&text) {
                findings.extend(
                    words
                        .iter()
                        .filter(|word| line.contains(*word))
                        .map(|word| format!("{file}:{number}: {word}: {why}")),
                );
            }
        }
    }
    Ok(findings)
}

/// Numbered lines of code up to the inline tests, which may do what the code may not. Comments do nothing.
fn before_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_test_file = text.starts_with("#![cfg(test)]");
    text.lines()
        .enumerate()
        .take_while(move |(_, line)| !is_test_file && line.trim() != "mod tests {")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line))
}
