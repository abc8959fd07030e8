//! The floor broker: the least that a broker can do and still be one. One thread, one file that is written over again
//! and again; Produce v3 in, checksum verified, base offset patched, bytes appended, one sync for each turn of the loop
//! (or none), then the answers; Fetch v4 out of the same file by sendfile. Nothing is kept for a restart. What a real
//! broker costs beyond this is what its promises cost.
//!
//! `floor PORT SYNC(0|1) FILE_MIB FILE`

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail};
use rustix::event::epoll;

const LISTENER: u64 = 0;
const MIB: usize = 1 << 20;
const PRODUCE: u16 = 0;
const FETCH: u16 = 1;
const BATCH_HEADER: usize = 61;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, port, sync, mib, path] = arguments.as_slice() else { bail!("usage: floor PORT SYNC(0|1) FILE_MIB FILE") };
    let file = Ring::open(path, mib.parse::<usize>()? * MIB)?;
    Broker { file, sync: sync == "1", connections: HashMap::new(), offset: 0 }.serve(port.parse()?)
}

struct Broker {
    file: Ring,
    sync: bool,
    connections: HashMap<u64, Connection>,
    offset: u64,
}

struct Connection {
    socket: TcpStream,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
}

impl Broker {
    fn serve(mut self, port: u16) -> Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", port)).context("bind")?;
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&poll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        let mut events = Vec::with_capacity(64);
        let mut next = LISTENER + 1;
        loop {
            events.clear();
            epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
            let mut answering = Vec::new();
            let mut wrote = false;
            for event in &events {
                let id = event.data.u64();
                if id == LISTENER {
                    let (socket, _) = listener.accept()?;
                    socket.set_nodelay(true)?;
                    socket.set_nonblocking(true)?;
                    epoll::add(&poll, &socket, epoll::EventData::new_u64(next), epoll::EventFlags::IN)?;
                    if self.connections.is_empty() {
                        // Each load begins at the beginning of the file, so that all of it can be fetched after.
                        self.file.begin();
                    }
                    self.connections.insert(next, Connection::new(socket));
                    next += 1;
                    continue;
                }
                match self.turn(id) {
                    Ok(produced) => {
                        wrote |= produced;
                        answering.push(id);
                    }
                    Err(_) => drop(self.connections.remove(&id)),
                }
            }
            if wrote && self.sync {
                self.file.file.sync_data()?;
            }
            for id in answering {
                if let Some(connection) = self.connections.get_mut(&id)
                    && !connection.output.is_empty()
                {
                    connection.socket.write_all(&connection.output)?;
                    connection.output.clear();
                }
            }
        }
    }

    /// Reads once from a connection and does what has come whole. Whether something was appended; an error closes it.
    fn turn(&mut self, id: u64) -> Result<bool> {
        let connection = self.connections.get_mut(&id).context("no such connection")?;
        if !connection.read()? {
            return Ok(false);
        }
        let mut at = 0;
        let mut wrote = false;
        while connection.filled - at >= 4 {
            let length = u32_at(&connection.input, at) as usize;
            if connection.filled - at < 4 + length {
                break;
            }
            let request = &mut connection.input[at + 4..at + 4 + length];
            match u16_at(request, 0) {
                PRODUCE => {
                    produce(&mut self.file, &mut self.offset, request, &mut connection.output)?;
                    wrote = true;
                }
                FETCH => fetch(&self.file, self.offset, request, &mut connection.socket)?,
                other => bail!("the floor has no api {other}"),
            }
            at += 4 + length;
        }
        connection.input.copy_within(at..connection.filled, 0);
        connection.filled -= at;
        Ok(wrote)
    }
}

impl Connection {
    fn new(socket: TcpStream) -> Connection {
        Connection { socket, input: vec![0; 4 * MIB], filled: 0, output: Vec::new() }
    }

