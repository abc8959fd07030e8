//! From settings to what the broker is given: the one place where keys are read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use chronik_broker::{Config, Detail, MetricsConfig, SyncPolicy};

use super::addresses::Resolve;
use super::problem::Problem;
use super::schema::{self, KEYS};
use super::settings::{Origin, Settings};
use super::{addresses, cluster, contradiction};

/// Reads the settings into the broker's form; what cannot be is added to `problems`.
/// `resolve` knows the addresses of hosts.
pub(super) fn config(settings: &mut Settings, problems: &mut Vec<Problem>, resolve: Resolve) -> Config {
    let listen = addresses::listen(settings, problems, resolve);
    let advertise = addresses::advertise(settings, problems, resolve);
    let session_bounds = ["kafka.group.min.session.timeout.ms", "kafka.group.max.session.timeout.ms"]
        .map(|path| schema::find(path).expect("both are in the schema"));
    problems.extend(contradiction(session_bounds[0], session_bounds[1], settings));
    let cluster = cluster::config(settings, &listen, problems, resolve);
    Config {
        node_id: number(settings.integer(&schema::NODE_ID)),
        data_dir: PathBuf::from(settings.text(&schema::DATA_DIR)),
        listen,
        advertise,
        sync: match settings.text(&schema::SYNC) {
            "commit" => SyncPolicy::Commit,
            _ => SyncPolicy::Interval,
        },
        sync_interval_ms: settings.duration_ms(&schema::SYNC_INTERVAL),
        wal_file_bytes: settings.bytes(&schema::WAL_FILE_SIZE),
        checkpoint_distance_bytes: settings.bytes(&schema::CHECKPOINT_DISTANCE),
        disk_reserve_bytes: settings.bytes(&schema::DISK_RESERVE),
        connections_max: number(settings.integer(&schema::MAX_CONNECTIONS)),
        request_memory_bytes: number(settings.bytes(&schema::REQUEST_MEMORY)),
        reactors: number(settings.integer(&schema::THREADS)),
        cluster,
        metrics: MetricsConfig {
            detail: match settings.text(&schema::METRICS_DETAIL) {
                "node" => Detail::Node,
                "topic" => Detail::Topic,
                _ => Detail::Partition,
            },
            series_max: number(settings.integer(&schema::METRICS_SERIES)),
        },
        kafka: kafka(settings),
    }
}

/// Where the broker listens, and for what.
pub(super) fn listens(broker: &Config) -> Vec<(&'static str, SocketAddr)> {
    let nodes = broker.cluster.iter().flat_map(|cluster| [("wal", cluster.wal_listen), ("raft", cluster.raft_listen)]);
    broker.listen.iter().map(|address| ("kafka", *address)).chain(nodes).collect()
}

/// Kafka's settings that somebody set; the broker knows the defaults. Two have names of their own here.
fn kafka(settings: &Settings) -> BTreeMap<String, String> {
    let set = KEYS.iter().filter(|key| key.is_kafka()).filter_map(|key| {
        let entry = settings.entry(key);
        let value = entry.value.as_ref().filter(|_| entry.origin != Origin::Default)?;
        Some((key.name.to_owned(), value.to_string()))
    });
    let (factor, in_sync) = cluster::replication(settings);
    let renamed = [("default.replication.factor", factor), ("min.insync.replicas", in_sync)];
    let renamed = renamed.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_string())));
    set.chain(renamed).collect()
}

/// A number whose bounds the schema has checked.
fn number<A, B: TryFrom<A>>(from: A) -> B {
    B::try_from(from).unwrap_or_else(|_| unreachable!("the schema keeps numbers within the bounds of their use"))
}
