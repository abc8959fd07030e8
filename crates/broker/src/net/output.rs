//! The bytes that leave on one connection: from memory by vectored writes, from segments by `sendfile`.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use chronik_log::{ChunkSlice, FileRange, Piece};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Slices in one vectored write.
const SLICES_MAX: usize = 64;
/// Bytes in one `sendfile`: large enough to be cheap, small enough that others get their turn.
const SENDFILE_BYTES: usize = 1 << 20;
/// The same where it has to be copied.
const COPY_BYTES: usize = 64 << 10;
/// Bytes that one connection writes before others of its thread get their turn, however fast its peer reads.
const WRITE_BYTES: u64 = 4 << 20;

/// One run of bytes, wherever it lies.
pub(crate) enum Run {
    Bytes(Bytes),
    Memory(ChunkSlice),
    File(FileRange),
}

/// What is to leave, in order.
#[derive(Default)]
pub(crate) struct Output {
    runs: VecDeque<Run>,
}

impl Output {
    pub(crate) fn push(&mut self, run: Run) {
        if run.len() > 0 {
            self.runs.push_back(run);
        }
    }

    /// Writes as much as the peer takes now. True if that was all.
    pub(crate) fn write(&mut self, stream: &TcpStream) -> io::Result<bool> {
        let mut written_bytes = 0;
        while !self.runs.is_empty() && written_bytes < WRITE_BYTES {
            match self.write_once(stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written_bytes += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(self.runs.is_empty())
    }

    /// Bytes of memory that wait to leave.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.runs.iter().filter_map(Run::memory).map(<[u8]>::len).sum()
    }

    /// Lets go of the log's memory, of which a few bytes hold much: what waits is copied.
    pub(crate) fn detach(&mut self) {
        for run in &mut self.runs {
            if let Run::Memory(slice) = run {
                *run = Run::Bytes(Bytes::copy_from_slice(slice));
            }
        }
    }

    fn write_once(&mut self, stream: &TcpStream) -> io::Result<u64> {
        let written = match self.runs.front() {
            Some(Run::File(range)) => send_file(stream, range)?,
            _ => {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = self.gather(&mut slices);
                stream.try_write_vectored(&slices[..count])? as u64
            }
        };
        self.advance(written);
        Ok(written)
    }

    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let memory = self.runs.iter().map_while(Run::memory);
        slices.iter_mut().zip(memory).map(|(slot, bytes)| *slot = IoSlice::new(bytes)).count()
    }

    fn advance(&mut self, mut written: u64) {
        while written > 0 {
            let front = self.runs.front_mut().expect("no more is written than was there");
            let step = written.min(front.len());
            front.skip(step);
            written -= step;
            if front.len() == 0 {
                self.runs.pop_front();
            }
        }
    }
}

impl Run {
    fn len(&self) -> u64 {
        match self {
            Run::Bytes(bytes) => bytes.len() as u64,
            Run::Memory(slice) => slice.len() as u64,
            Run::File(range) => range.length as u64,
        }
    }

    fn memory(&self) -> Option<&[u8]> {
        match self {
            Run::Bytes(bytes) => Some(bytes),
            Run::Memory(slice) => Some(slice),
            Run::File(_) => None,
        }
    }

    fn skip(&mut self, count: u64) {
        match self {
            Run::Bytes(bytes) => bytes.advance(count as usize),
            Run::Memory(slice) => *slice = slice.slice(count as usize..slice.len()),
            Run::File(range) => {
                range.position += count;
                range.length -= count as usize;
            }
        }
    }
}

impl From<Piece> for Run {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Memory(slice) => Run::Memory(slice),
            Piece::File(range) => Run::File(range),
        }
    }
}

/// For disks without descriptors, which are those of tests.
fn copy_file(stream: &TcpStream, range: &FileRange) -> io::Result<u64> {
    let mut bytes = vec![0; range.length.min(COPY_BYTES)];
    range.read_into(&mut bytes)?;
    stream.try_write(&bytes).map(|written| written as u64)
}

fn send_file(stream: &TcpStream, range: &FileRange) -> io::Result<u64> {
    let count = range.length.min(SENDFILE_BYTES);
    let Some(file) = range.descriptor() else { return copy_file(stream, range) };
    let mut position = range.position;
    stream.try_io(Interest::WRITABLE, || match rustix::fs::sendfile(stream, file, Some(&mut position), count)? {
        // The file ended before the range: it was cut behind our back.
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a segment is shorter than its index says")),
        sent => Ok(sent as u64),
    })
}
