//! Retention: whole segments go when they are too old, or too much.

use std::sync::Arc;

use chronik_state::ids::{Offset, TimestampMs};

use super::segment::SegmentView;
use super::{Opened, PartitionLog, State};
use crate::errors::{AppendError, ReadError, UpkeepError};

impl PartitionLog {
    /// Raises the log's start over what its configuration no longer keeps, never past the high watermark. Most logs
    /// are found to have nothing due without being opened.
    pub(crate) fn retain(&self, now_ms: TimestampMs) -> Result<(), UpkeepError> {
        let offset = {
            let mut state = self.state.lock();
            if state.deleted || !state.config.delete || !state.retention_is_due(now_ms) {
                return Ok(());
            }
            // A log whose files cannot be read keeps them: retention is no reason to stop a node.
            match self.retention_offset(&mut state, now_ms) {
                Ok(offset) => offset,
                Err(_) => return Ok(()),
            }
        };
        match self.advance_log_start(offset) {
            Err(AppendError::Fatal(fatal)) => Err(fatal.into()),
            Err(AppendError::Full) => Err(UpkeepError::Full),
            _ => Ok(()),
        }
    }

    /// Where the log should start.
    fn retention_offset(&self, state: &mut State, now_ms: TimestampMs) -> Result<Offset, ReadError> {
        self.ensure_open(state, now_ms)?;
        let context = self.context(state, now_ms);
        let high_watermark = self.high_watermark();
        let mut size = state.segments_bytes + state.tail_bytes;
        let mut start = self.log_start_offset();
        let opened = state.opened.as_ref().expect("just opened");
        let segments: Vec<_> = opened.all().cloned().collect();
        for (index, segment) in segments.iter().enumerate() {
            let next_base = segments.get(index + 1).map(|next| next.base);
            let view = SegmentView::of(Arc::clone(segment), next_base, state.active_bounds(), &context)?;
            let expired = state.is_expired(view.bounds.max_timestamp, now_ms);
            let too_much = state.config.retention_bytes >= 0
                && next_base.is_some()
                && size.saturating_sub(view.bounds.length) >= state.config.retention_bytes as u64;
            if !(expired || too_much) || view.bounds.end > high_watermark {
                break;
            }
            if next_base.is_none() {
                // The newest segment, all of whose records have expired: the next record opens another.
                state.roll_next = true;
            }
            size -= view.bounds.length.min(size);
            start = view.bounds.end;
        }
        Ok(start)
    }

    /// Closes the log's files if nobody has touched it since `before_ms` and nothing waits to be synced. True if it is
    /// closed now.
    pub(crate) fn close_if_idle(&self, before_ms: TimestampMs) -> bool {
        let Some(_writer) = self.segments_writer.try_lock() else { return false };
        let mut state = self.state.lock();
        if state.touched_ms > before_ms || !state.tail.is_empty() || !state.unsynced.is_empty() || state.dirty {
            return state.opened.is_none();
        }
        let last_is_known = state.active.is_some() || state.segments_bytes == 0;
        if last_is_known {
            state.opened = None;
        }
        state.opened.is_none()
    }

    /// Closes the log's files until someone needs them again.
    pub(crate) fn close_files(&self) {
        let state = self.state.lock();
        let known = state.opened.iter().flat_map(Opened::all).chain(&state.unsynced);
        known.for_each(|segment| segment.close());
    }
}

impl State {
    /// Whether anything could be due, from what is known without opening the log.
    fn retention_is_due(&self, now_ms: TimestampMs) -> bool {
        let too_much = self.config.retention_bytes >= 0 && self.segments_bytes > self.config.retention_bytes as u64;
        self.segments_bytes > 0 && (too_much || self.is_expired(self.oldest_max_timestamp, now_ms))
    }

    fn is_expired(&self, newest: TimestampMs, now_ms: TimestampMs) -> bool {
        self.config.retention_ms >= 0 && newest >= 0 && now_ms - newest > self.config.retention_ms
    }
}

