//! The form of a transcript, and how one is run.
//!
//! ```text
//! # A comment.
//! command word key=value other=1,2,3
//!   input lines, if the command takes any, are indented
//! ----
//! what the machine said
//! (up to the next empty line)
//! ```

use std::fmt::{Debug, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A machine that a transcript speaks to.
pub(crate) trait Machine {
    /// Carries out one command and says everything that came of it.
    fn run(&mut self, command: &Command) -> String;
}

/// One command of a transcript.
pub(crate) struct Command {
    line: String,
    words: Vec<String>,
    /// The indented lines below it, without their indent.
    pub(crate) input: Vec<String>,
}

impl Command {
    fn parse(line: &str) -> Command {
        let words = line.split_whitespace().map(str::to_owned).collect();
        Command { line: line.to_owned(), words, input: Vec::new() }
    }

    /// The first word.
    pub(crate) fn name(&self) -> &str {
        &self.words[0]
    }

    /// The words behind the name that are not `key=value`.
    pub(crate) fn plain(&self) -> impl Iterator<Item = &str> {
        self.words[1..].iter().map(String::as_str).filter(|word| !word.contains('='))
    }

    /// True if this word stands on the line.
    pub(crate) fn says(&self, word: &str) -> bool {
        self.plain().any(|plain| plain == word)
    }

    /// The text of `key=…`, if it is there.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.words[1..].iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    /// The value of `key=…`, if it is there.
    pub(crate) fn maybe<T: FromStr<Err: Debug>>(&self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        Some(text.parse().unwrap_or_else(|error| panic!("`{}`: {key}: {error:?}", self.line)))
    }

    /// The value of `key=…`, which must be there.
    pub(crate) fn value<T: FromStr<Err: Debug>>(&self, key: &str) -> T {
        self.maybe(key).unwrap_or_else(|| panic!("`{}` needs {key}=…", self.line))
    }

    /// The values of `key=a,b,c`; none if the key is absent or empty.
    pub(crate) fn list<T: FromStr<Err: Debug>>(&self, key: &str) -> Vec<T> {
        let items = self.text(key).unwrap_or("").split(',').filter(|item| !item.is_empty());
        items.map(|item| item.parse().unwrap_or_else(|error| panic!("`{}`: {key}: {error:?}", self.line))).collect()
    }

    /// For a name the machine does not know.
    pub(crate) fn unknown(&self) -> ! {
        panic!("no such command: `{}`", self.line)
    }
}

/// Runs every transcript of `testdata/<folder>`, each against a machine of its own.
pub(crate) fn run_all<M: Machine>(folder: &str, fresh: impl Fn() -> M) {
    let files = transcripts_in(folder);
    assert!(!files.is_empty(), "testdata/{folder} holds no transcript");
    let differing: Vec<String> = files.iter().filter_map(|path| differs(path, &mut fresh())).collect();
    assert!(differing.is_empty(), "{}\nUPDATE_TRANSCRIPTS=1 writes what the machine says now", differing.join("\n"));
}

fn transcripts_in(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Nothing if the machine says what is written; else where it first differs.
fn differs(path: &Path, machine: &mut impl Machine) -> Option<String> {
    let written = std::fs::read_to_string(path).unwrap();
    let spoken = run_text(&written, machine);
    if written == spoken {
        return None;
    }
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        std::fs::write(path, spoken).unwrap();
        return None;
    }
    Some(first_difference(path, &written, &spoken))
}

fn first_difference(path: &Path, written: &str, spoken: &str) -> String {
    let (mut left, mut right) = (written.lines(), spoken.lines());
    let mut number = 0;
    loop {
        number += 1;
        let (expected, found) = (left.next(), right.next());
        if expected != found || expected.is_none() {
            let (expected, found) = (expected.unwrap_or("(end)"), found.unwrap_or("(end)"));
            return format!("{}:{number}\n  written  {expected}\n  spoken   {found}", path.display());
        }
    }
}

fn run_text(text: &str, machine: &mut impl Machine) -> String {
    let mut spoken = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        writeln!(spoken, "{line}").unwrap();
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut command = Command::parse(line);
        while let Some(input) = lines.next_if(|line| line.starts_with(' ')) {
            writeln!(spoken, "{input}").unwrap();
            command.input.push(input.trim().to_owned());
        }
        if lines.next_if_eq(&"----").is_some() {
            while lines.next_if(|line| !line.is_empty()).is_some() {}
        }
        write_answer(&mut spoken, machine.run(&command).trim_end());
        if lines.peek().is_some_and(|next| !next.is_empty()) {
            spoken.push('\n');
        }
    }
    spoken
}

/// An empty answer is written as `ok`, and an empty line inside one as a dot, because an empty line ends it.
fn write_answer(spoken: &mut String, answer: &str) {
    spoken.push_str("----\n");
    let answer = if answer.is_empty() { "ok" } else { answer };
    answer.lines().for_each(|line| writeln!(spoken, "{}", if line.is_empty() { "." } else { line }).unwrap());
}
