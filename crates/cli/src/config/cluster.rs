//! From settings and peers to what the broker is told of its cluster; what cannot hold together is said here.

use std::net::SocketAddr;

use chronik_broker::{ClusterConfig, HostPort, Peer, SnapshotCompression};

use super::addresses::{self, Resolve};
use super::peers::{self, SERVICES};
use super::place_of;
use super::problem::{Code, Problem};
use super::schema::{self, KEYS, Key};
use super::settings::{Origin, Settings};
use super::value::{Address, Value};

/// As many copies are kept unless somebody says otherwise, on as many nodes as there are.
const REPLICATION_FACTOR: i64 = 3;

/// The cluster that the settings describe; none for a node without peers, and none when they are in error.
pub(super) fn config(
    settings: &Settings,
    kafka_listen: &[SocketAddr],
    problems: &mut Vec<Problem>,
    resolve: Resolve,
) -> Option<ClusterConfig> {
    let Some(listed) = &settings.peers else {
        problems.extend(only_in_cluster(settings));
        problems.extend(node_id_alone(settings));
        problems.extend(replicas(settings, 1));
        return None;
    };
    problems.extend(peers::check(listed, settings.entry(&schema::NODE_ID)));
    problems.extend(replicas(settings, listed.len()));
    problems.extend(intervals(settings));
    problems.extend(other_than_listed(settings));
    let wal_listen = addresses::internal(settings, &schema::LISTEN_WAL, problems, resolve);
    let raft_listen = addresses::internal(settings, &schema::LISTEN_RAFT, problems, resolve);
    let mut listens: Vec<_> = kafka_listen.iter().map(|address| ("kafka", *address)).collect();
    listens.extend(wal_listen.map(|address| ("wal", address)));
    listens.extend(raft_listen.map(|address| ("raft", address)));
    problems.extend(port_conflicts(&listens, settings));
    Some(ClusterConfig {
        rack: settings.entry(&schema::RACK).value.as_ref().map(Value::to_string),
        election_timeout_ms: unsigned(settings, &schema::ELECTION_TIMEOUT),
        heartbeat_interval_ms: unsigned(settings, &schema::HEARTBEAT_INTERVAL),
        session_timeout_ms: unsigned(settings, &schema::SESSION_TIMEOUT),
        snapshot_max_log_bytes: unsigned(settings, &schema::SNAPSHOT_LOG_SIZE) << 20,
        snapshot_min_interval_entries: unsigned(settings, &schema::SNAPSHOT_INTERVAL),
        snapshot_compression: match settings.text(&schema::SNAPSHOT_COMPRESSION) {
            "none" => SnapshotCompression::None,
            _ => SnapshotCompression::Zstd,
        },
        max_inflight_messages: unsigned(settings, &schema::MAX_INFLIGHT_MESSAGES) as usize,
        max_append_entries_bytes: unsigned(settings, &schema::MAX_APPEND_ENTRIES_SIZE),
        rpc_timeout_ms: unsigned(settings, &schema::RPC_TIMEOUT),
        replica_lag_max_ms: unsigned(settings, &schema::REPLICA_LAG),
        enable_leadership_transfer: settings.entry(&schema::LEADERSHIP_TRANSFER).value == Some(Value::Boolean(true)),
        leadership_transfer_timeout_ms: unsigned(settings, &schema::LEADERSHIP_TRANSFER_TIMEOUT),
        discovery_interval_ms: unsigned(settings, &schema::DISCOVERY_INTERVAL) * 1000,
        ..ClusterConfig::new(nodes(settings, listed)?, wal_listen?, raft_listen?)
    })
}

/// How many copies of a partition there are, and how many must be in sync: what topics of this node's making get.
/// None for a single node whose user said nothing.
pub(super) fn replication(settings: &Settings) -> (Option<i64>, Option<i64>) {
    let (factor, in_sync) =
        (given(settings, &schema::REPLICATION_FACTOR), given(settings, &schema::MIN_INSYNC_REPLICAS));
    let Some(listed) = &settings.peers else { return (factor, in_sync) };
    let factor = factor.unwrap_or(REPLICATION_FACTOR.min(listed.len() as i64));
    let in_sync = in_sync.unwrap_or(if factor >= REPLICATION_FACTOR { 2 } else { 1 });
    (Some(factor), Some(in_sync))
}

