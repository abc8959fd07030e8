//! A configuration file as somebody may have typed it: read strictly, refused with a code and a place, never half taken.

use std::sync::OnceLock;

use chronik_broker::settings::Settings;
use chronik_cli::check_text;

use crate::Plain;
use crate::memory::Limits;
use crate::random::Random;

/// A problem quotes its line, and a line may hold many.
pub const LIMITS: Limits = Limits { fixed_bytes: 32 << 20, bytes_per_byte: 4096 };
/// Longer texts are of no interest, and each of their problems would quote them.
const TEXT_BYTES_MAX: usize = 4096;

/// Reads `bytes` as a configuration file.
///
/// # Panics
/// If it is neither taken whole nor refused with a code.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.len() > TEXT_BYTES_MAX {
        return;
    }
    let checked = check_text(text);
    for problem in &checked.problems {
        assert!(is_coded(problem), "a problem without a code:\n{problem}");
    }
    let errors = checked.problems.iter().any(|problem| problem.starts_with("error["));
    assert_eq!(checked.is_valid, !errors, "{:?}", checked.problems);
    if checked.is_valid {
        taken(&checked);
    }
}

/// What is valid starts a node, and is still the same when it is written out and read again.
fn taken(checked: &chronik_cli::Checked) {
    if let Err(refused) = Settings::parse(&checked.broker.kafka) {
        panic!("the node refuses what the check let pass: {}", refused[0]);
    }
    let again = check_text(&as_file(&checked.values));
    assert!(again.is_valid, "refused when written out: {:?}", again.problems);
    assert_eq!(again.values, checked.values, "other values when written out");
}

/// `error[CHK0107]: …` or `warning[CHK0301]: …`.
fn is_coded(problem: &str) -> bool {
    let rest = problem.strip_prefix("error[CHK").or_else(|| problem.strip_prefix("warning[CHK"));
    rest.is_some_and(|rest| rest.len() > 7 && rest[..4].bytes().all(|byte| byte.is_ascii_digit()) && rest[4..].starts_with("]: "))
}

fn as_file(values: &[(&str, &str, String)]) -> String {
    values.iter().map(|(table, name, value)| line(table, name, value)).collect()
}

/// One key as a line of its own, at the top of the file.
fn line(table: &str, name: &str, value: &str) -> String {
    let name = if table == "kafka" { format!("\"{name}\"") } else { name.to_owned() };
    let path = if table.is_empty() { name } else { format!("{table}.{name}") };
    format!("{path} = {value}\n")
}

/// Values that fit some keys, or nearly.
const VALUES: &[&str] = &[
    "0", "-1", "1", "65535", "65536", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "0x7f", "0o7", "0b1",
    "1_000", "1.5", "inf", "nan", "true", "false", "[]", "{}", "[1, \"a\"]", "{ a = 1 }", "1979-05-27", "07:32:00", "\"\"",
    "\" \"", "\"1\"", "\"64MiB\"", "\"1GiB\"", "\"18446744073709551615\"", "\"1e3\"", "\"10s\"", "\"200ms\"", "\"7d\"", "\"99999999999999999999d\"",
    "\"commit\"", "\"interval\"", "\"json\"", "\"debug\"", "\"0.0.0.0:9092\"", "\"[::]:9092\"", "\"127.0.0.1:0\"", "\"localhost\"", "\":1\"",
    "\"[::1]\"", "\"a:99999\"", "\"*:1\"", "'''x'''", "\"\"\"\ny\"\"\"", "\"\\u0000\"", "\"\\u00e9\u{1f980}\"",
];

/// Text that means something to the reader: tables, old names, what belongs elsewhere.
const LINES: &[&str] = &[
    "[node]", "[node.addresses]", "[node.advertise]", "[kafka]", "[cluster]", "[[peers]]", "[wal]", "[storage]", "[log]", "# x", "\t",
    "id = 1\nkafka = \"a:1\"\nwal = \"a:2\"\nraft = \"a:3\"", "peers = [{ id = 2, kafka = \"b:1\", wal = \"b:2\", raft = \"b:3\" }]",
    "[raft]", "[replication]", "[cluster.discovery]", "replication_factor = 1", "enabled = true", "\"a.b\".c = 1", "bootstrap.servers = \"x\"", "a.b.c.d = 1", "\u{feff}", "\r", "= 1", "x", "\"", "'''",
];

/// Adds, repeats, moves or drops lines, or changes bytes anywhere.
pub fn mutate(bytes: &mut [u8], size: usize, size_max: usize, seed: u32, plain: Plain) -> usize {
    let mut random = Random::new(seed);
    if random.below(5) < 2 {
        return plain(bytes, size, size_max);
    }
    let text = String::from_utf8_lossy(&bytes[..size]).into_owned();
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let at = random.below(lines.len() + 1);
    match random.below(6) {
        0 | 1 => lines.insert(at, any_key(&mut random)),
        2 => lines.insert(at, format!("{}\n", random.pick(LINES).expect("there are some"))),
        3 if at < lines.len() => drop(lines.remove(at)),
        4 if at < lines.len() => lines.push(lines[at].clone()),
        _ if at < lines.len() => {
            let (key, _) = lines[at].split_once('=').unwrap_or((&lines[at], ""));
            lines[at] = format!("{key}= {}\n", random.pick(VALUES).expect("there are some"));
        }
        _ => lines.push(any_key(&mut random)),
    }
    let fresh = lines.concat();
    let size = fresh.len().min(size_max);
    bytes[..size].copy_from_slice(&fresh.as_bytes()[..size]);
    size
}

fn any_key(random: &mut Random) -> String {
    let keys = keys();
    let (table, name, default) = random.pick(keys).expect("there are keys");
    let value = if random.one_in(3) { default.as_str() } else { random.pick(VALUES).expect("there are some") };
    match random.below(3) {
        0 => format!("{name} = {value}\n"),
        1 => format!("[{table}]\n\"{name}\" = {value}\n"),
        _ => line(table, name, value),
    }
}

fn keys() -> &'static [(&'static str, &'static str, String)] {
    static KEYS: OnceLock<Vec<(&str, &str, String)>> = OnceLock::new();
    // A node of a cluster has them all.
    KEYS.get_or_init(|| check_text("node_id = 1\npeers = [{ id = 1, kafka = \"a:1\", wal = \"a:2\", raft = \"a:3\" }]").values)
}

/// Everything at its default, each table alone, and the ways in which files are wrong.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = vec![("empty".to_owned(), String::new()), ("defaults".to_owned(), as_file(keys()))];
    let mut tables: Vec<&str> = keys().iter().map(|(table, ..)| *table).collect();
    tables.sort_unstable();
    tables.dedup();
    for table in tables {
        let of_table = keys().iter().filter(|(other, ..)| *other == table);
        let lines: String = of_table.map(|(_, name, value)| format!("\"{name}\" = {value}\n")).collect();
        seeds.push((format!("table_{}", table.replace('.', "_")), format!("[{table}]\n{lines}").replace("[]\n", "")));
    }
    for (index, text) in LINES.iter().enumerate() {
        seeds.push((format!("line_{index}"), format!("{text}\nnode_id = 2\n")));
    }
    for (index, value) in VALUES.iter().enumerate() {
        let (table, name, _) = &keys()[index % keys().len()];
        seeds.push((format!("value_{index}"), line(table, name, value)));
    }
    seeds.into_iter().map(|(name, text)| (name, text.into_bytes())).collect()
}
