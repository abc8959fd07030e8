//! What came of it: a table for people, one document for programs.

use chronik_load::{Latencies, Rhythm, Until};
use serde_json::{Map, Value as Json, json};

use super::Load;
use super::arguments::At;
use super::contest::{Contest, Round, Side};
use crate::config::value::{bytes_text, duration_text};

const PERCENTILES: &[(&str, f64)] = &[("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("p99.99", 99.99)];

/// A figure of a turn, if it has it.
type Reading = Box<dyn Fn(&Round) -> Option<f64>>;

/// One line of the table.
struct Figure {
    name: String,
    of: Reading,
}

/// The load in words, then one line per figure and one column per broker.
pub(super) fn table(at: &At, load: &Load, contest: &Contest) -> String {
    let mut text = format!("{}\n\n", describe(at, load, contest));
    let totals: Vec<Round> = contest.sides.iter().map(Side::total).collect();
    let mut header = vec![load.name().to_uppercase()];
    header.extend(contest.sides.iter().map(|side| side.bootstrap.to_uppercase()));
    if contest.sides.len() > 1 {
        header.push("RATIO".to_owned());
    }
    let mut rows = vec![header];
    for figure in figures(load) {
        let values: Vec<Option<f64>> = totals.iter().map(|total| (figure.of)(total)).collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        let mut row = vec![figure.name.clone()];
        row.extend(values.iter().map(|value| value.map_or_else(|| "-".to_owned(), number)));
        if contest.sides.len() > 1 {
            let ratio = ratio(contest, &figure);
            row.push(ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")));
        }
        rows.push(row);
    }
    text.push_str(&aligned(&rows));
    text.push_str(&remarks(contest, &totals));
    text
}

fn describe(at: &At, load: &Load, contest: &Contest) -> String {
    let batch = load.batch();
    let mut parts = Vec::new();
    if let Some(load) = load.producing() {
        let size = bytes_text(batch.record_bytes as u64);
        parts.push(format!("{} × {size} per batch", batch.records));
        parts.push(format!("{} producers × {} in flight", load.producers, load.in_flight));
        parts.push(format!("acks={}", acks(load.acks)));
        parts.push(match load.rhythm {
            Rhythm::Rate(rate) => format!("{rate} records/s, latency from when a batch was due"),
            Rhythm::Fast | Rhythm::Bursts => "as fast as possible".to_owned(),
        });
    }
    if let Some(load) = load.consuming() {
        parts.push(format!("{} consumers × {} groups", load.consumers, load.groups));
    }
    parts.push(match at.until() {
        Until::Records(records) => format!("{records} records"),
        Until::Time(time) => duration_text(time.as_millis() as u64),
    });
    if contest.sides[0].rounds.len() > 1 {
        parts.push(format!("{} rounds", contest.sides[0].rounds.len()));
    }
    format!("{}, {} partitions: {}", contest.topic, contest.partitions, parts.join(", "))
}

fn figures(load: &Load) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Vec::new();
    let mut add = |name: String, of: Reading| figures.push(Figure { name, of });
    if load.producing().is_some() {
        add("produced, records/s".into(), Box::new(|round| per_second(produced_records(round))));
        add("produced, MiB/s".into(), Box::new(|round| per_second(produced_bytes(round)).map(mib)));
        for (name, percentile) in latency_names("acknowledged") {
            add(
                name,
                Box::new(move |round| milliseconds(round.produced.as_ref().map(|done| &done.latency), percentile)),
            );
        }
    }
    if load.consuming().is_some() {
        add("consumed, records/s".into(), Box::new(|round| per_second(consumed_records(round))));
        add("consumed, MiB/s".into(), Box::new(|round| per_second(consumed_bytes(round)).map(mib)));
        let is_delivery = load.producing().is_some();
        for (name, percentile) in latency_names(if is_delivery { "end to end" } else { "fetch" }) {
            let of = move |round: &Round| {
                let consumed = round.consumed.as_ref();
                let latency = consumed.map(|done| if is_delivery { &done.delivery } else { &done.latency });
                milliseconds(latency, percentile)
            };
            add(name, Box::new(of));
        }
    }
    if load.producing().is_some_and(|load| matches!(load.rhythm, Rhythm::Rate(_))) {
        let of = |round: &Round| milliseconds(round.produced.as_ref().map(|done| &done.client_delay), Some(99.0));
        add("this client's own delay p99, ms".into(), Box::new(of));
    }
    figures
}

/// Percentiles and, as none, the maximum.
fn latency_names(what: &'static str) -> impl Iterator<Item = (String, Option<f64>)> {
    let percentiles =
        PERCENTILES.iter().map(move |(name, percentile)| (format!("{what} {name}, ms"), Some(*percentile)));
    percentiles.chain([(format!("{what} max, ms"), None)])
}

fn milliseconds(latency: Option<&Latencies>, percentile: Option<f64>) -> Option<f64> {
    let latency = latency.filter(|latency| latency.count() > 0)?;
    Some(percentile.map_or_else(|| latency.max_us(), |percentile| latency.percentile_us(percentile)) / 1e3)
}

fn produced_records(round: &Round) -> Option<(u64, f64)> {
    round.produced.as_ref().map(|done| (done.records, done.seconds))
}

fn produced_bytes(round: &Round) -> Option<(u64, f64)> {
    round.produced.as_ref().map(|done| (done.bytes, done.seconds))
}

fn consumed_records(round: &Round) -> Option<(u64, f64)> {
    round.consumed.as_ref().map(|done| (done.records, done.seconds))
}

fn consumed_bytes(round: &Round) -> Option<(u64, f64)> {
    round.consumed.as_ref().map(|done| (done.wire_bytes, done.seconds))
}

fn per_second(done: Option<(u64, f64)>) -> Option<f64> {
    done.filter(|(_, seconds)| *seconds > 0.0).map(|(count, seconds)| count as f64 / seconds)
}

fn mib(bytes: f64) -> f64 {
    bytes / (1u64 << 20) as f64
}

/// The median of the ratios within each round: what the machine did to both drops out.
fn ratio(contest: &Contest, figure: &Figure) -> Option<f64> {
    let [first, other] = contest.sides.as_slice() else { return None };
    let pairs = first.rounds.iter().zip(&other.rounds);
    let mut ratios: Vec<f64> = pairs
        .filter_map(|(first, other)| Some((figure.of)(first)? / (figure.of)(other)?))
        .filter(|ratio| ratio.is_finite())
        .collect();
    ratios.sort_by(f64::total_cmp);
    match ratios.len() {
        0 => None,
        count if count % 2 == 1 => Some(ratios[count / 2]),
        count => Some((ratios[count / 2 - 1] + ratios[count / 2]) / 2.0),
    }
}

fn remarks(contest: &Contest, totals: &[Round]) -> String {
    let mut text = String::new();
    for (side, total) in contest.sides.iter().zip(totals) {
        let unsent = total.produced.as_ref().map_or(0, |done| done.unsent_records);
        if unsent > 0 {
            text.push_str(&format!(
                "\n{}: {unsent} records were due and could not be sent; their batches count with the age they had at the end\n",
                side.bootstrap
            ));
        }
    }
    text
}

/// Columns two spaces apart, numbers on the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn number(value: f64) -> String {
    match value {
        value if value >= 1000.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    }
}

fn acks(acks: i16) -> String {
    if acks < 0 { "all".to_owned() } else { acks.to_string() }
}

/// Everything that the table says, and what it leaves out: the rounds, all of the load.
pub(super) fn json(at: &At, load: &Load, contest: &Contest) -> Json {
    let sides = contest.sides.iter().map(|side| {
        let mut object = round_json(load, &side.total());
        object.insert("bootstrap_server".to_owned(), json!(side.bootstrap));
        let rounds = side.rounds.iter().map(|round| Json::Object(round_json(load, round)));
        object.insert("rounds".to_owned(), Json::Array(rounds.collect()));
        Json::Object(object)
    });
    let ratios =
        figures(load).into_iter().filter_map(|figure| Some((figure.name.clone(), json!(ratio(contest, &figure)?))));
    json!({
        "bench": load.name(),
        "load": load_json(at, load, contest),
        "results": sides.collect::<Vec<_>>(),
        "ratios": (contest.sides.len() > 1).then(|| ratios.collect::<Map<_, _>>()),
    })
}

fn load_json(at: &At, load: &Load, contest: &Contest) -> Json {
    let batch = load.batch();
    let (records, duration_ms) = match at.until() {
        Until::Records(records) => (Some(records), None),
        Until::Time(time) => (None, Some(time.as_millis() as u64)),
    };
    json!({
        "topic": contest.topic,
        "partitions": contest.partitions,
        "record_size_bytes": batch.record_bytes,
        "batch_records": batch.records,
        "keys": batch.keys,
        "compression": format!("{:?}", batch.compression).to_lowercase(),
        "records": records,
        "duration_ms": duration_ms,
        "warmup_ms": at.warmup.as_millis() as u64,
        "threads": at.threads,
        "rate_records_per_second": load.producing().and_then(|load| match load.rhythm {
            Rhythm::Rate(rate) => Some(rate),
            Rhythm::Fast | Rhythm::Bursts => None,
        }),
        "producers": load.producing().map(|load| load.producers),
        "in_flight": load.producing().map(|load| load.in_flight),
        "acks": load.producing().map(|load| acks(load.acks)),
        "consumers": load.consuming().map(|load| load.consumers),
        "groups": load.consuming().map(|load| load.groups),
    })
}

fn round_json(load: &Load, round: &Round) -> Map<String, Json> {
    let mut object = Map::new();
    if let Some(done) = &round.produced {
        let produced = json!({
            "records": done.records,
            "bytes": done.bytes,
            "wire_bytes": done.wire_bytes,
            "seconds": done.seconds,
            "records_per_second": per_second(produced_records(round)),
            "bytes_per_second": per_second(produced_bytes(round)),
            "latency_ms": latency_json(&done.latency),
            "client_delay_ms": latency_json(&done.client_delay),
            "unsent_records": done.unsent_records,
        });
        object.insert("produced".to_owned(), produced);
    }
    if let Some(done) = &round.consumed {
        let consumed = json!({
            "records": done.records,
            "wire_bytes": done.wire_bytes,
            "seconds": done.seconds,
            "records_per_second": per_second(consumed_records(round)),
            "bytes_per_second": per_second(consumed_bytes(round)),
            "fetch_latency_ms": latency_json(&done.latency),
        });
        object.insert("consumed".to_owned(), consumed);
        if load.producing().is_some() {
            object.insert("end_to_end_latency_ms".to_owned(), latency_json(&done.delivery));
        }
    }
    object
}

/// Null where nothing was counted.
fn latency_json(latency: &Latencies) -> Json {
    if latency.count() == 0 {
        return Json::Null;
    }
    let mut object = Map::new();
    object.insert("count".to_owned(), json!(latency.count()));
    object.insert("mean".to_owned(), json!(latency.mean_us() / 1e3));
    for (name, percentile) in PERCENTILES {
        object.insert(name.replace('.', "_"), json!(latency.percentile_us(*percentile) / 1e3));
    }
    object.insert("max".to_owned(), json!(latency.max_us() / 1e3));
    Json::Object(object)
}
