//! Where to listen and what clients are told: checked before a port is opened or a file is made.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use chronik_broker::Advertise;

use super::place_of;
use super::problem::{Code, Problem};
use super::schema::{ADVERTISE_KAFKA, Key, LISTEN_KAFKA};
use super::settings::Settings;
use super::value::{Address, Value};

/// What knows the addresses of a host.
pub(super) type Resolve = fn(&str, u16) -> Result<Vec<SocketAddr>, String>;

/// The socket addresses to listen on for clients; none when they are in error.
pub(super) fn listen(settings: &Settings, problems: &mut Vec<Problem>, resolve: Resolve) -> Vec<SocketAddr> {
    all(settings, &LISTEN_KAFKA, problems, resolve)
}

/// The socket address to listen on for other nodes; none when it is in error, or the list of peers is.
pub(super) fn internal(
    settings: &Settings,
    key: &'static Key,
    problems: &mut Vec<Problem>,
    resolve: Resolve,
) -> Option<SocketAddr> {
    let address = settings.address(key)?;
    if address.port == Some(0) {
        problems.push(
            Problem::error(Code::ListenAddress, format!("`{}` needs a port: {address} lets the system choose one", key.path()))
                .at(place_of(&settings.entry(key).origin, &address.to_string()))
                .why("the other nodes look for this one at the port of the peers list")
                .fix("write the port that the list has, or remove the key"),
        );
        return None;
    }
    all(settings, key, problems, resolve).first().copied()
}

/// The socket addresses of a key; none when it is unset or in error.
pub(super) fn all(settings: &Settings, key: &Key, problems: &mut Vec<Problem>, resolve: Resolve) -> Vec<SocketAddr> {
    let entry = settings.entry(key);
    let Some(address) = settings.address(key).cloned() else { return Vec::new() };
    let (host, port) = (address.host.clone().unwrap_or_default(), address.port.unwrap_or_default());
    match resolve(&host, port) {
        Ok(addresses) => addresses,
        Err(reason) => {
            problems.push(
                Problem::error(Code::ListenAddress, format!("cannot listen on {address}: the host is not known here"))
                    .at(place_of(&entry.origin, &address.to_string()))
                    .why(reason)
                    .fix("listen on an address of this machine, for example 127.0.0.1, or on all of them: 0.0.0.0"),
            );
            Vec::new()
        }
    }
}

/// What clients are told. Completes the setting with the port listened on where it has none.
pub(super) fn advertise(settings: &mut Settings, problems: &mut Vec<Problem>, resolve: Resolve) -> Advertise {
    let listening = settings.address(&LISTEN_KAFKA).expect("there is a default").clone();
    let Some(address) = settings.address(&ADVERTISE_KAFKA).cloned() else {
        // Right for a node that listens on one address, too: a connection can arrive at no other.
        return Advertise::FollowConnection;
    };
    let address = address.over(&Address { host: None, port: listening.port });
    let listed = settings.own_peer().and_then(|peer| peer.addresses[0].as_ref());
    if listed.is_some_and(|listed| listed.value == address) {
        // Looked at with the rest of the list. Not resolved: a name of the cluster's may be known only once the node is up.
        let (host, port) = (address.host.unwrap_or_default(), address.port.unwrap_or_default());
        return Advertise::Fixed { host, port };
    }
    let origin = settings.entry(&ADVERTISE_KAFKA).origin.clone();
    let refuse = |what: String, why: &str, fix: &str| {
        Problem::error(Code::AdvertisedAddress, what).at(place_of(&origin, &address.to_string())).why(why).fix(fix)
    };
    let Some(host) = address.host.clone() else {
        problems.push(refuse(
            "an advertised port needs a host".to_owned(),
            "clients are told one address, and a port alone is none",
            "give both: --advertise HOST:PORT",
        ));
        return Advertise::FollowConnection;
    };
    let port = address.port.unwrap_or_default();
    if is_wildcard(&host) {
        problems.push(refuse(
            format!("{address} cannot be advertised: {host} is a wildcard"),
            "a wildcard means \"every address of this machine\" when listening, and nothing when connecting:\n\
             clients would connect to themselves",
            "advertise the name or address under which clients reach this node, for example\n\
             --advertise broker.example.com, or leave it out to tell each client the address it came in on",
        ));
    } else if port == 0 {
        problems.push(refuse(
            format!("{address} cannot be advertised: port 0 is not a port to connect to"),
            "the port that the system chooses is not known before the start",
            "give the port: --advertise HOST:PORT, or listen on a fixed one",
        ));
    } else if let Err(reason) = resolve(&host, port) {
        problems.push(refuse(
            format!("{address} cannot be advertised: the host cannot be resolved"),
            &format!("clients would be sent to a name that leads nowhere ({reason})"),
            "correct the name, make it known (DNS or the hosts file), or advertise an IP address",
        ));
    }
    settings.replace_value(&ADVERTISE_KAFKA, Value::Address(address));
    Advertise::Fixed { host, port }
}

/// Where a client on this machine reaches a node that is alone.
pub(super) fn from_here(settings: &Settings) -> Address {
    let listen = settings.address(&LISTEN_KAFKA).expect("there is a default").clone();
    let told = settings.address(&ADVERTISE_KAFKA).filter(|told| told.host.is_some()).cloned();
    let address = told.unwrap_or(Address { host: None, port: None }).over(&listen);
    match address.host.as_deref().is_some_and(is_wildcard) {
        true => Address { host: Some("localhost".to_owned()), ..address },
        false => address,
    }
}

/// Whether a host means every address of a machine.
pub(crate) fn is_wildcard(host: &str) -> bool {
    host == "*" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

/// Asks the system.
pub(super) fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(|error| error.to_string())?.collect();
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() { Err("the name has no address".to_owned()) } else { Ok(addresses) }
}
