//! Every key does something: nodes that were started with another value, seen from outside.

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use chronik_client::message;
use chronik_client::messages::create_topics_request::CreatableTopic;
use chronik_client::messages::describe_configs_request::DescribeConfigsResource;
use chronik_client::messages::describe_producers_request::TopicRequest;
use chronik_client::messages::metadata_request::MetadataRequestTopic;
use chronik_client::messages::produce_request::{PartitionProduceData, TopicProduceData};
use chronik_client::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, DescribeProducersRequest, MetadataRequest,
    ProduceRequest,
};
use common::Workplace;
use common::server::Server;

const LOCAL: &str = "127.0.0.1";
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// DescribeConfigs: the value comes from the node's start.
const STATIC_BROKER_CONFIG: i8 = 4;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const KAFKA_STORAGE_ERROR: i16 = 56;
const TOPIC_DELETION_DISABLED: i16 = 73;

/// A node with this configuration file.
fn node(file: &str) -> (Workplace, Server) {
    let workplace = Workplace::with_file(file);
    let server = Server::start(&workplace, &["-c", "chronik.toml"], &[]);
    (workplace, server)
}

/// Value and source of each config.
fn configs(server: &Server, resource_type: i8, name: &str) -> BTreeMap<String, (String, i8)> {
    let resource = message!(DescribeConfigsResource { resource_type, resource_name: name.into() });
    let request = message!(DescribeConfigsRequest { resources: vec![resource] });
    let result = server.ask(LOCAL, &request, 4).results.remove(0);
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    result
        .configs
        .into_iter()
        .map(|c| (c.name.to_string(), (c.value.map_or_else(String::new, |value| value.to_string()), c.config_source)))
        .collect()
}

fn create_topic(server: &Server, name: &str) -> i16 {
    let topic = message!(CreatableTopic { name: name.into(), num_partitions: -1, replication_factor: -1 });
    let request = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000 });
    server.ask(LOCAL, &request, 5).topics[0].error_code
}

/// Error code and number of partitions of a topic that is asked for, and so made where that is allowed.
fn ask_for_topic(server: &Server, name: &str) -> (i16, usize) {
    let topic = message!(MetadataRequestTopic { name: Some(name.into()) });
    let request = message!(MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: true });
    let ask = || server.ask(LOCAL, &request, 9).topics.remove(0);
    let mut answer = ask();
    // LEADER_NOT_AVAILABLE: it is being made.
    for _ in 0..100 {
        if answer.error_code != 5 {
            break;
        }
        answer = ask();
    }
    (answer.error_code, answer.partitions.len())
}

/// The error code of producing one record.
fn produce(server: &Server, topic: &str) -> i16 {
    produce_of(server, topic, -1)
}

/// The same by this idempotent producer, its first; −1 for none.
fn produce_of(server: &Server, topic: &str, producer_id: i64) -> i16 {
    let partition = message!(PartitionProduceData { index: 0, records: Some(one_record(producer_id).into()) });
    let data = message!(TopicProduceData { name: topic.into(), partition_data: vec![partition] });
    let request = message!(ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![data] });
    server.ask(LOCAL, &request, 9).responses[0].partition_responses[0].error_code
}

/// The idempotent producers that partition 0 remembers.
fn producers(server: &Server, topic: &str) -> Vec<i64> {
    let topic = message!(TopicRequest { name: topic.into(), partition_indexes: vec![0] });
    let mut answer = server.ask(LOCAL, &message!(DescribeProducersRequest { topics: vec![topic] }), 0);
    let partition = answer.topics.remove(0).partitions.remove(0);
    partition.active_producers.iter().map(|producer| producer.producer_id).collect()
}

