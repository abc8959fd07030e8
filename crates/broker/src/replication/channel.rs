//! One connection to another node, from hello to end. The node that dialled leads, the other one follows.
//!
//! What is to be sent is not queued: a partition's name stands in line, once, and when the socket takes more, the partition is
//! asked what it has. So a slow peer costs one buffer, and nothing is ever dropped: what it lacks is in the log.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use chronik_log::ReadError;
use chronik_state::ids::{BrokerId, LogId};
use chronik_state::partition::stream::{Ack, Answer, Frame, Replicate, SessionId, Verdict};
use rustc_hash::{FxHashMap, FxHashSet};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::time::{timeout, timeout_at};

use super::frame::{self, Damaged, Message, Speaker};
use super::thread::Hub;
use crate::partition::Partition;
use crate::partition::follow::{FollowError, Followed, Says};
use crate::partition::lead::{Fed, Shipment};

/// What is put together for one write, the last frame apart.
const OUT_BYTES: usize = 256 << 10;
/// A buffer that has grown beyond this is given back.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// What is read at once.
const READ_BYTES: usize = 64 << 10;
/// Records on their way to one peer: sent, and not confirmed.
const ON_THE_WAY_BYTES_MAX: usize = 64 << 20;
/// Partitions that one peer may ask about.
const LANES_MAX: usize = 200_000;
/// How long one connection keeps the thread.
const TURN: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// This node has dialled: it feeds the peer.
    Leads,
    /// The peer has: it feeds this node.
    Follows,
}

