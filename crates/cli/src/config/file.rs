//! The configuration file: strict TOML, held against the schema. Everything wrong with it is told at once.

mod older;
mod peers;

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Layer;
use super::foreign::{self, OTHER_BUILDS, OtherBuild};
use super::peers::{Peer, TABLE as PEERS};
use super::problem::{Code, FilePlace, Place, Problem};
use super::schema::{self, KAFKA, KEYS, Key};
use super::settings::{Assignment, Origin};
use super::suggest::closest;
use super::value::{Kind, Mismatch, Reason, Value};

/// Reads `path`, and says everything that is wrong with it.
pub(super) fn read(path: &Path) -> Layer {
    let name = path.display().to_string();
    match std::fs::read(path).map_err(|e| e.to_string()).and_then(into_text) {
        Ok(text) => parse(&name, &text),
        Err(reason) => {
            let problem = Problem::error(Code::Unreadable, format!("cannot read the configuration file {name}"))
                .at(Place::Given(name))
                .why(reason)
                .fix("give the path of a TOML file to --config or CHRONIK_CONFIG, or neither to start with defaults");
            Layer { problems: vec![problem], ..Layer::default() }
        }
    }
}

fn into_text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|e| format!("it is not UTF-8 text: {e}"))
}

/// Reads the text of a file that is called `name` in what is said about it.
pub(super) fn parse(name: &str, text: &str) -> Layer {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader =
        Reader { name, text, assignments: Vec::new(), peers: None, problems: Vec::new(), elsewhere: Vec::new() };
    for error in errors {
        reader.syntax(&error);
    }
    // What a recovered parse says about keys would only repeat the syntax error in other words.
    if reader.problems.is_empty() {
        reader.table("", document.get_ref());
        reader.other_builds();
    }
    reader.problems.sort_by_key(|(offset, _)| *offset);
    let problems = reader.problems.into_iter().map(|(_, problem)| problem).collect();
    Layer { assignments: reader.assignments, peers: reader.peers, problems, ..Layer::default() }
}

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
    assignments: Vec<Assignment>,
    /// None in a file that lists none.
    peers: Option<Vec<Peer>>,
    /// With the offset in the file, to be told in its order.
    problems: Vec<(usize, Problem)>,
    /// What asks for features that this build does not have.
    elsewhere: Vec<(OtherBuild, String, Range<usize>)>,
}

