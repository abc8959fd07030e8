//! FindCoordinator (key 10): which node answers for a group. Versions 0 to 6.
//!
//! The node that leads the group's partition of `__consumer_offsets`; the topic is made when somebody first asks. While nobody
//! leads the partition, or its leader is not let in, the client is to ask again: COORDINATOR_NOT_AVAILABLE.
//!
//! KIP-699 (several keys at once, v4). Coordinators of transactions and of share groups are not served here: INVALID_REQUEST,
//! which clients do not repeat, and a message that says so.

use chronik_state::ids::BrokerId;
use chronik_wire::messages::find_coordinator_response::Coordinator;
use chronik_wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use chronik_wire::{ErrorCode, StrBytes, message};

use super::brokers;
use crate::coordinator::offsets_topic::{self, OFFSETS_TOPIC};
use crate::coordinator::runtime::partition_of;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(FindCoordinator);

/// Key type of groups; 1 is for transactions (KIP-98), 2 for share groups (KIP-932).
const GROUP: i8 = 0;
/// Node id and port of no node.
const NO_NODE: i32 = -1;
/// From here on several keys are asked for at once.
const SEVERAL_KEYS_VERSION: i16 = 4;

/// The node, or what to say instead.
type Located = Result<(BrokerId, StrBytes, i32), (ErrorCode, &'static str)>;

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: FindCoordinatorRequest = request.decode()?;
    if request.version() < SEVERAL_KEYS_VERSION {
        return request.reply(&one_response(locate(&request, body.key_type, &body.key).await));
    }
    let mut coordinators = Vec::with_capacity(body.coordinator_keys.len());
    for key in &body.coordinator_keys {
        coordinators.push(response(key, locate(&request, body.key_type, key).await));
    }
    request.reply(&message!(FindCoordinatorResponse { coordinators: coordinators }))
}

async fn locate(request: &Request<'_>, key_type: i8, key: &str) -> Located {
    if key_type != GROUP {
        return Err((
            ErrorCode::InvalidRequest,
            "this node coordinates groups only: transactions and share groups are not served",
        ));
    }
    if let Err(error) = offsets_topic::ensure(request.reactor).await {
        tracing::warn!("{OFFSETS_TOPIC} cannot be made: {error}");
        return Err((ErrorCode::CoordinatorNotAvailable, "the topic of the groups could not be made"));
    }
    let image = request.node().metadata.image();
    let leader = image.topic(OFFSETS_TOPIC).and_then(|topic| {
        let partition = partition_of(key, topic.partitions.len() as i32);
        topic.partitions.get(&partition).map(|partition| partition.leader)
    });
    let brokers = brokers::active(request, &image);
    match brokers.into_iter().find(|broker| Some(broker.id) == leader) {
        Some(broker) => Ok((broker.id, broker.host, broker.port)),
        None => Err((ErrorCode::CoordinatorNotAvailable, "nobody leads the group's partition")),
    }
}

fn one_response(located: Located) -> FindCoordinatorResponse {
    match located {
        Ok((node_id, host, port)) => message!(FindCoordinatorResponse {
            error_message: Some("NONE".into()),
            node_id,
            host,
            port,
        }),
        Err((error, why)) => message!(FindCoordinatorResponse {
            error_code: error.code(),
            error_message: Some(why.into()),
            node_id: NO_NODE,
            port: NO_NODE,
        }),
    }
}

fn response(key: &StrBytes, located: Located) -> Coordinator {
    match located {
        Ok((node_id, host, port)) => {
            message!(Coordinator { key: key.clone(), node_id, host, port })
        }
        Err((error, why)) => message!(Coordinator {
            key: key.clone(),
            node_id: NO_NODE,
            port: NO_NODE,
            error_code: error.code(),
            error_message: Some(why.into()),
        }),
    }
}
