//! Finding records by time (ListOffsets, KIP-79, KIP-734).

use std::sync::Arc;

use chronik_state::ids::{LeaderEpoch, Offset, TimestampMs};

use super::segment::{BatchPlace, ReadContext, Segment, SegmentError, SegmentView};
use super::PartitionLog;
use crate::batch::BatchView;
use crate::errors::ReadError;
use crate::records;

/// The most that a batch is decompressed to when its records' times are asked for. One that is larger is
/// answered with what its header says.
const DECOMPRESSED_MAX: usize = 64 << 20;

/// A record found by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Its place.
    pub offset: Offset,
    /// Its time; the batch's, where that is the broker's.
    pub timestamp_ms: TimestampMs,
    /// The epoch it was written in.
    pub leader_epoch: LeaderEpoch,
}

/// The segments at one moment, and where the tail goes on.
struct Stretch {
    segments: Vec<(Arc<Segment>, Option<Offset>)>,
    active: Option<super::Bounds>,
    context: ReadContext,
    log_start: Offset,
    /// One past the last record of `segments`.
    end: Offset,
}

impl PartitionLog {
    /// The first record at or after the log's start and before `end_offset` whose timestamp is at least `timestamp_ms`.
    pub fn offset_for_timestamp(&self, timestamp_ms: TimestampMs, end_offset: Offset) -> Result<Option<TimestampOffset>, ReadError> {
        let mut from = 0;
        loop {
            let stretch = self.stretch()?;
            from = stretch.log_start.max(from);
            if let Some(found) = self.find_in_segments(&stretch, timestamp_ms, from)? {
                return Ok(Some(found).filter(|found| found.offset < end_offset));
            }
            from = from.max(stretch.end);
            if let Some(found) = self.find_in_tail(timestamp_ms, from) {
                return Ok(found.filter(|found| found.offset < end_offset));
            }
        }
    }

    /// The first of the records before `end_offset` with the greatest timestamp (KIP-734).
    pub fn max_timestamp(&self, end_offset: Offset) -> Result<Option<TimestampOffset>, ReadError> {
        let stretch = self.stretch()?;
        let mut newest = stretch.max_timestamp(end_offset)?;
        for batch in self.state.lock().tail.iter().filter(|batch| batch.last_offset < end_offset) {
            newest = newest.max(batch.max_timestamp);
        }
        if newest < 0 {
            return Ok(None);
        }
        self.offset_for_timestamp(newest, end_offset)
    }

    fn find_in_segments(&self, stretch: &Stretch, timestamp_ms: TimestampMs, from: Offset) -> Result<Option<TimestampOffset>, ReadError> {
        for (segment, next_base) in &stretch.segments {
            if next_base.is_some_and(|next| next <= from) {
                continue;
            }
            let view = SegmentView::of(Arc::clone(segment), *next_base, stretch.active, &stretch.context)?;
            if view.bounds.max_timestamp < timestamp_ms {
                continue;
            }
            let found = match view.find(timestamp_ms, from, &stretch.context) {
                Err(SegmentError::Index) => {
                    let view = self.repair_index(&view, &stretch.context)?;
                    view.find(timestamp_ms, from, &stretch.context)
                }
                other => other,
            };
            if let Some(found) = found.map_err(|error| error.into_read(&view))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn stretch(&self) -> Result<Stretch, ReadError> {
        let mut state = self.state.lock();
        if state.deleted {
            return Err(ReadError::Deleted);
        }
        let now_ms = state.touched_ms;
        if state.segments_bytes > 0 {
            self.ensure_open(&mut state, now_ms)?;
        }
        let segments: Vec<_> = state.opened.iter().flat_map(|opened| opened.all().cloned()).collect();
        let next_bases = segments.iter().skip(1).map(|next| Some(next.base)).chain([None]).collect::<Vec<_>>();
        Ok(Stretch {
            segments: segments.into_iter().zip(next_bases).collect(),
            active: state.active_bounds(),
            context: self.context(&state, now_ms),
            log_start: self.log_start_offset(),
            end: state.segments_end,
        })
    }

    /// `None` if more has been moved to segments since `from` was their end.
    fn find_in_tail(&self, timestamp_ms: TimestampMs, from: Offset) -> Option<Option<TimestampOffset>> {
        let state = self.state.lock();
        if state.segments_end > from {
            return None;
        }
        let candidates = state.tail.iter().filter(|batch| batch.max_timestamp >= timestamp_ms && batch.last_offset >= from);
        let found = candidates.filter_map(|batch| {
            let view = BatchView::parse(&batch.bytes).ok()?;
            first_in_batch(&view, timestamp_ms, from)
        });
        Some(found.into_iter().next())
    }
}

impl Stretch {
    fn max_timestamp(&self, end_offset: Offset) -> Result<TimestampMs, ReadError> {
        let mut newest = -1;
        for (segment, next_base) in &self.segments {
            if segment.base >= end_offset || next_base.is_some_and(|next| next <= self.log_start) {
                continue;
            }
            let view = SegmentView::of(Arc::clone(segment), *next_base, self.active, &self.context)?;
            if view.bounds.max_timestamp > newest && view.bounds.end > self.log_start {
                newest = newest.max(view.newest(self.log_start, end_offset, &self.context)?);
            }
        }
        Ok(newest)
    }
}

impl SegmentView {
    /// The first record from `from` on that is at least as new.
    fn find(&self, timestamp_ms: TimestampMs, from: Offset, context: &ReadContext) -> Result<Option<TimestampOffset>, SegmentError> {
        let mut from = from;
        while let Some(place) = self.first_at_or_after(timestamp_ms, from, context)? {
            let found = self.look_into(&place, timestamp_ms, from, context)?;
            if found.is_some() {
                return Ok(found);
            }
            from = place.last_offset + 1;
        }
        Ok(None)
    }

    fn look_into(
        &self,
        place: &BatchPlace,
        timestamp_ms: TimestampMs,
        from: Offset,
        context: &ReadContext,
    ) -> Result<Option<TimestampOffset>, SegmentError> {
        let bytes = self.batch(place, context)?;
        let view = BatchView::parse(&bytes).map_err(|error| SegmentError::Read(self.segment.corrupt(place.position, error.to_string())))?;
        Ok(first_in_batch(&view, timestamp_ms, from))
    }
}

/// The first record of a batch, from offset `from` on, that is at least as new.
fn first_in_batch(batch: &BatchView<'_>, timestamp_ms: TimestampMs, from: Offset) -> Option<TimestampOffset> {
    let leader_epoch = batch.leader_epoch();
    if batch.has_log_append_time() {
        let offset = batch.base_offset().max(from);
        let timestamp_ms = Some(batch.max_timestamp()).filter(|newest| *newest >= timestamp_ms)?;
        return Some(TimestampOffset { offset, timestamp_ms, leader_epoch });
    }
    let Ok(bytes) = records::decompress(batch, DECOMPRESSED_MAX) else {
        let offset = batch.base_offset().max(from);
        return Some(TimestampOffset { offset, timestamp_ms: batch.max_timestamp(), leader_epoch });
    };
    let mut found = records::read_from(batch, &bytes).map_while(Result::ok);
    let record = found.find(|record| record.timestamp >= timestamp_ms && record.offset >= from)?;
    Some(TimestampOffset { offset: record.offset, timestamp_ms: record.timestamp, leader_epoch })
}
