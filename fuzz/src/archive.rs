//! An input that is a data directory: files one after another, each `kind u8, number u64, length u32, zeros u32, bytes`,
//! integers little-endian. `zeros` follow the bytes in the file without standing in the input.

use std::io::IoSlice;
use std::path::{Path, PathBuf};

use chronik_log::disk::{Disk, OpenMode};
use chronik_sim::disk::SimDisk;

/// Where the simulated data directory lies.
pub(crate) const ROOT: &str = "/data";
/// Files in an input; more are left out.
const FILES_MAX: usize = 16;
/// Zeros behind a file's bytes; more are left out.
const ZEROS_MAX: u32 = 1 << 18;
const HEADER_BYTES: usize = 17;

/// What a file is, which decides its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Checkpoint,
    Wal,
    Spare,
    /// Of a partition of the one topic, 0 to 3.
    Segment(u8),
    Index(u8),
}

/// One file of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) kind: Kind,
    /// Sequence number or base offset.
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) zeros: u32,
}

impl Kind {
    fn to_byte(self) -> u8 {
        match self {
            Kind::Checkpoint => 0,
            Kind::Wal => 1,
            Kind::Spare => 2,
            Kind::Segment(partition) => 4 | partition & 3,
            Kind::Index(partition) => 8 | partition & 3,
        }
    }

    fn from_byte(byte: u8) -> Self {
        match byte & 15 {
            0 => Kind::Checkpoint,
            2 => Kind::Spare,
            4..8 => Kind::Segment(byte & 3),
            8..12 => Kind::Index(byte & 3),
            _ => Kind::Wal,
        }
    }
}

impl File {
    fn path(&self) -> PathBuf {
        let topic = "09".repeat(16);
        let name = match self.kind {
            Kind::Checkpoint => "checkpoint".to_owned(),
            Kind::Wal => format!("wal/{:020}.wal", self.number),
            Kind::Spare => format!("wal/{:010}.spare", self.number),
            Kind::Segment(partition) => format!("topics/{topic}/{partition}/{:020}.log", self.number),
            Kind::Index(partition) => format!("topics/{topic}/{partition}/{:020}.index", self.number),
        };
        Path::new(ROOT).join(name)
    }

    /// The file with this path, if it is one that an input can hold.
    pub(crate) fn of_path(path: &Path, content: &[u8]) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let partition = || path.parent()?.file_name()?.to_str()?.parse().ok();
        let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
        let kind = match extension {
            "wal" => Kind::Wal,
            "spare" => Kind::Spare,
            "log" => Kind::Segment(partition()?),
            "index" => Kind::Index(partition()?),
            _ if name == "checkpoint" => Kind::Checkpoint,
            _ => return None,
        };
        let kept = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let zeros = (content.len() - kept) as u32;
        Some(File { kind, number: stem.parse().unwrap_or(0), bytes: content[..kept].to_vec(), zeros })
    }
}

/// The files of an input; what is cut short at its end is taken as far as it goes.
pub(crate) fn unpack(mut input: &[u8]) -> Vec<File> {
    let mut files = Vec::new();
    while let Some((header, rest)) = input.split_first_chunk::<HEADER_BYTES>()
        && files.len() < FILES_MAX
    {
        let u32_at = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"));
        let (bytes, rest) = rest.split_at(rest.len().min(u32_at(9) as usize));
        files.push(File {
            kind: Kind::from_byte(header[0]),
            number: u64::from_le_bytes(header[1..9].try_into().expect("8 bytes")),
            bytes: bytes.to_vec(),
            zeros: u32_at(13) % (ZEROS_MAX + 1),
        });
        input = rest;
    }
    files
}

/// The input that holds `files`.
pub(crate) fn pack(files: &[File]) -> Vec<u8> {
    let mut input = Vec::new();
    for file in files {
        input.push(file.kind.to_byte());
        input.extend_from_slice(&file.number.to_le_bytes());
        input.extend_from_slice(&(file.bytes.len() as u32).to_le_bytes());
        input.extend_from_slice(&file.zeros.to_le_bytes());
        input.extend_from_slice(&file.bytes);
    }
    input
}

/// Puts `files` on `disk`, durably. One that comes twice counts the last time.
pub(crate) fn write(files: &[File], disk: &SimDisk) {
    let sync = |path: &Path| path.ancestors().skip(1).for_each(|folder| disk.sync_directory(folder).expect("the disk works"));
    for file in files {
        let path = file.path();
        disk.create_directory(path.parent().expect("files lie in directories")).expect("the disk works");
        let handle = disk.open(&path, OpenMode::Write).expect("the disk works");
        handle.set_length(0).expect("the disk works");
        handle.write_at(&[IoSlice::new(&file.bytes)], 0).expect("the disk works");
        handle.set_length(file.bytes.len() as u64 + u64::from(file.zeros)).expect("the disk works");
        handle.sync().expect("the disk works");
        sync(&path);
    }
}

/// The files that lie on `disk`.
pub(crate) fn of_disk(disk: &SimDisk) -> Vec<File> {
    let listed = disk.files_below(Path::new(ROOT));
    listed.iter().filter_map(|(path, _)| File::of_path(path, &disk.content(path))).collect()
}