impl Reader<'_> {
    fn syntax(&mut self, error: &toml::de::Error) {
        let span = error.span().unwrap_or(0..0);
        let problem = Problem::error(Code::Syntax, format!("this is not TOML: {}", error.message()))
            .at(self.place(&span, ""))
            .fix("keys are `name = value`, tables are `[name]`, text stands in double quotes");
        self.problems.push((span.start, problem));
    }

    fn table(&mut self, table: &str, entries: &DeTable<'_>) {
        for (name, value) in entries {
            let path = join(table, name.get_ref());
            if table == older::TABLE && older::is_of_it(name.get_ref()) {
                // Read with its table.
                continue;
            }
            if let Some((_, feature)) = OTHER_BUILDS.iter().find(|(other, _)| *other == path) {
                self.elsewhere.push((*feature, path, name.span()));
            } else if path == PEERS {
                self.peers(name, value);
            } else if let Some(key) = KEYS.iter().find(|key| key.table == table && key.name == name.get_ref()) {
                self.value(key, value);
            } else if schema::is_table(&path) {
                self.sub_table(&path, name, value);
            } else {
                self.unknown(table, name, value);
            }
        }
    }

    fn sub_table(&mut self, path: &str, name: &Spanned<toml::de::DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        if let DeValue::Table(entries) = value.get_ref() {
            if path == older::TABLE && older::is_older(entries) {
                self.older(name, entries);
            }
            return self.table(path, entries);
        }
        let span = name.span();
        let problem =
            Problem::error(Code::WrongType, format!("`{path}` is a table, not {}", type_name(value.get_ref())))
                .at(self.place(&span, ""))
                .fix(format!("open it with [{path}] on a line of its own"));
        self.problems.push((span.start, problem));
    }

    fn value(&mut self, key: &'static Key, value: &Spanned<DeValue<'_>>) {
        let span = value.span();
        match convert(key.kind, value.get_ref()) {
            Ok(value) => {
                let (line, _) = self.position(span.start);
                let origin = Origin::File { file: self.name.to_owned(), line };
                self.assignments.push(Assignment { key, value, origin });
            }
            Err(mismatch) => {
                let problem =
                    Problem::error(code(mismatch.reason), format!("`{}`: {}", key.toml_path(), mismatch.what))
                        .at(self.place(&span, ""))
                        .fix(mismatch.fix);
                self.problems.push((span.start, problem));
            }
        }
    }

    fn unknown(&mut self, table: &str, name: &Spanned<toml::de::DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        let written = name.get_ref().as_ref();
        let advice = advise(table, written, value.get_ref());
        let kind = match value.get_ref() {
            DeValue::Table(_) => "table",
            _ => "key",
        };
        let shown = join(table, written);
        let span = name.span();
        let problem = Problem::error(Code::UnknownKey, format!("unknown {kind} `{shown}`"))
            .at(self.place(&span, &advice.label))
            .why("a key that nobody reads would leave you with a setting you do not have, so we stop here")
            .fix(advice.fix);
        self.problems.push((span.start, problem));
    }

    /// One problem for each missing feature, with every place that asks for it.
    fn other_builds(&mut self) {
        for feature in OtherBuild::ALL {
            let mut asked: Vec<_> = self.elsewhere.iter().filter(|(asks, ..)| *asks == feature).collect();
            asked.sort_by_key(|(_, _, span)| span.start);
            let Some((_, _, first)) = asked.first() else { continue };
            let mut problem = Problem::error(Code::NotInThisBuild, feature.what()).fix(feature.fix());
            for (_, _, span) in &asked {
                problem = problem.at(self.place(span, ""));
            }
            self.problems.push((first.start, problem));
        }
    }

    fn place(&self, span: &Range<usize>, label: &str) -> Place {
        let (line, column) = self.position(span.start);
        let source_line = self.text.lines().nth(line - 1).unwrap_or("").replace('\t', " ");
        let rest = source_line.chars().count().saturating_sub(column - 1);
        let width = self.text.get(span.clone()).map_or(1, |s| s.lines().next().unwrap_or("").chars().count());
        Place::File(FilePlace {
            file: self.name.to_owned(),
            line,
            column,
            width: width.min(rest).max(1),
            label: label.to_owned(),
            source_line,
        })
    }

    /// Line and column of a byte offset, both counted from 1.
    fn position(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

fn convert(kind: Kind, value: &DeValue<'_>) -> Result<Value, Mismatch> {
    match (kind, value) {
        (Kind::Boolean, DeValue::Boolean(flag)) => Ok(Value::Boolean(*flag)),
        (Kind::Integer { .. }, DeValue::Integer(number)) => {
            match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => kind.integer(number),
                Err(_) => Err(Mismatch {
                    reason: Reason::Range,
                    what: format!("{number} is too large"),
                    fix: format!("give a number within {}", kind.bounds()),
                }),
            }
        }
        (
            Kind::Path | Kind::Text | Kind::Bytes { .. } | Kind::Duration { .. } | Kind::Choice(_) | Kind::Address,
            DeValue::String(text),
        ) => {
            if text.is_empty() {
                return Err(Mismatch {
                    reason: Reason::Syntax,
                    what: "the value is empty".to_owned(),
                    fix: "give a value, or remove the key to have its default".to_owned(),
                });
            }
            kind.parse(text, false)
        }
        (Kind::Bytes { .. } | Kind::Duration { .. }, DeValue::Integer(number)) => kind.parse(number.as_str(), false),
        _ => Err(wrong_type(kind, value)),
    }
}