fn given(settings: &Settings, key: &Key) -> Option<i64> {
    settings.entry(key).value.as_ref().map(|_| settings.integer(key))
}

fn unsigned(settings: &Settings, key: &Key) -> u64 {
    settings.integer(key).unsigned_abs()
}

/// The nodes as the broker knows them; none if something of the list could not be read.
fn nodes(settings: &Settings, listed: &[peers::Peer]) -> Option<Vec<Peer>> {
    let node_id = settings.integer(&schema::NODE_ID);
    let mut nodes = Vec::new();
    for peer in listed {
        let id = peer.id.as_ref()?.value;
        let [kafka, wal, raft] = &peer.addresses;
        // Clients may be told another address than the list has.
        let told = settings.address(&schema::ADVERTISE_KAFKA).filter(|_| i64::from(id) == node_id);
        let kafka = host_port(told.unwrap_or(&kafka.as_ref()?.value))?;
        nodes.push(Peer { id, kafka, wal: host_port(&wal.as_ref()?.value)?, raft: host_port(&raft.as_ref()?.value)? });
    }
    nodes.sort_by_key(|node| node.id);
    Some(nodes)
}

fn host_port(address: &Address) -> Option<HostPort> {
    Some(HostPort { host: address.host.clone()?, port: address.port? })
}

/// What means nothing to a node without peers.
fn only_in_cluster(settings: &Settings) -> Vec<Problem> {
    let set = KEYS.iter().filter(|key| key.only_in_cluster && settings.entry(key).origin != Origin::Default);
    let problem = |key: &&Key| {
        let entry = settings.entry(key);
        let value = entry.value.as_ref().map(Value::to_string).unwrap_or_default();
        Problem::error(
            Code::Cluster,
            format!("`{}` is for the nodes of a cluster, and no peers are listed", key.path()),
        )
        .at(place_of(&entry.origin, &value))
        .why("a single node has nobody to replicate to, and would keep one copy of what you want kept several times")
        .fix("list the nodes as [[peers]] (or in CHRONIK_CLUSTER_PEERS), or remove it to run a single node")
    };
    set.map(problem).collect()
}

fn node_id_alone(settings: &Settings) -> Option<Problem> {
    let entry = settings.entry(&schema::NODE_ID);
    let Origin::Variable(name) = &entry.origin else { return None };
    Some(
        Problem::warning(Code::NodeIdAlone, format!("{name} is set, and no cluster is configured"))
            .at(place_of(&entry.origin, &entry.value.as_ref().map(Value::to_string).unwrap_or_default()))
            .why("this starts a single node, which has this number and no peers")
            .fix(format!("nothing, if that is what you want; a single node does not need {name}")),
    )
}

/// More copies than nodes, or more in sync than copies.
fn replicas(settings: &Settings, nodes: usize) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (factor_entry, in_sync_entry) =
        (settings.entry(&schema::REPLICATION_FACTOR), settings.entry(&schema::MIN_INSYNC_REPLICAS));
    if let Some(factor) = given(settings, &schema::REPLICATION_FACTOR).filter(|factor| *factor > nodes as i64) {
        let (counted, fix) = match &settings.peers {
            Some(_) => {
                (format!("the peers list has {nodes}"), "lower it, or add a [[peers]] entry for each further node")
            }
            None => ("this is a single node".to_owned(), "lower it to 1, or list the nodes of a cluster as [[peers]]"),
        };
        problems.push(
            Problem::error(
                Code::Replicas,
                format!("replication_factor {factor} is above the number of nodes: {counted}"),
            )
            .at(place_of(&factor_entry.origin, &factor.to_string()))
            .why("a partition is kept at most once on each node")
            .fix(fix),
        );
    }
    let factor = replication(settings).0.unwrap_or(1);
    if let Some(in_sync) = given(settings, &schema::MIN_INSYNC_REPLICAS).filter(|in_sync| *in_sync > factor) {
        problems.push(
            Problem::error(
                Code::Replicas,
                format!("min_insync_replicas {in_sync} is above the replication factor, which is {factor}"),
            )
            .at(place_of(&in_sync_entry.origin, &in_sync.to_string()))
            .why("no producer with acks=all would ever be answered")
            .fix(format!("lower it to at most {factor}, better to less: then one node may be away")),
        );
    }
    problems
}

