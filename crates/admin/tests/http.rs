//! The port as a client meets it, well-behaved or not. The node behind it has not begun; what a running one says is for the
//! end-to-end cases.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use chronik_admin::{Port, Surface};
use chronik_broker::Observer;
use serde_json::Value;

fn serve(surface: Surface) -> SocketAddr {
    let port = Port::bind(SocketAddr::from(([127, 0, 0, 1], 0)), surface).expect("a port");
    let address = port.address().expect("it has one");
    chronik_admin::spawn(vec![port], Observer::default()).expect("a thread");
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

/// All that comes until the connection ends; what came before a reset counts.
fn read_all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => text.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the connection did not end: {error}"),
        }
    }
    String::from_utf8(text).expect("text")
}

/// Status, headers and body of the answer to these bytes.
fn ask(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).expect("it reads");
    let answer = read_all(&mut stream);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {request:?}: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

#[test]
fn a_node_that_begins_lives_and_is_not_ready() {
    let address = serve(Surface::Whole);
    let (status, head, body) = get(address, "/livez");
    assert_eq!((status, json(&body)["status"].as_str()), (200, Some("alive")));
    assert!(head.contains("content-type: application/json"), "{head}");
    let (status, _, body) = get(address, "/readyz?verbose");
    let document = json(&body);
    assert_eq!((status, document["status"].as_str()), (503, Some("not_ready")));
    assert_eq!(document["reasons"][0]["code"], "BEGINNING");
    let (status, _, body) = get(address, "/version");
    assert_eq!((status, json(&body)["version"].as_str()), (200, Some(env!("CARGO_PKG_VERSION"))));
    for path in ["/metrics", "/clusterz", "/api/v1/cluster"] {
        let (status, head, body) = get(address, path);
        assert_eq!((status, json(&body)["code"].as_str()), (503, Some("BEGINNING")), "{path}");
        assert!(head.contains("content-type: application/problem+json"), "{head}");
    }
}

#[test]
fn what_is_not_served_is_refused_with_its_fix() {
    let address = serve(Surface::Whole);
    let refused = |request: &str, status: u16, code: &str| {
        let (found, head, body) = ask(address, request);
        let problem = json(&body);
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{request:?}");
        assert!(["title", "detail", "fix", "docs"].iter().all(|key| problem[*key].is_string()), "{body}");
        head
    };
    refused("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404, "NOT_FOUND");
    refused("GET /metrics/.. HTTP/1.1\r\nHost: x\r\n\r\n", 404, "NOT_FOUND");
    let head = refused("DELETE /livez HTTP/1.1\r\nHost: x\r\n\r\n", 405, "METHOD_NOT_ALLOWED");
    assert!(head.contains("allow: get, head"), "{head}");
    refused("GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", 413, "BODY_NOT_ALLOWED");
    refused("GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 413, "BODY_NOT_ALLOWED");
    let (status, head, body) = ask(address, "HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((status, body.as_str()), (200, ""), "{head}");
}

#[test]
fn a_port_for_metrics_serves_nothing_else() {
    let address = serve(Surface::Metrics);
    assert_eq!(get(address, "/livez").0, 404);
    assert_eq!(get(address, "/metrics").0, 503, "there are none yet");
}

#[test]
fn what_is_not_http_ends_its_connection() {
    let address = serve(Surface::Whole);
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(100_000));
    let many = format!("GET /livez HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1000));
    for garbage in ["\0\0\0\u{12}\0\u{3}", "GET /livez HTTP/9.9\r\n\r\n", "\r\n\r\n\r\nx y z\r\n\r\n", &long, &many] {
        let mut stream = connect(address);
        // It may be refused before all of it is sent.
        let _ = stream.write_all(garbage.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let answer = read_all(&mut stream);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(get(address, "/livez").0, 200);
}

#[test]
fn one_request_is_all_that_a_connection_carries() {
    let address = serve(Surface::Whole);
    let mut stream = connect(address);
    stream.write_all("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3).as_bytes()).expect("it reads");
    let answer = read_all(&mut stream);
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
}

#[test]
fn who_says_nothing_is_let_go_and_holds_up_nobody() {
    let address = serve(Surface::Whole);
    let began = Instant::now();
    let mut silent: Vec<TcpStream> = (0..200).map(|_| connect(address)).collect();
    for stream in &mut silent {
        let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nX: ");
    }
    for _ in 0..20 {
        assert_eq!(get(address, "/livez").0, 200);
    }
    // All end: the oldest to make room, the others because no header comes.
    for stream in &mut silent {
        assert!(!read_all(stream).contains("200 OK"));
    }
    assert!(began.elapsed() < Duration::from_secs(20), "they were to end after a few seconds");
}
