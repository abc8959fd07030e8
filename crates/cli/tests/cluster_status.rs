//! `cluster status` of a single node, and where nobody answers. With several nodes: `dev.rs`, and the end-to-end cases.

mod common;

use std::net::TcpListener;

use chronik_client::message;
use chronik_client::messages::CreateTopicsRequest;
use chronik_client::messages::create_topics_request::CreatableTopic;
use common::Workplace;
use common::server::Server;
use serde_json::{Value, json};

fn with_topic() -> (Workplace, Server, String) {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    let topic = message!(CreatableTopic { name: "orders".into(), num_partitions: 4, replication_factor: 1 });
    let request = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000 });
    assert_eq!(server.ask("127.0.0.1", &request, 5).topics[0].error_code, 0);
    let address = format!("127.0.0.1:{}", server.port);
    (workplace, server, address)
}

#[test]
fn a_single_node_that_is_well() {
    let (workplace, _server, address) = with_topic();
    let run = workplace.run(&["cluster", "status", "-b", &address], &[]);
    run.says(0, &[]);
    assert_eq!(run.stderr, "");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(
        lines[0].starts_with("HEALTHY  cluster ") && lines[0].ends_with("1 node · 1 topic, 4 partitions"),
        "{}",
        run.stdout
    );
    let header: Vec<&str> = lines[2].split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(header, ["NODE", "STATE", "METADATA", "LEADERS", "REPLICAS", "IN SYNC", "LAG", "LOG", "DISK"]);
    let row: Vec<&str> = lines[3].split_whitespace().collect();
    assert_eq!(row[..7], ["1", "up", "leader", "4", "4", "4", "0"], "{}", run.stdout);
    assert!(row.contains(&"%"), "the disk is known: {}", run.stdout);
    assert_eq!(lines.len(), 4, "nothing is wrong: {}", run.stdout);
    let wide = workplace.run(&["cluster", "status", "-b", &address, "-o", "wide"], &[]);
    wide.says(0, &[]);
    assert!(wide.stdout.contains("KAFKA") && wide.stdout.contains(&address), "{}", wide.stdout);
}

#[test]
fn the_same_for_machines() {
    let (workplace, _server, address) = with_topic();
    let run = workplace.run(&["cluster", "status", "-b", &address, "-o", "json"], &[]);
    run.says(0, &[]);
    let document: Value = serde_json::from_str(&run.stdout).expect("one document");
    assert_eq!(document["verdict"], "HEALTHY");
    assert_eq!(document["answered_by"], address);
    assert_eq!((&document["topics"], &document["partitions"]), (&json!(1), &json!(4)));
    assert_eq!(document["metadata"]["leader"], 1);
    for empty in ["problems", "affected_partitions", "not_reached"] {
        assert_eq!(document[empty], json!([]), "{empty}");
    }
    let node = &document["nodes"][0];
    assert_eq!((&node["id"], &node["state"], &node["kafka"]), (&json!(1), &json!("up"), &json!(address)));
    assert_eq!((&node["leaders"], &node["out_of_sync"], &node["lag_records"]), (&json!(4), &json!(0), &json!(0)));
    assert!(node["disk_total_bytes"].as_u64() > node["disk_free_bytes"].as_u64(), "{node}");
    let yaml = workplace.run(&["cluster", "status", "-b", &address, "-o", "yaml"], &[]);
    yaml.says(0, &[]);
    assert!(yaml.stdout.contains("\"nodes\":\n  - \"disk_free_bytes\": "), "{}", yaml.stdout);
    assert!(
        yaml.stdout.contains("\"verdict\": \"HEALTHY\"\n") && yaml.stdout.contains("\"problems\": []\n"),
        "{}",
        yaml.stdout
    );
}