/// One lost heartbeat may not make an election, nor fence a node.
fn intervals(settings: &Settings) -> Vec<Problem> {
    let heartbeat = settings.integer(&schema::HEARTBEAT_INTERVAL);
    let patient = [&schema::ELECTION_TIMEOUT, &schema::SESSION_TIMEOUT].into_iter();
    let too_short = patient.filter(|key| settings.integer(key) < 2 * heartbeat);
    let place =
        |key: &Key| place_of(&settings.entry(key).origin, &format!("{} = {}", key.path(), settings.integer(key)));
    let problem = |key: &'static Key| {
        Problem::error(
            Code::Contradiction,
            format!("`{}` is below twice `{}`", key.name, schema::HEARTBEAT_INTERVAL.name),
        )
        .at(place(key))
        .at(place(&schema::HEARTBEAT_INTERVAL))
        .why("a node would be given up for one heartbeat that comes late")
        .fix(format!(
            "raise `{}` to {} or more, or lower `{}`",
            key.name,
            2 * heartbeat,
            schema::HEARTBEAT_INTERVAL.name
        ))
    };
    too_short.map(problem).collect()
}

/// The others go by the list: what this node says of itself to them must be the same.
fn other_than_listed(settings: &Settings) -> Vec<Problem> {
    let Some(own) = settings.own_peer() else { return Vec::new() };
    let told = [(1, &schema::ADVERTISE_WAL), (2, &schema::ADVERTISE_RAFT)];
    let problem = |(service, key): (usize, &'static Key)| {
        let (listed, told) = (own.addresses[service].as_ref()?, settings.address(key)?);
        (listed.value != *told).then(|| {
            let what = format!("`{}` says {told}, and the peers list says {}", key.path(), listed.value);
            Problem::error(Code::Contradiction, what)
                .at(place_of(&settings.entry(key).origin, &told.to_string()))
                .at(listed.place.clone())
                .why(format!("the other nodes look for `{}` of this one where the list says", SERVICES[service]))
                .fix(format!("remove `{}`, or correct the one that is wrong (the list on all nodes)", key.path()))
        })
    };
    told.into_iter().filter_map(problem).collect()
}

