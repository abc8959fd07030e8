//! The nodes of a cluster: as the file lists them, or one variable does, and held against each other.

use std::collections::BTreeMap;

use super::addresses::is_wildcard;
use super::place_of;
use super::problem::{Code, Place, Problem};
use super::schema::{self, Key};
use super::settings::{Assignment, Entry, Origin};
use super::value::{Address, Kind, Value};

/// The list's name in the file.
pub(crate) const TABLE: &str = "peers";
/// The variable that holds the whole list.
pub(crate) const VARIABLE: &str = "CHRONIK_CLUSTER_PEERS";
/// The number of a node; 0 is nobody's, for Raft.
pub(crate) const ID: Field = Field { name: "id", kind: Kind::Integer { min: 1, max: i32::MAX as i64, unit: "" } };
/// What a node listens for, in the order of the variable.
pub(crate) const SERVICES: [&str; 3] = ["kafka", "wal", "raft"];
/// Where the file says the same of the node itself, by [`SERVICES`].
const LISTEN: [&Key; 3] = [&schema::LISTEN_KAFKA, &schema::LISTEN_WAL, &schema::LISTEN_RAFT];
const ADVERTISE: [&Key; 3] = [&schema::ADVERTISE_KAFKA, &schema::ADVERTISE_WAL, &schema::ADVERTISE_RAFT];
/// Every address of this machine.
const ALL_ADDRESSES: &str = "0.0.0.0";

pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// A node of the list. What could not be read is none, and was told where it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    pub(crate) id: Option<Listed<i32>>,
    /// By [`SERVICES`].
    pub(crate) addresses: [Option<Listed<Address>>; 3],
}

/// A value, and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Listed<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
    pub(crate) origin: Origin,
}

/// Reads `host:kafka:wal:raft,…` and `id@host:…,…`; without an id, the place in the list is the number.
pub(super) fn of_variable(text: &str) -> (Vec<Peer>, Vec<Problem>) {
    let place = Place::variable(VARIABLE, text);
    let mut problems = Vec::new();
    let peers = text.split(',').enumerate().map(|(index, node)| match of_node(node.trim(), index + 1) {
        Ok((id, addresses)) => {
            let listed = |value| Listed { value, place: place.clone(), origin: Origin::Variable(VARIABLE.to_owned()) };
            Peer {
                id: Some(Listed { value: id, place: place.clone(), origin: Origin::Variable(VARIABLE.to_owned()) }),
                addresses: addresses.map(|address| Some(listed(address))),
            }
        }
        Err(what) => {
            let problem = Problem::error(Code::Malformed, format!("{VARIABLE}: {what}"))
                .at(place.clone())
                .fix("write each node as host:kafka:wal:raft, three ports, for example node1:9092:9291:5001; id@ may stand before it");
            problems.push(problem);
            Peer::default()
        }
    });
    (peers.collect(), problems)
}

fn of_node(node: &str, position: usize) -> Result<(i32, [Address; 3]), String> {
    let (id, rest) = match node.split_once('@') {
        Some((id, rest)) => (id.to_owned(), rest),
        None => (position.to_string(), node),
    };
    let id = id
        .parse()
        .ok()
        .filter(|id| *id >= 1)
        .ok_or_else(|| format!("`{id}` is not the number of a node (1 or more)"))?;
    let mut from_behind = rest.rsplitn(4, ':');
    let mut ports: [u16; 3] = [0; 3];
    for port in ports.iter_mut().rev() {
        let digits = from_behind.next().unwrap_or_default();
        *port = digits.parse().map_err(|_| format!("`{node}` does not end in three ports: `{digits}` is none"))?;
    }
    let host = from_behind.next().unwrap_or_default();
    let address = |port: u16| match Address::parse(&format!("{host}:{port}"), false) {
        Ok(address) => Ok(address),
        Err(mismatch) => Err(mismatch.what),
    };
    Ok((id, [address(ports[0])?, address(ports[1])?, address(ports[2])?]))
}

/// What the list says of the node itself, to be laid below all other layers: it listens where the others look for it.
pub(super) fn of_itself(peers: &[Peer], node_id: Option<i64>) -> Vec<Assignment> {
    let own = |peer: &&Peer| peer.id.as_ref().is_some_and(|id| Some(i64::from(id.value)) == node_id);
    let Some(peer) = peers.iter().find(own) else { return Vec::new() };
    let mut assignments = Vec::new();
    for (service, listed) in peer.addresses.iter().enumerate() {
        let Some(Listed { value, origin, .. }) = listed else { continue };
        let listen = Address { host: Some(ALL_ADDRESSES.to_owned()), port: value.port };
        for (key, address) in [(LISTEN[service], listen), (ADVERTISE[service], value.clone())] {
            assignments.push(Assignment { key, value: Value::Address(address), origin: origin.clone() });
        }
    }
    assignments
}

/// The list as a value of the file, as far as it could be read.
pub(super) fn written(peers: &[Peer]) -> String {
    let entry = |peer: &Peer| {
        let id = peer.id.iter().map(|id| format!("{} = {}", ID.name, id.value));
        let addresses = SERVICES.iter().zip(&peer.addresses).filter_map(|(service, address)| {
            let address = address.as_ref()?.value.to_string();
            Some(format!("{service} = {}", toml::Value::String(address)))
        });
        format!("{{ {} }}", id.chain(addresses).collect::<Vec<_>>().join(", "))
    };
    format!("[{}]", peers.iter().map(entry).collect::<Vec<_>>().join(", "))
}

