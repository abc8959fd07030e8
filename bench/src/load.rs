//! The load: one connection, frames made beforehand, as many in flight as asked for.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::encode::{self, Template};

/// How long a broker may be silent before a run is given up.
const SILENCE: Duration = Duration::from_secs(30);

const BATCH_HEADER: usize = 61;

/// A connection that sends templates and reads answers.
pub(crate) struct Client {
    socket: TcpStream,
    correlation_id: u32,
    input: Vec<u8>,
}

/// What a produce run did.
pub(crate) struct Produced {
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    /// From handing a request to the socket to its answer, in microseconds, sorted.
    pub(crate) latencies_us: Vec<f64>,
}

/// What a fetch run did.
pub(crate) struct Fetched {
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Result<Client> {
        let socket = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(SILENCE))?;
        Ok(Client { socket, correlation_id: 0, input: Vec::new() })
    }

    /// Creates the topic and waits until its last partition takes records (it gets one).
    pub(crate) fn create_topic(&mut self, topic: &str, partitions: u32, settings: &[(&str, &str)]) -> Result<()> {
        let answer = self.ask(&mut encode::create_topic(topic, partitions, settings))?;
        // Throttle time, one topic.
        let at = 4 + 4 + 2 + topic.len();
        let error = i16::from_be_bytes([answer[at], answer[at + 1]]);
        ensure!(error == 0, "creating {topic} was refused with error {error}");
        let deadline = Instant::now() + SILENCE;
        let mut probe = encode::produce(topic, 1, 8);
        probe.turn_to(partitions - 1);
        while produce_error(self.ask(&mut probe)?, topic) != 0 {
            ensure!(Instant::now() < deadline, "topic {topic} is not ready");
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    pub(crate) fn delete_topic(&mut self, topic: &str) -> Result<()> {
        self.ask(&mut encode::delete_topic(topic)).map(drop)
    }

    /// Sends `count` requests, `in_flight` of them at a time, and waits for the last answer.
    pub(crate) fn produce(
        &mut self,
        topic: &str,
        template: &mut Template,
        count: usize,
        in_flight: usize,
    ) -> Result<Produced> {
        let started = Instant::now();
        let mut sent_at = VecDeque::with_capacity(in_flight);
        let mut latencies_us = Vec::with_capacity(count);
        let mut sent = 0;
        while latencies_us.len() < count {
            while sent < count && sent_at.len() < in_flight {
                self.correlation_id += 1;
                sent_at.push_back(Instant::now());
                self.socket.write_all(template.number(self.correlation_id))?;
                sent += 1;
            }
            let error = produce_error(self.answer()?, topic);
            ensure!(error == 0, "produce was refused with error {error}");
            let sent = sent_at.pop_front().context("an answer to no request")?;
            latencies_us.push(sent.elapsed().as_secs_f64() * 1e6);
        }
        let seconds = started.elapsed().as_secs_f64();
        latencies_us.sort_by(f64::total_cmp);
        Ok(Produced { bytes: (template.frame.len() * count) as u64, seconds, latencies_us })
    }

    /// Reads a partition from offset `from` until `bytes` of record batches have come.
    pub(crate) fn fetch(&mut self, topic: &str, mut from: u64, bytes: u64, max_bytes: u32) -> Result<Fetched> {
        let started = Instant::now();
        let mut got = 0;
        while got < bytes {
            let answer = self.ask(&mut encode::fetch(topic, from, max_bytes))?;
            let (records, next) = fetched_records(answer, topic, from)?;
            ensure!(next > from, "nothing came from offset {from}, {got} of {bytes} bytes read");
            from = next;
            got += records as u64;
        }
        Ok(Fetched { bytes: got, seconds: started.elapsed().as_secs_f64() })
    }

    /// The offset from which a partition can be read: 0 unless the broker has written over its beginning.
    pub(crate) fn first_offset(&mut self, topic: &str) -> Result<u64> {
        let answer = self.ask(&mut encode::fetch(topic, 0, 1))?;
        base_offset(record_bytes(answer, topic)?)
    }

    fn ask(&mut self, template: &mut Template) -> Result<&[u8]> {
        self.correlation_id += 1;
        self.socket.write_all(template.number(self.correlation_id))?;
        self.answer()
    }

    /// The next response after its correlation id.
    fn answer(&mut self) -> Result<&[u8]> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if self.input.len() < length {
            self.input.resize(length, 0);
        }
        self.socket.read_exact(&mut self.input[..length])?;
        ensure!(length >= 4, "an answer of {length} bytes");
        Ok(&self.input[4..length])
    }
}

/// The error code in a Produce v3 answer for one partition.
fn produce_error(answer: &[u8], topic: &str) -> i16 {
    let at = 4 + 2 + topic.len() + 4 + 4;
    i16::from_be_bytes([answer[at], answer[at + 1]])
}

/// Size of the whole batches in a Fetch v4 answer for one partition, and the offset after the last of them.
fn fetched_records(answer: &[u8], topic: &str, from: u64) -> Result<(usize, u64)> {
    let all = record_bytes(answer, topic)?;
    let mut records = all;
    let mut next = from;
    while records.len() >= BATCH_HEADER {
        let length = 12 + u32::from_be_bytes(records[8..12].try_into()?) as usize;
        if records.len() < length {
            break;
        }
        let last = u32::from_be_bytes(records[23..27].try_into()?);
        next = base_offset(records)? + u64::from(last) + 1;
        records = &records[length..];
    }
    Ok((all.len() - records.len(), next))
}

/// The record bytes in a Fetch v4 answer for one partition.
fn record_bytes<'a>(answer: &'a [u8], topic: &str) -> Result<&'a [u8]> {
    // Throttle time, one topic, one partition.
    let mut at = 4 + 4 + 2 + topic.len() + 4 + 4;
    let error = i16::from_be_bytes([answer[at], answer[at + 1]]);
    if error != 0 {
        bail!("fetch was refused with error {error}");
    }
    at += 2 + 8 + 8;
    let aborted = i32::from_be_bytes(answer[at..at + 4].try_into()?).max(0) as usize;
    at += 4 + 16 * aborted;
    let size = i32::from_be_bytes(answer[at..at + 4].try_into()?).max(0) as usize;
    Ok(&answer[at + 4..at + 4 + size])
}

fn base_offset(batch: &[u8]) -> Result<u64> {
    Ok(u64::from_be_bytes(batch.get(..8).context("no batch came")?.try_into()?))
}
