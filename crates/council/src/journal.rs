//! The Raft log in the metadata log: one record for each entry, in batches of one term each.
//!
//! Entry 1 is what a group begins with and lies in no log (`SavedSnapshot::founding`); entry 2 has offset 0, and so on. The leader epoch of a batch is
//! the term of its entries. A record's value is one byte, the kind, and what belongs to it:
//!
//! | kind | entry | behind it |
//! |---|---|---|
//! | 0 | a leader's first of its term | nothing |
//! | 1 | a decision | its metadata records, each behind its length (4 bytes) |
//! | 2 | a change of the membership | as the Raft library encodes it |

use std::sync::Arc;

use bytes::Bytes;
use chronik_consensus::{Entry, Payload};
use chronik_log::records::{self, BatchBuilder};
use chronik_log::{Append, AppendError, Lsn, PartitionLog, ReadRequest, SyncClass, batch};
use chronik_state::ids::{LeaderEpoch, Offset, TimestampMs};

use crate::open::OpenError;

const NOTHING: u8 = 0;
const DECISION: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Entries in one batch: keeps a batch far below what a log takes.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Bytes of the log that are read at once.
const READ_BYTES: usize = 4 << 20;

/// See the module.
pub struct Journal {
    log: Arc<PartitionLog>,
}

