//! AlterConfigs (key 33): replaces all configs of a resource. Versions 0 to 2. Deprecated in Kafka in favour of
//! IncrementalAlterConfigs, still spoken by older clients.
//!
//! Each resource for itself, all of its configs or none; what is not named goes back to its default. Errors: INVALID_CONFIG,
//! INVALID_REQUEST, UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION.
//!
//! KIP-133.

use chronik_state::metadata::record::ConfigResource;
use chronik_state::metadata::{AlterConfigs, ResourceConfigs};
use chronik_wire::messages::alter_configs_request::AlterConfigsResource;
use chronik_wire::messages::alter_configs_response::AlterConfigsResourceResponse;
use chronik_wire::messages::{AlterConfigsRequest, AlterConfigsResponse};
use chronik_wire::{StrBytes, message};

use super::configs::{alterable, merge};
use crate::dispatch::errors::Failure;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(AlterConfigs);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: AlterConfigsRequest = request.decode()?;
    let (resources, refused): (Vec<_>, Vec<_>) = body
        .resources
        .iter()
        .map(|item| match alterable(request.node(), item.resource_type, &item.resource_name) {
            Ok(resource) => (Some(configs(item, resource)), None),
            Err(failure) => (None, Some(failure)),
        })
        .unzip();
    let command =
        AlterConfigs { resources: resources.into_iter().flatten().collect(), validate_only: body.validate_only };
    let metadata = &request.node().metadata;
    let altered = metadata.submit(request.reactor, |controller| controller.alter_configs(&command)).await;
    let results = merge(refused, altered);
    let responses = body.resources.iter().zip(results).map(|(item, result)| response(item, result)).collect();
    request.reply(&message!(AlterConfigsResponse { responses }))
}

fn configs(item: &AlterConfigsResource, resource: ConfigResource) -> ResourceConfigs {
    let configs = item
        .configs
        .iter()
        .map(|config| (config.name.as_str().to_owned(), config.value.as_ref().map(|value| value.as_str().to_owned())));
    ResourceConfigs { resource, configs: configs.collect() }
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
