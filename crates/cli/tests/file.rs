//! The configuration file: what is refused, and in which words.

mod common;

use common::Workplace;

const CHECK: &[&str] = &["config", "check", "-c", "chronik.toml"];

#[track_caller]
fn refused(file: &str, texts: &[&str]) {
    Workplace::with_file(file).run(CHECK, &[]).says(3, texts);
}

#[test]
fn an_unknown_key_is_shown_in_its_line_with_the_right_name() {
    refused(
        "node_id = 1\n\n[node.advertize]\nkafka = \"localhost:9092\"\n",
        &["error[CHK0107]: unknown table `node.advertize`
  --> chronik.toml:3:7
   |
 3 | [node.advertize]
   |       ^^^^^^^^^ did you mean `advertise`?
why   a key that nobody reads would leave you with a setting you do not have, so we stop here
fix   rename it to `advertise`
"],
    );
}

#[test]
fn a_key_in_the_wrong_table_is_sent_to_the_right_one() {
    refused("sync = \"commit\"\n", &["unknown key `sync`", "move it to [storage]"]);
    refused(
        "[storage]\nnode_id = 1\n",
        &["unknown key `storage.node_id`", "the top of the file, above the first table"],
    );
    refused("[storage]\n\"num.partitions\" = 3\n", &["move it to [kafka], in quotes"]);
    refused("[limits]\ndata_dirr = \"x\"\n", &["did you mean `data_dir`? it belongs in the top of the file"]);
    refused("[limits]\nfrobnicate = 1\n", &["unknown key `limits.frobnicate`", "config show"]);
}

#[test]
fn a_kafka_name_without_quotes_is_told_about_quotes() {
    refused(
        "[kafka]\nlog.retention.hours = 168\n",
        &["chronik.toml:2:1", "put the whole name in quotes", "\"log.retention.hours\" = 168"],
    );
}

#[test]
fn a_kafka_name_that_is_called_otherwise_here_is_translated() {
    for (name, fix) in [
        ("broker.id", "set `node_id` at the top of the file"),
        ("listeners", "set `kafka` in [node.addresses]"),
        ("advertised.listeners", "set `kafka` in [node.advertise]"),
        ("log.dirs", "set `data_dir` at the top of the file"),
        ("num.network.threads", "set `threads` in [limits]"),
        ("zookeeper.connect", "there is no ZooKeeper"),
        ("compression.type", "records keep the compression of their producer"),
    ] {
        refused(&format!("[kafka]\n\"{name}\" = 1\n"), &[fix]);
    }
}

#[test]
fn a_value_of_the_wrong_type_is_told_what_to_write() {
    for (file, texts) in [
        ("node_id = \"1\"\n", ["`node_id`: expected whole number, found text", "write 1 without quotes"]),
        ("node_id = 1.5\n", ["found a number with a fraction", "write a whole number"]),
        ("data_dir = 5\n", ["expected path, found a whole number", "write it in quotes"]),
        ("node_id = [1]\n", ["found a list", "write a whole number"]),
        ("storage = 5\n", ["`storage` is a table, not a whole number", "open it with [storage]"]),
        (
            "[storage]\nsync = true\n",
            ["expected \"commit\" or \"interval\", found true or false", "write it in quotes"],
        ),
        ("[node.addresses]\nkafka = 9092\n", ["expected host:port, found a whole number", "\"0.0.0.0:9092\""]),
        (
            "[kafka]\n\"auto.create.topics.enable\" = \"no\"\n",
            ["expected true or false, found text", "write true or false"],
        ),
    ] {
        refused(file, &texts);
    }
}

#[test]
fn units_are_asked_for_and_corrected() {
    for (file, texts) in [
        (
            "[storage]\nsync_interval = 10\n",
            ["error[CHK0104]", "`10` has no unit", "add one of the units ms, s, m, h, d"],
        ),
        ("[storage]\nsync_interval = \"10\"\n", ["error[CHK0104]", "`10` has no unit", "for example \"10s\""]),
        (
            "[storage]\nwal_file_size = \"64MB\"\n",
            ["error[CHK0104]", "`MB` is not a unit of size", "did you mean \"64MiB\"?"],
        ),
        (
            "[storage]\nsync_interval = \"1 fortnight\"\n",
            ["error[CHK0104]", "is not a unit of time", "use one of the units"],
        ),
    ] {
        refused(file, &texts);
    }
}

#[test]
fn values_out_of_bounds_are_told_the_bounds() {
    for (file, texts) in [
        ("node_id = -1\n", ["error[CHK0105]", "give a number from 0 to 2147483647"]),
        ("node_id = 99999999999999999999\n", ["error[CHK0105]", "is too large"]),
        ("[storage]\nwal_file_size = \"1KiB\"\n", ["error[CHK0105]", "give a value from 4MiB to 1GiB"]),
        ("[storage]\nsync_interval = \"2h\"\n", ["error[CHK0105]", "give a value from 1ms to 1m"]),
        ("log_level = \"inof\"\n", ["error[CHK0105]", "did you mean `info`?"]),
        ("[kafka]\n\"log.segment.bytes\" = 1\n", ["error[CHK0105]", "give a number from 1048576 to 2147483647"]),
    ] {
        refused(file, &texts);
    }
}

#[test]
fn addresses_are_host_and_port_everywhere() {
    for (address, what) in [
        ("0.0.0.0", "has no port"),
        (":9092", "has no host"),
        ("localhost:99999", "is not a port"),
        ("PLAINTEXT://localhost:9092", "is a URL, not an address"),
        ("2@localhost:9092:1", "more than one colon"),
    ] {
        refused(
            &format!("[node.addresses]\nkafka = \"{address}\"\n"),
            &["error[CHK0106]", what, "write it as host:port"],
        );
    }
    refused("data_dir = \"\"\n", &["the value is empty"]);
}

#[test]
fn what_is_not_toml_is_shown_in_its_line() {
    refused("node_id = \n", &["error[CHK0101]: this is not TOML", "chronik.toml:1:"]);
    refused("node_id = 1\nnode_id = 2\n", &["error[CHK0101]: this is not TOML: duplicate key", "chronik.toml:2:1"]);
}

#[test]
fn bounds_of_two_keys_may_not_contradict_each_other() {
    let file = "[kafka]\n\"group.min.session.timeout.ms\" = 2000000\n";
    refused(file, &["error[CHK0113]: `group.min.session.timeout.ms` is above `group.max.session.timeout.ms`"]);
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_file() {
    let workplace = Workplace::with_file("node_id = \"x\"\nbogus = 1\n[storage]\nsync = \"never\"\n");
    let run = workplace.run(CHECK, &[]);
    run.says(3, &["3 errors; nothing was started"]);
    let position = |text| run.stderr.find(text).unwrap_or_else(|| panic!("not said: {text}"));
    assert!(position("chronik.toml:1:") < position("chronik.toml:2:"));
    assert!(position("chronik.toml:2:") < position("chronik.toml:4:"));
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    Workplace::new().run(CHECK, &[]).says(3, &["error[CHK0102]: cannot read the configuration file chronik.toml"]);
}

#[test]
fn start_refuses_what_check_refuses_and_touches_nothing() {
    let workplace = Workplace::with_file("bogus = 1\n");
    workplace.run(&["start", "-c", "chronik.toml"], &[]).says(3, &["unknown key `bogus`"]);
    let names: Vec<_> = std::fs::read_dir(workplace.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["chronik.toml"]);
}

#[test]
fn every_key_can_be_written_in_a_file() {
    let file = "\
node_id = 7
data_dir = \"d\"
log_level = \"warn\"
log_format = \"json\"
[node.addresses]
kafka = \"127.0.0.1:21100\"
[node.advertise]
kafka = \"localhost:21100\"
[storage]
sync = \"interval\"
sync_interval = \"50ms\"
wal_file_size = \"8MiB\"
checkpoint_distance = \"16MiB\"
disk_reserve = \"1MiB\"
[limits]
max_connections = 10
request_memory = \"32MiB\"
threads = 1
[kafka]
\"log.retention.ms\" = -1
\"auto.create.topics.enable\" = false
";
    let run = Workplace::with_file(file).run(&["config", "show", "-c", "chronik.toml", "-o", "json"], &[]);
    run.says(0, &[]);
    let shown: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(shown["storage"]["sync_interval"], "50ms");
    assert_eq!(shown["kafka"]["log.retention.ms"], -1);
    assert_eq!(shown["kafka"]["auto.create.topics.enable"], false);
    assert_eq!(shown["node"]["advertise"]["kafka"], "localhost:21100");
}
