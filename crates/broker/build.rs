//! Writes the code of the service that nodes of a cluster serve each other; its messages stand in `src/cluster/messages.rs`.

use tonic_build::manual::{Builder, Method, Service};

const MESSAGES: &str = "crate::cluster::messages";
const CODEC: &str = "tonic_prost::ProstCodec";

fn main() {
    let method = |name: &str, route: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("{MESSAGES}::{route}Request"))
            .output_type(format!("{MESSAGES}::{route}Response"))
            .codec_path(CODEC)
    };
    let service = Service::builder()
        .name("Peer")
        .package("chronik.cluster.v1")
        .method(method("introduce", "Introduce").build())
        .method(method("raft", "Raft").client_streaming().build())
        .method(method("snapshot", "Snapshot").build())
        .method(method("register", "Register").build())
        .method(method("heartbeat", "Heartbeat").build())
        .method(method("alter_partitions", "AlterPartitions").build())
        .method(method("allocate_producer_ids", "AllocateProducerIds").build())
        .method(method("forward", "Forward").build())
        .build();
    Builder::new().compile(&[service]);
    println!("cargo:rerun-if-changed=build.rs");
}
