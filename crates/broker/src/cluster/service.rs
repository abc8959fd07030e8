//! The service that other nodes call: each call becomes an event of the control thread.

#[allow(clippy::all, clippy::pedantic, unused_qualifications, unreachable_pub, reason = "written by tonic-build")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/chronik.cluster.v1.Peer.rs"));
}

pub(super) use generated::peer_client::PeerClient;
pub(super) use generated::peer_server::{Peer, PeerServer};

use std::net::TcpListener;

use chronik_consensus::Message;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::control::Event;
use super::messages::*;

/// The largest message between nodes: a snapshot of the metadata of a very large cluster.
pub(super) const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Calls of one connection at a time.
const CALLS_MAX: usize = 64;

/// A call that waits for its answer.
pub(crate) struct Call<Q, A> {
    pub(super) request: Q,
    pub(super) answer: oneshot::Sender<A>,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) events: mpsc::UnboundedSender<Event>,
    /// Batches of the Raft group's messages. Bounded: a peer that sends faster than they are taken waits, as far as its connection goes.
    pub(super) raft: mpsc::Sender<Vec<Message>>,
    /// The cluster that this node belongs to.
    pub(super) cluster_id: String,
    /// This node, as a member of the Raft group.
    pub(super) raft_id: u64,
}

impl Service {
    /// A node of another cluster has nothing to say here, whatever address it was given.
    #[allow(clippy::result_large_err, reason = "tonic's own error, as all of this service's")]
    fn check_cluster(&self, theirs: &str) -> Result<(), Status> {
        if theirs == self.cluster_id {
            return Ok(());
        }
        let ours = &self.cluster_id;
        Err(Status::permission_denied(format!("this node belongs to cluster {ours}, the sender to cluster {theirs}")))
    }

    /// Another member may have been here before: who looks for that one is to look elsewhere.
    #[allow(clippy::result_large_err, reason = "tonic's own error, as all of this service's")]
    fn check_meant(&self, messages: &[Message]) -> Result<(), Status> {
        match messages.iter().all(|message| message.to == self.raft_id) {
            true => Ok(()),
            false => Err(Status::not_found("another member of the group is meant")),
        }
    }

    async fn ask<Q, A>(&self, request: Request<Q>, event: impl FnOnce(Call<Q, A>) -> Event) -> Result<Response<A>, Status> {
        let (answer, answered) = oneshot::channel();
        let call = Call { request: request.into_inner(), answer };
        self.events.send(event(call)).map_err(|_| stops())?;
        answered.await.map(Response::new).map_err(|_| stops())
    }
}

fn stops() -> Status {
    Status::unavailable("the node stops, or could not say")
}

#[async_trait]
impl Peer for Service {
    async fn introduce(&self, request: Request<IntroduceRequest>) -> Result<Response<IntroduceResponse>, Status> {
        self.ask(request, Event::Introduce).await
    }

    async fn raft(&self, request: Request<Streaming<RaftRequest>>) -> Result<Response<RaftResponse>, Status> {
        let mut stream = request.into_inner();
        let mut is_known = false;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            if !std::mem::replace(&mut is_known, true) {
                self.check_cluster(&batch.cluster_id)?;
                self.check_meant(&batch.messages)?;
            }
            self.raft.send(batch.messages).await.map_err(|_| stops())?;
        }
        Ok(Response::new(RaftResponse {}))
    }

    async fn snapshot(&self, request: Request<SnapshotRequest>) -> Result<Response<SnapshotResponse>, Status> {
        let request = request.into_inner();
        self.check_cluster(&request.cluster_id)?;
        let message = request.message.ok_or_else(|| Status::invalid_argument("no message"))?;
        self.raft.send(vec![message]).await.map_err(|_| stops())?;
        Ok(Response::new(SnapshotResponse {}))
    }

    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterResponse>, Status> {
        self.ask(request, Event::Register).await
    }

    async fn heartbeat(&self, request: Request<HeartbeatRequest>) -> Result<Response<HeartbeatResponse>, Status> {
        self.ask(request, Event::Heartbeat).await
    }

    async fn alter_partitions(
        &self,
        request: Request<AlterPartitionsRequest>,
    ) -> Result<Response<AlterPartitionsResponse>, Status> {
        self.ask(request, Event::AlterPartitions).await
    }

    async fn allocate_producer_ids(
        &self,
        request: Request<AllocateProducerIdsRequest>,
    ) -> Result<Response<AllocateProducerIdsResponse>, Status> {
        self.ask(request, Event::AllocateProducerIds).await
    }

    async fn forward(&self, request: Request<ForwardRequest>) -> Result<Response<ForwardResponse>, Status> {
        self.ask(request, Event::Forwarded).await
    }
}

/// Serves `service` on `listener` until `stopped`. What goes wrong with one connection is that one's misfortune.
pub(super) async fn serve(service: impl Peer, listener: TcpListener, stopped: impl Future<Output = ()>) -> Result<(), tonic::transport::Error> {
    let listener = listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
    let incoming = TcpListenerStream::new(listener.expect("a listener that was bound by this process"));
    let server = PeerServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
    tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .concurrency_limit_per_connection(CALLS_MAX)
        .max_concurrent_streams(Some(CALLS_MAX as u32))
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .serve_with_incoming_shutdown(server, incoming, stopped)
        .await
}

/// A peer that does not answer to this is gone.
pub(super) const KEEPALIVE: std::time::Duration = std::time::Duration::from_secs(2);
