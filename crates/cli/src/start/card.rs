//! The start card: where the node is, in the words a newcomer needs next. Then the log begins.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use chronik_broker::{Advertise, Config, SyncPolicy};

use crate::config::value::Address;
use crate::version::VERSION;

/// What the card tells.
pub(crate) struct Card {
    /// Where the node listens.
    pub(crate) listening: String,
    /// The address to give to a client.
    pub(crate) connect: String,
    /// What clients are told.
    pub(crate) told: String,
    /// Where the other nodes find this one; none for a single node.
    pub(crate) nodes: Option<String>,
    /// Where health and metrics are, or why not; empty for nothing to tell.
    pub(crate) http: String,
    pub(crate) data_dir: String,
    pub(crate) sync: String,
    pub(crate) mode: String,
    pub(crate) source: String,
}

impl Card {
    /// `listening` are the addresses as the system gave them.
    pub(crate) fn new(config: &Config, listening: &[SocketAddr], cluster_id: &str, source: String) -> Card {
        let connect = connect_address(config, listening);
        Card {
            listening: listening.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            told: match &config.advertise {
                Advertise::Fixed { .. } => format!("clients are told {connect}"),
                Advertise::FollowConnection => "clients are told the address they came in on".to_owned(),
            },
            connect,
            nodes: config.cluster.as_ref().map(|cluster| {
                format!("{}, {}  (listening for records, for metadata)", cluster.wal_listen, cluster.raft_listen)
            }),
            http: String::new(),
            data_dir: absolute(&config.data_dir),
            sync: match config.sync {
                SyncPolicy::Commit => "acknowledged records are on disk".to_owned(),
                SyncPolicy::Interval => format!("synced every {} ms", config.sync_interval_ms),
            },
            mode: match &config.cluster {
                None => format!("single node {}, cluster {cluster_id}", config.node_id),
                Some(cluster) => format!("node {} of {}, cluster {cluster_id}", config.node_id, cluster.peers.len()),
            },
            source,
        }
    }

    /// The card as text, one fact per line.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("Chronik {VERSION}  {}\n", self.mode);
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<7} {value}");
        };
        row("kafka", &format!("{}  (listening on {}; {})", self.connect, self.listening, self.told));
        if let Some(nodes) = &self.nodes {
            row("nodes", nodes);
        }
        if !self.http.is_empty() {
            row("http", &self.http);
        }
        row("data", &format!("{}  ({})", self.data_dir, self.sync));
        row("config", &self.source);
        row("try", &format!("echo hello | kcat -b {} -t greetings -P", self.connect));
        row("", &format!("kcat -b {} -t greetings -C -e", self.connect));
        text
    }
}

/// The address that works for a client beside the person who reads the card.
fn connect_address(config: &Config, listening: &[SocketAddr]) -> String {
    if let Advertise::Fixed { host, port } = &config.advertise {
        return Address { host: Some(host.clone()), port: Some(*port) }.to_string();
    }
    match listening.first() {
        Some(first) if is_local(first.ip()) => format!("localhost:{}", first.port()),
        Some(first) => first.to_string(),
        None => String::new(),
    }
}

fn is_local(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip == IpAddr::from([127, 0, 0, 1])
}

fn absolute(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // `./data` reads better as what it becomes.
    whole.components().collect::<std::path::PathBuf>().display().to_string()
}

#[cfg(test)]
mod tests {
    use chronik_broker::{ClusterConfig, HostPort, Peer};

    use super::*;

    fn config(advertise: Advertise) -> Config {
        Config { advertise, data_dir: "/var/lib/chronik".into(), ..Config::default() }
    }

    #[test]
    fn a_node_on_every_address_names_the_one_next_to_its_reader() {
        let listening = [SocketAddr::from(([0, 0, 0, 0], 9092))];
        let card = Card::new(&config(Advertise::FollowConnection), &listening, "abc", "defaults".to_owned());
        let expected = format!(
            "Chronik {VERSION}  single node 1, cluster abc
  kafka   localhost:9092  (listening on 0.0.0.0:9092; clients are told the address they came in on)
  data    /var/lib/chronik  (acknowledged records are on disk)
  config  defaults
  try     echo hello | kcat -b localhost:9092 -t greetings -P
          kcat -b localhost:9092 -t greetings -C -e
"
        );
        assert_eq!(card.text(), expected);
    }

    #[test]
    fn a_node_of_a_cluster_says_which_and_where_the_others_find_it() {
        let host_port = |port| HostPort { host: "node1".to_owned(), port };
        let peer = |id| Peer { id, kafka: host_port(9092), wal: host_port(9291), raft: host_port(5001) };
        let listens = [9291, 5001].map(|port| SocketAddr::from(([0, 0, 0, 0], port)));
        let cluster = ClusterConfig::new(vec![peer(1), peer(2)], listens[0], listens[1]);
        let config = Config { node_id: 2, cluster: Some(cluster), ..config(Advertise::FollowConnection) };
        let text = Card::new(&config, &[SocketAddr::from(([0, 0, 0, 0], 9092))], "abc", "defaults".to_owned()).text();
        assert!(text.contains("node 2 of 2, cluster abc\n"), "{text}");
        assert!(text.contains("\n  nodes   0.0.0.0:9291, 0.0.0.0:5001  (listening for records, for metadata)\n"), "{text}");
    }

    #[test]
    fn what_clients_are_told_is_what_the_card_says() {
        let fixed = Advertise::Fixed { host: "broker.example.com".to_owned(), port: 19092 };
        let card = Card::new(&config(fixed), &[SocketAddr::from(([10, 0, 0, 5], 9092))], "abc", "defaults".to_owned());
        assert!(card.text().contains(
            "broker.example.com:19092  (listening on 10.0.0.5:9092; clients are told broker.example.com:19092)"
        ));
    }
}
