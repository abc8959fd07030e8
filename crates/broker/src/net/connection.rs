//! One client's connection: frames in, answers out, in the order of the requests.
//!
//! Produce requests that follow each other are all appended before the first is answered, so that one
//! sync covers them; their answers wait here until the log has come to their position. Every other
//! request is served when all before it were answered, as Kafka does.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chronik_wire::ApiKey;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, info};

use super::buffer::{Front, ReadBuffer};
use super::memory::Share;
use super::output::{Output, Run};
use super::reactor::{Accepted, Position, Reactor};
use crate::api::produce::{self, Produced};
use crate::dispatch::{self, Reply};
use crate::node::Node;

/// Produce requests that one connection may have waiting for their sync.
const PARKED_MAX: usize = 256;
/// Bytes that one connection may use before others of its thread get their turn.
const TURN_BYTES: usize = 2 << 20;
/// How long a large request may wait for memory before its connection is closed.
const MEMORY_WAIT: Duration = Duration::from_secs(5);
/// How often it looks, while it waits.
const MEMORY_POLL: Duration = Duration::from_millis(50);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    #[error("the client closed it")]
    ByClient,
    #[error("nothing was heard for connections.max.idle.ms")]
    Idle,
    #[error("the node stops")]
    NodeStops,
    #[error("frame length {length} is not between 0 and {limit}, the most that a request of its kind may have")]
    FrameLength { length: i32, limit: usize },
    #[error("requests hold all of the memory that they may hold, and none came free in {MEMORY_WAIT:?}")]
    NoMemory,
    #[error("{0}")]
    BadRequest(#[from] dispatch::BadRequest),
    #[error("a produce request with acks=0 failed, and closing is the only answer it can have: {0}")]
    ProduceWithoutAcks(String),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Serves a connection to its end.
pub(crate) async fn serve(reactor: Rc<Reactor>, accepted: Accepted) {
    let peer = accepted.peer;
    let node = Arc::clone(&reactor.node);
    let closed = match Connection::new(reactor, &node, accepted) {
        Ok(mut connection) => connection.run().await,
        Err(error) => Closed::Io(error),
    };
    match closed {
        Closed::ByClient | Closed::Idle | Closed::NodeStops | Closed::Io(_) => debug!(%peer, reason = %closed, "connection ended"),
        _ => info!(%peer, reason = %closed, "connection closed"),
    }
}

struct Connection<'a> {
    reactor: Rc<Reactor>,
    stream: TcpStream,
    context: dispatch::Connection,
    buffer: Option<ReadBuffer>,
    share: Share<'a>,
    output: Output,
    /// Encoded answers of parked produce requests, and where in the log each may leave.
    parked_bytes: BytesMut,
    parked: VecDeque<(Option<Position>, usize)>,
    released: Rc<Notify>,
    stopping: tokio::sync::watch::Receiver<bool>,
    idle_max: Duration,
}

/// What a look at the front of the buffer led to.
enum Step {
    /// A request was used.
    Served,
    Blocked(Blocked),
}

/// Why no further request can be served now.
enum Blocked {
    /// More bytes are needed.
    NeedsBytes { frame_bytes: Option<usize> },
    /// The parked answers must leave first.
    NeedsRelease,
    /// The log takes nothing more for the moment.
    NeedsRoom,
}

impl<'a> Connection<'a> {
    fn new(reactor: Rc<Reactor>, node: &'a Node, accepted: Accepted) -> io::Result<Self> {
        let stream = TcpStream::from_std(accepted.stream)?;
        let context = dispatch::Connection::new(accepted.peer, stream.local_addr()?);
        Ok(Connection {
            context,
            stream,
            buffer: None,
            share: Share::none(&node.request_memory),
            output: Output::default(),
            parked_bytes: BytesMut::new(),
            parked: VecDeque::new(),
            released: Rc::new(Notify::new()),
            stopping: node.stopping(),
            idle_max: node.settings.connection_idle_max,
            reactor,
        })
    }

    async fn run(&mut self) -> Closed {
        match self.run_until_closed().await {
            Ok(never) => match never {},
            Err(closed) => closed,
        }
    }

