//! Who listens where.

use crate::arguments::{OldFlags, StartArguments};
use crate::config::problem::{Code, Place as Given, Problem};
use crate::config::schema;
use crate::config::value::Address;

use super::place::Place;

/// Each node next to the one before it; Kafka, WAL, Raft, HTTP.
const FIRST_PORTS: [u16; 4] = [9092, 9291, 5001, 6092];
const NODES: u16 = 3;
/// Nobody else is to reach a cluster that was made to be tried.
const HOST: &str = "127.0.0.1";
/// The key that says where a node listens for HTTP, in builds that do.
const HTTP: &str = "node.addresses.search";

pub(super) struct Plan {
    pub(super) nodes: Vec<NodePlan>,
}

/// Addresses as `host:port`.
pub(super) struct NodePlan {
    pub(super) id: u16,
    pub(super) kafka: String,
    pub(super) wal: String,
    pub(super) raft: String,
    pub(super) http: Option<String>,
}

impl Plan {
    pub(super) fn of(arguments: &StartArguments, old: &OldFlags) -> Result<Plan, Problem> {
        if let Some((flag, value)) = old.given().into_iter().next() {
            return Err(Problem::error(Code::OldNameRefused, format!("{flag} does not go with --dev"))
                .at(Given::flag(flag, &value))
                .why("--dev makes the configuration of every node by itself")
                .fix("leave it out; --bind HOST and --first-ports KAFKA:WAL:RAFT:HTTP move the nodes"));
        }
        let host = match &arguments.node.bind {
            None => HOST.to_owned(),
            Some(bind) => host_of(bind)?,
        };
        let first = match &arguments.dev.first_ports {
            None => FIRST_PORTS,
            Some(text) => ports_of(text)?,
        };
        let count = arguments.dev.nodes.unwrap_or(NODES);
        let has_http = schema::find(HTTP).is_some();
        let node = |id: u16| {
            let at = |service: usize| Some(address(&host, first[service].checked_add(id - 1)?));
            let [kafka, wal, raft, http] = [at(0)?, at(1)?, at(2)?, at(3)?];
            Some(NodePlan { id, kafka, wal, raft, http: has_http.then_some(http) })
        };
        let nodes: Option<Vec<_>> = (1..=count).map(node).collect();
        nodes.map(|nodes| Plan { nodes }).ok_or_else(|| {
            Problem::error(Code::OutOfRange, "there are not enough ports above the first ones")
                .fix("begin lower: --first-ports KAFKA:WAL:RAFT:HTTP")
        })
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.kafka.clone()).collect()
    }

    /// The configuration file of all nodes.
    pub(super) fn file(&self) -> String {
        let mut file =
            "# Made by `chronik-server start --dev`: CHRONIK_NODE_ID says which of the nodes one is.\n".to_owned();
        for NodePlan { id, kafka, wal, raft, .. } in &self.nodes {
            file.push_str(&format!(
                "\n[[peers]]\nid = {id}\nkafka = \"{kafka}\"\nwal = \"{wal}\"\nraft = \"{raft}\"\n"
            ));
        }
        file
    }

    /// What a node is told that the file does not say.
    pub(super) fn variables(&self, node: &NodePlan) -> Vec<(String, String)> {
        let mut variables = vec![("CHRONIK_NODE_ID".to_owned(), node.id.to_string())];
        for (path, address) in [
            ("node.addresses.kafka", Some(&node.kafka)),
            ("node.addresses.wal", Some(&node.wal)),
            ("node.addresses.raft", Some(&node.raft)),
            (HTTP, node.http.as_ref()),
        ] {
            let key = schema::find(path);
            variables.extend(key.zip(address).map(|(key, address)| (key.variable(), address.clone())));
        }
        variables
    }

    /// How a node is started by hand.
    pub(super) fn command_line(&self, id: u16, place: &Place) -> String {
        let variables =
            self.nodes.iter().find(|node| node.id == id).map(|node| self.variables(node)).unwrap_or_default();
        let variables: Vec<_> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (file, data) = (place.file(), place.of_node(id));
        format!("{} chronik-server start -c {} -d {}", variables.join(" "), file.display(), data.display())
    }
}

fn host_of(bind: &str) -> Result<String, Problem> {
    let wrong = |what: String| {
        Problem::error(Code::ListenAddress, what)
            .at(Given::flag("--bind", bind))
            .why("with --dev it is the host that all nodes listen on, and are found at")
            .fix(
                "give a host alone, for example --bind 127.0.0.1; ports are moved by --first-ports KAFKA:WAL:RAFT:HTTP",
            )
    };
    match Address::parse(bind, true) {
        Ok(Address { host: Some(host), port: None }) if !crate::config::is_wildcard(&host) => Ok(host),
        Ok(Address { port: Some(_), .. }) => Err(wrong(format!("--bind {bind} has a port"))),
        Ok(_) => Err(wrong(format!("--bind {bind} is a wildcard"))),
        Err(mismatch) => Err(wrong(format!("--bind: {}", mismatch.what))),
    }
}

fn ports_of(text: &str) -> Result<[u16; 4], Problem> {
    let wrong = || {
        Problem::error(Code::Malformed, format!("--first-ports: `{text}` is not four ports"))
            .at(Given::flag("--first-ports", text))
            .fix("write KAFKA:WAL:RAFT:HTTP, for example 9092:9291:5001:6092")
    };
    let ports: Vec<u16> = text.split(':').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let ports: [u16; 4] = ports.try_into().map_err(|_| wrong())?;
    if ports.contains(&0) { Err(wrong()) } else { Ok(ports) }
}

fn address(host: &str, port: u16) -> String {
    Address { host: Some(host.to_owned()), port: Some(port) }.to_string()
}
