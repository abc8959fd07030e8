//! DescribeCluster (key 60): the brokers of the cluster. Versions 0 to 2.
//!
//! Asked for controllers (endpoint type 2, version 1 on), a broker answers MISMATCHED_ENDPOINT_TYPE, and to a type that does
//! not exist UNSUPPORTED_ENDPOINT_TYPE. Fenced brokers are told of where they are asked for (version 2).
//!
//! KIP-700, KIP-919 (endpoint types), KIP-1073 (fenced brokers).

use chronik_wire::messages::describe_cluster_response::DescribeClusterBroker;
use chronik_wire::messages::{DescribeClusterRequest, DescribeClusterResponse};
use chronik_wire::{ErrorCode, StrBytes, message};

use super::brokers::{self, Reachable};
use crate::dispatch::authorize::{CLUSTER_OPERATIONS, NOT_ASKED};
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(DescribeCluster);

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: DescribeClusterRequest = request.decode()?;
    match body.endpoint_type {
        BROKERS => request.reply(&describe(&request, &body)),
        CONTROLLERS => request.reply(&refused(
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER".into(),
        )),
        other => {
            let text = format!("Unsupported endpoint type {other}");
            request.reply(&refused(ErrorCode::UnsupportedEndpointType, text))
        }
    }
}

fn describe(request: &Request<'_>, body: &DescribeClusterRequest) -> DescribeClusterResponse {
    let image = request.node().metadata.image();
    let brokers = match body.include_fenced_brokers {
        true => brokers::registered(request, &image),
        false => brokers::active(request, &image),
    };
    message!(DescribeClusterResponse {
        cluster_id: StrBytes::from(image.cluster_id().unwrap_or_default()),
        controller_id: request.node().config.node_id,
        brokers: brokers.into_iter().map(broker).collect(),
        cluster_authorized_operations: match body.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => NOT_ASKED,
        },
    })
}

fn broker(broker: Reachable) -> DescribeClusterBroker {
    message!(DescribeClusterBroker {
        broker_id: broker.id,
        host: broker.host,
        port: broker.port,
        rack: broker.rack,
        is_fenced: broker.fenced,
    })
}

fn refused(error: ErrorCode, text: String) -> DescribeClusterResponse {
    message!(DescribeClusterResponse { error_code: error.code(), error_message: Some(text.into()) })
}