    async fn run_until_closed(&mut self) -> Result<std::convert::Infallible, Closed> {
        let mut turn_bytes = 0;
        loop {
            let frame_bytes = match self.serve_buffered().await? {
                Blocked::NeedsBytes { frame_bytes } => frame_bytes,
                Blocked::NeedsRelease => {
                    self.wait_for_release().await?;
                    continue;
                }
                Blocked::NeedsRoom => {
                    self.wait_for_room().await?;
                    continue;
                }
            };
            if turn_bytes > TURN_BYTES {
                turn_bytes = 0;
                tokio::task::yield_now().await;
            }
            if self.wait().await? == Woken::Readable {
                turn_bytes += self.read(frame_bytes).await?;
            }
        }
    }

    /// Serves what is in the buffer, then sends what may leave.
    async fn serve_buffered(&mut self) -> Result<Blocked, Closed> {
        let blocked = loop {
            self.unpark();
            if let Step::Blocked(blocked) = self.serve_front().await? {
                break blocked;
            }
        };
        if self.buffer.as_ref().is_some_and(ReadBuffer::is_empty) {
            let buffer = self.buffer.take().expect("just seen");
            self.reactor.buffers.give_back(buffer);
            self.share.try_resize(0);
        }
        self.unpark();
        self.output.flush(&self.stream).await?;
        Ok(blocked)
    }

    async fn serve_front(&mut self) -> Result<Step, Closed> {
        let Some(buffer) = &mut self.buffer else {
            return Ok(Step::Blocked(Blocked::NeedsBytes { frame_bytes: None }));
        };
        let limit = frame_limit(buffer, self.reactor.node.settings.request_bytes_max);
        let length = match buffer.front(limit) {
            Front::Frame(length) => length,
            Front::Partial { frame_bytes } => return Ok(Step::Blocked(Blocked::NeedsBytes { frame_bytes })),
            Front::Refused { length } => return Err(Closed::FrameLength { length, limit }),
        };
        let frame = buffer.frame(length);
        if !dispatch::is_produce(frame) {
            if !self.parked.is_empty() {
                return Ok(Step::Blocked(Blocked::NeedsRelease));
            }
            let body = Bytes::copy_from_slice(frame);
            buffer.consume(length);
            let reply = dispatch::serve(&self.reactor, &mut self.context, body).await?;
            self.push_reply(reply);
            // A client that pipelines must take its answers: nothing piles up here.
            self.output.flush(&self.stream).await?;
            return Ok(Step::Served);
        }
        if self.parked.len() >= PARKED_MAX {
            return Ok(Step::Blocked(Blocked::NeedsRelease));
        }
        let before = self.parked_bytes.len();
        match produce::serve(&self.reactor, &mut self.context, frame, &mut self.parked_bytes)? {
            Produced::Answered { position } => {
                let answer_bytes = self.parked_bytes.len() - before;
                self.parked.push_back((position, answer_bytes));
                if let Some(position) = position {
                    self.reactor.wake_at(position, &self.released);
                }
            }
            Produced::NoAnswer => {}
            Produced::NoRoom => return Ok(Step::Blocked(Blocked::NeedsRoom)),
        }
        buffer.consume(length);
        Ok(Step::Served)
    }

    fn push_reply(&mut self, reply: Reply) {
        match reply {
            Reply::Bytes(bytes) => self.output.push(Run::Bytes(bytes)),
            Reply::Runs(runs) => runs.into_iter().for_each(|run| self.output.push(run)),
        }
    }

    /// Moves the answers whose records are safe to the output.
    fn unpark(&mut self) {
        let mut answer_bytes = 0;
        while let Some((position, bytes)) = self.parked.front() {
            if !position.is_none_or(|position| self.reactor.reached(position)) {
                break;
            }
            answer_bytes += bytes;
            self.parked.pop_front();
        }
        if answer_bytes > 0 {
            self.output.push(Run::Bytes(self.parked_bytes.split_to(answer_bytes).freeze()));
        }
    }

