//! Removing files: only when the decision that they are not needed is durable.

use std::io;
use std::path::Path;

use chronik_state::ids::{LogId, TimestampMs};

use super::{Shared, Storage};
use crate::errors::UpkeepError;

impl Storage {
    /// Removes the files of deleted logs and the segments before the start of others, as far as that is durable.
    pub(super) fn sweep(&self, now_ms: TimestampMs) -> Result<(), UpkeepError> {
        self.sweep_deleted(|_| true)?;
        let durable = self.durable_lsn();
        let due: Vec<_> = self.shared.lists.lock().prunes.extract_if(.., |prune| prune.lsn <= durable).collect();
        for (index, prune) in due.iter().enumerate() {
            let pruned = self.log(prune.log).map_or(Ok(()), |log| log.prune(now_ms));
            if let Err(error) = pruned {
                self.shared.lists.lock().prunes.extend_from_slice(&due[index..]);
                return Err(error);
            }
            self.shared.settled(1);
        }
        Ok(())
    }

    /// Makes sure that nothing of an earlier log with this id is left.
    pub(super) fn finish_deleting(&self, id: LogId) -> Result<(), UpkeepError> {
        let waits = self.shared.lists.lock().deleted.iter().any(|(log, _)| log.id() == id);
        if waits {
            self.shared.wal.sync_all()?;
            self.sweep_deleted(|other| other == id)?;
        }
        Ok(())
    }

    fn sweep_deleted(&self, which: impl Fn(LogId) -> bool) -> Result<(), UpkeepError> {
        let durable = self.durable_lsn();
        let mut lists = self.shared.lists.lock();
        let mut due: Vec<_> = lists.deleted.extract_if(.., |(log, lsn)| *lsn <= durable && which(log.id())).collect();
        drop(lists);
        while let Some((log, lsn)) = due.pop() {
            if let Err(error) = log.remove_files() {
                due.push((log, lsn));
                self.shared.lists.lock().deleted.append(&mut due);
                return Err(error);
            }
            self.shared.note_removed(log.id());
            self.shared.settled(1);
        }
        Ok(())
    }
}

impl Shared {
    /// Removes a log's directory, and its topic's when it was the last.
    pub(crate) fn remove_directory_of(&self, id: LogId) -> Result<(), UpkeepError> {
        let directory = self.directory_of(id);
        let removed = self.remove_directory(&directory);
        removed.map_err(|error| self.upkeep_error("removing", &directory, error))
    }

    fn remove_directory(&self, directory: &Path) -> io::Result<()> {
        let disk = self.disk.as_ref();
        let names = match disk.list(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for name in names {
            disk.remove(&directory.join(name))?;
        }
        disk.remove_directory(directory)?;
        let topic = directory.parent().expect("a log's directory lies in its topic's");
        disk.sync_directory(topic)?;
        if disk.list(topic)?.is_empty() {
            disk.remove_directory(topic)?;
            disk.sync_directory(topic.parent().expect("a topic's directory lies in `topics`"))?;
        }
        Ok(())
    }
}