/// Everything that is wrong with the list as a whole, for the node that has this number.
pub(super) fn check(peers: &[Peer], node_id: &Entry) -> Vec<Problem> {
    let mut problems = check_list(peers);
    problems.extend(alone(peers));
    problems.extend(not_listed(peers, node_id));
    problems
}

/// Everything that is wrong with the list, whoever reads it.
pub(super) fn check_list(peers: &[Peer]) -> Vec<Problem> {
    let mut problems = unreachable(peers);
    problems.extend(duplicates(peers));
    problems.extend(shared_addresses(peers));
    problems
}

/// A cluster of one could not grow, and its data would not be those of a node on its own.
fn alone(peers: &[Peer]) -> Option<Problem> {
    let [Peer { id: Some(id), .. }] = peers else { return None };
    Some(
        Problem::error(Code::BrokenPeers, "the peers list has one node")
            .at(id.place.clone())
            .why("a cluster has several; a node on its own needs no list")
            .fix("remove the list to run a single node, or add the others"),
    )
}

fn unreachable(peers: &[Peer]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for address in peers.iter().flat_map(|peer| &peer.addresses).flatten() {
        let (host, port) = (address.value.host.as_deref().unwrap_or_default(), address.value.port.unwrap_or_default());
        let why = match (is_wildcard(host), port) {
            (true, _) => format!("{host} is a wildcard"),
            (_, 0) => "port 0 is not a port to connect to".to_owned(),
            _ => continue,
        };
        problems.push(
            Problem::error(Code::AdvertisedAddress, format!("nobody can connect to {}: {why}", address.value))
                .at(address.place.clone())
                .why("this is where the other nodes and the clients look for the node; where it listens is in [node.addresses]")
                .fix("write the name or address under which the others reach the node, for example node1.example.com:9092"),
        );
    }
    problems
}

fn duplicates(peers: &[Peer]) -> Vec<Problem> {
    let mut by_id: BTreeMap<i32, Vec<&Place>> = BTreeMap::new();
    for id in peers.iter().filter_map(|peer| peer.id.as_ref()) {
        by_id.entry(id.value).or_default().push(&id.place);
    }
    let twice = by_id.into_iter().filter(|(_, places)| places.len() > 1);
    let problem = |(id, places): (i32, Vec<&Place>)| {
        at_all(Problem::error(Code::DuplicateNode, format!("duplicate node ID: {id}")), places)
            .why("each node must have a unique ID")
            .fix("change duplicate IDs in the peers list")
    };
    twice.map(problem).collect()
}

fn shared_addresses(peers: &[Peer]) -> Vec<Problem> {
    let mut by_address: BTreeMap<String, Vec<User<'_>>> = BTreeMap::new();
    for (node, peer) in peers.iter().enumerate() {
        for (service, address) in SERVICES.into_iter().zip(&peer.addresses) {
            let Some(Listed { value, place, origin }) = address else { continue };
            if *origin == Origin::Default {
                // Nobody wrote it: where that node really is, it says itself.
                continue;
            }
            by_address.entry(value.to_string().to_lowercase()).or_default().push(User { node, service, place });
        }
    }
    let shared = by_address.into_iter().filter(|(_, users)| users.len() > 1);
    shared.map(|(address, users)| of_users(&address, &users)).collect()
}

/// Who is to be found at an address.
struct User<'a> {
    node: usize,
    service: &'static str,
    place: &'a Place,
}

fn of_users(address: &str, users: &[User<'_>]) -> Problem {
    let problem = if users.iter().all(|user| user.node == users[0].node) {
        let services: Vec<_> = users.iter().map(|user| user.service).collect();
        Problem::error(
            Code::PortConflict,
            format!("port conflict: {} of a peer are both {address}", services.join(" and ")),
        )
        .why("one node cannot offer two services on one port")
        .fix("change one of these ports")
    } else {
        Problem::error(Code::SharedAddress, format!("two peers share the address {address}"))
            .why("who connects there can reach only one of them")
            .fix("give each node addresses of its own")
    };
    at_all(problem, users.iter().map(|user| user.place))
}

fn not_listed(peers: &[Peer], node_id: &Entry) -> Option<Problem> {
    let ids: Option<Vec<i32>> = peers.iter().map(|peer| peer.id.as_ref().map(|id| id.value)).collect();
    // With one of them unread, it may be that one.
    let ids = ids?;
    if node_id.origin == Origin::Default {
        return Some(
            Problem::error(Code::NodeNotListed, format!("which of the nodes {ids:?} this one is, is not said"))
                .why("two nodes with one number would each take the other's place")
                .fix("write node_id = N at the top of the file, or set CHRONIK_NODE_ID=N for each node and keep one file for all"),
        );
    }
    let Some(Value::Integer(id)) = node_id.value else { return None };
    if ids.iter().any(|listed| i64::from(*listed) == id) {
        return None;
    }
    Some(
        Problem::error(Code::NodeNotListed, format!("node_id {id} not found in peers list"))
            .at(place_of(&node_id.origin, &id.to_string()))
            .why(format!("your config has node_id = {id}, but the peers list only contains {ids:?}"))
            .fix(format!("add a [[peers]] entry with id = {id}, or correct node_id")),
    )
}

/// Each place once: a variable has one for all it says.
fn at_all<'a>(problem: Problem, places: impl IntoIterator<Item = &'a Place>) -> Problem {
    places.into_iter().fold(problem, |problem, place| match problem.places.contains(place) {
        true => problem,
        false => problem.at(place.clone()),
    })
}