    async fn wait_for_release(&mut self) -> Result<(), Closed> {
        while !self.parked.is_empty() {
            self.unpark();
            self.output.flush(&self.stream).await?;
            if !self.parked.is_empty() {
                let stops = tokio::select! {
                    _ = self.released.notified() => false,
                    _ = self.stopping.wait_for(|stopping| *stopping) => true,
                };
                if stops {
                    return Err(self.stop().await);
                }
            }
        }
        Ok(())
    }

    async fn wait_for_room(&mut self) -> Result<(), Closed> {
        self.wait_for_release().await?;
        let node = Arc::clone(&self.reactor.node);
        let room = node.room.notified();
        node.upkeep.ring();
        tokio::select! {
            () = room => Ok(()),
            _ = self.stopping.wait_for(|stopping| *stopping) => Err(Closed::NodeStops),
        }
    }

    /// Until there is something to read or to send.
    async fn wait(&mut self) -> Result<Woken, Closed> {
        let deadline = Instant::now() + self.idle_max;
        let woken = tokio::select! {
            biased;
            _ = self.released.notified(), if !self.parked.is_empty() => Woken::Released,
            ready = self.stream.readable() => ready.map(|()| Woken::Readable)?,
            _ = self.stopping.wait_for(|stopping| *stopping) => Woken::Stopping,
            () = tokio::time::sleep_until(deadline) => return Err(Closed::Idle),
        };
        match woken {
            Woken::Stopping => Err(self.stop().await),
            woken => Ok(woken),
        }
    }

    /// Answers what was taken, then ends.
    async fn stop(&mut self) -> Closed {
        for (position, _) in self.parked.iter() {
            if let Some(position) = position
                && self.reactor.until(*position).await.is_err()
            {
                return Closed::NodeStops;
            }
        }
        self.unpark();
        match self.output.flush(&self.stream).await {
            Ok(()) => Closed::NodeStops,
            Err(error) => Closed::Io(error),
        }
    }

    /// Reads once. Answers the bytes that came.
    async fn read(&mut self, frame_bytes: Option<usize>) -> Result<usize, Closed> {
        if self.buffer.as_ref().is_some_and(ReadBuffer::is_full) {
            self.make_room(frame_bytes).await?;
        }
        let buffer = self.buffer.get_or_insert_with(|| self.reactor.buffers.take());
        let mut target = ReadBuf::new(buffer.spare());
        let stream = &mut self.stream;
        let polled = std::future::poll_fn(|context| match Pin::new(&mut *stream).poll_read(context, &mut target) {
            // Readiness was stale: that is no reason to wait here, where parked answers are not heard.
            std::task::Poll::Pending => std::task::Poll::Ready(None),
            std::task::Poll::Ready(result) => std::task::Poll::Ready(Some(result)),
        });
        let Some(result) = polled.await else { return Ok(0) };
        result?;
        let count = target.filled().len();
        buffer.filled(count);
        if count == 0 { Err(Closed::ByClient) } else { Ok(count) }
    }

    /// Lets the buffer grow, if the node's budget for requests has room.
    async fn make_room(&mut self, frame_bytes: Option<usize>) -> Result<(), Closed> {
        let buffer = self.buffer.as_mut().expect("a full buffer is there");
        let wanted = buffer.grown_capacity(frame_bytes);
        let deadline = Instant::now() + MEMORY_WAIT;
        while !self.share.try_resize(wanted) {
            if Instant::now() > deadline {
                return Err(Closed::NoMemory);
            }
            tokio::time::sleep(MEMORY_POLL).await;
        }
        buffer.grow_to(wanted);
        Ok(())
    }
}

#[derive(PartialEq, Eq)]
enum Woken {
    Readable,
    Released,
    Stopping,
}

/// The longest frame that may stand at the front: only records may take all of socket.request.max.bytes.
fn frame_limit(buffer: &ReadBuffer, request_bytes_max: usize) -> usize {
    let api_key = buffer.api_key().and_then(ApiKey::from_code);
    api_key.map_or(request_bytes_max, |api_key| api_key.max_request_bytes(request_bytes_max))
}
