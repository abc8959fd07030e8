//! The nodes of a cluster as earlier servers were told of them: `--peers "2@host:port,…"`, the others only, and of each the one
//! address that Raft needs. Nodes tell each other the rest when they meet for the first time, so that much is enough to start.

use super::addresses::is_wildcard;
use super::peers::{self, Listed, Peer};
use super::problem::{Code, Place, Problem};
use super::schema;
use super::settings::{Origin, Settings};
use super::value::{Address, Value};

/// Where a node listens unless it says so: the conventional ports, taken for granted of nodes that were not met yet.
const KAFKA_PORT: u16 = 9092;
const WAL_PORT: u16 = 9291;

/// The others, and who said so.
#[derive(Clone, Debug)]
pub(super) struct RaftPeers {
    others: Vec<(i32, Address)>,
    place: Place,
    origin: Origin,
}

/// Reads `id@host:port,…`.
pub(super) fn parse(text: &str, place: Place, origin: Origin) -> Result<RaftPeers, String> {
    let peer = |peer: &str| {
        let (id, address) =
            peer.split_once('@').ok_or_else(|| format!("`{peer}` has no number: it is id@host:port"))?;
        let id = id
            .parse()
            .ok()
            .filter(|id| *id >= 1)
            .ok_or_else(|| format!("`{id}` is not the number of a node (1 or more)"))?;
        Ok((id, Address::parse(address, false).map_err(|mismatch| mismatch.what)?))
    };
    let others = text.split(',').map(|text| peer(text.trim())).collect::<Result<_, String>>()?;
    Ok(RaftPeers { others, place, origin })
}

/// Makes a whole list of it: this node as its settings have it, of the others what is usual.
pub(super) fn complete(settings: &mut Settings, listed: RaftPeers) -> Option<Problem> {
    let RaftPeers { others, place, origin } = listed;
    if let Some(known) = settings.peers.as_ref().and_then(|peers| peers.iter().find_map(|peer| peer.id.as_ref())) {
        let (a, b) = (known.origin.name(), origin.name());
        return Some(
            Problem::error(Code::GivenTwice, format!("{a} and {b} both list the nodes of the cluster"))
                .at(known.place.clone())
                .at(place)
                .fix(format!("leave out {b}")),
        );
    }
    let entry = settings.entry(&schema::NODE_ID);
    let own_id = match (&entry.origin, &entry.value) {
        (Origin::Default, _) | (_, None) => None,
        (_, Some(Value::Integer(id))) => i32::try_from(*id).ok(),
        _ => None,
    };
    let mut nodes: Vec<Peer> = others
        .iter()
        .filter(|(id, _)| Some(*id) != own_id)
        .map(|(id, raft)| other(*id, raft, &place, &origin))
        .collect();
    let problem = match own_id {
        // Which one this is, is asked for with the rest of the list.
        None => None,
        Some(id) => {
            let raft = others.iter().find(|(other, _)| *other == id).map(|(_, raft)| raft.clone());
            match own(settings, id, raft, &place, &origin) {
                Ok(peer) => {
                    nodes.push(peer);
                    None
                }
                Err(problem) => Some(problem),
            }
        }
    };
    for assignment in peers::of_itself(&nodes, own_id.map(i64::from)) {
        settings.lay_under(assignment);
    }
    settings.peers = Some(nodes);
    problem
}

fn other(id: i32, raft: &Address, place: &Place, origin: &Origin) -> Peer {
    let usual = |port| Address { host: raft.host.clone(), port: Some(port) };
    let listed = |value, origin: &Origin| Some(Listed { value, place: place.clone(), origin: origin.clone() });
    Peer {
        id: Some(Listed { value: id, place: place.clone(), origin: origin.clone() }),
        addresses: [
            listed(usual(KAFKA_PORT), &Origin::Default),
            listed(usual(WAL_PORT), &Origin::Default),
            listed(raft.clone(), origin),
        ],
    }
}

/// This node, under the name that clients are told, or the one it listens on.
fn own(settings: &Settings, id: i32, raft: Option<Address>, place: &Place, origin: &Origin) -> Result<Peer, Problem> {
    let listen = settings.address(&schema::LISTEN_KAFKA).expect("there is a default");
    let advertise = settings.address(&schema::ADVERTISE_KAFKA);
    let listen_raft = settings.address(&schema::LISTEN_RAFT);
    let Some(raft_port) = raft.as_ref().or(listen_raft).and_then(|address| address.port) else {
        return Err(Problem::error(Code::BrokenPeers, "where this node listens for the others is not said")
            .at(place.clone())
            .why("the list has the others only, and they connect to this one, too")
            .fix("give --raft-addr HOST:PORT"));
    };
    let hosts = [raft.as_ref(), advertise, Some(listen), listen_raft]
        .into_iter()
        .flatten()
        .filter_map(|address| address.host.clone());
    let Some(host) = hosts.into_iter().find(|host| !is_wildcard(host)) else {
        return Err(Problem::error(Code::AdvertisedAddress, "where the others find this node is not said")
            .at(place.clone())
            .why("it listens on every address, and a wildcard is nothing to connect to")
            .fix("give the name or address of this machine: --advertise HOST"));
    };
    let wal_port = settings.address(&schema::LISTEN_WAL).and_then(|address| address.port).unwrap_or(WAL_PORT);
    let kafka_port = advertise.and_then(|address| address.port).or(listen.port).unwrap_or(KAFKA_PORT);
    let at = |host: &str, port| {
        let value = Address { host: Some(host.to_owned()), port: Some(port) };
        Some(Listed { value, place: place.clone(), origin: origin.clone() })
    };
    let told = advertise.and_then(|address| address.host.clone()).unwrap_or_else(|| host.clone());
    Ok(Peer {
        id: Some(Listed { value: id, place: place.clone(), origin: origin.clone() }),
        addresses: [at(&told, kafka_port), at(&host, wal_port), at(&host, raft_port)],
    })
}
