//! The reference pages of `docs/operate/configuration.md`, made from the schema and held against it.

use std::fmt::Write;
use std::path::Path;

use super::foreign::{Fate, OLD_FLAGS, OLD_VARIABLES};
use super::problem::Code;
use super::schema::{KEYS, Key};

#[test]
fn the_reference_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operate/configuration.md");
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let mut current = page.clone();
    for (name, content) in [("keys", keys()), ("old names", old_names()), ("codes", codes())] {
        current = with_section(&current, name, &content);
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(&path, &current).expect("the page can be written");
    }
    assert!(
        page == current,
        "docs/operate/configuration.md is behind the schema: UPDATE_DOCS=1 cargo test -p chronik-cli reference"
    );
}

#[test]
fn every_error_has_its_line_of_advice() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operate/troubleshooting.md");
    let page = std::fs::read_to_string(&path).expect("the page is there");
    for code in Code::ALL {
        assert!(page.contains(&format!("| CHK{:04} |", *code as u16)), "{code:?} is not on the page");
    }
}

/// `page` with what stands between the marks of `name` replaced.
fn with_section(page: &str, name: &str, content: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: generated -->\n"), format!("<!-- {name}: end -->\n"));
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no mark for {name}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no end mark for {name}"));
    format!("{before}{begin}\n{content}\n{end}{after}")
}

fn keys() -> String {
    let mut page = String::new();
    let mut table = None;
    for key in KEYS {
        if table != Some(key.table) {
            table = Some(key.table);
            let heading = if key.table.is_empty() { "Top level".to_owned() } else { format!("`[{}]`", key.table) };
            let _ = writeln!(page, "{}### {heading}\n", if page.is_empty() { "" } else { "\n" });
            page.push_str("| key | value | default | what it does | flag, variable |\n|---|---|---|---|---|\n");
        }
        let _ = writeln!(page, "{}", row(key));
    }
    page
}

fn row(key: &Key) -> String {
    let name = if key.is_kafka() { format!("\"{}\"", key.name) } else { key.name.to_owned() };
    let bounds = match key.kind.bounds() {
        bounds if bounds.is_empty() => String::new(),
        bounds => format!(", {bounds}"),
    };
    let default = key.default.map_or_else(|| key.unset.to_owned(), |default| format!("`{default}`"));
    let names = [key.flag.map(str::to_owned), key.short_variable.map(str::to_owned), Some(key.variable())];
    let names = names.into_iter().flatten().map(|name| format!("`{name}`")).collect::<Vec<_>>().join("<br>");
    format!("| `{name}` | {}{bounds} | {default} | {} | {names} |", key.kind.describe(), key.about)
}

fn old_names() -> String {
    let mut page = "| name | what becomes of it |\n|---|---|\n".to_owned();
    for old in OLD_FLAGS.iter().chain(OLD_VARIABLES) {
        let fate = match old.fate {
            Fate::Sets(_, _, replacement) => format!("works, with a warning: use `{replacement}`"),
            Fate::NamesFile(replacement) => format!("works, with a warning: use `{replacement}`"),
            Fate::RaftPeers(replacement) => format!("works, with a warning: use {replacement}"),
            Fate::Needless(why) => format!("does nothing, with a warning: {why}"),
            Fate::Refused(fix) => format!("stops the start: {}", fix.replace('\n', " ")),
        };
        let _ = writeln!(page, "| `{}` | {fate} |", old.name);
    }
    page
}

fn codes() -> String {
    let mut page = "| code | what it is about |\n|---|---|\n".to_owned();
    for code in Code::ALL {
        let _ = writeln!(page, "| CHK{:04} | {} |", *code as u16, code.about());
    }
    page
}
