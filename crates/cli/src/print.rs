//! Output: tables with upper-case headers and two-space gutters, JSON as one document, YAML of the same; problems on
//! standard error.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};

use serde_json::{Map, Value as Json, json};

use crate::arguments::Output;
use crate::config::peers::{self, Listed, Peer, SERVICES};
use crate::config::problem::{Problem, Severity};
use crate::config::schema::{KEYS, Key};
use crate::config::settings::{Origin, Settings};
use crate::config::value::{Address, Value};
use crate::config::{Loaded, variable_names};
use crate::exit::Exit;

/// Tells `problems` on standard error, warnings first as they came, and how many errors there are.
pub(crate) fn problems(problems: &[Problem]) {
    let mut stderr = std::io::stderr().lock();
    for problem in problems {
        let _ = writeln!(stderr, "{}", coloured(problem));
    }
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    if errors > 1 {
        let _ = writeln!(stderr, "{errors} errors; nothing was started");
    }
}

/// Whether standard error may be coloured: a terminal whose user did not object (no-color.org).
pub(crate) fn is_colourful() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// The problem with its first word, up to the colon, in red or yellow.
fn coloured(problem: &Problem) -> String {
    let text = problem.to_string();
    let colour = match problem.severity {
        Severity::Error => "31",
        Severity::Warning => "33",
    };
    match text.split_once(':') {
        Some((word, rest)) if is_colourful() => format!("\u{1b}[1;{colour}m{word}\u{1b}[0m:{rest}"),
        _ => text,
    }
}

/// The value of every key.
pub(crate) fn settings(settings: &Settings, origin: bool, output: Output) -> Exit {
    if output == Output::Table {
        let mut header = vec!["KEY", "VALUE"];
        header.extend(origin.then_some("ORIGIN"));
        let keys = KEYS.iter().map(|key| {
            let entry = settings.entry(key);
            let mut row = vec![key.toml_path(), value_text(key, entry.value.as_ref())];
            row.extend(origin.then(|| entry.origin.to_string()));
            row
        });
        let peers = settings.peers.iter().flatten().flat_map(|peer| peer_rows(peer, origin));
        table(&header, keys.chain(peers).collect());
        return Exit::Done;
    }
    let mut root = Map::new();
    for key in KEYS {
        table_of(&mut root, key.table).insert(key.name.to_owned(), setting_json(settings, key, origin));
    }
    if let Some(peers) = &settings.peers {
        root.insert(peers::TABLE.to_owned(), peers.iter().map(|peer| peer_json(peer, origin)).collect());
    }
    document(&Json::Object(root), output);
    Exit::Done
}

/// The object for a table of the file, made where it is missing: JSON has the shape of the file.
fn table_of<'a>(root: &'a mut Map<String, Json>, table: &str) -> &'a mut Map<String, Json> {
    table.split('.').filter(|name| !name.is_empty()).fold(root, |object, name| {
        let inner = object.entry(name).or_insert_with(|| json!({}));
        inner.as_object_mut().expect("no key has the name of a table")
    })
}

/// A row for each address of a node, which is named by its number.
fn peer_rows(peer: &Peer, origin: bool) -> Vec<Vec<String>> {
    let id = peer.id.as_ref().map(|id| id.value).unwrap_or_default();
    let row = |service: &str, address: &Listed<Address>| {
        let mut row = vec![format!("{}[{id}].{service}", peers::TABLE), address.value.to_string()];
        row.extend(origin.then(|| address.origin.to_string()));
        row
    };
    SERVICES.iter().zip(&peer.addresses).filter_map(|(service, address)| Some(row(service, address.as_ref()?))).collect()
}

fn peer_json(peer: &Peer, origin: bool) -> Json {
    let mut object = Map::new();
    let id = peer.id.iter().map(|id| (peers::ID.name, json!(id.value), &id.origin));
    let addresses = SERVICES.iter().zip(&peer.addresses).filter_map(|(service, address)| {
        let address = address.as_ref()?;
        Some((*service, json!(address.value.to_string()), &address.origin))
    });
    for (name, value, place) in id.chain(addresses) {
        object.insert(name.to_owned(), if origin { with_origin(value, place) } else { value });
    }
    Json::Object(object)
}

fn value_text(key: &Key, value: Option<&Value>) -> String {
    match value {
        Some(value) => value.to_string(),
        None => format!("- ({})", key.unset),
    }
}

fn setting_json(settings: &Settings, key: &Key, origin: bool) -> Json {
    let entry = settings.entry(key);
    let value = match &entry.value {
        None => Json::Null,
        Some(Value::Boolean(flag)) => json!(flag),
        Some(Value::Integer(number)) => json!(number),
        Some(other) => json!(other.to_string()),
    };
    if origin { with_origin(value, &entry.origin) } else { value }
}

fn with_origin(value: Json, origin: &Origin) -> Json {
    let (layer, place) = match origin {
        Origin::Default => ("default", Json::Null),
        Origin::File { file, line } => ("file", json!(format!("{file}:{line}"))),
        Origin::Variable(name) => ("env", json!(name)),
        Origin::Flag(flag) => ("flag", json!(flag)),
    };
    json!({ "value": value, "origin": layer, "place": place })
}

