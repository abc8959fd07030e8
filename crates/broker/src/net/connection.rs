//! One client's connection: frames in, answers out, in the order of the requests.
//!
//! Produce requests that follow each other are all appended before the first is answered, so that one
//! sync covers them; their answers wait here until the log has come to their position, or their records
//! to other nodes. Every other request is served when all before it were answered, as Kafka does.

use std::collections::VecDeque;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chronik_wire::ApiKey;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, info};

use super::buffer::{BUFFER_BYTES, Front, ReadBuffer};
use super::memory::Share;
use super::output::{Output, Run};
use super::reactor::{Accepted, Position, Reactor};
use crate::api::committing::Committing;
use crate::api::produce::{self, Produced};
use crate::dispatch::{self, Reply};
use crate::metrics::Outcome;
use crate::node::Node;
use crate::partition::Waiter;

/// Produce requests that one connection may have waiting for their sync.
const PARKED_MAX: usize = 256;
/// Encoded answers that one connection may have waiting for their sync.
const PARKED_BYTES_MAX: usize = 1 << 20;
/// How long one connection may keep its thread before others get their turn.
const TURN: Duration = Duration::from_millis(1);
/// After a read of so much, the peer is taken to be sending still: one more look costs little, and what it finds shares a
/// commit with what is there already.
const STREAMING_BYTES: usize = 32 << 10;
/// What one connection reads at most before it looks for answers that may leave. It may go on after that: see `give_way`.
const TURN_BYTES: usize = 512 << 10;
/// How long a large request may wait for memory before its connection is closed.
const MEMORY_WAIT: Duration = Duration::from_secs(5);
/// What a byte of a request may become in memory: strings of no length cost one or two. Measured, with room to spare.
const DECODED_BYTES_PER_BYTE: usize = 32;
/// Smaller requests are not counted while they are served.
const COUNTED_BYTES_MIN: usize = 1024;
/// How long a peer may stand still in the middle of a request or an answer while others find no memory.
const STANDSTILL_MAX: Duration = Duration::from_secs(2);
/// How often it looks, while it waits.
const MEMORY_POLL: Duration = Duration::from_millis(50);
/// How long answers may wait for their peer in memory that belongs to the log, and uncounted.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(5);
/// How long a peer may take over its answers once the node stops.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    #[error("the client closed it")]
    ByClient,
    #[error("nothing was heard for connections.max.idle.ms")]
    Idle,
    #[error("no answer was taken for connections.max.idle.ms")]
    NotReading,
    #[error("the node stops")]
    NodeStops,
    #[error("frame length {length} is not between 0 and {limit}, the most that a request of its kind may have")]
    FrameLength { length: i32, limit: usize },
    #[error("requests hold all of the memory that they may hold, and none came free in {MEMORY_WAIT:?}")]
    NoMemory,
    #[error("it stood still for {STANDSTILL_MAX:?} in the middle of a request or an answer, and others need the memory that it holds")]
    Standstill,
    #[error("its answers were not taken for {OUTPUT_PATIENCE:?}, and there is no memory to keep so many waiting")]
    NoMemoryForAnswers,
    #[error("{0}")]
    BadRequest(#[from] dispatch::BadRequest),
    #[error("a produce request with acks=0 failed, and closing is the only answer it can have: {0}")]
    ProduceWithoutAcks(String),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Closed {
    /// True if it is a request that ends the connection, and its peer may still listen.
    fn leaves_answers(&self) -> bool {
        matches!(self, Closed::FrameLength { .. } | Closed::NoMemory | Closed::BadRequest(_) | Closed::ProduceWithoutAcks(_))
    }
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
        Closed::ByClient | Closed::Idle | Closed::NotReading | Closed::NodeStops | Closed::Io(_) => debug!(%peer, reason = %closed, "connection ended"),
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
    /// What the request that is being served may hold.
    serving_share: Share<'a>,
    /// What the output holds, once it has waited for long.
    output_share: Share<'a>,
    /// Encoded answers of parked produce requests.
    parked_bytes: BytesMut,
    parked: VecDeque<Parked>,
    released: Rc<Notify>,
    /// Woken when records have come to other nodes; made when it is first needed.
    committed: Option<Arc<Waiter>>,
    stopping: tokio::sync::watch::Receiver<bool>,
    /// When the stopping node waits for this peer no longer; set once it stops.
    stop_deadline: Option<Instant>,
    idle_max: Duration,
    /// Since when it has its thread.
    turn_began: Instant,
    /// The time when it was last looked at: before each request.
    now: Instant,
    /// What it has read since, and what of that came last.
    turn_bytes: usize,
    last_read_bytes: usize,
}

/// The answer to a produce request that may not leave yet.
enum Parked {
    /// The next so many of the parked bytes, and where in the log they may leave.
    Encoded { position: Option<Position>, bytes: usize, outcome: Outcome, taken: Instant },
    /// What it is depends on other nodes.
    Committing { committing: Box<Committing>, taken: Instant },
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
    Bytes { frame_bytes: Option<usize> },
    /// The parked answers must leave first.
    Release,
    /// The log takes nothing more for the moment.
    Room,
}

impl<'a> Connection<'a> {
    fn new(reactor: Rc<Reactor>, node: &'a Node, accepted: Accepted) -> io::Result<Self> {
        let stream = TcpStream::from_std(accepted.stream)?;
        let context = dispatch::Connection::new(accepted.peer, accepted.local);
        Ok(Connection {
            context,
            stream,
            buffer: None,
            share: Share::none(&node.request_memory),
            output: Output::default(),
            serving_share: Share::none(&node.request_memory),
            output_share: Share::none(&node.request_memory),
            parked_bytes: BytesMut::new(),
            parked: VecDeque::new(),
            released: Rc::new(Notify::new()),
            committed: None,
            stopping: node.stopping(),
            stop_deadline: None,
            turn_began: Instant::now(),
            now: Instant::now(),
            turn_bytes: 0,
            last_read_bytes: 0,
            idle_max: node.settings.connection_idle_max,
            reactor,
        })
    }

    async fn run(&mut self) -> Closed {
        let closed = match self.run_until_closed().await {
            Ok(never) => match never {},
            Err(closed) => closed,
        };
        if closed.leaves_answers() {
            // Whatever becomes of this does not change why the connection ends.
            let _ = self.answer_what_was_taken().await;
        }
        closed
    }

    /// What came before the request that ends the connection was served, and its client is to know.
    async fn answer_what_was_taken(&mut self) -> Result<(), Closed> {
        self.wait_for_release().await?;
        self.flush().await
    }

    async fn run_until_closed(&mut self) -> Result<std::convert::Infallible, Closed> {
        loop {
            let frame_bytes = match self.serve_buffered().await? {
                Blocked::Bytes { frame_bytes } => frame_bytes,
                Blocked::Release => {
                    self.wait_for_release().await?;
                    continue;
                }
                Blocked::Room => {
                    self.wait_for_room().await?;
                    continue;
                }
            };
            if self.is_streaming() && self.read_again(frame_bytes).await? {
                continue;
            }
            self.settle().await?;
            self.give_way().await;
            if self.wait().await? == Woken::Readable {
                self.read(frame_bytes).await?;
            }
        }
    }

    /// Serves what is in the buffer, then sends what may leave.
    async fn serve_buffered(&mut self) -> Result<Blocked, Closed> {
        let blocked = loop {
            self.give_way().await;
            self.unpark()?;
            if let Step::Blocked(blocked) = self.serve_front().await? {
                break blocked;
            }
        };
        self.give_back_if_empty();
        self.unpark()?;
        self.flush().await?;
        Ok(blocked)
    }

    fn give_back_if_empty(&mut self) {
        if self.buffer.as_ref().is_some_and(ReadBuffer::is_empty) {
            let buffer = self.buffer.take().expect("just seen");
            self.reactor.buffers.give_back(buffer);
            self.share.try_resize(0);
        }
    }

    async fn serve_front(&mut self) -> Result<Step, Closed> {
        let Some(buffer) = &mut self.buffer else {
            return Ok(Step::Blocked(Blocked::Bytes { frame_bytes: None }));
        };
        let limit = frame_limit(buffer, self.reactor.node.settings.request_bytes_max);
        let length = match buffer.front(limit) {
            Front::Frame(length) => length,
            Front::Partial { frame_bytes } => return Ok(Step::Blocked(Blocked::Bytes { frame_bytes })),
            Front::Refused { length } => return Err(Closed::FrameLength { length, limit }),
        };
        let frame = buffer.frame(length);
        if !dispatch::is_produce(frame) {
            if !self.parked.is_empty() {
                return Ok(Step::Blocked(Blocked::Release));
            }
            let body = Bytes::copy_from_slice(frame);
            buffer.consume(length);
            let (api_key, taken) = (api_key(&body), self.now);
            let reply = self.serve(body).await;
            self.now = Instant::now();
            self.count(api_key, outcome(&self.context, &reply), taken);
            self.push_reply(reply?);
            // A client that pipelines must take its answers: nothing piles up here.
            self.flush().await?;
            return Ok(Step::Served);
        }
        if self.parked.len() >= PARKED_MAX || self.parked_bytes.len() >= PARKED_BYTES_MAX {
            return Ok(Step::Blocked(Blocked::Release));
        }
        let before = self.parked_bytes.len();
        let produced = produce::serve(&self.reactor, &mut self.context, frame, &mut self.parked_bytes, &mut self.committed);
        let (taken, outcome) = (self.now, outcome(&self.context, &produced));
        match produced {
            Ok(Produced::Answered { position }) => {
                let bytes = self.parked_bytes.len() - before;
                self.parked.push_back(Parked::Encoded { position, bytes, outcome, taken });
                if let Some(position) = position {
                    self.reactor.wake_at(position, &self.released);
                }
            }
            Ok(Produced::Committing(committing)) => {
                if let Some(position) = committing.position() {
                    self.reactor.wake_at(position, &self.released);
                }
                self.parked.push_back(Parked::Committing { committing, taken });
            }
            Ok(Produced::NoAnswer) => self.reactor.metrics().served(ApiKey::Produce, outcome, taken.elapsed()),
            Ok(Produced::NoRoom) => return Ok(Step::Blocked(Blocked::Room)),
            Err(closed) => {
                self.reactor.metrics().served(ApiKey::Produce, outcome, taken.elapsed());
                return Err(closed);
            }
        }
        buffer.consume(length);
        Ok(Step::Served)
    }

    /// A request that was taken at that time has been served.
    fn count(&self, api_key: Option<ApiKey>, outcome: Outcome, taken: Instant) {
        if let Some(api_key) = api_key {
            self.reactor.metrics().served(api_key, outcome, self.now.duration_since(taken));
        }
    }

    /// Serves a request; one that waits is told when the peer has gone.
    async fn serve(&mut self, body: Bytes) -> Result<Reply, Closed> {
        let reply = self.serve_counted(body).await;
        self.serving_share.try_resize(0);
        reply
    }

    async fn serve_counted(&mut self, body: Bytes) -> Result<Reply, Closed> {
        if let Some(capacity) = self.buffer.as_ref().filter(|buffer| !buffer.is_empty()).map(ReadBuffer::capacity) {
            // What was sent behind the request waits as long as it does.
            self.take_memory(capacity).await?;
        }
        self.take_memory_to_serve(&body).await?;
        let gone = self.context.gone();
        let mut serving = pin!(dispatch::serve(&self.reactor, &mut self.context, body));
        if let Poll::Ready(reply) = std::future::poll_fn(|context| Poll::Ready(serving.as_mut().poll(context))).await {
            return Ok(reply?);
        }
        if let Some(buffer) = &mut self.buffer {
            self.reactor.buffers.shrink(buffer);
            self.share.try_resize(buffer.capacity());
        }
        tokio::select! {
            biased;
            reply = &mut serving => return Ok(reply?),
            // Only the end of the peer's stream is of this kind: bytes that wait behind the request are not.
            _ = self.stream.ready(Interest::PRIORITY) => gone.set(),
        }
        Ok(serving.await?)
    }

    fn push_reply(&mut self, reply: Reply) {
        match reply {
            Reply::Bytes(bytes) => self.output.push(Run::Bytes(bytes)),
            Reply::Runs(runs) => runs.into_iter().for_each(|run| self.output.push(run)),
        }
    }

    /// Moves the answers whose records are safe to the output.
    fn unpark(&mut self) -> Result<(), Closed> {
        let mut answer_bytes = 0;
        let mut now = None;
        while let Some(parked) = self.parked.front_mut() {
            let (is_decided, position) = match parked {
                Parked::Encoded { position, .. } => (true, *position),
                Parked::Committing { committing, .. } => (committing.is_decided(), committing.position()),
            };
            if !is_decided || !position.is_none_or(|position| self.reactor.reached(position)) {
                break;
            }
            let now = *now.get_or_insert_with(Instant::now);
            match self.parked.pop_front().expect("just seen") {
                Parked::Encoded { bytes, outcome, taken, .. } => {
                    answer_bytes += bytes;
                    self.reactor.metrics().served(ApiKey::Produce, outcome, now.duration_since(taken));
                }
                Parked::Committing { committing, taken } => {
                    self.push_parked(std::mem::take(&mut answer_bytes));
                    let mut answer = BytesMut::new();
                    committing.encode(&self.reactor.node, &self.context, &mut answer).map_err(dispatch::BadRequest::from)?;
                    self.output.push(Run::Bytes(answer.freeze()));
                    self.reactor.metrics().served(ApiKey::Produce, self.context.outcome(), now.duration_since(taken));
                }
            }
        }
        self.push_parked(answer_bytes);
        Ok(())
    }

    fn push_parked(&mut self, answer_bytes: usize) {
        if answer_bytes > 0 {
            self.output.push(Run::Bytes(self.parked_bytes.split_to(answer_bytes).freeze()));
        }
    }

    /// When the first answer that waits for other nodes has to leave, if it is the next one.
    fn commit_deadline(&self) -> Option<Instant> {
        match self.parked.front()? {
            Parked::Encoded { .. } => None,
            Parked::Committing { committing, .. } => Some(committing.deadline()),
        }
    }

    async fn wait_for_release(&mut self) -> Result<(), Closed> {
        while !self.parked.is_empty() {
            self.unpark()?;
            self.flush().await?;
            if !self.parked.is_empty() {
                let deadline = self.commit_deadline();
                let stops = tokio::select! {
                    _ = self.released.notified() => false,
                    () = committed(self.committed.as_deref(), deadline) => false,
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
        self.settle().await?;
        let node = Arc::clone(&self.reactor.node);
        let room = node.room.notified();
        node.upkeep.ask_for_room();
        tokio::select! {
            () = room => Ok(()),
            _ = self.stopping.wait_for(|stopping| *stopping) => Err(Closed::NodeStops),
        }
    }

    /// Until there is something to read or to send.
    async fn wait(&mut self) -> Result<Woken, Closed> {
        let began = Instant::now();
        let deadline = began + self.idle_max;
        let commit_deadline = self.commit_deadline();
        let woken = tokio::select! {
            biased;
            // Before all else: a peer that never pauses must not keep the node from stopping.
            _ = self.stopping.wait_for(|stopping| *stopping) => Woken::Stopping,
            _ = self.released.notified(), if !self.parked.is_empty() => Woken::Released,
            () = committed(self.committed.as_deref(), commit_deadline) => Woken::Released,
            ready = self.stream.readable() => ready.map(|()| Woken::Readable)?,
            () = tokio::time::sleep_until(deadline) => return Err(Closed::Idle),
            () = wanted_back(&self.share, began) => return Err(Closed::Standstill),
        };
        self.turn_began = Instant::now();
        self.turn_bytes = 0;
        match woken {
            Woken::Stopping => Err(self.stop().await),
            woken => Ok(woken),
        }
    }

    /// Lets others of its thread run, if it has run for long.
    async fn give_way(&mut self) {
        self.now = Instant::now();
        if self.now.duration_since(self.turn_began) >= TURN {
            tokio::task::yield_now().await;
            self.now = Instant::now();
            self.turn_began = self.now;
        }
    }

    /// Sends what is in the output, waiting for the peer while it takes any of it.
    async fn flush(&mut self) -> Result<(), Closed> {
        if self.output.write(&self.stream)? {
            return Ok(());
        }
        let patience_ends = Instant::now() + OUTPUT_PATIENCE;
        let mut detached = false;
        loop {
            if !detached && Instant::now() >= patience_ends {
                detached = true;
                self.detach_output()?;
            }
            self.wait_for_reader((!detached).then_some(patience_ends)).await?;
            self.give_way().await;
            if self.output.write(&self.stream)? {
                self.output_share.try_resize(0);
                return Ok(());
            }
        }
    }

    /// Until the peer takes more, or until `deadline`.
    async fn wait_for_reader(&mut self, deadline: Option<Instant>) -> Result<(), Closed> {
        let (stopping, stop_deadline) = (&mut self.stopping, &mut self.stop_deadline);
        let stop_patience_ends = async move {
            let _ = stopping.wait_for(|stopping| *stopping).await;
            let deadline = stop_deadline.get_or_insert_with(|| Instant::now() + STOP_PATIENCE);
            tokio::time::sleep_until(*deadline).await;
        };
        let began = Instant::now();
        let idle_deadline = began + self.idle_max;
        tokio::select! {
            biased;
            () = stop_patience_ends => Err(Closed::NodeStops),
            ready = self.stream.writable() => Ok(ready?),
            () = tokio::time::sleep_until(deadline.map_or(idle_deadline, |deadline| deadline.min(idle_deadline))) => {
                if Instant::now() >= idle_deadline { Err(Closed::NotReading) } else { Ok(()) }
            }
            () = wanted_back(&self.output_share, began) => Err(Closed::Standstill),
        }
    }

    /// The peer is slow: what waits for it becomes its own, and is counted.
    fn detach_output(&mut self) -> Result<(), Closed> {
        if !self.output_share.try_resize(self.output.memory_bytes()) {
            return Err(Closed::NoMemoryForAnswers);
        }
        self.output.detach();
        Ok(())
    }

    /// Answers what was taken, then ends.
    async fn stop(&mut self) -> Closed {
        for parked in &mut self.parked {
            let position = match parked {
                Parked::Encoded { position, .. } => *position,
                Parked::Committing { committing, .. } => {
                    committing.give_up();
                    committing.position()
                }
            };
            if let Some(position) = position
                && self.reactor.until(position).await.is_err()
            {
                return Closed::NodeStops;
            }
        }
        if let Err(closed) = self.unpark() {
            return closed;
        }
        self.flush().await.err().unwrap_or(Closed::NodeStops)
    }

    /// Before it waits for its peer, or for the disk: gives back what memory it does not need, and counts the rest.
    async fn settle(&mut self) -> Result<(), Closed> {
        let Some(buffer) = &mut self.buffer else { return Ok(()) };
        self.reactor.buffers.shrink(buffer);
        let capacity = buffer.capacity();
        self.take_memory(capacity).await
    }

    /// Reads once.
    async fn read(&mut self, frame_bytes: Option<usize>) -> Result<(), Closed> {
        self.prepare_buffer(frame_bytes).await?;
        let mut target = ReadBuf::new(self.buffer.as_mut().expect("just prepared").spare());
        let stream = &mut self.stream;
        let polled = std::future::poll_fn(|context| match Pin::new(&mut *stream).poll_read(context, &mut target) {
            // Readiness was stale: that is no reason to wait here, where parked answers are not heard.
            Poll::Pending => Poll::Ready(None),
            Poll::Ready(result) => Poll::Ready(Some(result)),
        });
        let Some(result) = polled.await else { return Ok(()) };
        result?;
        let count = target.filled().len();
        self.take_in(count).await
    }

    /// True if more may have come since the last read, and this turn has room for it.
    fn is_streaming(&self) -> bool {
        self.last_read_bytes >= STREAMING_BYTES && self.turn_bytes < TURN_BYTES
    }

    /// Reads what came meanwhile; false if nothing did. Past the runtime, which takes a short read as the end of what is
    /// there: whatever comes after this look is an event to it again.
    async fn read_again(&mut self, frame_bytes: Option<usize>) -> Result<bool, Closed> {
        self.last_read_bytes = 0;
        self.prepare_buffer(frame_bytes).await?;
        let spare = self.buffer.as_mut().expect("just prepared").spare();
        match rustix::net::recv(&self.stream, spare, RecvFlags::DONTWAIT) {
            Ok((count, _)) => self.take_in(count).await.map(|()| true),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {
                self.give_back_if_empty();
                Ok(false)
            }
            Err(error) => Err(Closed::Io(error.into())),
        }
    }

    /// A buffer with room for a read.
    async fn prepare_buffer(&mut self, frame_bytes: Option<usize>) -> Result<(), Closed> {
        if self.buffer.as_ref().is_some_and(|buffer| buffer.is_full() && buffer.capacity() >= BUFFER_BYTES) {
            self.make_room(frame_bytes).await?;
        }
        let buffer = self.buffer.get_or_insert_with(|| self.reactor.buffers.take());
        self.reactor.buffers.unshrink(buffer);
        Ok(())
    }

    /// Counts what a read put into the buffer; nothing is the end of what the peer sends.
    async fn take_in(&mut self, count: usize) -> Result<(), Closed> {
        if count == 0 {
            // Who only ended its own side still wants to know what became of its records.
            self.wait_for_release().await?;
            return Err(Closed::ByClient);
        }
        self.buffer.as_mut().expect("it was read into").filled(count);
        self.last_read_bytes = count;
        self.turn_bytes += count;
        Ok(())
    }

    /// Lets the buffer grow, if the node's budget for requests has room.
    async fn make_room(&mut self, frame_bytes: Option<usize>) -> Result<(), Closed> {
        let buffer = self.buffer.as_ref().expect("a full buffer is there");
        let wanted = buffer.grown_capacity(frame_bytes);
        self.take_memory(wanted).await?;
        self.buffer.as_mut().expect("a full buffer is there").grow_to(wanted);
        Ok(())
    }

    /// Counts what `body` may grow to once it is decoded, where that is much more than its bytes.
    async fn take_memory_to_serve(&mut self, body: &Bytes) -> Result<(), Closed> {
        let bytes = match api_key(body) {
            // These wait long; what they hold meanwhile is bounded by the partitions that are, or stays in the group.
            Some(ApiKey::Fetch | ApiKey::JoinGroup | ApiKey::SyncGroup) => 0,
            _ if body.len() <= COUNTED_BYTES_MIN => 0,
            _ => body.len() * DECODED_BYTES_PER_BYTE,
        };
        let bytes = bytes.min(self.reactor.node.request_memory.limit() / 2);
        self.take(|connection| &mut connection.serving_share, bytes).await
    }

    /// Makes this connection's share of the budget `bytes` large, once there is room.
    async fn take_memory(&mut self, bytes: usize) -> Result<(), Closed> {
        self.take(|connection| &mut connection.share, bytes).await
    }

    async fn take(&mut self, share: fn(&mut Self) -> &mut Share<'a>, bytes: usize) -> Result<(), Closed> {
        if share(self).try_resize(bytes) {
            return Ok(());
        }
        let deadline = Instant::now() + MEMORY_WAIT;
        let node = Arc::clone(&self.reactor.node);
        let _need = node.request_memory.needs(bytes - share(self).bytes());
        while !share(self).try_resize(bytes) {
            if Instant::now() > deadline {
                return Err(Closed::NoMemory);
            }
            node.request_memory.ask_for_room();
            let stops = tokio::select! {
                () = tokio::time::sleep(MEMORY_POLL) => false,
                _ = self.stopping.wait_for(|stopping| *stopping) => true,
            };
            if stops {
                return Err(self.stop().await);
            }
        }
        Ok(())
    }
}

#[derive(PartialEq, Eq)]
enum Woken {
    Readable,
    Released,
    Stopping,
}

/// Returns when something may have become of records that are to be committed, or at `deadline`; never where the next answer
/// does not wait for that.
async fn committed(waiter: Option<&Waiter>, deadline: Option<Instant>) {
    match waiter.zip(deadline) {
        None => std::future::pending().await,
        Some((waiter, deadline)) => tokio::select! {
            () = waiter.notified() => {}
            () = tokio::time::sleep_until(deadline) => {}
        },
    }
}

/// Returns when somebody needs what `share` holds, and its connection has stood still since `began` for too long.
async fn wanted_back(share: &Share<'_>, began: Instant) {
    if share.bytes() == 0 {
        return std::future::pending().await;
    }
    loop {
        share.memory().is_wanted().await;
        if began.elapsed() >= STANDSTILL_MAX && share.gives_up() {
            return;
        }
    }
}

/// Which API a request is for.
fn api_key(body: &Bytes) -> Option<ApiKey> {
    body.first_chunk().and_then(|key| ApiKey::from_code(i16::from_be_bytes(*key)))
}

/// What became of a request that was served just now.
fn outcome<T, E>(context: &dispatch::Connection, served: &Result<T, E>) -> Outcome {
    let answered = context.outcome();
    if served.is_ok() { answered } else { Outcome::Closed }
}

/// The longest frame that may stand at the front: only records may take all of socket.request.max.bytes.
fn frame_limit(buffer: &ReadBuffer, request_bytes_max: usize) -> usize {
    let api_key = buffer.api_key().and_then(ApiKey::from_code);
    api_key.map_or(request_bytes_max, |api_key| api_key.max_request_bytes(request_bytes_max))
}
