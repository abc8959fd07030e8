//! A log that is deleted while its tail is on its way to a segment: the moment is made certain by a disk that does
//! something in the middle of a write.

use std::any::Any;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};

use chronik_log::disk::{Disk, DiskFile, DiskSpace, FileHandle, OpenMode, RealDisk};
use chronik_log::records::BatchBuilder;
use chronik_log::*;
use chronik_state::ids::{LogId, TopicId};

const GONE: LogId = LogId { topic: TopicId([7; 16]), partition: 0 };
const STAYS: LogId = LogId { topic: TopicId([8; 16]), partition: 0 };

#[test]
fn a_log_may_go_while_it_is_written_to_a_segment() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(Interrupted::default());
    let (storage, _) = Storage::open(Arc::clone(&disk) as Arc<dyn Disk>, StorageOptions::new(directory.path()), 0).unwrap();
    for id in [GONE, STAYS] {
        let log = storage.create(id, LogConfig::default()).unwrap();
        for now_ms in 0..10 {
            let mut builder = BatchBuilder::new();
            builder.record(1_000, None, Some(b"value"), &[]);
            let append = Append { leader_epoch: 0, now_ms, sync: SyncClass::Commit, privileged: false };
            log.append(builder.build().as_valid(), append).unwrap();
        }
    }
    storage.commit().unwrap();
    let deleting = Arc::clone(&storage);
    disk.at_next_segment_write_of(GONE, move || {
        deleting.delete(GONE).unwrap();
    });
    storage.upkeep(20, true).unwrap();
    assert!(disk.happened(), "the log was never written to a segment");
    storage.commit().unwrap();
    storage.upkeep(30, true).unwrap();
    assert!(storage.log(GONE).is_none());
    assert!(!directory.path().join("topics").join(GONE.topic.to_string()).exists());
    assert_eq!(storage.pressure(), Pressure { urgent: false, dirty: false });
    let read = ReadRequest { offset: 0, max_bytes: usize::MAX, end_offset: i64::MAX, at_least_one: true, now_ms: 0 };
    assert_eq!(batch::batches(&storage.log(STAYS).unwrap().read(read).unwrap().to_vec().unwrap()).count(), 10);
}

type Action = Box<dyn FnOnce() + Send>;

/// The real disk, but for one write that something comes in the way of.
#[derive(Default)]
struct Interrupted {
    due: Arc<Mutex<Option<(String, Action)>>>,
}

impl Interrupted {
    fn at_next_segment_write_of(&self, id: LogId, action: impl FnOnce() + Send + 'static) {
        *self.due.lock().unwrap() = Some((id.topic.to_string(), Box::new(action)));
    }

    fn happened(&self) -> bool {
        self.due.lock().unwrap().is_none()
    }
}

impl Disk for Interrupted {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        let inner = RealDisk.open(path, mode)?;
        Ok(Arc::new(InterruptedFile { inner, path: path.display().to_string(), due: Arc::clone(&self.due) }))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_directory(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_directory(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_directory(path)
    }

    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        RealDisk.space(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        RealDisk.lock(path)
    }
}

struct InterruptedFile {
    inner: FileHandle,
    path: String,
    due: Arc<Mutex<Option<(String, Action)>>>,
}

impl InterruptedFile {
    /// Does what is due, if this is the file it is due at.
    fn interrupt(&self) {
        let mut due = self.due.lock().unwrap();
        if due.as_ref().is_some_and(|(topic, _)| self.path.contains(topic)) {
            let (_, action) = due.take().expect("just seen");
            drop(due);
            action();
        }
    }
}

impl DiskFile for InterruptedFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, position)
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        self.interrupt();
        self.inner.write_at(buffers, position)
    }

    fn write_durable(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        self.inner.write_durable(buffers, position)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.inner.allocate(length)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.inner.set_length(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inner.descriptor()
    }
}
