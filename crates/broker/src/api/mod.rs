//! One file per Kafka API: decode, ask, encode. Each opens with its contract.

pub(crate) mod api_versions;
pub(crate) mod fetch;
pub(crate) mod produce;
