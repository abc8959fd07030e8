//! Clusters as earlier servers were started: `raft-cluster`, `cluster` without a command, and lists of Raft addresses. They work,
//! each with a warning that names what to write instead.

mod common;

use common::{Run, Workplace};
use serde_json::{Value, json};

const FLAGS: &[&str] = &[
    "--node-id",
    "2",
    "--kafka-port",
    "9093",
    "--advertised-addr",
    "node2.example",
    "--raft-addr",
    "0.0.0.0:9292",
    "--peers",
    "1@node1.example:9192,3@node3.example:9392",
    "--bootstrap",
];

#[track_caller]
fn shown(run: &Run) -> Value {
    run.says(0, &[]);
    serde_json::from_str(&run.stdout).expect("JSON")
}

#[test]
fn a_list_of_raft_addresses_is_a_list_of_nodes() {
    let arguments = [&["config", "show", "-o", "json"], FLAGS].concat();
    // Names of an example are known to nobody.
    let arguments: Vec<&str> =
        arguments.iter().map(|text| if *text == "node2.example" { "localhost" } else { text }).collect();
    let run = Workplace::new().run(&arguments, &[]);
    let shown = shown(&run);
    run.says(
        0,
        &[
            "warning[CHK0301]: --peers is an old name; it still works",
            "fix   use [[peers]] in the file, the same on all nodes, each with kafka, wal and raft, or CHRONIK_CLUSTER_PEERS=",
            "warning[CHK0301]: --raft-addr is an old name",
            "warning[CHK0301]: --node-id is an old name",
            "warning[CHK0301]: --bootstrap is an old name, and of no use any more",
        ],
    );
    for (service, address) in [("kafka", "0.0.0.0:9093"), ("wal", "0.0.0.0:9291"), ("raft", "0.0.0.0:9292")] {
        assert_eq!(shown["node"]["addresses"][service], address);
    }
    assert_eq!(shown["node"]["advertise"]["kafka"], "localhost:9093");
    let own = json!({ "id": 2, "kafka": "localhost:9093", "wal": "localhost:9291", "raft": "localhost:9292" });
    let other =
        json!({ "id": 1, "kafka": "node1.example:9092", "wal": "node1.example:9291", "raft": "node1.example:9192" });
    let peers = shown["peers"].as_array().expect("a list");
    assert!(peers.len() == 3 && peers.contains(&own) && peers.contains(&other), "{peers:?}");
}

#[test]
fn the_same_by_variables() {
    let variables = [
        ("CHRONIK_NODE_ID", "1"),
        ("CHRONIK_RAFT_ADDR", "127.0.0.1:9192"),
        ("CHRONIK_RAFT_PEERS", "2@127.0.0.1:9292, 3@127.0.0.1:9392"),
        ("CHRONIK_WAL_RECEIVER_PORT", "9301"),
    ];
    let run = Workplace::new().run(&["config", "show", "-o", "json"], &variables);
    let shown = shown(&run);
    run.says(
        0,
        &[
            "warning[CHK0301]: CHRONIK_RAFT_PEERS is an old name",
            "set [[peers]] in the file",
            "CHRONIK_RAFT_ADDR is an old name",
        ],
    );
    let own = json!({ "id": 1, "kafka": "127.0.0.1:9092", "wal": "127.0.0.1:9301", "raft": "127.0.0.1:9192" });
    assert!(shown["peers"].as_array().is_some_and(|peers| peers.contains(&own)), "{shown:#}");
    assert_eq!(shown["node"]["addresses"]["wal"], "0.0.0.0:9301");
}

#[test]
fn a_list_that_says_too_little() {
    let check = |arguments: &[&str], texts: &[&str]| {
        Workplace::new().run(&[&["config", "check"], arguments].concat(), &[]).says(3, texts);
    };
    check(&["--peers", "2@x:1"], &["error[CHK0203]: which of the nodes [2] this one is, is not said"]);
    check(
        &["--peers", "x:1"],
        &["error[CHK0106]: --peers: `x:1` has no number: it is id@host:port", "use [[peers]] in the file"],
    );
    check(&["--peers", "0@x:1"], &["`0` is not the number of a node"]);
    check(&["--peers", "2@x"], &["`x` has no port"]);
    check(
        &["--node-id", "1", "--peers", "2@x:1"],
        &["where this node listens for the others is not said", "--raft-addr HOST:PORT"],
    );
    check(
        &["--node-id", "1", "--raft-addr", "0.0.0.0:5", "--peers", "2@x:1"],
        &["error[CHK0111]: where the others find this node is not said", "--advertise HOST"],
    );
    check(
        &["--node-id", "1", "--raft-addr", "127.0.0.1:1", "--peers", "2@x:1,2@y:1"],
        &["error[CHK0204]: duplicate node ID: 2"],
    );
    check(
        &["--node-id", "1", "--raft-addr", "127.0.0.1:1", "--peers", "2@x:1,3@x:1"],
        &["error[CHK0206]: two peers share the address x:1"],
    );
    let both = [("CHRONIK_CLUSTER_PEERS", "x:1:2:3"), ("CHRONIK_NODE_ID", "1"), ("CHRONIK_RAFT_PEERS", "2@y:1")];
    Workplace::new()
        .run(&["config", "check"], &both)
        .says(3, &["error[CHK0110]: CHRONIK_CLUSTER_PEERS and CHRONIK_RAFT_PEERS both list the nodes"]);
}

/// Starts as the old command does, far enough to see that it goes on: the port that it wants is taken.
#[test]
fn the_old_commands_start_a_node() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = taken.local_addr().expect("bound").port().to_string();
    let flags = [
        "--node-id",
        "1",
        "--bind-addr",
        "127.0.0.1",
        "--kafka-port",
        &port,
        "--raft-addr",
        "127.0.0.1:1",
        "--peers",
        "2@127.0.0.1:2",
    ];
    let went_on = format!("cannot listen on 127.0.0.1:{port}");
    for command in ["raft-cluster", "cluster"] {
        let old = format!("warning[CHK0301]: `{command}` is an old name of a way to start; it still works");
        let texts =
            [&old, "use `chronik-server start --config FILE`", "warning[CHK0301]: --peers is an old name", &went_on];
        let run = Workplace::new().run(&[&[command], &flags[..]].concat(), &[]);
        run.says(1, &texts);
        // Flags stood before the command, too.
        Workplace::new().run(&[&flags[..], &[command]].concat(), &[]).says(1, &texts);
    }
    let file = format!(
        "node_id = 1\n[node.addresses]\nkafka = \"127.0.0.1:{port}\"\n[[peers]]\nid = 1\nkafka = \"127.0.0.1:{port}\"\nwal = \"127.0.0.1:1\"\nraft = \"127.0.0.1:2\"\n[[peers]]\nid = 2\nkafka = \"b:1\"\nwal = \"b:2\"\nraft = \"b:3\"\n"
    );
    let workplace = Workplace::with_file(&file);
    workplace
        .run(&["cluster", "--config", "chronik.toml"], &[])
        .says(1, &["`cluster` is an old name of a way to start", &went_on]);
    workplace
        .run(&["raft-cluster", "--cluster-config", "chronik.toml"], &[])
        .says(1, &["use --config instead", &went_on]);
}