/// Two services that would listen at one place.
fn port_conflicts(listens: &[(&'static str, SocketAddr)], settings: &Settings) -> Vec<Problem> {
    let before = |(index, second): (usize, &(&'static str, SocketAddr))| {
        listens[..index].iter().find_map(|first| port_conflict(*first, *second, settings))
    };
    listens.iter().enumerate().filter_map(before).collect()
}

/// What is wrong with two services if they would listen at one place.
pub(super) fn port_conflict(
    (first, a): (&'static str, SocketAddr),
    (second, b): (&'static str, SocketAddr),
    settings: &Settings,
) -> Option<Problem> {
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    if first == second || a.port() == 0 || a.port() != b.port() || !same_ip {
        return None;
    }
    let place = |service: &str| {
        let key = schema::find(&format!("node.addresses.{service}")).expect("each service has its key");
        let entry = settings.entry(key);
        let value = entry.value.as_ref().map(Value::to_string).unwrap_or_default();
        place_of(&entry.origin, &format!("{} = {value}", key.path()))
    };
    Some(
        Problem::error(Code::PortConflict, format!("port conflict on {}", b.port()))
            .at(place(first))
            .at(place(second))
            .why(format!("both {first} and {second} are trying to bind to port {}", b.port()))
            .fix("change one of these ports in your config file"),
    )
}

#[cfg(test)]
mod tests {
    use chronik_broker::Advertise;

    use super::super::check_text;
    use super::*;

    fn host_port(host: &str, port: u16) -> HostPort {
        HostPort { host: host.to_owned(), port }
    }

    fn listens(port: u16) -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], port))
    }

    /// The nodes are listed in another order than that of their numbers.
    const PEERS: &str = "
[[peers]]
id = 2
kafka = \"n2:21\"
wal = \"n2:22\"
raft = \"n2:23\"
[[peers]]
id = 1
kafka = \"n1:11\"
wal = \"n1:12\"
raft = \"[::1]:13\"
";

    fn peers() -> Vec<Peer> {
        vec![
            Peer { id: 1, kafka: host_port("n1", 11), wal: host_port("n1", 12), raft: host_port("::1", 13) },
            Peer { id: 2, kafka: host_port("n2", 21), wal: host_port("n2", 22), raft: host_port("n2", 23) },
        ]
    }

    #[test]
    fn the_broker_is_told_what_the_file_says() {
        let checked = check_text(&format!(
            "node_id = 2\nreplication_factor = 2\nmin_insync_replicas = 2\nrack = \"west\"\n\
             [node.advertise]\nkafka = \"localhost:99\"\n\
             [raft]\nelection_timeout_ms = 801\nheartbeat_interval_ms = 81\nsnapshot_max_log_size_mb = 3\n\
             snapshot_min_interval_entries = 77\nsnapshot_compression = \"none\"\nrpc_timeout_ms = 1001\n\
             max_inflight_messages = 12\nmax_append_entries_size = 4096\n\
             [replication]\nsession_timeout_ms = 1501\nreplica_lag_max_ms = 4001\nenable_leadership_transfer = false\n\
             leadership_transfer_timeout_ms = 901\ndiscovery_interval_secs = 7\n{PEERS}"
        ));
        assert!(checked.is_valid, "{:?}", checked.problems);
        let mut peers = peers();
        peers[1].kafka = host_port("localhost", 99);
        let cluster = ClusterConfig {
            peers,
            wal_listen: listens(22),
            raft_listen: listens(23),
            rack: Some("west".to_owned()),
            election_timeout_ms: 801,
            heartbeat_interval_ms: 81,
            session_timeout_ms: 1501,
            snapshot_max_log_bytes: 3 << 20,
            snapshot_min_interval_entries: 77,
            snapshot_compression: SnapshotCompression::None,
            max_inflight_messages: 12,
            max_append_entries_bytes: 4096,
            rpc_timeout_ms: 1001,
            replica_lag_max_ms: 4001,
            enable_leadership_transfer: false,
            leadership_transfer_timeout_ms: 901,
            discovery_interval_ms: 7000,
            // What the file does not say.
            ..ClusterConfig::new(Vec::new(), listens(0), listens(0))
        };
        assert_eq!(checked.broker.cluster, Some(cluster));
        assert_eq!(checked.broker.listen, [listens(21)]);
        assert_eq!(checked.broker.kafka["default.replication.factor"], "2");
        assert_eq!(checked.broker.kafka["min.insync.replicas"], "2");
    }

    #[test]
    fn what_the_file_leaves_out_is_what_the_broker_would_take() {
        let checked = check_text(&format!("node_id = 1\n{PEERS}"));
        assert!(checked.is_valid, "{:?}", checked.problems);
        assert_eq!(checked.broker.cluster, Some(ClusterConfig::new(peers(), listens(12), listens(13))));
        assert_eq!(checked.broker.advertise, Advertise::Fixed { host: "n1".to_owned(), port: 11 });
        assert_eq!(checked.broker.kafka["default.replication.factor"], "2");
        assert_eq!(checked.broker.kafka["min.insync.replicas"], "1");
        let third = "[[peers]]\nid = 3\nkafka = \"n3:1\"\nwal = \"n3:2\"\nraft = \"n3:3\"\n";
        let checked = check_text(&format!("node_id = 1\n{PEERS}{third}"));
        assert_eq!(checked.broker.kafka["default.replication.factor"], "3");
        assert_eq!(checked.broker.kafka["min.insync.replicas"], "2");
    }

    #[test]
    fn a_single_node_has_no_cluster_and_no_opinion_on_replicas() {
        let checked = check_text("");
        assert_eq!(checked.broker.cluster, None);
        assert!(checked.broker.kafka.is_empty());
    }

    #[test]
    fn what_is_written_out_is_read_again() {
        written_and_read(&format!("node_id = 1\n{PEERS}"));
        written_and_read("");
    }

    fn written_and_read(text: &str) {
        let checked = check_text(text);
        let line = |(table, name, value): &(&str, &str, String)| match *table {
            "" => format!("{name} = {value}\n"),
            "kafka" => format!("kafka.\"{name}\" = {value}\n"),
            _ => format!("{table}.{name} = {value}\n"),
        };
        let again = check_text(&checked.values.iter().map(line).collect::<String>());
        assert!(again.is_valid, "{:?}", again.problems);
        assert_eq!(again.values, checked.values);
        assert_eq!(again.broker.cluster, checked.broker.cluster);
    }
}