/// A batch with one record, without key and value.
fn one_record(producer_id: i64) -> Vec<u8> {
    let first: i32 = if producer_id < 0 { -1 } else { 0 };
    let mut body = Vec::new();
    body.extend(0_i16.to_be_bytes()); // attributes
    body.extend(0_i32.to_be_bytes()); // last offset delta
    body.extend([1_i64.to_be_bytes(), 1_i64.to_be_bytes()].concat()); // base and largest timestamp
    body.extend(producer_id.to_be_bytes());
    body.extend((first as i16).to_be_bytes()); // producer epoch
    body.extend(first.to_be_bytes()); // base sequence
    body.extend(1_i32.to_be_bytes()); // records
    // A record in zigzag varints: length, attributes, time delta, offset delta, no key, no value, no headers.
    body.extend([12, 0, 0, 0, 1, 1, 0]);
    let mut batch = 0_i64.to_be_bytes().to_vec();
    batch.extend((body.len() as i32 + 9).to_be_bytes());
    batch.extend((-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c::crc32c(&body).to_be_bytes());
    batch.extend(body);
    batch
}

/// Whether the node closes `connection` within a generous time.
fn is_closed(mut connection: TcpStream) -> bool {
    connection.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    match connection.read(&mut [0; 16]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// Waits for what the node does in its own time.
#[track_caller]
fn eventually(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "it did not come to pass");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_kafka_calls_by_name_is_told_to_clients_as_it_was_set() {
    let set = [
        ("auto.create.topics.enable", "false"),
        ("delete.topic.enable", "false"),
        ("num.partitions", "3"),
        ("message.max.bytes", "2000000"),
        ("log.retention.ms", "86400000"),
        ("log.retention.minutes", "1440"),
        ("log.retention.hours", "24"),
        ("log.retention.bytes", "1000000000"),
        ("log.retention.check.interval.ms", "60000"),
        ("log.segment.bytes", "2000000"),
        ("log.roll.ms", "3600000"),
        ("log.roll.hours", "1"),
        ("log.message.timestamp.before.max.ms", "86400000"),
        ("log.message.timestamp.after.max.ms", "60000"),
        ("fetch.max.bytes", "2000000"),
        ("max.incremental.fetch.session.cache.slots", "7"),
        ("socket.request.max.bytes", "3000000"),
        ("connections.max.idle.ms", "60000"),
        ("producer.id.expiration.ms", "60000"),
        ("offsets.topic.num.partitions", "4"),
        ("offsets.retention.minutes", "60"),
        ("offsets.retention.check.interval.ms", "60000"),
        ("offset.metadata.max.bytes", "100"),
        ("group.min.session.timeout.ms", "100"),
        ("group.max.session.timeout.ms", "60000"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.max.size", "5"),
    ];
    let lines: String = set.iter().map(|(name, value)| format!("\"{name}\" = {value}\n")).collect();
    let (workplace, server) = node(&format!("[kafka]\n{lines}\"log.message.timestamp.type\" = \"LogAppendTime\"\n"));
    let told = configs(&server, BROKER, "1");
    let last = ("log.message.timestamp.type", "LogAppendTime");
    for (name, value) in set.into_iter().chain([last]) {
        assert_eq!(told.get(name), Some(&(value.to_owned(), STATIC_BROKER_CONFIG)), "{name}");
    }
    // None is forgotten here, but for one that Kafka does not tell either.
    let untold = ["producer.id.expiration.check.interval.ms"];
    let shown = workplace.run(&["config", "show", "-o", "json"], &[]).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["kafka"].as_object().expect("a table").len(), set.len() + 1 + untold.len());
}

#[test]
fn node_id_is_the_broker_id() {
    let (_workplace, server) = node("node_id = 7\n");
    assert_eq!(server.ask(LOCAL, &MetadataRequest::default(), 9).brokers[0].node_id, 7);
}

#[test]
fn sync_is_what_topics_inherit() {
    let (_workplace, server) = node("[storage]\nsync = \"interval\"\nsync_interval = \"20ms\"\n");
    assert!(server.card.contains("synced every 20 ms"));
    assert_eq!(create_topic(&server, "t"), 0);
    assert_eq!(configs(&server, TOPIC, "t")["chronik.sync"].0, "interval");
}

#[test]
fn topics_are_made_when_asked_for_as_the_settings_say() {
    let (_workplace, server) = node("[kafka]\n\"num.partitions\" = 3\n");
    assert_eq!(ask_for_topic(&server, "t"), (0, 3));
    let (_workplace, server) = node("[kafka]\n\"auto.create.topics.enable\" = false\n");
    assert_eq!(ask_for_topic(&server, "t"), (UNKNOWN_TOPIC_OR_PARTITION, 0));
}

#[test]
fn topics_are_not_deleted_where_that_is_forbidden() {
    let (_workplace, server) = node("[kafka]\n\"delete.topic.enable\" = false\n");
    assert_eq!(create_topic(&server, "t"), 0);
    let request = message!(DeleteTopicsRequest { topic_names: vec!["t".into()], timeout_ms: 10_000 });
    assert_eq!(server.ask(LOCAL, &request, 5).responses[0].error_code, TOPIC_DELETION_DISABLED);
}

#[test]
fn silent_producers_are_forgotten_as_often_as_it_is_looked() {
    let looks = "\"producer.id.expiration.check.interval.ms\" = 20";
    let (_workplace, server) = node(&format!("[kafka]\n\"producer.id.expiration.ms\" = 1\n{looks}\n"));
    assert_eq!(create_topic(&server, "t"), 0);
    assert_eq!(produce_of(&server, "t", 9), 0);
    eventually(|| producers(&server, "t").is_empty());
    let (_workplace, server) = node("[kafka]\n\"producer.id.expiration.check.interval.ms\" = 20\n");
    assert_eq!(create_topic(&server, "t"), 0);
    assert_eq!(produce_of(&server, "t", 9), 0);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(producers(&server, "t"), [9]);
}

#[test]
fn produce_is_refused_below_the_disk_reserve_and_the_rest_goes_on() {
    let (_workplace, server) = node("[storage]\ndisk_reserve = \"1000TiB\"\n");
    assert_eq!(create_topic(&server, "t"), 0);
    assert_eq!(produce(&server, "t"), KAFKA_STORAGE_ERROR);
    let (_workplace, server) = node("[storage]\ndisk_reserve = \"0B\"\n");
    assert_eq!(create_topic(&server, "t"), 0);
    assert_eq!(produce(&server, "t"), 0);
}

#[test]
fn files_of_the_write_ahead_log_have_the_size_that_was_set() {
    let (workplace, server) = node("[storage]\nwal_file_size = \"4MiB\"\ncheckpoint_distance = \"4MiB\"\n");
    assert_eq!(create_topic(&server, "t"), 0);
    let sizes = || -> Vec<u64> {
        let files = std::fs::read_dir(workplace.path().join("data/wal")).expect("it is there");
        files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).collect()
    };
    // The file in use grows to its size, or is written ahead.
    eventually(|| sizes().contains(&(4 << 20)));
    assert!(sizes().iter().all(|size| *size <= 4 << 20));
}

#[test]
fn a_connection_above_the_limit_is_closed() {
    let (_workplace, server) = node("[limits]\nmax_connections = 1\n");
    let connect = || TcpStream::connect((LOCAL, server.port)).expect("it listens");
    let _first = connect();
    assert!(is_closed(connect()));
}

#[test]
fn connections_are_served_by_as_many_threads_as_were_asked_for() {
    let (_workplace, server) = node("[limits]\nthreads = 3\nrequest_memory = \"16MiB\"\n");
    let named_threads = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.process.id())).expect("it runs");
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.starts_with("reactor-")).count()
    };
    // A thread gives itself its name once it runs.
    eventually(|| named_threads() == 3);
}

#[test]
fn a_silent_connection_and_a_request_that_is_too_large_are_closed() {
    let (_workplace, server) =
        node("[kafka]\n\"connections.max.idle.ms\" = 100\n\"socket.request.max.bytes\" = 2000\n");
    assert!(is_closed(TcpStream::connect((LOCAL, server.port)).expect("it listens")));
    let mut large = TcpStream::connect((LOCAL, server.port)).expect("it listens");
    large.write_all(&2_001_i32.to_be_bytes()).expect("it takes bytes");
    assert!(is_closed(large));
}

#[test]
fn the_log_level_decides_what_is_said() {
    let said = |level: &str| {
        let (_workplace, server) = node(&format!("log_level = \"{level}\"\n"));
        server.signal("TERM");
        server.wait().0
    };
    assert!(said("info").contains("stopped"));
    assert!(!said("error").contains("stopped"));
}