fn wrong_type(kind: Kind, value: &DeValue<'_>) -> Mismatch {
    let fix = match (kind, value) {
        (Kind::Boolean | Kind::Integer { .. }, DeValue::String(text)) if kind.parse(text, false).is_ok() => {
            format!("write {text} without quotes")
        }
        (Kind::Boolean, _) => "write true or false".to_owned(),
        (Kind::Integer { .. }, _) => "write a whole number".to_owned(),
        (Kind::Bytes { .. }, _) => "write a size with its unit in quotes, for example \"64MiB\"".to_owned(),
        (Kind::Duration { .. }, _) => "write a time with its unit in quotes, for example \"10s\"".to_owned(),
        (Kind::Address, _) => "write host:port in quotes, for example \"0.0.0.0:9092\"".to_owned(),
        (Kind::Path | Kind::Text | Kind::Choice(_), _) => "write it in quotes".to_owned(),
    };
    Mismatch { reason: Reason::Type, what: format!("expected {}, found {}", kind.describe(), type_name(value)), fix }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

pub(super) fn code(reason: Reason) -> Code {
    match reason {
        Reason::Type => Code::WrongType,
        Reason::Unit => Code::MissingUnit,
        Reason::Range => Code::OutOfRange,
        Reason::Syntax => Code::Malformed,
    }
}

struct Advice {
    label: String,
    fix: String,
}

/// What the writer of an unknown key may have meant, from the surest guess to none.
fn advise(table: &str, written: &str, value: &DeValue<'_>) -> Advice {
    let plain = |fix: String| Advice { label: String::new(), fix };
    if table == KAFKA {
        if let Some(fix) = foreign::kafka_elsewhere(written) {
            return plain(fix.to_owned());
        }
        if matches!(value, DeValue::Table(_)) {
            return plain("put the whole name in quotes: a dot outside of quotes opens a table,\nfor example \"log.retention.hours\" = 168".to_owned());
        }
    }
    if let Some(name) = closest(written, names_in(table).iter().map(String::as_str)) {
        return Advice { label: format!("did you mean `{name}`?"), fix: format!("rename it to `{name}`") };
    }
    if let Some(key) = KEYS.iter().find(|key| key.name == written) {
        return plain(format!("move it to {}", place_in_file(key)));
    }
    if let Some(fix) = foreign::kafka_elsewhere(written) {
        return plain(fix.to_owned());
    }
    let all = KEYS.iter().map(|key| key.name);
    if let Some(key) = closest(written, all).and_then(|name| KEYS.iter().find(|key| key.name == name)) {
        return plain(format!("did you mean `{}`? it belongs in {}", key.name, place_in_file(key)));
    }
    plain("remove it, or look for the right name: `chronik-server config show` lists every key".to_owned())
}

fn place_in_file(key: &Key) -> String {
    match (key.table, key.is_kafka()) {
        ("", _) => "the top of the file, above the first table".to_owned(),
        (table, true) => format!("[{table}], in quotes"),
        (table, false) => format!("[{table}]"),
    }
}

/// Names that may stand in `table`: its keys, and the tables inside of it.
fn names_in(table: &str) -> Vec<String> {
    let mut names: Vec<String> = KEYS.iter().filter(|key| key.table == table).map(|key| key.name.to_owned()).collect();
    for key in KEYS {
        let rest = match table {
            "" => Some(key.table),
            _ => key.table.strip_prefix(table).and_then(|rest| rest.strip_prefix('.')),
        };
        if let Some(first) = rest.and_then(|rest| rest.split('.').next()).filter(|first| !first.is_empty()) {
            names.push(first.to_owned());
        }
    }
    names.extend(table.is_empty().then(|| PEERS.to_owned()));
    names
}

fn join(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}
