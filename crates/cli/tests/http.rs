//! The HTTP port of a node that runs: where it is, and what becomes of a port that is taken.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::Workplace;
use common::server::Server;

const ON: (&str, &str) = ("CHRONIK_HTTP__ENABLED", "true");

fn node(file: &str) -> (Workplace, Server) {
    let workplace = Workplace::with_file(file);
    let server = Server::start(&workplace, &["-c", "chronik.toml"], &[ON]);
    (workplace, server)
}

/// The port on the card.
fn http_port(server: &Server) -> u16 {
    port_in(server, 0)
}

/// The port in the first or second part of the row for HTTP.
fn port_in(server: &Server, part: usize) -> u16 {
    let row = server.card.lines().find(|line| line.trim_start().starts_with("http ")).expect("a row for HTTP");
    let port = row.split(';').nth(part).and_then(|part| part.rsplit(':').next());
    port.and_then(|port| port.trim().parse().ok()).unwrap_or_else(|| panic!("no port: {row}"))
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn a_node_that_serves_is_alive_ready_and_healthy() {
    let (_workplace, server) = node("[node.addresses]\nsearch = \"127.0.0.1:0\"\n");
    let port = http_port(&server);
    for path in ["/livez", "/readyz", "/clusterz", "/api/v1/cluster", "/version"] {
        let answer = get(port, path);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {answer}");
    }
    let cluster = get(port, "/clusterz");
    assert!(cluster.contains("\r\n\r\n{\n  \"verdict\": \"HEALTHY\""), "the verdict comes first: {cluster}");
    assert!(cluster.contains("\"answered_by\": 1"), "{cluster}");
}

#[test]
fn metrics_have_a_port_of_their_own_where_one_is_given() {
    let (_workplace, server) = node("[node.addresses]\nsearch = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\n");
    let metrics = port_in(&server, 1);
    for port in [metrics, http_port(&server)] {
        let answer = get(port, "/metrics");
        assert!(answer.contains("text/plain; version=0.0.4") && answer.contains("\nchronik_build_info{"), "{answer}");
    }
    assert!(get(metrics, "/readyz").starts_with("HTTP/1.1 404"));
}

#[test]
fn detail_and_lines_of_metrics_are_as_they_were_set() {
    let (_workplace, server) =
        node("[node.addresses]\nsearch = \"127.0.0.1:0\"\n[metrics]\ndetail = \"node\"\n[kafka]\n\"num.partitions\" = 3\n");
    assert!(!get(http_port(&server), "/metrics").contains("chronik_raft_isr_size"));
    let (_workplace, server) = node("[node.addresses]\nsearch = \"127.0.0.1:0\"\n[metrics]\nmax_series = 0\n[kafka]\n\"num.partitions\" = 3\n");
    server.ask(
        "127.0.0.1",
        &chronik_client::message!(chronik_client::messages::MetadataRequest {
            topics: Some(vec![chronik_client::message!(chronik_client::messages::metadata_request::MetadataRequestTopic {
                name: Some("counted".into()),
            })]),
            allow_auto_topic_creation: true,
        }),
        9,
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = get(http_port(&server), "/metrics");
        let dropped = answer.lines().find_map(|line| line.strip_prefix("chronik_metrics_series_dropped "));
        if dropped == Some("6") {
            assert!(!answer.contains("chronik_raft_isr_size{"), "{answer}");
            break;
        }
        assert!(Instant::now() < deadline, "two lines for each of three partitions are left out: {dropped:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn http_can_be_turned_off() {
    let workplace = Workplace::with_file("[node.addresses]\nsearch = \"127.0.0.1:0\"\n");
    let server = Server::start(&workplace, &["-c", "chronik.toml"], &[("CHRONIK_HTTP__ENABLED", "false")]);
    assert!(server.card.contains("http    off\n"), "{}", server.card);
}

#[test]
fn the_default_port_is_done_without_where_it_is_taken() {
    // Whoever else may have it at this moment serves the purpose as well.
    let _taken = TcpListener::bind("0.0.0.0:6092");
    let (_workplace, server) = node("");
    let said = ["HTTP is off: nothing can listen on 127.0.0.1:6092", "http    off: 127.0.0.1:6092 cannot be had\n"];
    assert!(said.iter().all(|text| server.card.contains(text)), "{}", server.card);
}

#[test]
fn a_port_that_was_asked_for_and_is_taken_stops_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it has one");
    for key in ["search", "metrics"] {
        let workplace = Workplace::with_file(&format!("[node.addresses]\n{key} = \"{address}\"\n"));
        let run = workplace.run(&["start", "-c", "chronik.toml", "--bind", "127.0.0.1:0"], &[]);
        run.says(1, &[&format!("cannot listen on {address} for HTTP"), key, "choose another port"]);
        assert!(!workplace.path().join("data").exists(), "nothing was begun");
    }
}
