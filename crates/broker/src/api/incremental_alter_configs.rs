//! IncrementalAlterConfigs (key 44): sets, deletes, appends to and subtracts from single configs. Versions 0 and 1.
//!
//! Each resource for itself, all of its changes or none; `validate_only` changes nothing. Changes hold from the next append or
//! read on. Errors: INVALID_CONFIG (unknown name, value out of range, appending to what is no list), INVALID_REQUEST (a
//! name twice, a null value, a broker's config that is read at its start only, another broker's number, a kind of resource
//! that has no configs here), UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION.
//!
//! KIP-339.

use chronik_state::metadata::record::ConfigResource;
use chronik_state::metadata::{ConfigChange, ConfigOperation, IncrementalAlterConfigs, ResourceChanges};
use chronik_wire::messages::incremental_alter_configs_request::AlterConfigsResource;
use chronik_wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use chronik_wire::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use chronik_wire::{ErrorCode, StrBytes, message};

use super::configs::{alterable, merge};
use crate::dispatch::errors::Failure;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(IncrementalAlterConfigs);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: IncrementalAlterConfigsRequest = request.decode()?;
    let (resources, refused): (Vec<_>, Vec<_>) = body
        .resources
        .iter()
        .map(|item| {
            let resource = alterable(request.node(), item.resource_type, &item.resource_name);
            match resource.and_then(|resource| changes(item, resource)) {
                Ok(changes) => (Some(changes), None),
                Err(failure) => (None, Some(failure)),
            }
        })
        .unzip();
    let command = IncrementalAlterConfigs {
        resources: resources.into_iter().flatten().collect(),
        validate_only: body.validate_only,
    };
    let metadata = &request.node().metadata;
    let altered = metadata.submit(request.reactor, |controller| controller.incremental_alter_configs(&command)).await;
    let results = merge(refused, altered);
    let responses = body.resources.iter().zip(results).map(|(item, result)| response(item, result)).collect();
    request.reply(&message!(IncrementalAlterConfigsResponse { responses }))
}

fn changes(item: &AlterConfigsResource, resource: ConfigResource) -> Result<ResourceChanges, Failure> {
    let change = |config: &chronik_wire::messages::incremental_alter_configs_request::AlterableConfig| {
        let operation = ConfigOperation::from_code(config.config_operation).ok_or_else(|| Failure {
            code: ErrorCode::InvalidRequest,
            message: Some(format!("Unknown operations type {}", config.config_operation)),
        })?;
        let value = config.value.as_ref().map(|value| value.as_str().to_owned());
        Ok(ConfigChange { name: config.name.as_str().to_owned(), operation, value })
    };
    let changes = item.configs.iter().map(change).collect::<Result<_, Failure>>()?;
    Ok(ResourceChanges { resource, changes })
}

fn response(item: &AlterConfigsResource, result: Result<(), Failure>) -> AlterConfigsResourceResponse {
    let mut response = message!(AlterConfigsResourceResponse {
        error_message: None,
        resource_type: item.resource_type,
        resource_name: item.resource_name.clone(),
    });
    if let Err(failure) = result {
        response.error_code = failure.code.code();
        response.error_message = failure.message.map(StrBytes::from);
    }
    response
}
