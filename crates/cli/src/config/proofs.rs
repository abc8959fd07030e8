//! Which test shows that a key does something. A key without a line here, or a line whose test is gone, is an error.

use std::path::Path;

use super::schema::KEYS;

/// The broker is given what the file says; that it heeds it is seen where a second test is named.
const TOLD: (&str, &str) = ("crates/cli/src/config/cluster.rs", "the_broker_is_told_what_the_file_says");
const OPERATOR: &str = "tests/e2e/cases/cluster_operator.py";
const CLUSTER: &str = "crates/cli/tests/cluster.rs";
const KEYS_TESTS: &str = "crates/cli/tests/keys.rs";
const START: &str = "crates/cli/tests/start.rs";
const HTTP: &str = "crates/cli/tests/http.rs";

#[rustfmt::skip]
const PROOFS: &[(&str, (&str, &str))] = &[
    ("node_id", (KEYS_TESTS, "node_id_is_the_broker_id")),
    ("data_dir", (START, "the_card_says_where_the_node_is")),
    ("log_level", (KEYS_TESTS, "the_log_level_decides_what_is_said")),
    ("log_format", (START, "a_card_for_machines_is_one_line_of_the_log")),
    ("replication_factor", (OPERATOR, "settings_of_a_cluster_are_kept_to")),
    ("min_insync_replicas", (OPERATOR, "settings_of_a_cluster_are_kept_to")),
    ("rack", ("crates/broker/src/replication/tests/reading.rs", "a_reader_is_sent_to_the_replica_in_its_rack")),
    ("node.addresses.kafka", (START, "the_card_says_where_the_node_is")),
    ("node.addresses.wal", (OPERATOR, "every_answer_tells_of_the_same_placement")),
    ("node.addresses.raft", (OPERATOR, "every_answer_tells_of_the_same_placement")),
    ("node.addresses.search", (HTTP, "a_node_that_serves_is_alive_ready_and_healthy")),
    ("node.addresses.metrics", (HTTP, "metrics_have_a_port_of_their_own_where_one_is_given")),
    ("node.advertise.kafka", (CLUSTER, "what_the_list_says_of_the_node_itself_is_below_everything_else")),
    ("node.advertise.wal", (CLUSTER, "what_a_node_says_of_itself_to_others_is_what_the_list_says")),
    ("node.advertise.raft", (CLUSTER, "what_a_node_says_of_itself_to_others_is_what_the_list_says")),
    ("raft.election_timeout_ms", (OPERATOR, "settings_of_a_cluster_are_kept_to")),
    ("raft.heartbeat_interval_ms", TOLD),
    ("raft.snapshot_max_log_size_mb", TOLD),
    ("raft.snapshot_min_interval_entries", TOLD),
    ("raft.snapshot_compression", TOLD),
    ("raft.rpc_timeout_ms", (OPERATOR, "settings_of_a_cluster_are_kept_to")),
    ("raft.max_inflight_messages", TOLD),
    ("raft.max_append_entries_size", TOLD),
    ("replication.session_timeout_ms", (OPERATOR, "settings_of_a_cluster_are_kept_to")),
    ("replication.replica_lag_max_ms", ("crates/broker/src/replication/tests/leading.rs", "a_follower_that_lags_leaves_the_set_and_comes_back")),
    ("replication.enable_leadership_transfer", TOLD),
    ("replication.leadership_transfer_timeout_ms", TOLD),
    ("replication.discovery_interval_secs", TOLD),
    ("cluster.discovery.mode", (CLUSTER, "what_this_build_does_not_have_is_not_passed_over")),
    ("storage.sync", (KEYS_TESTS, "sync_is_what_topics_inherit")),
    ("storage.sync_interval", (KEYS_TESTS, "sync_is_what_topics_inherit")),
    ("storage.wal_file_size", (KEYS_TESTS, "files_of_the_write_ahead_log_have_the_size_that_was_set")),
    ("storage.checkpoint_distance", (KEYS_TESTS, "files_of_the_write_ahead_log_have_the_size_that_was_set")),
    ("storage.disk_reserve", (KEYS_TESTS, "produce_is_refused_below_the_disk_reserve_and_the_rest_goes_on")),
    ("limits.max_connections", (KEYS_TESTS, "a_connection_above_the_limit_is_closed")),
    ("limits.request_memory", (KEYS_TESTS, "connections_are_served_by_as_many_threads_as_were_asked_for")),
    ("http.enabled", (HTTP, "http_can_be_turned_off")),
    ("metrics.detail", (HTTP, "detail_and_lines_of_metrics_are_as_they_were_set")),
    ("metrics.max_series", (HTTP, "detail_and_lines_of_metrics_are_as_they_were_set")),
    ("limits.threads", (KEYS_TESTS, "connections_are_served_by_as_many_threads_as_were_asked_for")),
];

#[test]
fn every_key_has_a_test_that_it_does_something() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // Kafka's settings are held against the broker, name by name.
    let own = KEYS.iter().filter(|key| !key.is_kafka()).map(|key| key.path());
    for path in own {
        let (_, (file, test)) = PROOFS.iter().find(|(key, _)| *key == path).unwrap_or_else(|| panic!("{path}: no test"));
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let function = if file.ends_with(".py") { format!("def {test}(") } else { format!("fn {test}(") };
        assert!(text.contains(&function), "{path}: there is no {test} in {file}");
    }
    for (path, _) in PROOFS {
        assert!(KEYS.iter().any(|key| key.path() == *path), "{path} is no key");
    }
}
