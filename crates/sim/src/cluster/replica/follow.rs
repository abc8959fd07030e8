//! A follower does what its machine decides.

use chronik_log::batch::ValidBatch;
use chronik_log::{AppendError, CutError, Replicate as AppendReplica};
use chronik_state::ids::Offset;
use chronik_state::partition::follower;

use super::{DiskFailed, Effects, Message, Replica, Role, class};

impl Replica {
    pub(super) fn follow_up(&mut self, effects: follower::Effects, whole: &[ValidBatch<'_>], now_ms: i64) -> Result<Effects, DiskFailed> {
        if let Some(end) = effects.truncate_to {
            self.cut(end, now_ms)?;
        }
        if let Some(begin) = effects.reset_to {
            self.reset(begin)?;
        }
        let taken = self.append_all(&whole[..effects.append], now_ms)?;
        let Role::Follower(leader, follower) = &mut self.role else { return Ok(Effects::default()) };
        if !taken {
            follower.on_refused(self.log.log_end_offset());
        }
        assert_eq!(follower.log_end_offset(), self.log.log_end_offset(), "machine and log agree");
        self.high_watermark = follower.high_watermark();
        let mut done = Effects::default();
        if taken {
            done.messages.extend(effects.ask.map(|ask| (*leader, Message::Replicate(ask))));
            done.messages.extend(effects.ack.map(|ack| (*leader, Message::Ack(ack))));
        }
        // In the leader's time: if the disk is full it is told again.
        if let Some(begin) = effects.log_start_offset.filter(|_| taken)
            && let Err(AppendError::Fatal(_)) = self.log.advance_log_start(begin)
        {
            return Err(DiskFailed);
        }
        self.log.note_high_watermark(self.high_watermark);
        Ok(done)
    }

    /// False if the disk is full: then some of them are not there.
    fn append_all(&mut self, batches: &[ValidBatch<'_>], now_ms: i64) -> Result<bool, DiskFailed> {
        for batch in batches {
            let replicate = AppendReplica { now_ms, sync: class(self.rules), privileged: true };
            match self.log.append_replica(*batch, replicate) {
                Ok(lsn) => self.syncing.push_back((lsn, batch.last_offset() + 1)),
                Err(AppendError::Full) => return Ok(false),
                Err(_) => return Err(DiskFailed),
            }
        }
        Ok(true)
    }

    /// The cut is on the disk before anything else is said.
    fn cut(&mut self, end: Offset, now_ms: i64) -> Result<(), DiskFailed> {
        match self.log.truncate_to(end, now_ms) {
            Ok(()) => {}
            Err(CutError::OffsetOutOfRange { .. } | CutError::Deleted) => panic!("a log could not be cut at {end}"),
            Err(_) => return Err(DiskFailed),
        }
        self.syncing.retain(|(_, appended)| *appended <= end);
        self.durable_end_offset = self.durable_end_offset.min(end);
        Ok(())
    }

    /// The log ends before its leader's begins, and begins anew there.
    fn reset(&mut self, begin: Offset) -> Result<(), DiskFailed> {
        match self.log.reset_to(begin) {
            Ok(()) => {}
            Err(CutError::OffsetOutOfRange { .. } | CutError::Deleted) => panic!("a log could not begin anew at {begin}"),
            Err(_) => return Err(DiskFailed),
        }
        self.syncing.clear();
        self.durable_end_offset = begin;
        Ok(())
    }
}
