//! UpdateFeatures (key 57): an operator raises or lowers what the cluster has agreed upon. Versions 0 to 2.
//!
//! All features of a request move, or none. The one feature there is, `metadata.version`, moves in both directions without a
//! loss. Error, for the whole request: INVALID_UPDATE_VERSION (a level or a feature that is not supported, a direction that
//! does not fit).
//!
//! KIP-584, KIP-778 (directions; version 0 has a flag for the second).

use chronik_state::metadata::{FeatureDirection, FeatureUpdate, UpdateFeatures};
use chronik_wire::messages::update_features_request::FeatureUpdateKey;
use chronik_wire::messages::update_features_response::UpdatableFeatureResult;
use chronik_wire::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use chronik_wire::{StrBytes, message};

use crate::dispatch::errors::Failure;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(UpdateFeatures);

/// From this version on, the whole request has one error and no feature one of its own.
const ONE_RESULT: i16 = 2;

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: UpdateFeaturesRequest = request.decode()?;
    let updates = body.feature_updates.iter().map(|update| FeatureUpdate {
        name: update.feature.as_str().to_owned(),
        level: update.max_version_level,
        direction: direction(update, request.version()),
    });
    let controller_id = request.node().config.node_id;
    let command = UpdateFeatures { updates: updates.collect(), validate_only: body.validate_only, controller_id };
    let metadata = &request.node().metadata;
    let result = match metadata.submit(request.reactor, |controller| controller.update_features(&command)).await {
        Ok(result) => result.map_err(Failure::from),
        Err(error) => Err(Failure::from(error)),
    };
    let mut response = message!(UpdateFeaturesResponse { error_message: None });
    match result {
        Ok(()) if request.version() < ONE_RESULT => {
            let name = |update: &FeatureUpdateKey| update.feature.clone();
            // Kafka's text where nothing is wrong.
            let done = |feature| message!(UpdatableFeatureResult { feature, error_message: Some("NONE".into()) });
            response.results = body.feature_updates.iter().map(name).map(done).collect();
        }
        Ok(()) => {}
        Err(failure) => {
            response.error_code = failure.code.code();
            response.error_message = failure.message.map(|text| {
                let all = "The update failed for all features since the following feature had an error: ";
                StrBytes::from(format!("{all}{text}"))
            });
        }
    }
    request.reply(&response)
}

fn direction(update: &FeatureUpdateKey, version: i16) -> Option<FeatureDirection> {
    match (version, update.upgrade_type) {
        (0, _) if update.allow_downgrade => Some(FeatureDirection::Downgrade),
        (0, _) | (_, 1) => Some(FeatureDirection::Upgrade),
        (_, 2 | 3) => Some(FeatureDirection::Downgrade),
        _ => None,
    }
}