#[test]
fn a_dead_node_of_the_list_is_named_and_the_next_one_asked() {
    let (workplace, _server, address) = with_topic();
    let list = format!("127.0.0.1:1,{address}");
    let run = workplace.run(&["cluster", "status", "--bootstrap-server", &list], &[]);
    run.says(0, &["127.0.0.1:1 not reached: connection refused"]);
}

#[test]
fn the_address_comes_from_the_configuration_where_none_is_named() {
    let (workplace, server, _) = with_topic();
    std::fs::write(
        workplace.path().join("chronik.toml"),
        format!("[node.addresses]\nkafka = \"0.0.0.0:{}\"\n", server.port),
    )
    .expect("a file can be written");
    workplace.run(&["cluster", "status", "-c", "chronik.toml"], &[]).says(0, &[]);
    workplace.run(&["cluster", "status"], &[("CHRONIK_CONFIG", "chronik.toml")]).says(0, &[]);
    let bind = format!("127.0.0.1:{}", server.port);
    workplace.run(&["cluster", "status"], &[("CHRONIK_BIND", &bind)]).says(0, &[]);
    // Which of the nodes this would be is not asked.
    let peers = format!("127.0.0.1:{}:1:2", server.port);
    workplace.run(&["cluster", "status"], &[("CHRONIK_CLUSTER_PEERS", &peers)]).says(0, &[]);
}

#[test]
fn a_node_that_answers_where_the_list_has_it_is_up_whatever_clients_are_told() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &["--advertise", "127.0.0.1:1"], &[]);
    let listed = format!("1@127.0.0.1:{}:1:2", server.port);
    workplace.run(&["cluster", "status"], &[("CHRONIK_CLUSTER_PEERS", &listed)]).says(0, &[]);
    // Without a number nobody knows whose address it is: what clients are told leads nowhere, and that is worth saying.
    let run = workplace.run(&["cluster", "status", "-b", &format!("127.0.0.1:{}", server.port)], &[]);
    run.says(10, &[]);
    assert!(run.stdout.contains("node 1 does not answer here"), "{}", run.stdout);
}

#[test]
fn nobody_answers() {
    let workplace = Workplace::new();
    let run = workplace.run(&["cluster", "status", "-b", "127.0.0.1:1,127.0.0.1:2"], &[]);
    run.says(
        4,
        &[
            "error[CHK0501]: no node answers",
            "--> 127.0.0.1:1 not reached: connection refused",
            "--> 127.0.0.1:2 not reached: connection refused",
            "fix   start them, or name one that runs: --bootstrap-server HOST:PORT",
        ],
    );
    let peers = [("CHRONIK_CLUSTER_PEERS", "127.0.0.1:1:2:3,127.0.0.1:4:5:6")];
    workplace
        .run(&["cluster", "status"], &peers)
        .says(4, &["--> 127.0.0.1:1 (node 1) not reached", "127.0.0.1:4 (node 2)"]);
}

#[test]
fn a_node_that_waits_for_others_is_told_from_one_that_is_not_there() {
    // Nodes listen before they serve; connections wait in the system's queue.
    let waiting = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = waiting.local_addr().expect("bound").to_string();
    let run = Workplace::new().run(&["cluster", "status", "-b", &address], &[]);
    run.says(
        4,
        &[
            &format!("--> {address} accepts connections and does not answer: it waits for other nodes, or hangs"),
            "fix   start the others; the log of a node that waits says for whom",
        ],
    );
}

#[test]
fn a_configuration_that_is_wrong_is_refused_before_anybody_is_asked() {
    let workplace = Workplace::with_file("bogus = 1\n");
    workplace.run(&["cluster", "status", "-c", "chronik.toml"], &[]).says(3, &["error[CHK0107]: unknown key `bogus`"]);
    workplace
        .run(&["cluster", "status", "-b", "localhost"], &[])
        .says(3, &["error[CHK0106]: --bootstrap-server: `localhost` has no port"]);
    workplace.run(&["cluster", "status", "-c", "nowhere.toml"], &[]).says(3, &["error[CHK0102]"]);
}
