//! Flags, variables and commands: precedence, old names, and what they are answered.

mod common;

use common::Workplace;
use serde_json::Value;

/// The value of `pointer` and where it comes from.
#[track_caller]
fn shown(workplace: &Workplace, arguments: &[&str], variables: &[(&str, &str)], pointer: &str) -> (Value, String) {
    let arguments = [&["config", "show", "--origin", "-o", "json"], arguments].concat();
    let run = workplace.run(&arguments, variables);
    run.says(0, &[]);
    let document: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let entry = document.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {document:#}"));
    (entry["value"].clone(), entry["origin"].as_str().expect("an origin").to_owned())
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let workplace = Workplace::with_file("data_dir = \"from-file\"\nlog_level = \"warn\"\n");
    let file = ["-c", "chronik.toml"];
    let env = ("CHRONIK_DATA_DIR", "from-env");
    let origin = |arguments: &[&str], variables: &[(&str, &str)]| shown(&workplace, arguments, variables, "/data_dir");
    assert_eq!(origin(&[], &[]), ("./data".into(), "default".to_owned()));
    assert_eq!(origin(&file, &[]), ("from-file".into(), "file".to_owned()));
    assert_eq!(origin(&file, &[env]), ("from-env".into(), "env".to_owned()));
    assert_eq!(origin(&["-c", "chronik.toml", "-d", "from-flag"], &[env]), ("from-flag".into(), "flag".to_owned()));
    let by_variable = [("CHRONIK_CONFIG", "chronik.toml")];
    assert_eq!(origin(&[], &by_variable), ("from-file".into(), "file".to_owned()));
}

#[test]
fn bind_may_leave_out_the_port_and_keeps_the_one_of_the_layer_below() {
    let workplace = Workplace::with_file("[node.addresses]\nkafka = \"0.0.0.0:21101\"\n");
    let bind = |arguments: &[&str], variables: &[(&str, &str)]| {
        shown(&workplace, arguments, variables, "/node/addresses/kafka").0
    };
    assert_eq!(bind(&["--bind", "127.0.0.1"], &[]), "127.0.0.1:9092");
    assert_eq!(bind(&["-c", "chronik.toml", "--bind", "127.0.0.1"], &[]), "127.0.0.1:21101");
    assert_eq!(bind(&["-c", "chronik.toml"], &[("CHRONIK_BIND", "::1")]), "[::1]:21101");
    assert_eq!(bind(&["--bind", "[::1]:7"], &[("CHRONIK_BIND", "127.0.0.1:8")]), "[::1]:7");
}

#[test]
fn advertise_may_leave_out_the_port_and_takes_the_one_listened_on() {
    let workplace = Workplace::new();
    let advertised = |arguments: &[&str]| shown(&workplace, arguments, &[], "/node/advertise/kafka").0;
    assert_eq!(advertised(&[]), Value::Null);
    assert_eq!(advertised(&["--advertise", "localhost", "--bind", "127.0.0.1:21100"]), "localhost:21100");
    assert_eq!(advertised(&["--advertise", "localhost:5"]), "localhost:5");
}

#[test]
fn an_advertised_address_nobody_can_connect_to_is_refused_with_the_fix() {
    for (address, what, fix) in [
        ("0.0.0.0", "0.0.0.0 is a wildcard", "--advertise broker.example.com"),
        ("[::]:9092", ":: is a wildcard", "--advertise broker.example.com"),
        ("*:9092", "* is a wildcard", "--advertise broker.example.com"),
        ("", "the advertised address is empty", "give the host (or host:port) under which clients reach this node"),
        ("nowhere.invalid", "the host cannot be resolved", "correct the name, make it known"),
        ("localhost:0", "port 0 is not a port to connect to", "--advertise HOST:PORT"),
    ] {
        let workplace = Workplace::new();
        let texts = ["error[CHK0111]", what, "why ", fix];
        workplace.run(&["start", "--advertise", address], &[]).says(3, &texts);
        workplace.run(&["start"], &[("CHRONIK_ADVERTISE", address)]).says(3, &texts);
    }
    let wildcard = "[node.advertise]\nkafka = \"0.0.0.0:9092\"\n";
    Workplace::with_file(wildcard).run(&["config", "check", "-c", "chronik.toml"], &[]).says(3, &["error[CHK0111]"]);
}

#[test]
fn an_address_to_listen_on_must_be_known_here() {
    let run = Workplace::new().run(&["start", "--bind", "nowhere.invalid"], &[]);
    run.says(3, &["error[CHK0112]: cannot listen on nowhere.invalid:9092", "listen on an address of this machine"]);
}

#[test]
fn an_unknown_variable_is_a_warning_and_with_strict_an_error() {
    let variable = [("CHRONIK_ADVERTIZE", "x")];
    let texts = ["unknown environment variable CHRONIK_ADVERTIZE", "did you mean CHRONIK_ADVERTISE?"];
    Workplace::new().run(&["config", "check"], &variable).says(0, &texts);
    Workplace::new().run(&["config", "check", "--strict"], &variable).says(3, &texts);
    let far = [("CHRONIK_FROBNICATE", "x")];
    Workplace::new().run(&["config", "check"], &far).says(0, &["config env` lists every variable"]);
}

#[test]
fn variables_of_kubernetes_services_are_left_alone() {
    let links = [
        ("CHRONIK_SERVICE_HOST", "10.0.0.1"),
        ("CHRONIK_SERVICE_PORT_KAFKA", "9092"),
        ("CHRONIK_PORT", "tcp://10.0.0.1:9092"),
        ("CHRONIK_PORT_9092_TCP_ADDR", "10.0.0.1"),
    ];
    let run = Workplace::new().run(&["config", "check", "--strict"], &links);
    run.says(0, &[]);
    assert_eq!(run.stderr, "");
}

#[test]
fn a_bad_value_in_a_variable_or_flag_names_it() {
    let check = |arguments: &[&str], variables: &[(&str, &str)], texts: &[&str]| {
        Workplace::new().run(&[&["config", "check"], arguments].concat(), variables).says(3, texts);
    };
    check(&[], &[("CHRONIK_NODE_ID", "one")], &["CHRONIK_NODE_ID: expected a whole number, found `one`"]);
    check(&[], &[("CHRONIK_STORAGE__SYNC_INTERVAL", "10")], &["`10` has no unit"]);
    check(&[], &[("CHRONIK_DATA_DIR", "")], &["error[CHK0109]", "unset CHRONIK_DATA_DIR"]);
    check(&[], &[("CHRONIK_NODE__ADDRESSES__KAFKA", "localhost")], &["has no port"]);
    check(&["--log-level", "loud"], &[], &["--log-level: `loud` is not one of error, warn, info, debug, trace"]);
    check(&["--bind", "a:b:c"], &[], &["--bind: `a:b:c` has more than one colon", "host or host:port"]);
    check(
        &[],
        &[("CHRONIK_BIND", "127.0.0.1:1"), ("CHRONIK_KAFKA_PORT", "2")],
        &["error[CHK0110]: CHRONIK_BIND and CHRONIK_KAFKA_PORT both set `node.addresses.kafka`"],
    );
    check(
        &[],
        &[("CHRONIK_BIND", "127.0.0.1"), ("CHRONIK_NODE__ADDRESSES__KAFKA", "127.0.0.1:1")],
        &["error[CHK0110]: CHRONIK_BIND and CHRONIK_NODE__ADDRESSES__KAFKA both set `node.addresses.kafka`"],
    );
}

#[test]
fn every_key_has_its_variable() {
    let workplace = Workplace::new();
    let one = |name: &str, value: &str, pointer: &str| shown(&workplace, &[], &[(name, value)], pointer);
    assert_eq!(
        one("CHRONIK_KAFKA__LOG__RETENTION__HOURS", "5", "/kafka/log.retention.hours"),
        (5.into(), "env".into())
    );
    assert_eq!(one("CHRONIK_STORAGE__SYNC", "interval", "/storage/sync"), ("interval".into(), "env".into()));
    assert_eq!(one("RUST_LOG", "chronik_log=trace", "/log_level"), ("chronik_log=trace".into(), "env".into()));
    let listed = workplace.run(&["config", "env"], &[]).stdout;
    for name in
        ["CHRONIK_CONFIG", "CHRONIK_BIND", "CHRONIK_ADVERTISE", "CHRONIK_NODE__ADVERTISE__KAFKA", "CHRONIK_LOG_LEVEL"]
    {
        assert!(listed.lines().any(|line| line.split_whitespace().next() == Some(name)), "{name} is not listed");
    }
}

#[test]
fn a_node_id_without_a_cluster_is_honoured_with_a_warning() {
    let run = Workplace::new().run(&["config", "show"], &[("CHRONIK_NODE_ID", "3")]);
    run.says(0, &["warning[CHK0303]: CHRONIK_NODE_ID is set, and no cluster is configured"]);
    assert!(run.stdout.contains("node_id") && run.stdout.contains('3'));
}

#[test]
fn variables_of_a_cluster_are_not_passed_over_by_a_single_node() {
    for (name, value, texts) in [
        ("CHRONIK_CLUSTER_DISCOVERY_MODE", "static", ["error[CHK0201]: `cluster.discovery.mode` is for the nodes of a cluster", "[[peers]]"]),
        ("CHRONIK_CLUSTER_DNS_SERVICE", "x", ["error[CHK0302]: CHRONIK_CLUSTER_DNS_SERVICE cannot be honoured", "CHRONIK_CLUSTER_PEERS"]),
        ("CHRONIK_CLUSTER_ENABLED", "true", ["error[CHK0302]: CHRONIK_CLUSTER_ENABLED cannot be honoured", "when its peers are listed"]),
        ("CHRONIK_REPLICATION_FOLLOWERS", "x:1", ["error[CHK0302]: CHRONIK_REPLICATION_FOLLOWERS cannot be honoured", "[[peers]]"]),
        ("CHRONIK_WAL_RECEIVER_ADDR", "localhost:1", ["error[CHK0201]: `node.addresses.wal` is for", "set CHRONIK_NODE__ADDRESSES__WAL=HOST:PORT instead"]),
        ("CHRONIK_WAL_RECEIVER_PORT", "1", ["error[CHK0201]: `node.addresses.wal` is for", "CHRONIK_WAL_RECEIVER_PORT"]),
        ("CHRONIK_RAFT_ADDR", "localhost:1", ["error[CHK0201]: `node.addresses.raft` is for", "CHRONIK_RAFT_ADDR"]),
        ("CHRONIK_RAFT_PEERS", "2@x:1", ["warning[CHK0301]: CHRONIK_RAFT_PEERS is an old name; it still works", "error[CHK0203]: which of the nodes [2] this one is"]),
    ] {
        Workplace::new().run(&["start"], &[(name, value)]).says(3, &texts);
    }
}

#[test]
fn variables_that_we_never_had_stop_the_start_with_the_right_name() {
    for (name, fix) in [
        ("CHRONIK_ADVERTISED_ADDR", "set CHRONIK_ADVERTISE instead"),
        ("CHRONIK_ADVERTISED_PORT", "set CHRONIK_ADVERTISE=HOST:PORT instead"),
        ("CHRONIK_BIND_ADDR", "set CHRONIK_BIND instead"),
    ] {
        Workplace::new().run(&["start"], &[(name, "1")]).says(3, &["error[CHK0302]", name, fix]);
    }
}

#[test]
fn old_names_that_mean_something_on_one_node_work_with_a_warning() {
    let workplace = Workplace::new();
    let show = |arguments: &[&str], variables: &[(&str, &str)], warning: &str, key: &str, value: &str| {
        let run = workplace.run(&[&["config", "show"], arguments].concat(), variables);
        run.says(0, &["warning[CHK0301]", warning, "fix "]);
        let line = run.stdout.lines().find(|line| line.starts_with(key)).expect("the key is shown");
        assert!(line.contains(value), "{line}");
    };
    let listen = "node.addresses.kafka";
    let advertise = "node.advertise.kafka";
    show(&[], &[("CHRONIK_KAFKA_PORT", "21100")], "set CHRONIK_BIND=HOST:PORT instead", listen, "0.0.0.0:21100");
    show(&["--kafka-port", "21100"], &[], "use --bind HOST:PORT instead", listen, "0.0.0.0:21100");
    show(&["--bind-addr", "127.0.0.1"], &[], "use --bind instead", listen, "127.0.0.1:9092");
    show(&["--kafka-port", "5", "--bind", "127.0.0.1"], &[], "--kafka-port", listen, "127.0.0.1:5");
    show(&["--advertised-addr", "localhost"], &[], "use --advertise instead", advertise, "localhost:9092");
    show(
        &["--advertised-addr", "localhost", "--advertised-port", "5"],
        &[],
        "use --advertise HOST:PORT instead",
        advertise,
        "localhost:5",
    );
    show(&["--node-id", "4"], &[], "CHRONIK_NODE_ID", "node_id", "4");
    show(&["--bootstrap"], &[], "leave out --bootstrap", "node_id", "1");
    let (search, metrics) = ("node.addresses.search", "node.addresses.metrics");
    show(&["--search-port", "7"], &[], "`search` in [node.addresses]", search, "0.0.0.0:7");
    show(&["--admin-port", "7"], &[], "`search` in [node.addresses]", search, "0.0.0.0:7");
    show(&["--metrics-port", "7"], &[], "`metrics` in [node.addresses]", metrics, "0.0.0.0:7");
    show(&[], &[("CHRONIK_SEARCH_PORT", "7")], "set CHRONIK_NODE__ADDRESSES__SEARCH=HOST:PORT", search, "0.0.0.0:7");
    show(&[], &[("CHRONIK_ADMIN_PORT", "7")], "set CHRONIK_NODE__ADDRESSES__SEARCH=HOST:PORT", search, "0.0.0.0:7");
    show(&[], &[("CHRONIK_METRICS_PORT", "7")], "set CHRONIK_NODE__ADDRESSES__METRICS=HOST:PORT", metrics, "0.0.0.0:7");
    let peers = [("CHRONIK_CLUSTER_PEERS", "localhost:1:2:3,localhost:4:5:6"), ("CHRONIK_NODE_ID", "1")];
    let in_cluster = |name, value, warning, key, shown| show(&[], &[&peers[..], &[(name, value)]].concat(), warning, key, shown);
    let (wal, raft) = ("node.addresses.wal", "node.addresses.raft");
    in_cluster("CHRONIK_WAL_RECEIVER_ADDR", "127.0.0.1:7", "CHRONIK_NODE__ADDRESSES__WAL=HOST:PORT", wal, "127.0.0.1:7");
    in_cluster("CHRONIK_WAL_RECEIVER_PORT", "7", "CHRONIK_NODE__ADDRESSES__WAL=HOST:PORT", wal, "0.0.0.0:7");
    in_cluster("CHRONIK_RAFT_ADDR", "127.0.0.1:7", "CHRONIK_NODE__ADDRESSES__RAFT=HOST:PORT", raft, "127.0.0.1:7");
    in_cluster("CHRONIK_RAFT_SNAPSHOT_SIZE_MB", "9", "CHRONIK_RAFT__SNAPSHOT_MAX_LOG_SIZE_MB", "raft.snapshot_max_log_size_mb", "9");
    let discovery = "replication.discovery_interval_secs";
    in_cluster("CHRONIK_FOLLOWER_DISCOVERY_INTERVAL_SECS", "7", "CHRONIK_REPLICATION__DISCOVERY_INTERVAL_SECS", discovery, "7");
    in_cluster("CHRONIK_RAFT_ELECTION_TIMEOUT_MS", "900", "CHRONIK_RAFT__ELECTION_TIMEOUT_MS", "raft.election_timeout_ms", "900");
    let before = workplace.run(&["--kafka-port", "21100", "config", "show"], &[]);
    before.says(0, &["warning[CHK0301]: --kafka-port"]);
}

#[test]
fn an_old_name_of_the_file_flag_is_read_like_the_new_one() {
    let workplace = Workplace::with_file("data_dir = \"x\"\n");
    let run = workplace.run(&["config", "show", "--cluster-config", "chronik.toml"], &[]);
    run.says(0, &["--cluster-config is an old name", "use --config instead"]);
    assert!(run.stdout.lines().any(|line| line.starts_with("data_dir") && line.ends_with('x')));
}

#[test]
fn old_names_that_cannot_be_honoured_stop_the_start() {
    let start = |arguments: &[&str], texts: &[&str]| {
        Workplace::new().run(&[&["start"], arguments].concat(), &[]).says(3, texts);
    };
    start(&["--raft-addr", "x:1"], &["error[CHK0201]: `node.addresses.raft` is for", "command line: --raft-addr"]);
    start(&["--wal-receiver", "x:1"], &["error[CHK0302]: --wal-receiver cannot be honoured", "[[peers]]"]);
    start(&["--admin-port", "1", "--search-port", "2"], &["error[CHK0110]: --admin-port and --search-port both set `node.addresses.search`"]);
    start(&["--advertised-port", "1"], &["an advertised port needs a host", "--advertise HOST:PORT"]);
    start(
        &["--kafka-port", "1", "--bind", "127.0.0.1:2"],
        &["error[CHK0110]: --kafka-port and --bind both set `node.addresses.kafka`"],
    );
    start(&["--kafka-port", "many"], &["`many` is not a port"]);
}

#[test]
fn commands_of_a_cluster_and_old_commands_are_answered() {
    let run = |arguments: &[&str]| Workplace::new().run(arguments, &[]);
    for command in ["add-node", "remove-node", "rebalance"] {
        let what = format!("error[CHK0202]: `cluster {command}` is not in this build");
        run(&["cluster", command, "4", "--kafka", "x:1"]).says(3, &[&what, "chronik-server cluster status"]);
    }
    run(&["cluster"]).says(
        3,
        &["error[CHK0302]: `cluster` cannot be honoured: no peers are listed", "chronik-server start --config FILE", "chronik-server cluster status"],
    );
    run(&["raft-cluster", "--node-id", "1", "--bootstrap"])
        .says(3, &["error[CHK0302]: `raft-cluster` cannot be honoured: no peers are listed", "CHRONIK_CLUSTER_PEERS"]);
    run(&["all"]).says(3, &["`all` is gone", "use `chronik-server start`"]);
    run(&["ingest", "-x"]).says(3, &["`ingest` is gone"]);
    run(&["strat"]).says(2, &["start"]);
    run(&[]).says(2, &["Usage"]);
}

#[test]
fn every_help_ends_with_the_exit_codes() {
    for arguments in [
        &["--help"][..],
        &["help"],
        &["start", "--help"],
        &["config", "--help"],
        &["config", "show", "--help"],
        &["cluster", "--help"],
        &["cluster", "status", "--help"],
        &["help", "version"],
        &["completions", "-h"],
    ] {
        let run = Workplace::new().run(arguments, &[]);
        run.says(0, &[]);
        assert!(run.stdout.trim_end().ends_with("130  interrupted"), "{arguments:?}\n{}", run.stdout);
        assert!(!run.stdout.contains("--kafka-port"), "old names are not offered");
    }
}

#[test]
fn version_and_completions_print() {
    let workplace = Workplace::new();
    let version = workplace.run(&["version"], &[]);
    assert!(version.stdout.starts_with(concat!("chronik-server ", env!("CARGO_PKG_VERSION"))));
    let json: Value = serde_json::from_str(&workplace.run(&["version", "-o", "json"], &[]).stdout).expect("JSON");
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(workplace.run(&["completions", shell], &[]).stdout.contains("chronik-server"));
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    for arguments in [
        &["config", "show"][..],
        &["config", "env", "-o", "yaml"],
        &["version", "-o", "json"],
        &["completions", "bash"],
    ] {
        let workplace = Workplace::new();
        let mut command = workplace.command(arguments);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = command.stdout(writer).stderr(std::process::Stdio::piped()).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}
