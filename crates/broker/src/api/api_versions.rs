//! ApiVersions (key 18): what this node serves. Versions 0 to 4.
//!
//! The list is computed from the table of handlers, so nothing is promised that nobody answers. A version that we do
//! not know is answered in version 0 with UNSUPPORTED_VERSION and the versions we do know, so that a newer client can come
//! down to us (KIP-511). A client name or version that is not of Kafka's form is INVALID_REQUEST (KIP-511).
//!
//! From version 3 on it also tells the features that are supported, and those that are final, as of an offset in the metadata log
//! (KIP-584).

use bytes::BytesMut;
use chronik_state::metadata::SUPPORTED_FEATURES;
use chronik_wire::messages::api_versions_response::{FinalizedFeatureKey, SupportedFeatureKey};
use chronik_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use chronik_wire::{ErrorCode, advertise, api_versions_response, api_versions_unsupported, message};

use crate::dispatch::table::{self, serves};
use crate::dispatch::{BadRequest, Reply, Request};

serves!(ApiVersions);

/// The first version with features.
const FEATURES: i16 = 3;

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let advertised = advertise(table::keys());
    if !request.header().is_supported() {
        let mut buffer = BytesMut::new();
        api_versions_unsupported(&mut buffer, request.header())?;
        return Ok(Reply::Bytes(buffer.freeze()));
    }
    let body: ApiVersionsRequest = request.decode()?;
    let mut response = api_versions_response(&advertised);
    let named = request.version() >= 3;
    if named && !(is_software_text(&body.client_software_name) && is_software_text(&body.client_software_version)) {
        response.error_code = ErrorCode::InvalidRequest.code();
        response.api_keys.clear();
    } else if request.version() >= FEATURES {
        tell_features(&request, &mut response);
    }
    request.reply(&response)
}

fn tell_features(request: &Request<'_>, response: &mut ApiVersionsResponse) {
    let metadata = &request.node().metadata;
    response.finalized_features_epoch = metadata.reached().high_watermark - 1;
    let supported = SUPPORTED_FEATURES.iter().map(|feature| {
        let (min_version, max_version) = (feature.min_level, feature.max_level);
        message!(SupportedFeatureKey { name: feature.name.into(), min_version, max_version })
    });
    response.supported_features = supported.collect();
    let image = metadata.image();
    let finalized = image.features().iter().map(|(name, level)| {
        let name = name.as_str().into();
        message!(FinalizedFeatureKey { name, max_version_level: *level, min_version_level: *level })
    });
    response.finalized_features = finalized.collect();
}

/// Kafka's pattern for software names and versions: `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_software_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(inner)
}

#[cfg(test)]
mod tests {
    use super::is_software_text;

    #[test]
    fn software_names_are_kafkas() {
        for good in ["apache-kafka-java", "3.9.0", "a", "librdkafka", "v2.1.0-rc.1"] {
            assert!(is_software_text(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "a.", "ä"] {
            assert!(!is_software_text(bad), "{bad}");
        }
    }
}