/// Why a connection ended.
#[derive(Debug, Error)]
pub(super) enum Ended {
    #[error("the other node closed it")]
    ByPeer,
    #[error("{0}")]
    Closed(&'static str),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("nothing was heard for {0:?}")]
    Silence(Duration),
    #[error("nothing was taken for {0:?}")]
    NotReading(Duration),
    #[error("{0}")]
    Damaged(#[from] Damaged),
    #[error("what only the other side says was said: {0}")]
    OutOfPlace(&'static str),
    #[error("it asks about more than {LANES_MAX} partitions")]
    TooMany,
    #[error("the node stops: {0}")]
    Failed(FollowError),
}

impl Ended {
    /// True for what happens when a node stops.
    pub(super) fn is_expected(&self) -> bool {
        matches!(self, Ended::ByPeer | Ended::Closed(_) | Ended::Io(_))
    }
}

pub(super) struct Channel {
    pub(super) peer: BrokerId,
    pub(super) peer_epoch: i64,
    direction: Direction,
    ready: RefCell<Line>,
    /// What a leader knows of each partition that its peer has asked about.
    lanes: RefCell<FxHashMap<LogId, Lane>>,
    bytes_on_the_way: Cell<usize>,
    /// For which there was no room.
    starved: RefCell<FxHashSet<LogId>>,
    /// Something stands in line.
    wake: Notify,
    closed: Cell<Option<&'static str>>,
    closing: Notify,
}

/// Who waits to be asked, first come first, each once.
#[derive(Default)]
struct Line {
    waiting: VecDeque<LogId>,
    names: FxHashSet<LogId>,
}

impl Line {
    fn push(&mut self, id: LogId) {
        if self.names.insert(id) {
            self.waiting.push_back(id);
        }
    }

    fn pop(&mut self) -> Option<LogId> {
        let id = self.waiting.pop_front()?;
        self.names.remove(&id);
        Some(id)
    }
}

#[derive(Default)]
struct Lane {
    answer: Option<Answer>,
    over: Option<SessionId>,
    fed: Option<Fed>,
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.answer.is_none() && self.over.is_none() && self.fed.is_none()
    }
}

impl Channel {
    pub(super) fn new(peer: BrokerId, peer_epoch: i64, direction: Direction) -> Rc<Self> {
        Rc::new(Channel {
            peer,
            peer_epoch,
            direction,
            ready: RefCell::default(),
            lanes: RefCell::default(),
            bytes_on_the_way: Cell::new(0),
            starved: RefCell::default(),
            wake: Notify::new(),
            closed: Cell::new(None),
            closing: Notify::new(),
        })
    }

    pub(super) fn leads(&self) -> bool {
        self.direction == Direction::Leads
    }

    /// A partition has something for the peer, or may have.
    pub(super) fn note_ready(&self, id: LogId) {
        self.ready.borrow_mut().push(id);
        self.wake.notify_one();
    }

    /// Ends it.
    pub(super) fn close(&self, why: &'static str) {
        self.closed.set(Some(why));
        self.closing.notify_one();
    }

    /// Who was fed here is not fed any more.
    pub(super) fn lose_sessions(&self, hub: &Hub) {
        for (id, lane) in self.lanes.take() {
            if let Some((partition, fed)) = hub.partition(id).zip(lane.fed) {
                partition.on_session_lost(fed.session());
            }
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn serve(&self, hub: &Rc<Hub>, mut stream: TcpStream) -> Ended {
        let (reading, writing) = stream.split();
        tokio::select! {
            biased;
            why = self.is_closed() => Ended::Closed(why),
            Err(ended) = self.read(hub, reading) => ended,
            Err(ended) = self.write(hub, writing) => ended,
        }
    }

    async fn is_closed(&self) -> &'static str {
        loop {
            if let Some(why) = self.closed.get() {
                return why;
            }
            self.closing.notified().await;
        }
    }

    async fn read(&self, hub: &Hub, mut stream: ReadHalf<'_>) -> Result<std::convert::Infallible, Ended> {
        let mut buffer = BytesMut::new();
        let mut turn_began = Instant::now();
        // A frame holds one batch at least, and a batch came as one request.
        let records_bytes_max = hub.node.settings.request_bytes_max.max(BUFFER_BYTES_MAX) + READ_BYTES;
        loop {
            while let Some(length) =
                frame::frame_bytes(&buffer, records_bytes_max)?.filter(|length| buffer.len() >= *length)
            {
                self.wait_for_room(hub, length).await;
                self.take(hub, &buffer[..length])?;
                buffer.advance(length);
                if turn_began.elapsed() >= TURN {
                    tokio::task::yield_now().await;
                    turn_began = Instant::now();
                }
            }
            if buffer.is_empty() && buffer.capacity() > BUFFER_BYTES_MAX {
                buffer = BytesMut::new();
            }
            // Grows with what has come, not with what was announced.
            buffer.reserve(READ_BYTES);
            let silence_max = hub.times.silence_max;
            let count =
                timeout(silence_max, stream.read_buf(&mut buffer)).await.map_err(|_| Ended::Silence(silence_max))??;
            if count == 0 {
                return Err(Ended::ByPeer);
            }
        }
    }

    /// Until the log can take so much: nothing is dropped, the peer waits.
    async fn wait_for_room(&self, hub: &Hub, bytes: usize) {
        while self.direction == Direction::Follows && !hub.node.storage.has_room(bytes) {
            let room = hub.node.room.notified();
            hub.node.upkeep.ask_for_room();
            room.await;
        }
    }

    fn take(&self, hub: &Hub, frame: &[u8]) -> Result<(), Ended> {
        let speaker = Speaker { broker_id: self.peer, broker_epoch: self.peer_epoch };
        match (frame::decode(frame, speaker)?, self.direction) {
            (Message::Heartbeat, _) => Ok(()),
            (Message::Replicate(id, asked), Direction::Leads) => self.on_replicate(hub, id, &asked),
            (Message::Ack(id, ack), Direction::Leads) => {
                self.on_ack(hub, id, ack);
                Ok(())
            }
            (Message::Answer(id, answer), Direction::Follows) => {
                let Some(partition) = hub.partition(id) else { return Ok(()) };
                let followed = partition.on_answer(self.peer, answer, || hub.node.storage.durable_lsn());
                self.on_followed(hub, &partition, followed)
            }
            (Message::Records(id, frame, bytes), Direction::Follows) => self.on_records(hub, id, &frame, bytes),
            (Message::Over(id, session), Direction::Follows) => {
                hub.partition(id).into_iter().for_each(|partition| partition.on_session_over(self.peer, session));
                Ok(())
            }
            (Message::Hello(_), _) => Err(Ended::OutOfPlace("a second hello")),
            (_, Direction::Leads) => Err(Ended::OutOfPlace("a leader's words to a leader")),
            (_, Direction::Follows) => Err(Ended::OutOfPlace("a follower's words to a follower")),
        }
    }

    fn on_replicate(&self, hub: &Hub, id: LogId, asked: &Replicate) -> Result<(), Ended> {
        // Of a partition that this node has not heard of yet, no more is known than of a leadership.
        let unknown = || asked.answer(Verdict::UnknownEpoch);
        let answer = hub.partition(id).map_or_else(unknown, |partition| partition.on_replicate(asked));
        let mut lanes = self.lanes.borrow_mut();
        let lane = lanes.entry(id).or_default();
        if let Verdict::Stream(session) = answer.verdict {
            let earlier = lane.fed.replace(Fed::by(session));
            lane.over = None;
            let bytes = earlier.map_or(0, |fed| fed.bytes_on_the_way());
            self.bytes_on_the_way.set(self.bytes_on_the_way.get() - bytes);
        }
        lane.answer = Some(answer);
        let count = lanes.len();
        drop(lanes);
        self.note_ready(id);
        if count <= LANES_MAX { Ok(()) } else { Err(Ended::TooMany) }
    }

    fn on_ack(&self, hub: &Hub, id: LogId, ack: Ack) {
        hub.partition(id).into_iter().for_each(|partition| partition.on_ack(ack));
        let mut lanes = self.lanes.borrow_mut();
        let Some(fed) =
            lanes.get_mut(&id).and_then(|lane| lane.fed.as_mut()).filter(|fed| fed.session() == ack.session)
        else {
            return;
        };
        let before = fed.bytes_on_the_way();
        let has_room = fed.has_come(ack.written_end_offset);
        let come = before - fed.bytes_on_the_way();
        drop(lanes);
        self.bytes_on_the_way.set(self.bytes_on_the_way.get() - come);
        if has_room {
            self.note_ready(id);
        }
        if self.has_room() {
            self.starved.take().into_iter().for_each(|id| self.note_ready(id));
        }
    }

    fn on_records(&self, hub: &Hub, id: LogId, frame: &Frame, bytes: &[u8]) -> Result<(), Ended> {
        // Whatever becomes of it: a connection that damages what it carries is not to be trusted with the next frame.
        let batches = frame::verified(bytes)?;
        let Some(partition) = hub.partition(id) else { return Ok(()) };
        let followed = partition.on_frame(self.peer, frame, &batches);
        self.on_followed(hub, &partition, followed)
    }

    fn on_followed(
        &self,
        hub: &Hub,
        partition: &Arc<Partition>,
        followed: Result<Followed, FollowError>,
    ) -> Result<(), Ended> {
        let followed = followed.map_err(|error| {
            hub.node.fail(&error);
            Ended::Failed(error)
        })?;
        if let Some((position, end_offset)) = followed.appended {
            hub.reactor.show_at(position, partition, end_offset);
        }
        if let Some(misfit) = followed.misfit {
            tracing::warn!(partition = %partition.id, node = self.peer, "the leader is asked anew: {misfit}");
        }
        if followed.waits {
            hub.waits(partition);
        }
        Ok(())
    }

    async fn write(&self, hub: &Hub, mut stream: WriteHalf<'_>) -> Result<std::convert::Infallible, Ended> {
        let mut out = BytesMut::new();
        let mut heartbeat_at = tokio::time::Instant::now() + hub.times.heartbeat;
        loop {
            self.fill(hub, &mut out);
            if out.is_empty() {
                // However often there is something to look at: only what is sent is heard.
                if timeout_at(heartbeat_at, self.wake.notified()).await.is_ok() {
                    continue;
                }
                frame::encode(&Message::Heartbeat, &mut out);
            }
            let patience = hub.times.silence_max;
            while !out.is_empty() {
                timeout(patience, stream.write_buf(&mut out)).await.map_err(|_| Ended::NotReading(patience))??;
            }
            heartbeat_at = tokio::time::Instant::now() + hub.times.heartbeat;
            if out.capacity() > BUFFER_BYTES_MAX {
                out = BytesMut::new();
            }
        }
    }

    /// What stands in line, as far as one write takes it.
    fn fill(&self, hub: &Hub, out: &mut BytesMut) {
        while out.len() < OUT_BYTES {
            let Some(id) = self.ready.borrow_mut().pop() else { return };
            let said = match self.direction {
                Direction::Leads => self.feed(hub, id, out),
                Direction::Follows => self.say(hub, id, out),
            };
            if said {
                // There may be more; but others first.
                self.ready.borrow_mut().push(id);
            }
        }
    }

    fn say(&self, hub: &Hub, id: LogId, out: &mut BytesMut) -> bool {
        let Some(says) = hub.partition(id).and_then(|partition| partition.says_to(self.peer)) else { return false };
        let message = match says {
            Says::Ask(ask) => Message::Replicate(id, ask),
            Says::Ack(ack) => Message::Ack(id, ack),
        };
        frame::encode(&message, out);
        true
    }

    /// The next thing that the peer is to hear of a partition; false if there is nothing.
    fn feed(&self, hub: &Hub, id: LogId, out: &mut BytesMut) -> bool {
        let mut lanes = self.lanes.borrow_mut();
        let Some(lane) = lanes.get_mut(&id) else { return false };
        if let Some(answer) = lane.answer.take() {
            frame::encode(&Message::Answer(id, answer), out);
        } else if let Some(session) = lane.over.take() {
            frame::encode(&Message::Over(id, session), out);
        } else if !self.ship(hub, id, lane, out) && lane.over.is_none() {
            if lane.is_empty() {
                lanes.remove(&id);
            }
            return false;
        }
        true
    }

    /// The next frame of a session; false if there is none.
    fn ship(&self, hub: &Hub, id: LogId, lane: &mut Lane, out: &mut BytesMut) -> bool {
        let Some(fed) = &mut lane.fed else { return false };
        let Some(partition) = hub.partition(id) else {
            self.end(lane);
            return false;
        };
        let room = self.has_room();
        let before = fed.bytes_on_the_way();
        match partition.next_shipment(fed, room) {
            Ok(Shipment::Frame(frame, bytes)) => {
                self.bytes_on_the_way.set(self.bytes_on_the_way.get() + fed.bytes_on_the_way() - before);
                frame::encode(&Message::Records(id, frame, &bytes), out);
                return true;
            }
            Ok(Shipment::Nothing) => {
                if !room {
                    self.starved.borrow_mut().insert(id);
                }
            }
            Ok(Shipment::Over) => lane.over = self.end(lane),
            Err(ReadError::OffsetOutOfRange { .. } | ReadError::Deleted) => {
                // What it lacks is gone from the log: it has to begin anew.
                partition.on_session_lost(fed.session());
                lane.over = self.end(lane);
            }
            Err(error) => {
                // It gets nothing: what is damaged here must not be there too. It leaves the in-sync set in time.
                tracing::error!(partition = %id, node = self.peer, "records cannot be read for a follower: {error}");
                partition.on_session_lost(fed.session());
                self.end(lane);
            }
        }
        false
    }

    fn end(&self, lane: &mut Lane) -> Option<SessionId> {
        let fed = lane.fed.take()?;
        self.bytes_on_the_way.set(self.bytes_on_the_way.get() - fed.bytes_on_the_way());
        Some(fed.session())
    }

    fn has_room(&self) -> bool {
        self.bytes_on_the_way.get() < ON_THE_WAY_BYTES_MAX
    }
}
