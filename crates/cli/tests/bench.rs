//! `bench` as a user runs it: against a node, against two, against none.

mod common;

use std::process::{Command, Stdio};
use std::time::Duration;

use common::Workplace;
use common::server::Server;
use serde_json::Value;

/// Runs `bench` with these arguments and reads its document.
#[track_caller]
fn bench(workplace: &Workplace, arguments: &[&str]) -> Value {
    let run = workplace.run(&[&["bench"], arguments, &["-o", "json"]].concat(), &[]);
    run.says(0, &[]);
    serde_json::from_str(&run.stdout).expect("one JSON document")
}

#[track_caller]
fn number(document: &Value, pointer: &str) -> f64 {
    let found = document.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {document:#}"));
    found.as_f64().unwrap_or_else(|| panic!("{pointer} is no number: {found}"))
}

/// Whether a latency is whole and its percentiles are in order.
#[track_caller]
fn is_latency(document: &Value, pointer: &str, count: u64) {
    let names = ["p50", "p90", "p99", "p99_9", "p99_99", "max"];
    let values = names.map(|name| number(document, &format!("{pointer}/{name}")));
    assert!(values.is_sorted() && values[0] > 0.0, "{pointer}: {values:?}");
    assert_eq!(number(document, &format!("{pointer}/count")) as u64, count, "{pointer}");
}

fn topics(server: &Server) -> Vec<String> {
    use chronik_client::messages::MetadataRequest;
    let response = server.ask("127.0.0.1", &MetadataRequest::default(), 0);
    response.topics.iter().filter_map(|topic| Some(topic.name.as_ref()?.as_str().to_owned())).collect()
}

#[test]
fn produce_tells_what_it_did_and_takes_its_topic_away() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    let at = format!("127.0.0.1:{}", server.port);
    let load = ["produce", "-b", &at, "--records", "2000", "--batch", "10", "--record-size", "100", "--warmup", "0s"];
    let more = ["--partitions", "3", "--producers", "2", "--keys", "50"];
    let document = bench(&workplace, &[&load[..], &more].concat());
    assert_eq!(document["bench"], "produce");
    assert_eq!(document["ratios"], Value::Null);
    assert_eq!(document["load"]["partitions"], 3);
    assert_eq!(document["load"]["keys"], 50);
    assert_eq!(document["load"]["rate_records_per_second"], Value::Null);
    let result = &document["results"][0];
    assert_eq!(result["bootstrap_server"], at.as_str());
    assert_eq!(number(result, "/produced/records"), 2000.0);
    assert_eq!(number(result, "/produced/bytes"), 2000.0 * 110.0);
    let (rate, seconds) = (number(result, "/produced/records_per_second"), number(result, "/produced/seconds"));
    assert!((rate * seconds / 2000.0 - 1.0).abs() < 1e-6);
    is_latency(result, "/produced/latency_ms", 200);
    assert_eq!(result["rounds"].as_array().map(Vec::len), Some(1));
    assert_eq!(topics(&server), Vec::<String>::new());
}

#[test]
fn consume_reads_what_was_written_as_often_as_asked() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    let at = format!("127.0.0.1:{}", server.port);
    let load = ["consume", "-b", &at, "--records", "6000", "--record-size", "100", "--partitions", "2"];
    let document = bench(&workplace, &[&load[..], &["--consumers", "2", "--groups", "2", "--warmup", "0s"]].concat());
    let result = &document["results"][0];
    assert!(number(result, "/consumed/records") >= 6000.0);
    assert!(number(result, "/consumed/fetch_latency_ms/p50") > 0.0);
    assert_eq!(result["produced"], Value::Null);
    assert_eq!(topics(&server), Vec::<String>::new());
}

#[test]
fn end_to_end_delivers_every_record_to_every_group() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    let at = format!("127.0.0.1:{}", server.port);
    let load = ["end-to-end", "-b", &at, "--rate", "1000", "--batch", "10", "--record-size", "100", "--records", "500"];
    let document = bench(&workplace, &[&load[..], &["--partitions", "2", "--groups", "2", "--warmup", "0s"]].concat());
    let result = &document["results"][0];
    assert_eq!(number(result, "/produced/records"), 500.0);
    is_latency(result, "/produced/latency_ms", 50);
    is_latency(result, "/produced/client_delay_ms", 50);
    is_latency(result, "/end_to_end_latency_ms", 1000);
}