    fn read(&mut self) -> Result<bool> {
        let end = self.input.len().min(self.filled + MIB);
        match self.socket.read(&mut self.input[self.filled..end]) {
            Ok(0) => bail!("closed"),
            Ok(count) => {
                self.filled += count;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Appends the one batch of a Produce v3 request and adds its answer to `output`.
fn produce(file: &mut Ring, offset: &mut u64, request: &mut [u8], output: &mut Vec<u8>) -> Result<()> {
    let client = u16_at(request, 8) as usize;
    // After the header: transactional id (null), acks, timeout, one topic.
    let topic = 10 + client + 2 + 2 + 4 + 4;
    let name = u16_at(request, topic) as usize;
    let partition = topic + 2 + name + 4;
    let size = u32_at(request, partition + 4) as usize;
    let (head, batch) = request.split_at_mut(partition + 8);
    let Some(batch) = batch.get_mut(..size).filter(|batch| batch.len() >= BATCH_HEADER) else { bail!("no batch") };
    let good = crc32c::crc32c(&batch[21..]) == u32_at(batch, 17);
    let base = *offset;
    batch[..8].copy_from_slice(&base.to_be_bytes());
    let count = u64::from(u32_at(batch, 57));
    file.append(batch, base, count)?;
    *offset += count;

    let length = 4 + 4 + 2 + name + 4 + 4 + 2 + 8 + 8 + 4;
    output.extend((length as u32).to_be_bytes());
    output.extend(&head[4..8]);
    output.extend(1u32.to_be_bytes());
    output.extend(&head[topic..topic + 2 + name]);
    output.extend(1u32.to_be_bytes());
    output.extend(&head[partition..partition + 4]);
    output.extend(if good { 0u16 } else { 2u16 }.to_be_bytes());
    output.extend(base.to_be_bytes());
    output.extend((-1i64).to_be_bytes());
    output.extend(0u32.to_be_bytes());
    Ok(())
}

/// Answers a Fetch v4 of one partition at once, waiting for the socket as long as it takes.
fn fetch(file: &Ring, end: u64, request: &[u8], socket: &mut TcpStream) -> Result<()> {
    let client = u16_at(request, 8) as usize;
    // After the header: replica, max wait, min bytes, max bytes, isolation, one topic.
    let topic = 10 + client + 4 + 4 + 4 + 4 + 1 + 4;
    let name = u16_at(request, topic) as usize;
    let partition = topic + 2 + name + 4;
    let offset = u64::from_be_bytes(request[partition + 4..partition + 12].try_into()?);
    let max_bytes = u32_at(request, partition + 12) as usize;
    let (position, size) = file.find(offset, max_bytes);

    let length = 4 + 4 + 4 + 2 + name + 4 + 4 + 2 + 8 + 8 + 4 + 4 + size;
    let mut head = Vec::with_capacity(128);
    head.extend((length as u32).to_be_bytes());
    head.extend(&request[4..8]);
    head.extend(0u32.to_be_bytes());
    head.extend(1u32.to_be_bytes());
    head.extend(&request[topic..topic + 2 + name]);
    head.extend(1u32.to_be_bytes());
    head.extend(&request[partition..partition + 4]);
    head.extend(0u16.to_be_bytes());
    head.extend(end.to_be_bytes());
    head.extend(end.to_be_bytes());
    head.extend((-1i32).to_be_bytes());
    head.extend((size as u32).to_be_bytes());
    socket.set_nonblocking(false)?;
    socket.write_all(&head)?;
    let mut from = position;
    while from < position + size as u64 {
        let left = (position + size as u64 - from) as usize;
        rustix::fs::sendfile(&*socket, &file.file, Some(&mut from), left)?;
    }
    socket.set_nonblocking(true)?;
    Ok(())
}

/// A file of fixed size that is written over from its beginning when it is full.
struct Ring {
    file: File,
    size: usize,
    position: usize,
    /// Where batches lie: (base offset, records, position, bytes), since the file was last begun.
    batches: Vec<(u64, u64, usize, usize)>,
}

impl Ring {
    /// Writes the whole file once, so that appends find their blocks and their memory in place.
    fn open(path: &str, size: usize) -> Result<Ring> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let filler = vec![1; MIB];
        for position in (0..size).step_by(MIB) {
            file.write_all_at(&filler, position as u64)?;
        }
        file.sync_all()?;
        Ok(Ring { file, size, position: 0, batches: Vec::new() })
    }

    fn begin(&mut self) {
        self.position = 0;
        self.batches.clear();
    }

    fn append(&mut self, batch: &[u8], base: u64, count: u64) -> Result<()> {
        if self.position + batch.len() > self.size {
            self.begin();
        }
        self.file.write_all_at(batch, self.position as u64)?;
        self.batches.push((base, count, self.position, batch.len()));
        self.position += batch.len();
        Ok(())
    }

    /// Position and size of whole batches from the one that holds `offset`; nothing when it is not there.
    fn find(&self, offset: u64, max_bytes: usize) -> (u64, usize) {
        let first = self.batches.partition_point(|(base, count, ..)| base + count <= offset);
        let Some((_, _, position, _)) = self.batches.get(first) else { return (0, 0) };
        let mut size = 0;
        for (.., length) in &self.batches[first..] {
            if size > 0 && size + length > max_bytes {
                break;
            }
            size += length;
        }
        (*position as u64, size)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
