//! `start --dev`: a whole cluster by one command, and what is left of it afterwards.

mod common;

use std::time::{Duration, Instant};

use common::Workplace;
use common::dev::{Dev, runs, signal};
use serde_json::Value;

#[test]
fn a_cluster_lives_loses_a_node_and_is_gone_with_its_data() {
    let workplace = Workplace::new();
    let mut dev = Dev::start(&workplace, &[]);
    assert_eq!(dev.nodes.len(), 3, "{}", dev.said);
    assert!(dev.said.contains("cluster of 3 on this machine"), "{}", dev.said);
    assert!(dev.said.contains("1 | ") && dev.said.contains("3 | "), "each node's log has its number: {}", dev.said);
    let directory = dev.nodes[0].data.parent().expect("it is within another").to_owned();
    assert!(directory.starts_with(workplace.path()) && directory.join("cluster.toml").exists());

    // Any of them tells, also through the file, also where the first of the list is dead.
    for node in &dev.nodes {
        let run = workplace.run(&["cluster", "status", "-b", &node.kafka], &[]);
        run.says(0, &[]);
        assert!(run.stdout.starts_with("HEALTHY  cluster "), "{}", run.stdout);
    }
    let file = directory.join("cluster.toml");
    workplace.run(&["cluster", "status", "--config", &file.display().to_string()], &[]).says(0, &[]);

    signal("KILL", dev.nodes[2].pid);
    dev.until_said("node 3 has ended: signal: 9");
    dev.until_said("the others go on; to have it back: CHRONIK_NODE_ID=3 ");
    let run = status_when(&workplace, &dev.addresses(), "down");
    let file_run = workplace.run(&["cluster", "status", "-c", &file.display().to_string()], &[]);
    file_run.says(10, &[&format!("{} (node 3) not reached: connection refused", dev.nodes[2].kafka)]);
    for text in ["DEGRADED  cluster ", "3 nodes, 1 not up", "DOWN", "PROBLEMS\n ! node 3 is down", "   -> start node 3"]
    {
        assert!(file_run.stdout.contains(text), "not said: {text}\n{}", file_run.stdout);
    }
    let third = &run["nodes"][2];
    assert_eq!((&third["id"], &third["leaders"], &third["log_bytes"]), (&3.into(), &0.into(), &Value::Null));
    assert_eq!(run["problems"][0]["code"], "NODE_DOWN");

    // The terminal is closed; Ctrl-C and SIGTERM do the same.
    signal("HUP", dev.process.id());
    let nodes: Vec<u32> = dev.nodes.iter().map(|node| node.pid).collect();
    let (status, rest) = dev.wait();
    assert_eq!(status.code(), Some(0), "{rest}");
    assert!(!directory.exists(), "the data are gone");
    assert!(!nodes.into_iter().any(runs), "nobody is left");
}

#[test]
fn the_nodes_go_with_the_process_that_started_them_and_kept_data_stay() {
    let workplace = Workplace::new();
    let mut dev = Dev::start(&workplace, &["--data-dir", "kept", "--nodes", "2"]);
    assert!(dev.said.contains("(kept)"), "{}", dev.said);
    let nodes: Vec<u32> = dev.nodes.iter().map(|node| node.pid).collect();
    assert!(nodes.iter().all(|pid| runs(*pid)));
    dev.process.kill().expect("it can be killed");
    let begun = Instant::now();
    while nodes.iter().any(|pid| runs(*pid)) {
        assert!(begun.elapsed() < Duration::from_secs(20), "nodes outlive the process that started them");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(dev);

    // On the same data it is the same cluster, and it stops in good order.
    let again = Dev::start(&workplace, &["--data-dir", "kept", "--nodes", "2", "--keep"]);
    signal("TERM", again.process.id());
    let (status, rest) = again.wait();
    assert_eq!(status.code(), Some(0), "{rest}");
    assert!(rest.contains("1 | ") && rest.contains(" stopped"), "{rest}");
    assert!(rest.contains("the data are kept in "), "{rest}");
    assert!(workplace.path().join("kept/node-2").exists());
}

#[test]
fn what_does_not_go_together_is_refused() {
    let refused = |arguments: &[&str], exit: i32, texts: &[&str]| {
        Workplace::new().run(&[&["start"], arguments].concat(), &[]).says(exit, texts);
    };
    refused(&["--nodes", "3"], 2, &["--dev"]);
    refused(&["--keep"], 2, &["--dev"]);
    refused(&["--dev", "--nodes", "1"], 2, &["2..=9"]);
    refused(&["--dev", "-c", "x"], 2, &["--config"]);
    refused(&["--dev", "--advertise", "x"], 2, &["--advertise"]);
    refused(
        &["--dev", "--kafka-port", "1"],
        3,
        &["error[CHK0302]: --kafka-port does not go with --dev", "--first-ports"],
    );
    refused(
        &["--dev", "--bind", "127.0.0.1:9"],
        3,
        &["error[CHK0112]: --bind 127.0.0.1:9 has a port", "--first-ports"],
    );
    refused(&["--dev", "--bind", "0.0.0.0"], 3, &["error[CHK0112]: --bind 0.0.0.0 is a wildcard"]);
    refused(&["--dev", "--first-ports", "1:2:3"], 3, &["error[CHK0106]: --first-ports: `1:2:3` is not four ports"]);
    refused(&["--dev", "--first-ports", "1:2:3:0"], 3, &["KAFKA:WAL:RAFT:HTTP"]);
    refused(&["--dev", "--first-ports", "65534:2:5:9"], 3, &["error[CHK0105]: there are not enough ports"]);
    refused(
        &["--dev", "--first-ports", "20000:20001:20010:20020"],
        3,
        &["error[CHK0206]: two peers share the address 127.0.0.1:20001"],
    );
}

#[test]
fn a_file_of_somebody_elses_is_not_written_over() {
    let workplace = Workplace::new();
    let file = workplace.path().join("cluster.toml");
    for (text, what) in [
        ("precious = 1\n", "cluster.toml is there, and was not made by --dev"),
        (
            "# Made by `chronik-server start --dev`: CHRONIK_NODE_ID says which of the nodes one is.\n[[peers]]\n",
            "is of a cluster of 1 nodes",
        ),
    ] {
        std::fs::write(&file, text).expect("a file can be written");
        workplace
            .run(&["start", "--dev", "--data-dir", "."], &[])
            .says(3, &[what, "name another directory: --data-dir DIR"]);
        assert_eq!(std::fs::read_to_string(&file).expect("it is there"), text);
    }
}

/// The document, once a node is in this state.
fn status_when(workplace: &Workplace, addresses: &str, state: &str) -> Value {
    let begun = Instant::now();
    loop {
        let run = workplace.run(&["cluster", "status", "-b", addresses, "-o", "json"], &[]);
        let document: Value = serde_json::from_str(&run.stdout).expect("JSON");
        if document["nodes"].as_array().is_some_and(|nodes| nodes.iter().any(|node| node["state"] == state)) {
            assert_eq!(run.exit, Some(10));
            return document;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "never {state}: {document:#}");
    }
}
