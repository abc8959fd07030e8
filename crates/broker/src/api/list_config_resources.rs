//! ListConfigResources (key 74): which resources may have configs. Versions 0 and 1.
//!
//! Version 0 asks for client metrics subscriptions (KIP-1000), of which there are none. Version 1 (KIP-1142) asks for kinds of
//! resources, for all of them where it names none; a kind that does not exist is UNSUPPORTED_VERSION.

use chronik_state::metadata::Image;
use chronik_wire::messages::list_config_resources_response::ConfigResource;
use chronik_wire::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use chronik_wire::{ErrorCode, StrBytes, message};

use super::configs::resource::{self, KINDS};
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(ListConfigResources);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: ListConfigResourcesRequest = request.decode()?;
    let asked = match request.version() {
        0 => vec![resource::CLIENT_METRICS],
        _ if body.resource_types.is_empty() => KINDS.to_vec(),
        _ => body.resource_types.clone(),
    };
    if asked.iter().any(|kind| !KINDS.contains(kind)) {
        return request
            .reply(&message!(ListConfigResourcesResponse { error_code: ErrorCode::UnsupportedVersion.code() }));
    }
    let image = request.node().metadata.image();
    let kinds = KINDS.into_iter().filter(|kind| asked.contains(kind));
    let mut config_resources: Vec<_> = kinds.flat_map(|kind| resources(&image, kind)).collect();
    if request.version() == 0 {
        // This version has no field for the kind.
        config_resources.iter_mut().for_each(|found| found.resource_type = resource::CLIENT_METRICS);
    }
    request.reply(&message!(ListConfigResourcesResponse { config_resources }))
}

fn resources(image: &Image, kind: i8) -> Vec<ConfigResource> {
    let named = |name: StrBytes| message!(ConfigResource { resource_name: name, resource_type: kind });
    match kind {
        resource::TOPIC => image.topics().map(|topic| named(StrBytes::from(&*topic.name))).collect(),
        resource::BROKER => image.active_brokers().map(|broker| named(broker.id.to_string().into())).collect(),
        // Nothing keeps configs of loggers, client metrics or groups.
        _ => Vec::new(),
    }
}
