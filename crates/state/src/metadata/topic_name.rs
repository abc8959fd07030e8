//! Which names a topic may have (Kafka's `Topic.validate`).

use alloc::format;
use alloc::string::String;

use crate::metadata::MetadataError;

/// Longest name, so that a directory of Kafka's layout stays within 255 bytes.
const NAME_LENGTH_MAX: usize = 249;

/// The log that holds the metadata; never a topic.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

/// Topics the server keeps its own state on.
const INTERNAL_TOPICS: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// True for a topic the server itself writes.
pub fn is_internal(name: &str) -> bool {
    INTERNAL_TOPICS.contains(&name)
}

/// INVALID_TOPIC_EXCEPTION, in Kafka's words, for a name that no topic may have.
pub fn validate(name: &str) -> Result<(), MetadataError> {
    match objection(name) {
        Some(objection) => Err(MetadataError::InvalidTopic(format!("Topic name is invalid: {objection}"))),
        None => Ok(()),
    }
}

fn objection(name: &str) -> Option<String> {
    // Kafka counts in UTF-16 units; a name of other than ASCII is refused whatever its length.
    let length = name.encode_utf16().count();
    match name {
        "" => Some("the empty string is not allowed".into()),
        "." => Some("'.' is not allowed".into()),
        ".." => Some("'..' is not allowed".into()),
        _ if length > NAME_LENGTH_MAX => {
            Some(format!("the length of '{name}' is longer than the max allowed length {NAME_LENGTH_MAX}"))
        }
        _ if !name.bytes().all(is_legal) => {
            Some(format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"))
        }
        _ => None,
    }
}

fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Only such names can look like another in the name of a metric.
pub(crate) fn may_collide(name: &str) -> bool {
    name.contains(['.', '_'])
}

/// What '.' and '_' become in the name of a metric.
pub(crate) fn unified(name: &str) -> String {
    name.replace('.', "_")
}
