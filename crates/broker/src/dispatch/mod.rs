//! The request: which API, which version, who asks, and how the answer is put together.

pub(crate) mod authorize;
pub(crate) mod errors;
pub(crate) mod table;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chronik_wire::messages::{KafkaDecode, KafkaEncode, KafkaMessage, KafkaRequest, KafkaResponse};
use chronik_wire::{ApiKey, DecodeError, EncodeError, FrameError, RequestHeader};
use thiserror::Error;
use tokio::sync::Notify;

use crate::cluster::{controller, forward};
use crate::metrics::Outcome;
use crate::net::output::Run;
use crate::net::reactor::Reactor;
use crate::node::Node;

/// What is known of the client on the other end, for as long as the connection lasts.
pub(crate) struct Connection {
    /// Where the client is.
    pub(crate) peer: SocketAddr,
    /// Where it reached us.
    pub(crate) local: SocketAddr,
    gone: Rc<Gone>,
    /// Of the request that was served last: a part of it was refused.
    failed: Cell<bool>,
}

/// Whether the client has ended its side of the connection: it asks nothing more, and hardly waits for an answer.
#[derive(Default)]
pub(crate) struct Gone {
    is_set: Cell<bool>,
    told: Notify,
}

/// One request, with all that a handler may ask for.
pub(crate) struct Request<'a> {
    pub(crate) reactor: &'a Rc<Reactor>,
    pub(crate) connection: &'a mut Connection,
    inner: chronik_wire::Request,
}

/// An answer, encoded.
pub(crate) enum Reply {
    /// A whole frame.
    Bytes(Bytes),
    /// A whole frame in pieces: what carries records.
    Runs(Vec<Run>),
}

/// A request that has no answer: the connection is closed, as Kafka does.
#[derive(Debug, Error)]
pub(crate) enum BadRequest {
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Body(#[from] DecodeError),
    /// A bug of ours: the client did nothing wrong.
    #[error("the answer could not be encoded: {0}")]
    Encode(#[from] EncodeError),
}

impl Connection {
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        Connection { peer, local, gone: Rc::default(), failed: Cell::new(false) }
    }

    /// A part of the request is refused.
    pub(crate) fn note_failure(&self) {
        self.failed.set(true);
    }

    /// What became of the request, as far as its answer says; once.
    pub(crate) fn outcome(&self) -> Outcome {
        if self.failed.take() { Outcome::Error } else { Outcome::Ok }
    }

    /// What the connection's task tells the request that it serves.
    pub(crate) fn gone(&self) -> Rc<Gone> {
        Rc::clone(&self.gone)
    }
}

impl Gone {
    pub(crate) fn set(&self) {
        self.is_set.set(true);
        self.told.notify_one();
    }

    /// Returns once the client has gone.
    pub(crate) async fn wait(&self) {
        while !self.is_set.get() {
            self.told.notified().await;
        }
    }
}

impl Request<'_> {
    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.reactor.node
    }

    pub(crate) fn header(&self) -> &RequestHeader {
        &self.inner.header
    }

    pub(crate) fn version(&self) -> i16 {
        self.inner.header.api_version
    }

    /// What the client calls itself; empty when it does not.
    pub(crate) fn client_id(&self) -> &str {
        self.inner.header.client_id.as_deref().unwrap_or("")
    }

    /// The body as `M`, the request of this API.
    pub(crate) fn decode<M: KafkaRequest + KafkaMessage + KafkaDecode>(&self) -> Result<M, BadRequest> {
        Ok(self.inner.decode()?)
    }

    /// `response` as the answer to this request.
    pub(crate) fn reply<M: KafkaResponse + KafkaEncode>(&self, response: &M) -> Result<Reply, BadRequest> {
        let mut buffer = BytesMut::new();
        chronik_wire::encode_response(&mut buffer, self.header(), response)?;
        Ok(Reply::Bytes(buffer.freeze()))
    }
}

/// True for a produce request, whose bytes are used where they lie.
pub(crate) fn is_produce(frame: &[u8]) -> bool {
    frame.starts_with(&ApiKey::Produce.code().to_be_bytes())
}

/// Serves any request but Produce.
pub(crate) async fn serve(reactor: &Rc<Reactor>, connection: &mut Connection, frame: Bytes) -> Result<Reply, BadRequest> {
    let Some(cluster) = &reactor.node.cluster else { return serve_here(reactor, connection, frame).await };
    let (header, _) = chronik_wire::Request::split(&frame)?;
    if !forward::is_for_leader(header.api_key) {
        return serve_here(reactor, connection, frame).await;
    }
    if let Some(answer) = forward::pass_on(&reactor.node, cluster, &frame).await {
        return Ok(Reply::Bytes(answer));
    }
    let reply = serve_here(reactor, connection, frame).await?;
    controller::until_seen(&reactor.node, cluster).await;
    Ok(reply)
}

/// The same, without passing it on.
pub(crate) async fn serve_here(
    reactor: &Rc<Reactor>,
    connection: &mut Connection,
    frame: Bytes,
) -> Result<Reply, BadRequest> {
    let inner = chronik_wire::Request::parse(frame)?;
    let (api_key, api_version) = (inner.header.api_key, inner.header.api_version);
    let api = table::api(api_key).ok_or(FrameError::UnsupportedVersion { api_key, api_version })?;
    let request = Request { reactor, connection, inner };
    tracing::trace!(api = ?api_key, version = api_version, client = request.client_id(), "request");
    (api.serve)(request).await
}
