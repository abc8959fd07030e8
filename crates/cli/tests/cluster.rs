//! The configuration of a node of a cluster: what it comes to, and what is refused.

mod common;

use common::{Run, Workplace};
use serde_json::{Value, json};

const CHECK: &[&str] = &["config", "check", "-c", "chronik.toml"];
const SHOW: &[&str] = &["config", "show", "-c", "chronik.toml", "-o", "json"];

/// Entry of a node whose three ports follow upon each other.
fn peer(id: i32, host: &str, port: u16) -> String {
    let [kafka, wal, raft] = [0, 1, 2].map(|further| format!("\"{host}:{}\"", port + further));
    format!("[[peers]]\nid = {id}\nkafka = {kafka}\nwal = {wal}\nraft = {raft}\n")
}

/// Three nodes, under whatever stands at the top.
fn three(top: &str) -> String {
    format!("{top}\n{}{}{}", peer(1, "n1.example", 21000), peer(2, "n2.example", 21010), peer(3, "n3.example", 21020))
}

fn show(file: &str, variables: &[(&str, &str)]) -> Value {
    shown(&Workplace::with_file(file).run(SHOW, variables))
}

#[track_caller]
fn shown(run: &Run) -> Value {
    run.says(0, &[]);
    assert_eq!(run.stderr, "");
    serde_json::from_str(&run.stdout).expect("JSON")
}

#[track_caller]
fn refused(file: &str, texts: &[&str]) -> Run {
    let run = Workplace::with_file(file).run(CHECK, &[]);
    run.says(3, texts);
    run
}

#[test]
fn the_whole_file_of_a_node() {
    let file = "\
node_id = 1
replication_factor = 3
min_insync_replicas = 2
rack = \"west\"

[node.addresses]
kafka = \"127.0.0.1:21000\"
wal = \"127.0.0.1:21001\"
raft = \"127.0.0.1:21002\"

[node.advertise]
kafka = \"localhost:21000\"
wal = \"n1.example:21001\"
raft = \"n1.example:21002\"

[raft]
election_timeout_ms = 2000
heartbeat_interval_ms = 200
snapshot_max_log_size_mb = 32
snapshot_min_interval_entries = 5000
snapshot_compression = \"zstd\"
max_inflight_messages = 128
max_append_entries_size = 65536
rpc_timeout_ms = 1000

[replication]
session_timeout_ms = 1500
replica_lag_max_ms = 5000
enable_leadership_transfer = false
leadership_transfer_timeout_ms = 1000
discovery_interval_secs = 5

[cluster.discovery]
mode = \"static\"
";
    let shown = show(&three(file), &[]);
    assert_eq!(shown["replication_factor"], 3);
    assert_eq!(shown["rack"], "west");
    assert_eq!(shown["node"]["addresses"]["wal"], "127.0.0.1:21001");
    assert_eq!(shown["node"]["advertise"]["kafka"], "localhost:21000");
    assert_eq!(shown["raft"]["election_timeout_ms"], 2000);
    assert_eq!(shown["replication"]["enable_leadership_transfer"], false);
    let second = json!({ "id": 2, "kafka": "n2.example:21010", "wal": "n2.example:21011", "raft": "n2.example:21012" });
    assert_eq!(shown["peers"][1], second);
}

#[test]
fn one_file_serves_all_nodes_and_a_variable_says_which() {
    let workplace = Workplace::with_file(&three(""));
    for (id, port) in [("1", 21000), ("2", 21010), ("3", 21020)] {
        let shown = shown(&workplace.run(SHOW, &[("CHRONIK_NODE_ID", id)]));
        for (service, further) in [("kafka", 0), ("wal", 1), ("raft", 2)] {
            assert_eq!(shown["node"]["addresses"][service], format!("0.0.0.0:{}", port + further));
            assert_eq!(shown["node"]["advertise"][service], format!("n{id}.example:{}", port + further));
        }
    }
    let table =
        workplace.run(&["config", "show", "-c", "chronik.toml", "--origin"], &[("CHRONIK_NODE_ID", "2")]).stdout;
    let line = table.lines().find(|line| line.starts_with("peers[3].raft")).expect("peers are shown");
    assert!(line.contains("n3.example:21022") && line.ends_with("file chronik.toml:16"), "{line}");
}