/// Every variable that is read.
pub(crate) fn variables(output: Output) -> Exit {
    let names = variable_names();
    let about = |name: &str, key: Option<&'static Key>| match key {
        Some(key) => (key.toml_path(), key.default.unwrap_or("-").to_owned()),
        None if name == peers::VARIABLE => ("[[peers]]".to_owned(), "-".to_owned()),
        None => ("(the configuration file)".to_owned(), "-".to_owned()),
    };
    if output == Output::Table {
        let rows = names.iter().map(|(name, key)| {
            let (path, default) = about(name, *key);
            vec![name.clone(), path, default]
        });
        table(&["VARIABLE", "KEY", "DEFAULT"], rows.collect());
        return Exit::Done;
    }
    let entries = names.iter().map(|(name, key)| {
        let path = key.map(|key| key.toml_path());
        json!({
            "variable": name,
            "key": path,
            "default": key.and_then(|key| key.default),
            "about": key.map(|key| key.about),
        })
    });
    document(&Json::Array(entries.collect()), output);
    Exit::Done
}

/// Where the configuration came from, in a few words.
pub(crate) fn source(loaded: &Loaded) -> String {
    let origins: BTreeSet<&Origin> = KEYS.iter().map(|key| &loaded.settings.entry(key).origin).collect();
    let from = |wanted: fn(&Origin) -> bool| origins.iter().filter(|origin| wanted(origin)).count();
    let mut parts: Vec<String> = loaded.file.iter().map(|path| format!("file {}", path.display())).collect();
    for (count, one, many) in [
        (from(|origin| matches!(origin, Origin::Variable(_))), "environment variable", "environment variables"),
        (from(|origin| matches!(origin, Origin::Flag(_))), "flag", "flags"),
    ] {
        match count {
            0 => {}
            1 => parts.push(format!("1 {one}")),
            _ => parts.push(format!("{count} {many}")),
        }
    }
    if parts.is_empty() { "defaults".to_owned() } else { parts.join(", ") }
}

/// Prints one document as JSON or YAML.
pub(crate) fn document(document: &Json, output: Output) {
    match output {
        Output::Yaml => out(&yaml(document)),
        _ => out(&format!("{document:#}\n")),
    }
}

/// Writes to standard output. Whoever read it may have seen enough and be gone: no reason to complain.
pub(crate) fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A line on standard error that is no problem of the configuration.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A column of a table.
pub(crate) struct Column {
    header: &'static str,
    /// As numbers stand.
    right: bool,
}

impl Column {
    pub(crate) fn left(header: &'static str) -> Column {
        Column { header, right: false }
    }

    pub(crate) fn right(header: &'static str) -> Column {
        Column { header, right: true }
    }
}

fn table(header: &[&'static str], rows: Vec<Vec<String>>) {
    let columns: Vec<Column> = header.iter().map(|&header| Column::left(header)).collect();
    out(&aligned(&columns, &rows));
}

/// Columns as wide as their widest cell, with nothing behind the last.
pub(crate) fn aligned(columns: &[Column], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = columns.iter().map(|column| column.header.to_owned()).collect();
    let width =
        |column: usize| rows.iter().chain([&header]).map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for row in [&header].into_iter().chain(rows) {
        let row: Vec<String> = row.iter().map(|cell| harmless(cell)).collect();
        let cells = row.iter().zip(&widths).zip(columns).map(|((cell, &width), column)| match column.right {
            true => format!("{cell:>width$}"),
            false => format!("{cell:width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Without what moves the cursor of a terminal: some of it was said by others.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Scalars, and lists of scalars, are written as JSON writes them, which YAML reads alike.
fn yaml(document: &Json) -> String {
    match document {
        Json::Object(map) => yaml_map(map, ""),
        Json::Array(items) => items.iter().map(|item| yaml_item(item, "")).collect(),
        scalar => format!("{scalar}\n"),
    }
}

fn yaml_item(item: &Json, indent: &str) -> String {
    let Json::Object(map) = item else { return format!("{indent}- {item}\n") };
    let inner = format!("{indent}  ");
    yaml_map(map, &inner).replacen(&inner, &format!("{indent}- "), 1)
}

fn yaml_map(map: &Map<String, Json>, indent: &str) -> String {
    let inner = format!("{indent}  ");
    let entry = |(key, value): (&String, &Json)| {
        let key = Json::String(key.clone());
        match value {
            Json::Object(map) if !map.is_empty() => format!("{indent}{key}:\n{}", yaml_map(map, &inner)),
            Json::Array(items) if items.iter().any(Json::is_object) => {
                let items: String = items.iter().map(|item| yaml_item(item, &inner)).collect();
                format!("{indent}{key}:\n{items}")
            }
            scalar => format!("{indent}{key}: {scalar}\n"),
        }
    };
    map.iter().map(entry).collect()
}