#[test]
fn two_brokers_get_the_same_load_in_turns() {
    let workplaces = [Workplace::new(), Workplace::new()];
    let servers = workplaces.each_ref().map(|workplace| Server::start(workplace, &[], &[]));
    let [one, other] = servers.each_ref().map(|server| format!("127.0.0.1:{}", server.port));
    let load =
        ["bench", "produce", "-b", &one, "--against", &other, "--records", "500", "--warmup", "0s", "--rounds", "3"];
    let run = workplaces[0].run(&load, &[]);
    run.says(0, &[&format!("round 2 of 3: {other}\nround 2 of 3: {one}\nround 3 of 3: {one}\n")]);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines[0].contains("100 × 1KiB per batch") && lines[0].contains("3 rounds"), "{}", lines[0]);
    assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), ["PRODUCE", &one, &other, "RATIO"]);
    for name in ["produced, records/s", "produced, MiB/s", "acknowledged p50, ms", "acknowledged p99.9, ms"] {
        let line =
            lines.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}:\n{}", run.stdout));
        let numbers: Vec<f64> =
            line[name.len()..].split_whitespace().map(|cell| cell.parse().expect("a number")).collect();
        assert_eq!(numbers.len(), 3, "{line}");
    }
    for server in &servers {
        assert_eq!(topics(server), Vec::<String>::new());
    }
}

#[test]
fn a_broker_that_stands_still_shows_in_the_percentiles() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    let at = format!("127.0.0.1:{}", server.port);
    let load = ["bench", "produce", "-b", &at, "--rate", "200", "--batch", "1", "--duration", "4s", "-o", "json"];
    let mut command = workplace.command(&[&load[..], &["--warmup", "0s", "--topic", "paused"]].concat());
    let running = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("the binary runs");
    while topics(&server).is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_secs(1));
    server.signal("STOP");
    std::thread::sleep(Duration::from_secs(1));
    server.signal("CONT");
    let output = running.wait_with_output().expect("it ends");
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let result = &document["results"][0];
    // Nothing that was due is left out: 4 s at 200/s, a quarter of it while nobody answered.
    assert_eq!(number(result, "/produced/records"), 800.0);
    assert!(number(result, "/produced/latency_ms/p90") > 400.0, "{result:#}");
    assert!(number(result, "/produced/latency_ms/max") > 900.0, "{result:#}");
}

#[test]
fn an_interrupted_run_takes_its_topic_away() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    let at = format!("127.0.0.1:{}", server.port);
    let mut command = workplace.command(&["bench", "produce", "-b", &at, "--rate", "10", "--duration", "1m"]);
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().expect("the binary runs");
    while topics(&server).is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    // A topic is there a little before the run knows of it.
    std::thread::sleep(Duration::from_millis(300));
    let interrupted = Command::new("kill").args(["-INT", &running.id().to_string()]).status().expect("kill runs");
    assert!(interrupted.success());
    assert_eq!(running.wait().expect("it ends").code(), Some(130));
    assert_eq!(topics(&server), Vec::<String>::new());
}

#[test]
fn what_cannot_be_measured_is_said_with_the_fix() {
    let workplace = Workplace::new();
    let nobody = ["bench", "produce", "-b", "127.0.0.1:1"];
    workplace
        .run(&nobody, &[])
        .says(4, &["error[CHK0501]: cannot connect to 127.0.0.1:1", "why ", "--bootstrap-server HOST:PORT"]);

    let server = Server::start(&workplace, &[], &[]);
    let at = format!("127.0.0.1:{}", server.port);
    let at = |rest: &[&str]| workplace.run(&[&["bench"], rest, &["-b", &at, "--records", "100"]].concat(), &[]);
    at(&["consume", "--topic", "nowhere"])
        .says(6, &["error[CHK0502]: there is no topic `nowhere`", "leave --topic out"]);
    at(&["produce", "--topic-config", "no.such.setting=1"])
        .says(1, &["error[CHK0503]: CreateTopics was refused: INVALID_CONFIG"]);
    at(&["produce", "--record-size", "2MiB", "--batch", "1"])
        .says(1, &["error[CHK0503]: Produce was refused: MESSAGE_TOO_LARGE"]);
    at(&["end-to-end", "--record-size", "8"])
        .says(2, &["error[CHK0505]: a record that carries its time has at least 16 bytes"]);
    at(&["end-to-end", "--compression", "lz4"]).says(2, &["error[CHK0505]: compressed batches cannot carry"]);
    at(&["produce", "--duration", "5s"]).says(2, &["cannot be used with"]);
    workplace.run(&["bench", "produce", "--duration", "5"], &[]).says(2, &["--duration"]);
    workplace.run(&["bench", "produce", "--rate", "0"], &[]).says(2, &["records per second above 0"]);
    assert_eq!(topics(&server), Vec::<String>::new());
}

#[test]
fn every_codec_is_accepted_and_can_be_read_back() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    let at = format!("127.0.0.1:{}", server.port);
    // Random letters can be coded shorter but do not repeat: what only looks for repetitions leaves them as they are.
    for (codec, most) in [("gzip", 700.0), ("snappy", 1100.0), ("lz4", 1100.0), ("zstd", 700.0)] {
        let load = ["consume", "-b", &at, "--records", "500", "--compression", codec, "--warmup", "0s"];
        let document = bench(&workplace, &load);
        let result = &document["results"][0];
        let (records, bytes) = (number(result, "/consumed/records"), number(result, "/consumed/wire_bytes"));
        assert!(records >= 500.0 && bytes < records * most, "{codec}: {records} records, {bytes} bytes");
    }
}