#[test]
fn what_the_list_says_of_the_node_itself_is_below_everything_else() {
    let file = three("node_id = 2\n[node.addresses]\nwal = \"127.0.0.1:5\"\n");
    let workplace = Workplace::with_file(&file);
    let arguments = [SHOW, &["--bind", "127.0.0.1", "--advertise", "localhost"]].concat();
    let shown = shown(&workplace.run(&arguments, &[("CHRONIK_NODE__ADDRESSES__RAFT", "127.0.0.1:6")]));
    assert_eq!(
        shown["node"]["addresses"],
        json!({ "kafka": "127.0.0.1:21010", "metrics": null, "raft": "127.0.0.1:6", "search": "127.0.0.1:6092", "wal": "127.0.0.1:5" })
    );
    assert_eq!(shown["node"]["advertise"]["kafka"], "localhost:21010");
}

#[test]
fn a_cluster_from_the_environment() {
    let workplace = Workplace::new();
    let peers = |list: &str, id: &str| {
        let run = workplace
            .run(&["config", "show", "-o", "json"], &[("CHRONIK_CLUSTER_PEERS", list), ("CHRONIK_NODE_ID", id)]);
        shown(&run)
    };
    let by_position = peers("n1:9092:9291:5001,n2:9093:9292:5002, [::1]:9094:9293:5003", "2");
    assert_eq!(
        by_position["peers"][2],
        json!({ "id": 3, "kafka": "[::1]:9094", "wal": "[::1]:9293", "raft": "[::1]:5003" })
    );
    assert_eq!(by_position["node"]["addresses"]["raft"], "0.0.0.0:5002");
    let by_number = peers("7@n7:1:2:3,4@n4:1:2:3", "4");
    assert_eq!((&by_number["peers"][0]["id"], &by_number["peers"][1]["wal"]), (&json!(7), &json!("n4:2")));
    // The list of the environment stands above the one of the file.
    let above = show(&three(""), &[("CHRONIK_CLUSTER_PEERS", "x:1:2:3,y:1:2:3"), ("CHRONIK_NODE_ID", "1")]);
    assert_eq!(above["peers"].as_array().map(Vec::len), Some(2));
    let source = workplace.run(&["config", "check"], &[("CHRONIK_CLUSTER_PEERS", "x:1:2:3,y:1:2:3"), ("CHRONIK_NODE_ID", "1")]);
    source.says(0, &[]);
    assert_eq!(source.stdout, "configuration valid: 2 environment variables\n");
}

#[test]
fn a_list_in_a_variable_that_cannot_be_read() {
    let check = |list: &str, texts: &[&str]| {
        let variables = [("CHRONIK_CLUSTER_PEERS", list), ("CHRONIK_NODE_ID", "1")];
        Workplace::new().run(&["config", "check"], &variables).says(3, texts);
    };
    check(
        "n1:9092:9291",
        &["error[CHK0106]: CHRONIK_CLUSTER_PEERS: `n1:9092:9291` does not end in three ports", "host:kafka:wal:raft"],
    );
    check("n1:9092:9291:x", &["`x` is none"]);
    check("n1:9092:9291:99999", &["`99999` is none"]);
    check("0@n1:1:2:3", &["`0` is not the number of a node"]);
    check("me@n1:1:2:3", &["`me` is not the number of a node"]);
    check(":1:2:3", &["has no host"]);
    check("n1:1:2:3,", &["`` does not end in three ports"]);
    check("", &["error[CHK0109]", "unset CHRONIK_CLUSTER_PEERS"]);
    check("1@a:1:2:3,1@b:1:2:3", &["error[CHK0204]: duplicate node ID: 1"]);
    check("a:1:2:3,a:1:4:5", &["error[CHK0206]: two peers share the address a:1"]);
}

