//! The older shape of a cluster's file: `[cluster]` with its nodes inside. Read as what it means, with a warning that shows the
//! new form; where it says too little, the new form is shown with what is missing.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::super::old_names::READ_ON;
use super::super::peers::{ID, Listed, Peer, SERVICES};
use super::super::problem::{Code, Problem};
use super::super::schema::{self, Key};
use super::super::value::{Address, Kind, Value};
use super::{Reader, type_name};

/// The table that all of it stood in.
pub(super) const TABLE: &str = "cluster";
/// Keys that are at the top of the file now.
const MOVED: [&Key; 3] = [&schema::NODE_ID, &schema::REPLICATION_FACTOR, &schema::MIN_INSYNC_REPLICAS];
const ENABLED: &str = "enabled";
/// A list of nodes, or in `peers` a table that holds one of this name.
const NODES: &str = "nodes";
const PEERS: &str = "peers";
/// By [`SERVICES`].
const ADDRESSES: [&str; 3] = ["kafka_addr", "wal_addr", "raft_addr"];
/// A port of the host that `kafka_addr` names.
const RAFT_PORT: &str = "raft_port";

impl Reader<'_> {
    /// Takes what is of the older shape out of `[cluster]`. The rest is read like any other table.
    pub(super) fn older(&mut self, name: &Spanned<DeString<'_>>, entries: &DeTable<'_>) {
        let find = |wanted: &str| entries.iter().find(|(name, _)| name.get_ref() == wanted).map(|(_, value)| value);
        let is_on = !matches!(find(ENABLED).map(Spanned::get_ref), Some(DeValue::Boolean(false)));
        for key in MOVED {
            if let Some(value) = find(key.name) {
                self.value(key, value);
            }
        }
        let list = find(NODES).or_else(|| match find(PEERS)?.get_ref() {
            DeValue::Table(inner) => inner.iter().find(|(name, _)| name.get_ref() == NODES).map(|(_, value)| value),
            _ => None,
        });
        let listed = list.map(|list| self.older_nodes(list)).unwrap_or_default();
        let new_form = new_form(entries, if is_on { &listed } else { &[] });
        let span = name.span();
        let is_whole = listed.iter().all(|peer| peer.id.is_some() && peer.addresses.iter().all(Option::is_some));
        let problem = if is_on && (listed.is_empty() || !is_whole) {
            Problem::error(Code::BrokenPeers, "this is an older shape of the file, and it does not say where all nodes are")
                .why("each node has three addresses: for clients, for records, and for metadata; none is derived from another")
        } else {
            Problem::warning(Code::OldName, "[cluster] with its nodes is an older shape of the file; it still works")
                .why(READ_ON)
        };
        self.problems.push((span.start, problem.at(self.place(&span, "")).fix(new_form)));
        if is_on {
            self.peers = Some(listed);
        }
    }

    fn older_nodes(&mut self, list: &Spanned<DeValue<'_>>) -> Vec<Peer> {
        let DeValue::Array(nodes) = list.get_ref() else {
            let what = format!("`{TABLE}.{NODES}` is a list of nodes, not {}", type_name(list.get_ref()));
            let problem = Problem::error(Code::WrongType, what)
                .at(self.place(&list.span(), ""))
                .fix("list the nodes as [[peers]]");
            self.problems.push((list.span().start, problem));
            return Vec::new();
        };
        let tables = nodes.iter().filter_map(|node| match node.get_ref() {
            DeValue::Table(fields) => Some(fields),
            _ => None,
        });
        tables.map(|fields| self.older_node(fields)).collect()
    }

    fn older_node(&mut self, fields: &DeTable<'_>) -> Peer {
        let id = self.field(fields, ID.name, ID.kind).and_then(|listed| {
            let Value::Integer(id) = listed.value else { return None };
            Some(Listed { value: i32::try_from(id).ok()?, place: listed.place, origin: listed.origin })
        });
        let mut addresses = ADDRESSES.map(|name| {
            let listed = self.field(fields, name, Kind::Address)?;
            let Value::Address(value) = listed.value else { return None };
            Some(Listed { value, place: listed.place, origin: listed.origin })
        });
        let port = Kind::Integer { min: 1, max: i64::from(u16::MAX), unit: "" };
        if let (None, Some(port), Some(beside)) = (&addresses[2], self.field(fields, RAFT_PORT, port), &addresses[0]) {
            let Value::Integer(number) = port.value else { unreachable!("a port is a number") };
            let value = Address { host: beside.value.host.clone(), port: u16::try_from(number).ok() };
            addresses[2] = Some(Listed { value, place: port.place, origin: port.origin });
        }
        Peer { id, addresses }
    }
}

/// Whether a table `[cluster]` is of the older shape.
pub(super) fn is_older(entries: &DeTable<'_>) -> bool {
    entries.iter().any(|(name, _)| is_of_it(name.get_ref()))
}

/// Whether this name in `[cluster]` is of the older shape, and not for the reader of tables.
pub(super) fn is_of_it(name: &str) -> bool {
    [ENABLED, NODES, PEERS].contains(&name) || MOVED.iter().any(|key| key.name == name)
}

/// The same in the shape of today.
fn new_form(entries: &DeTable<'_>, peers: &[Peer]) -> String {
    let mut lines = vec!["write it as:".to_owned()];
    for (name, value) in entries.iter().filter(|(name, _)| MOVED.iter().any(|key| name.get_ref() == key.name)) {
        if let DeValue::Integer(number) = value.get_ref() {
            lines.push(format!("{} = {number}", name.get_ref()));
        }
    }
    for peer in peers {
        lines.push("[[peers]]".to_owned());
        lines.push(format!("id = {}", peer.id.as_ref().map_or_else(|| "N".to_owned(), |id| id.value.to_string())));
        for (service, address) in SERVICES.iter().zip(&peer.addresses) {
            let address = address.as_ref().map_or_else(|| "HOST:PORT".to_owned(), |address| address.value.to_string());
            lines.push(format!("{service} = \"{address}\""));
        }
    }
    if lines.len() == 1 {
        lines = vec!["remove [cluster]: a node without [[peers]] is a single node".to_owned()];
    }
    lines.join("\n")
}