/// Why entries could not be written. None of them may be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The log refuses it.
    #[error("the metadata log takes nothing: {0}")]
    Append(#[from] AppendError),
    /// What the entries take the place of could not be removed.
    #[error("the end of the metadata log cannot be cut: {0}")]
    Cut(#[from] chronik_log::CutError),
    /// A bug: entries are missing in between.
    #[error("entry {found} was to be written where entry {expected} belongs")]
    Gap { expected: u64, found: u64 },
}

impl Journal {
    /// The entries that `log` holds.
    pub fn new(log: Arc<PartitionLog>) -> Journal {
        Journal { log }
    }

    /// Index of the entry that the next record holds.
    pub fn next_index(&self) -> u64 {
        index_at(self.log.log_end_offset())
    }

    /// Every entry from `first` on.
    ///
    /// # Errors
    /// The log cannot be read, or not be understood.
    pub fn read(&self, first: u64, now_ms: TimestampMs) -> Result<Vec<Entry>, OpenError> {
        let mut entries = Vec::new();
        each_record(&self.log, offset_of(first).max(0), now_ms, |offset, epoch, value| {
            let unknown = || OpenError::Batch { offset, reason: "it is not of a kind that this program knows".to_owned() };
            let payload = decode(value).ok_or_else(unknown)?;
            entries.push(Entry { index: index_at(offset), term: epoch as u64, payload });
            Ok(())
        })?;
        Ok(entries)
    }

    /// Writes entries from the first one's index on, in place of what the log holds from there. They are in memory then: durable once the
    /// write-ahead log is, up to the position that is returned.
    ///
    /// # Errors
    /// None of them may be acknowledged.
    pub fn append(&self, entries: &[Entry], now_ms: TimestampMs) -> Result<Option<Lsn>, JournalError> {
        let Some(first) = entries.first() else { return Ok(None) };
        let expected = self.next_index();
        if first.index > expected {
            return Err(JournalError::Gap { expected, found: first.index });
        }
        if first.index < expected {
            self.log.truncate_to(offset_of(first.index), now_ms)?;
        }
        let mut position = None;
        let mut rest = entries;
        while let Some(first) = rest.first() {
            let mut bytes = 0;
            let fits = |entry: &&Entry| {
                bytes += length(&entry.payload);
                entry.term == first.term && (bytes <= BATCH_BYTES_MAX || entry.index == first.index)
            };
            let count = rest.iter().take_while(fits).count();
            let (together, later) = rest.split_at(count);
            position = Some(self.append_batch(together, now_ms)?);
            rest = later;
        }
        Ok(position)
    }

    fn append_batch(&self, entries: &[Entry], now_ms: TimestampMs) -> Result<Lsn, JournalError> {
        let mut batch = BatchBuilder::new();
        for entry in entries {
            batch.record(now_ms, None, Some(&encode(&entry.payload)), &[]);
        }
        let leader_epoch = entries[0].term as LeaderEpoch;
        let append = Append { leader_epoch, now_ms, sync: SyncClass::Commit, privileged: true };
        Ok(self.log.append(batch.build().as_valid(), append)?.lsn)
    }
}

impl Journal {
    /// The log under it.
    pub fn log(&self) -> &Arc<PartitionLog> {
        &self.log
    }

    /// The term of an entry, if the log holds it.
    pub fn term_of(&self, index: u64) -> Option<u64> {
        let offset = offset_of(index);
        let held = (self.log.log_start_offset()..self.log.log_end_offset()).contains(&offset);
        if held { self.log.epoch_at(offset).map(|epoch| epoch as u64) } else { None }
    }

    /// Everything up to `index` is committed.
    pub fn note_committed(&self, index: u64) {
        self.log.note_high_watermark(offset_of(index) + 1);
    }

    /// A snapshot holds everything up to `index`, and what the log held is of another history: the next entry is the one behind it.
    ///
    /// # Errors
    /// The log may still hold what it held.
    pub fn begin_behind(&self, index: u64) -> Result<(), JournalError> {
        Ok(self.log.reset_to(offset_of(index) + 1)?)
    }
}

/// Visits every record of the metadata log from `from` on: its offset, the leader epoch of its batch, its value.
///
/// # Errors
/// The log cannot be read, or what `visit` says.
pub fn each_record(
    log: &PartitionLog,
    from: Offset,
    now_ms: TimestampMs,
    mut visit: impl FnMut(Offset, LeaderEpoch, &[u8]) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let mut offset = from.max(log.log_start_offset());
    let end_offset = log.log_end_offset();
    while offset < end_offset {
        let request = ReadRequest { offset, max_bytes: READ_BYTES, end_offset, at_least_one: true, now_ms };
        let bytes = log.read(request)?.to_vec()?;
        let before = offset;
        for batch in batch::batches(&bytes) {
            let unreadable = |error: &dyn std::fmt::Display| OpenError::Batch { offset, reason: error.to_string() };
            let batch = batch.map_err(|error| unreadable(&error))?;
            for record in records::read(&batch) {
                let record = record.map_err(|error| unreadable(&error))?;
                if record.offset >= from {
                    visit(record.offset, batch.leader_epoch(), record.value.unwrap_or_default())?;
                }
            }
            offset = batch.last_offset() + 1;
        }
        if offset == before {
            return Err(OpenError::Batch { offset, reason: "the log gives nothing though it goes on".to_owned() });
        }
    }
    Ok(())
}

/// Where an entry lies.
pub fn offset_of(index: u64) -> Offset {
    index as Offset - 2
}

/// Which entry lies there.
pub fn index_at(offset: Offset) -> u64 {
    (offset + 2) as u64
}

fn length(payload: &Payload) -> usize {
    match payload {
        Payload::Nothing => 1,
        Payload::Data(data) | Payload::Membership(data) => 1 + data.len(),
    }
}

fn encode(payload: &Payload) -> Vec<u8> {
    let (kind, data): (u8, &[u8]) = match payload {
        Payload::Nothing => (NOTHING, &[]),
        Payload::Data(data) => (DECISION, data),
        Payload::Membership(data) => (MEMBERSHIP, data),
    };
    [&[kind], data].concat()
}

fn decode(value: &[u8]) -> Option<Payload> {
    let (kind, data) = value.split_first()?;
    match *kind {
        NOTHING if data.is_empty() => Some(Payload::Nothing),
        DECISION => Some(Payload::Data(Bytes::copy_from_slice(data))),
        MEMBERSHIP => Some(Payload::Membership(Bytes::copy_from_slice(data))),
        _ => None,
    }
}
