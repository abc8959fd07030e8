//! Which APIs this node serves. What ApiVersions answers is computed from here.

use std::future::Future;
use std::pin::Pin;

use chronik_wire::ApiKey;

use super::{BadRequest, Reply, Request};
use crate::api;

/// What a handler gives: its work, to be awaited on the thread of its connection.
pub(crate) type Serving<'a> = Pin<Box<dyn Future<Output = Result<Reply, BadRequest>> + 'a>>;

/// One Kafka API.
pub(crate) struct Api {
    pub(crate) key: ApiKey,
    pub(crate) serve: for<'a> fn(Request<'a>) -> Serving<'a>,
}

/// Declares the [`Api`] of a file from its `handle` function.
macro_rules! serves {
    ($key:ident) => {
        pub(crate) const API: $crate::dispatch::table::Api = $crate::dispatch::table::Api {
            key: chronik_wire::ApiKey::$key,
            serve: |request| Box::pin(handle(request)),
        };
    };
}
pub(crate) use serves;

/// All that is served, Produce apart: its requests never become messages (`api/produce.rs`).
const TABLE: &[&Api] = &[
    &api::alter_configs::API,
    &api::alter_partition_reassignments::API,
    &api::alter_replica_log_dirs::API,
    &api::api_versions::API,
    &api::create_partitions::API,
    &api::create_topics::API,
    &api::delete_groups::API,
    &api::delete_records::API,
    &api::delete_topics::API,
    &api::describe_cluster::API,
    &api::describe_configs::API,
    &api::describe_groups::API,
    &api::describe_log_dirs::API,
    &api::describe_producers::API,
    &api::describe_quorum::API,
    &api::describe_topic_partitions::API,
    &api::elect_leaders::API,
    &api::fetch::API,
    &api::find_coordinator::API,
    &api::heartbeat::API,
    &api::incremental_alter_configs::API,
    &api::init_producer_id::API,
    &api::join_group::API,
    &api::leave_group::API,
    &api::list_config_resources::API,
    &api::list_groups::API,
    &api::list_offsets::API,
    &api::list_partition_reassignments::API,
    &api::metadata::API,
    &api::offset_commit::API,
    &api::offset_delete::API,
    &api::offset_fetch::API,
    &api::offset_for_leader_epoch::API,
    &api::sync_group::API,
    &api::update_features::API,
];

/// The API with this key, if it is served by a handler.
pub(crate) fn api(key: ApiKey) -> Option<&'static Api> {
    TABLE.iter().copied().find(|api| api.key == key)
}

/// The keys of all that is served.
pub(crate) fn keys() -> impl Iterator<Item = ApiKey> {
    std::iter::once(ApiKey::Produce).chain(TABLE.iter().map(|api| api.key))
}
