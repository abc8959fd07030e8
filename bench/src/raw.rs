//! The machine itself, without a broker: a sync, a round trip, a file sent out of the page cache. Each is the least that a
//! broker's answer contains.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

const BLOCK: usize = 4096;
const SYNC_FILE_BLOCKS: usize = 4096;

/// A file that is written over block by block, with a sync after each: what is already written is synced fastest.
pub(crate) struct Syncs {
    file: File,
    next: usize,
}

impl Syncs {
    pub(crate) fn new(path: &Path) -> Result<Syncs> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        file.write_all_at(&vec![1; BLOCK * SYNC_FILE_BLOCKS], 0)?;
        file.sync_all()?;
        Ok(Syncs { file, next: 0 })
    }

    /// Microseconds that each of `count` writes of 4 KiB with its `fdatasync` took.
    pub(crate) fn run(&mut self, count: usize) -> Result<Vec<f64>> {
        let mut latencies_us = Vec::with_capacity(count);
        for number in 0..count {
            let block = [number as u8; BLOCK];
            let started = Instant::now();
            self.file.write_all_at(&block, (self.next * BLOCK) as u64)?;
            self.file.sync_data()?;
            latencies_us.push(started.elapsed().as_secs_f64() * 1e6);
            self.next = (self.next + 1) % SYNC_FILE_BLOCKS;
        }
        Ok(latencies_us)
    }
}

/// A thread that answers each request of a fixed size with an answer of a fixed size, and does nothing else.
pub(crate) struct Echo {
    socket: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub(crate) fn new(request_bytes: usize, answer_bytes: usize) -> Result<Echo> {
        let (socket, mut peer) = connection()?;
        let thread = std::thread::spawn(move || {
            let (mut request, answer) = (vec![0; request_bytes], vec![0; answer_bytes]);
            while peer.read_exact(&mut request).is_ok() && peer.write_all(&answer).is_ok() {}
        });
        Ok(Echo { socket, request: vec![0; request_bytes], answer: vec![0; answer_bytes], thread: Some(thread) })
    }

    /// Microseconds that each of `count` round trips took.
    pub(crate) fn run(&mut self, count: usize) -> Result<Vec<f64>> {
        let mut latencies_us = Vec::with_capacity(count);
        for _ in 0..count {
            let started = Instant::now();
            self.socket.write_all(&self.request)?;
            self.socket.read_exact(&mut self.answer)?;
            latencies_us.push(started.elapsed().as_secs_f64() * 1e6);
        }
        Ok(latencies_us)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // Without its socket the thread ends; a panic of it has already failed the run.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A file in the page cache, sent by `sendfile` in pieces that are asked for one by one.
pub(crate) struct Sendfile {
    file: File,
    bytes: u64,
}

impl Sendfile {
    pub(crate) fn new(path: &Path, bytes: u64) -> Result<Sendfile> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        let piece = vec![7; 1 << 20];
        for at in (0..bytes).step_by(piece.len()) {
            file.write_all_at(&piece[..piece.len().min((bytes - at) as usize)], at)?;
        }
        file.sync_all()?;
        Ok(Sendfile { file, bytes })
    }

    /// Sends and reads it once. Bytes per second, and processor seconds of the sending side.
    pub(crate) fn run(&self, piece: usize) -> Result<(f64, f64)> {
        let (mut socket, mut peer) = connection()?;
        let (file, bytes) = (self.file.try_clone()?, self.bytes);
        let started = Instant::now();
        let sender = std::thread::spawn(move || -> Result<f64> {
            let mut from = 0;
            while from < bytes {
                peer.read_exact(&mut [0; 8])?;
                let end = bytes.min(from + piece as u64);
                while from < end {
                    let wanted = (end - from) as usize;
                    rustix::fs::sendfile(&peer, &file, Some(&mut from), wanted)?;
                }
            }
            thread_cpu_seconds()
        });
        let mut buffer = vec![0; piece];
        let mut left = bytes as usize;
        while left > 0 {
            socket.write_all(&[0; 8])?;
            let wanted = piece.min(left);
            socket.read_exact(&mut buffer[..wanted])?;
            left -= wanted;
        }
        let seconds = started.elapsed().as_secs_f64();
        let cpu = sender.join().map_err(|_| anyhow!("the sending thread panicked"))??;
        Ok((bytes as f64 / seconds, cpu))
    }
}

fn thread_cpu_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns: u64 = text.split_whitespace().next().context("empty schedstat")?.parse()?;
    Ok(ns as f64 / 1e9)
}

/// Both ends of a loopback connection.
fn connection() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let socket = TcpStream::connect(listener.local_addr()?)?;
    let (peer, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    peer.set_nodelay(true)?;
    Ok((socket, peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_gives_what_was_asked_for() {
        let directory = std::env::temp_dir().join(format!("chronik-bench-raw-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        assert_eq!(Syncs::new(&directory.join("syncs")).unwrap().run(3).unwrap().len(), 3);
        assert_eq!(Echo::new(100, 10).unwrap().run(5).unwrap().len(), 5);
        let (rate, cpu) = Sendfile::new(&directory.join("file"), 3_000_001).unwrap().run(1 << 20).unwrap();
        assert!(rate > 0.0 && cpu >= 0.0);
        fs::remove_dir_all(directory).unwrap();
    }
}
