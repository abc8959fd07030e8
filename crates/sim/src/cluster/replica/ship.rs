//! A leader sends its followers what they lack.

use std::collections::VecDeque;

use chronik_log::batch::{BatchView, batches};
use chronik_log::{PartitionLog, ReadError, ReadRequest};
use chronik_state::ids::{BrokerId, Offset};
use chronik_state::partition::stream::{BatchBounds, Frame, SessionId};

use super::{Effects, Message, Replica, Role};

/// Bytes of one frame.
const FRAME_BYTES: usize = 600;
/// Frames that a follower has not confirmed yet, at most.
const FRAMES_ON_THE_WAY: usize = 3;

/// What a session was sent and has not confirmed.
pub(super) struct Fed {
    pub(super) session: SessionId,
    /// The high watermark, and where the log begins.
    told: (Offset, Offset),
    pub(super) ends: VecDeque<Offset>,
}

impl Replica {
    /// Sends every session what it lacks, as far as it has room.
    pub(super) fn ship(&mut self, done: &mut Effects, now_ms: i64) {
        let Role::Leader(leader) = &self.role else { return };
        let peers: Vec<BrokerId> = leader.followers().collect();
        let sessions: Vec<SessionId> = peers.into_iter().filter_map(|peer| leader.session_of(peer)).collect();
        for session in sessions {
            while self.ship_one(session, done, now_ms) {}
        }
    }

    /// The next frame of a session; false if there is none.
    fn ship_one(&mut self, session: SessionId, done: &mut Effects, now_ms: i64) -> bool {
        let index = self.fed.iter().position(|fed| fed.session == session).unwrap_or_else(|| {
            self.fed.push(Fed { session, told: (-1, -1), ends: VecDeque::new() });
            self.fed.len() - 1
        });
        let fed = &mut self.fed[index];
        let Role::Leader(leader) = &mut self.role else { return false };
        let Some((to, from)) = leader.next_frame(session) else { return false };
        let news = (leader.high_watermark(), self.log.log_start_offset());
        let has_news = fed.told.0 < news.0 || fed.told.1 < news.1;
        let has_records = from < self.log.log_end_offset() && fed.ends.len() < FRAMES_ON_THE_WAY;
        if !has_news && !has_records {
            return false;
        }
        let bytes = match if has_records { read(&self.log, from) } else { Ok(Vec::new()) } {
            Ok(bytes) => bytes,
            // What it lacks is gone from the log: it has to begin anew. What is damaged it does not get.
            Err(error) => {
                let effects = leader.on_session_lost(session, now_ms);
                if matches!(error, ReadError::OffsetOutOfRange { .. }) {
                    done.messages.push((to, Message::Over(session)));
                }
                let lost = self.carry_out(effects, now_ms);
                done.extend(lost);
                return false;
            }
        };
        let frame = Frame {
            session,
            expected_end_offset: from,
            previous_epoch: self.log.epoch_at(from - 1),
            batches: batches(&bytes).map(|batch| bounds(&batch.expect("the log's own"))).collect(),
            high_watermark: news.0,
            log_start_offset: news.1,
        };
        if let Some(last) = frame.batches.last() {
            leader.on_sent(session, last.last_offset + 1);
            fed.ends.push_back(last.last_offset + 1);
        } else if !has_news {
            return false;
        }
        fed.told = news;
        done.messages.push((to, Message::Frame(frame, bytes)));
        true
    }
}

fn bounds(batch: &BatchView<'_>) -> BatchBounds {
    BatchBounds { base_offset: batch.base_offset(), last_offset: batch.last_offset(), epoch: batch.leader_epoch() }
}

fn read(log: &PartitionLog, offset: Offset) -> Result<Vec<u8>, ReadError> {
    let request = ReadRequest { offset, max_bytes: FRAME_BYTES, end_offset: i64::MAX, at_least_one: true, now_ms: 0 };
    let outcome = log.read(request)?;
    outcome.to_vec().map_err(|source| ReadError::Io { path: log.id().to_string().into(), source })
}
