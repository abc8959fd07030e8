//! The brokers as the client at hand is to reach them (Metadata, DescribeCluster).

use chronik_state::ids::BrokerId;
use chronik_state::metadata::Image;
use chronik_state::metadata::record::BrokerRecord;
use chronik_wire::StrBytes;

use crate::dispatch::{Connection, Request};
use crate::node::Node;

/// One broker and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reachable {
    pub(crate) id: BrokerId,
    pub(crate) host: StrBytes,
    pub(crate) port: i32,
    pub(crate) rack: Option<StrBytes>,
    pub(crate) fenced: bool,
}

/// All registered brokers by ascending id.
pub(crate) fn registered(request: &Request<'_>, image: &Image) -> Vec<Reachable> {
    image.brokers().map(|broker| reachable(request.node(), request.connection, broker)).collect()
}

/// The brokers that serve.
pub(crate) fn active(request: &Request<'_>, image: &Image) -> Vec<Reachable> {
    image.active_brokers().map(|broker| reachable(request.node(), request.connection, broker)).collect()
}

/// Where the client on `connection` reaches `broker`.
pub(crate) fn reachable(node: &Node, connection: &Connection, broker: &BrokerRecord) -> Reachable {
    let (host, port) = match broker.id == node.config.node_id {
        true => node.advertised(connection),
        false => broker.endpoints.iter().find(|endpoint| endpoint.name == "PLAINTEXT").map(|endpoint| (endpoint.host.clone(), endpoint.port)).unwrap_or_default(),
    };
    Reachable {
        id: broker.id,
        host: host.into(),
        port: port.into(),
        rack: broker.rack.as_deref().map(StrBytes::from),
        fenced: broker.fenced,
    }
}