#[test]
fn a_node_that_is_not_among_the_peers() {
    refused(
        &three("node_id = 4"),
        &["error[CHK0203]: node_id 4 not found in peers list
  --> chronik.toml:1: 4
why   your config has node_id = 4, but the peers list only contains [1, 2, 3]
fix   add a [[peers]] entry with id = 4, or correct node_id
"],
    );
}

#[test]
fn a_node_of_a_cluster_has_no_number_by_default() {
    let texts = ["error[CHK0203]: which of the nodes [1, 2, 3] this one is, is not said", "set CHRONIK_NODE_ID=N"];
    refused(&three(""), &texts);
}

#[test]
fn a_list_of_one_node() {
    let texts = ["error[CHK0208]: the peers list has one node", "chronik.toml:3:6", "remove the list to run a single node, or add the others"];
    refused(&format!("node_id = 1\n{}", peer(1, "a", 1)), &texts);
}

#[test]
fn a_number_that_two_nodes_have() {
    let file = format!("node_id = 1\n{}{}", peer(1, "a", 1), peer(1, "b", 1));
    refused(
        &file,
        &[
            "error[CHK0204]: duplicate node ID: 1",
            "chronik.toml:3:6",
            "chronik.toml:8:6",
            "each node must have a unique ID",
        ],
    );
}

#[test]
fn two_services_on_one_port() {
    let conflict = "[node.addresses]\nkafka = \"127.0.0.1:21000\"\nraft = \"0.0.0.0:21000\"\n";
    refused(
        &three(&format!("node_id = 1\n{conflict}")),
        &[
            "error[CHK0205]: port conflict on 21000",
            "--> chronik.toml:3: node.addresses.kafka = 127.0.0.1:21000",
            "--> chronik.toml:4: node.addresses.raft = 0.0.0.0:21000",
            "both kafka and raft are trying to bind to port 21000",
        ],
    );
    // On two addresses of one machine they do not meet.
    let apart =
        "[node.addresses]\nkafka = \"127.0.0.1:21000\"\nwal = \"127.0.0.2:21000\"\nraft = \"127.0.0.3:21000\"\n";
    show(&three(&format!("node_id = 1\n{apart}")), &[]);
    // Another node's entry is looked at, too.
    let file = three("node_id = 1").replace("n3.example:21022", "n3.example:21020");
    refused(
        &file,
        &["error[CHK0205]: port conflict: kafka and raft of a peer are both n3.example:21020", "chronik.toml:14:9"],
    );
}

#[test]
fn an_address_that_two_nodes_share() {
    let file = three("node_id = 1").replace("n3.example:21022", "N1.example:21000");
    let texts =
        ["error[CHK0206]: two peers share the address n1.example:21000", "chronik.toml:4:9", "chronik.toml:16:8"];
    refused(&file, &texts);
}

#[test]
fn more_replicas_than_nodes() {
    refused(
        &three("node_id = 1\nreplication_factor = 4"),
        &[
            "error[CHK0207]: replication_factor 4 is above the number of nodes: the peers list has 3",
            "chronik.toml:2: 4",
        ],
    );
    let texts =
        ["error[CHK0207]: min_insync_replicas 3 is above the replication factor, which is 2", "lower it to at most 2"];
    refused(&three("node_id = 1\nreplication_factor = 2\nmin_insync_replicas = 3"), &texts);
    refused(&three("node_id = 1\nmin_insync_replicas = 4"), &["the replication factor, which is 3"]);
    refused("replication_factor = 3\n", &["replication_factor 3 is above the number of nodes: this is a single node"]);
    refused("min_insync_replicas = 2\n", &["the replication factor, which is 1"]);
    let run = Workplace::with_file("replication_factor = 1\nmin_insync_replicas = 1\n").run(CHECK, &[]);
    run.says(0, &[]);
}

#[test]
fn addresses_that_nobody_can_connect_to() {
    let of_second = |address: &str| three("node_id = 1").replace("n2.example:21011", address);
    refused(
        &of_second("0.0.0.0:21011"),
        &[
            "error[CHK0111]: nobody can connect to 0.0.0.0:21011: 0.0.0.0 is a wildcard",
            "chronik.toml:10:7",
            "[node.addresses]",
        ],
    );
    refused(&of_second("[::]:21011"), &["[::]:21011: :: is a wildcard"]);
    refused(&of_second("n2.example:0"), &["port 0 is not a port to connect to"]);
    refused(&of_second(":21011"), &["error[CHK0106]: `wal` of a peer: `:21011` has no host", "chronik.toml:10:7"]);
    refused(&of_second(""), &["`wal` of a peer: the value is empty"]);
    refused(&of_second("n2.example"), &["`n2.example` has no port"]);
    refused(&of_second("n2.example:99999"), &["`99999` is not a port"]);
    refused(
        &three("node_id = 1\n[node.advertise]\nkafka = \"0.0.0.0:21000\"\n"),
        &["error[CHK0111]", "0.0.0.0 is a wildcard"],
    );
    let zero = "node_id = 1\n[node.addresses]\nwal = \"127.0.0.1:0\"\n";
    refused(&three(zero), &["error[CHK0112]: `node.addresses.wal` needs a port"]);
}

#[test]
fn what_a_node_says_of_itself_to_others_is_what_the_list_says() {
    let file = three("node_id = 2\n[node.advertise]\nraft = \"n1.example:21002\"\n");
    refused(
        &file,
        &[
            "error[CHK0113]: `node.advertise.raft` says n1.example:21002, and the peers list says n2.example:21012",
            "--> chronik.toml:3: n1.example:21002",
            "the other nodes look for `raft` of this one where the list says",
        ],
    );
}

#[test]
fn entries_that_are_not_whole() {
    let with = |line: &str| format!("node_id = 1\n{}{line}\n", peer(1, "a", 1));
    refused(
        &with("kafak = \"a:1\""),
        &["error[CHK0107]: unknown key `peers.kafak`", "chronik.toml:7:1", "did you mean `kafka`?"],
    );
    refused(&with("metrics = \"a:4\""), &["unknown key `peers.metrics`", "a peer has id, kafka, wal and raft"]);
    let without = format!("node_id = 1\n{}", peer(1, "a", 1).replace("raft = \"a:3\"\n", "").replace("id = 1\n", ""));
    refused(&without, &["error[CHK0208]: a peer without id, raft", "chronik.toml:2:"]);
    refused(
        &with("").replace("id = 1\nkafka", "id = \"1\"\nkafka"),
        &["`id` of a peer: expected whole number, found text"],
    );
    refused(&with("").replace("id = 1\nkafka", "id = 0\nkafka"), &["error[CHK0105]: `id` of a peer", "from 1 to"]);
    refused(
        "node_id = 1\npeers = []\n",
        &["error[CHK0208]: `peers` is a list of the cluster's nodes, not an empty one"],
    );
    refused("node_id = 1\npeers = 3\n", &["not a whole number", "[[peers]]"]);
    refused("node_id = 1\n[peers]\nid = 1\n", &["`peers` is a list of the cluster's nodes, not a table"]);
    refused("[[peer]]\nid = 1\n", &["unknown key `peer`", "did you mean `peers`?"]);
    let inline = "node_id = 1\npeers = [{ id = 1, kafka = \"a:1\", wal = \"a:2\", raft = \"a:3\" }, { id = 2, kafka = \"b:1\", wal = \"b:2\", raft = \"b:3\" }]\n";
    show(inline, &[]);
}

#[test]
fn the_older_shape_is_read_with_a_warning_that_shows_the_new_one() {
    let node = |id: i32| {
        let host = format!("n{id}.example");
        format!("[[cluster.nodes]]\nid = {id}\nkafka_addr = \"{host}:1\"\nwal_addr = \"{host}:2\"\nraft_port = 3\n")
    };
    let file = format!("[cluster]\nenabled = true\nnode_id = 2\nreplication_factor = 2\n{}{}", node(1), node(2));
    let run = Workplace::with_file(&file).run(SHOW, &[]);
    run.says(
        0,
        &[
            "warning[CHK0301]: [cluster] with its nodes is an older shape of the file; it still works",
            "chronik.toml:1:2",
            "fix   write it as:
      node_id = 2
      replication_factor = 2
      [[peers]]
      id = 1
      kafka = \"n1.example:1\"
      wal = \"n1.example:2\"
      raft = \"n1.example:3\"
",
        ],
    );
    let shown: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(shown["node"]["addresses"]["raft"], "0.0.0.0:3");
    assert_eq!(shown["peers"][1]["raft"], "n2.example:3");
    assert_eq!(shown["replication_factor"], 2);
    // Switched off, it was a single node.
    let off =
        file.replace("enabled = true", "enabled = false").replace("replication_factor = 2", "replication_factor = 1");
    let run = Workplace::with_file(&off).run(SHOW, &[]);
    run.says(0, &["warning[CHK0301]"]);
    assert!(!run.stdout.contains("peers"));
}

#[test]
fn an_older_shape_that_says_too_little_is_refused_with_what_is_missing() {
    let texts = [
        "error[CHK0208]: this is an older shape of the file, and it does not say where all nodes are",
        "      [[peers]]\n      id = 1\n      kafka = \"HOST:PORT\"\n      wal = \"HOST:PORT\"\n",
    ];
    refused(
        "node_id = 1\n[cluster]\nenabled = true\n[cluster.peers]\nnodes = [{ id = 1, addr = \"n1:9092\" }]\n",
        &texts,
    );
    refused("[cluster]\nenabled = true\n", &texts[..1]);
    refused("[cluster]\nenabled = true\nnodes = 3\n", &["`cluster.nodes` is a list of nodes, not a whole number"]);
}

#[test]
fn times_that_do_not_go_together() {
    let file = three("node_id = 1\n[raft]\nelection_timeout_ms = 150\n");
    refused(
        &file,
        &[
            "error[CHK0113]: `election_timeout_ms` is below twice `heartbeat_interval_ms`",
            "raise `election_timeout_ms` to 200",
        ],
    );
    let file = three("node_id = 1\n[raft]\nheartbeat_interval_ms = 1600\nelection_timeout_ms = 9000\n");
    refused(&file, &["`session_timeout_ms` is below twice `heartbeat_interval_ms`"]);
}

#[test]
fn what_only_a_cluster_has_is_not_for_a_single_node() {
    for (line, key) in [
        ("rack = \"west\"\n", "rack"),
        ("[node.addresses]\nwal = \"127.0.0.1:9291\"\n", "node.addresses.wal"),
        ("[node.advertise]\nraft = \"n1:5001\"\n", "node.advertise.raft"),
        ("[raft]\nrpc_timeout_ms = 1000\n", "raft.rpc_timeout_ms"),
        ("[replication]\nreplica_lag_max_ms = 1000\n", "replication.replica_lag_max_ms"),
        ("[cluster.discovery]\nmode = \"static\"\n", "cluster.discovery.mode"),
    ] {
        let what = format!("error[CHK0201]: `{key}` is for the nodes of a cluster, and no peers are listed");
        refused(line, &[&what, "list the nodes as [[peers]]"]);
    }
}

#[test]
fn what_this_build_does_not_have_is_not_passed_over() {
    let dns = three("node_id = 1\n[cluster.discovery]\ndns_service = \"chronik-headless\"\n");
    refused(&dns, &["error[CHK0202]: this build does not ask DNS for the nodes of a cluster", "chronik.toml:3:1"]);
    refused(&three("node_id = 1\n[cluster.discovery]\nmode = \"dns\"\n"), &["`dns` is not one of static"]);
}

#[test]
fn kafkas_names_for_it_lead_to_ours() {
    for (name, fix) in [
        ("default.replication.factor", "set `replication_factor` at the top of the file"),
        ("min.insync.replicas", "set `min_insync_replicas` at the top of the file"),
        ("broker.rack", "set `rack` at the top of the file"),
        ("controller.quorum.voters", "list the nodes as [[peers]]"),
    ] {
        refused(&three(&format!("node_id = 1\n[kafka]\n\"{name}\" = 1\n")), &["error[CHK0107]", fix]);
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_nothing_is_touched() {
    let file = format!(
        "node_id = 4\nreplication_factor = 9\nbogus = 1\n[raft]\nelection_timeout = 1\n{}{}",
        peer(1, "0.0.0.0", 21000),
        peer(1, "n2", 21000)
    );
    let workplace = Workplace::with_file(&file);
    let texts = [
        "unknown key `bogus`",
        "did you mean `election_timeout_ms`?",
        "nobody can connect to 0.0.0.0:21000",
        "duplicate node ID: 1",
        "node_id 4 not found in peers list",
        "replication_factor 9 is above",
        "8 errors; nothing was started",
    ];
    workplace.run(&["start", "-c", "chronik.toml"], &[]).says(3, &texts);
    let names: Vec<_> = std::fs::read_dir(workplace.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["chronik.toml"]);
}
