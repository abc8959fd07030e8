//! What Kafka's own code wrote, as inputs to begin with. The vectors lie outside of the tree: `CHRONIK_VECTORS`.

use std::path::PathBuf;

/// One line of a file of vectors.
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) message: String,
    pub(crate) version: i16,
    pub(crate) bytes: Vec<u8>,
}

/// Every record batch.
pub(crate) fn record_batches() -> Vec<(String, Vec<u8>)> {
    read("kafka-record-batches.jsonl").into_iter().map(|vector| (vector.name, vector.bytes)).collect()
}

/// The vectors of a file.
///
/// # Panics
/// If they are not there: seeds without them would be poorer, and nobody would notice.
pub(crate) fn read(file: &str) -> Vec<Vector> {
    let folder = std::env::var_os("CHRONIK_VECTORS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"));
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(parse).collect()
}

fn parse(line: &str) -> Vector {
    let hex = text_of(line, "hex").expect("every vector has bytes");
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("bytes are written in hexadecimal");
    Vector {
        name: text_of(line, "name").unwrap_or_default(),
        message: text_of(line, "message").unwrap_or_default(),
        version: number_of(line, "version"),
        bytes: (0..hex.len()).step_by(2).map(digits).collect(),
    }
}

fn text_of(line: &str, field: &str) -> Option<String> {
    let start = line.rfind(&format!("\"{field}\":\""))? + field.len() + 4;
    line[start..].split('"').next().map(str::to_owned)
}

fn number_of(line: &str, field: &str) -> i16 {
    let Some(start) = line.rfind(&format!("\"{field}\":")) else { return 0 };
    line[start + field.len() + 3..].split([',', '}']).next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
