//! A node from start to stop: the card, what clients are told, signals, and why a start fails.

mod common;

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use chronik_client::messages::MetadataRequest;
use common::Workplace;
use common::server::Server;

/// Host and port of the only broker, as a client on `address` is told.
fn told(server: &Server, address: &str) -> (String, i32) {
    let metadata = server.ask(address, &MetadataRequest::default(), 9);
    let broker = metadata.brokers.first().expect("one broker");
    (broker.host.to_string(), broker.port)
}

#[test]
fn the_card_says_where_the_node_is() {
    let workplace = Workplace::with_file("log_level = \"warn\"\n");
    let server = Server::start(&workplace, &["-c", "chronik.toml", "-d", "records"], &[]);
    let port = server.port;
    let data = workplace.path().canonicalize().expect("it exists").join("records");
    for text in [
        concat!("Chronik ", env!("CARGO_PKG_VERSION"), "  single node 1, cluster "),
        &format!(
            "kafka   localhost:{port}  (listening on 127.0.0.1:{port}; clients are told the address they came in on)"
        ),
        &format!("{}  (acknowledged records are on disk)", data.display()),
        "http    off",
        "config  file chronik.toml, 1 environment variable, 2 flags",
        &format!("try     echo hello | kcat -b localhost:{port} -t greetings -P"),
        &format!("kcat -b localhost:{port} -t greetings -C -e"),
    ] {
        assert!(server.card.contains(text), "not on the card: {text}\n{}", server.card);
    }
    assert!(!server.card.contains('\u{1b}'), "plain where it is no terminal");
}

#[test]
fn a_card_for_machines_is_one_line_of_the_log() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[("CHRONIK_LOG_FORMAT", "json")]);
    let last = server.card.lines().last().expect("a line");
    let line: serde_json::Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(line["message"], "ready");
    assert_eq!(line["listening"], format!("127.0.0.1:{}", server.port));
    assert_eq!(line["config"], "2 environment variables, 1 flag");
}

#[test]
fn without_advertise_each_client_is_told_the_address_it_came_in_on() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &["--bind", "0.0.0.0:0"], &[]);
    for address in ["127.0.0.1", "127.0.0.2"] {
        assert_eq!(told(&server, address), (address.to_owned(), i32::from(server.port)));
    }
}

#[test]
fn a_client_on_ipv4_of_a_node_on_ipv6_is_told_ipv4() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &["--bind", "[::]:0"], &[]);
    assert_eq!(told(&server, "127.0.0.1"), ("127.0.0.1".to_owned(), i32::from(server.port)));
    assert!(server.card.contains(&format!("localhost:{}  (listening on [::]:{};", server.port, server.port)));
}

#[test]
fn with_advertise_every_client_is_told_the_same() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &["--advertise", "localhost:19092"], &[]);
    assert_eq!(told(&server, "127.0.0.1"), ("localhost".to_owned(), 19092));
    assert!(server.card.contains("localhost:19092"));
}

#[test]
fn sigterm_and_ctrl_c_stop_it_cleanly_and_it_starts_again() {
    let workplace = Workplace::new();
    let cluster = |server: &Server| {
        server.card.split("cluster ").nth(1).and_then(|rest| rest.split_whitespace().next()).map(str::to_owned)
    };
    let first = Server::start(&workplace, &[], &[]);
    let id = cluster(&first);
    first.signal("TERM");
    let (rest, exit) = first.wait();
    assert_eq!(exit, Some(0), "{rest}");
    let second = Server::start(&workplace, &[], &[]);
    assert_eq!(cluster(&second), id, "the data directory remembers its cluster");
    second.signal("INT");
    let (rest, exit) = second.wait();
    assert_eq!(exit, Some(0), "{rest}");
}

#[test]
fn a_port_that_is_taken_is_said_with_the_fix() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it has one").to_string();
    let workplace = Workplace::new();
    let run = workplace.run(&["start", "--bind", &address], &[]);
    run.says(
        1,
        &["error[CHK0401]: cannot listen on", &address, "why ", "Another process listens there", "fix ", "--bind"],
    );
    assert!(!workplace.path().join("data").exists(), "nothing is made before the port is had");
}

#[test]
fn a_data_directory_serves_one_node() {
    let workplace = Workplace::new();
    let _first = Server::start(&workplace, &[], &[]);
    workplace.run(&["start", "--bind", "127.0.0.1:0"], &[]).says(
        1,
        &[
            "error[CHK0401]",
            "is in use by another process",
            "why   two nodes that write one log",
            "fix   stop the other node",
        ],
    );
}

#[test]
fn a_data_directory_that_cannot_be_is_said_with_the_fix() {
    let workplace = Workplace::with_file("");
    let run = workplace.run(&["start", "--bind", "127.0.0.1:0", "-d", "chronik.toml"], &[]);
    run.says(1, &["error[CHK0401]", "why   the node keeps everything", "fix   chronik.toml is not a directory"]);
}

#[test]
fn a_data_directory_belongs_to_one_node_id() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    server.signal("TERM");
    assert_eq!(server.wait().1, Some(0));
    let run = workplace.run(&["start", "--bind", "127.0.0.1:0"], &[("CHRONIK_NODE_ID", "5")]);
    run.says(1, &["error[CHK0401]", "belongs to node 1", "why ", "fix   set node_id = 1"]);
}

#[test]
fn descriptors_are_taken_as_far_as_the_system_allows() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.process.id())).expect("it runs");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("the limit");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[3], words[4], "the soft limit is the hard one: {line}");
}

#[test]
fn the_service_manager_is_told_when_it_is_ready_and_when_it_stops() {
    let workplace = Workplace::new();
    let path = workplace.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let told = || {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let server = Server::start(&workplace, &[], &[("NOTIFY_SOCKET", path.to_str().expect("text"))]);
    assert_eq!(told(), "READY=1");
    server.signal("TERM");
    assert_eq!(told(), "STOPPING=1");
    assert_eq!(server.wait().1, Some(0));
}

#[test]
fn a_signal_that_comes_during_the_start_is_not_lost() {
    let workplace = Workplace::new();
    let path = workplace.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    // The node says that it is ready before it serves. While nobody takes the message it stands there.
    let full = UnixDatagram::unbound().expect("a socket");
    full.set_nonblocking(true).expect("it can");
    while full.send_to(b"x", &path).is_ok() {}
    let server = Server::start(&workplace, &[], &[("NOTIFY_SOCKET", path.to_str().expect("text"))]);
    server.signal("TERM");
    socket.set_nonblocking(true).expect("it can");
    while socket.recv(&mut [0; 16]).is_ok() {}
    let (said, exit) = server.wait_at_most(Duration::from_secs(20));
    assert_eq!(exit, Some(0), "{said}");
}
