//! InitProducerId (key 22): an identity for an idempotent producer. Versions 0 to 5.
//!
//! Every request gets an id that nobody had before, with epoch 0. An id without an epoch, or the other way round, is
//! INVALID_REQUEST (version 3 on, KIP-360), and so is an empty transactional id.
//!
//! Transactions are not served: a transactional id is UNSUPPORTED_VERSION, which every client takes as final and names. The codes
//! of an absent coordinator would be retried until the client's timeout.
//!
//! KIP-98.

use chronik_wire::messages::{InitProducerIdRequest, InitProducerIdResponse};
use chronik_wire::{ErrorCode, message};

use crate::dispatch::errors::Failure;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(InitProducerId);

const NO_PRODUCER_ID: i64 = -1;
const NO_PRODUCER_EPOCH: i16 = -1;

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: InitProducerIdRequest = request.decode()?;
    let response = match producer_id(&request, &body).await {
        Ok(producer_id) => message!(InitProducerIdResponse { producer_id, producer_epoch: 0 }),
        Err(error) => message!(InitProducerIdResponse {
            error_code: error.code(),
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
        }),
    };
    request.reply(&response)
}

async fn producer_id(request: &Request<'_>, body: &InitProducerIdRequest) -> Result<i64, ErrorCode> {
    if (body.producer_id == NO_PRODUCER_ID) != (body.producer_epoch == NO_PRODUCER_EPOCH) {
        return Err(ErrorCode::InvalidRequest);
    }
    match body.transactional_id.as_deref() {
        None => {}
        Some("") => return Err(ErrorCode::InvalidRequest),
        Some(_) => return Err(ErrorCode::UnsupportedVersion),
    }
    request.node().metadata.next_producer_id(request.reactor).await.map_err(|error| Failure::from(error).code)
}
