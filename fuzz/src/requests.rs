//! What a stranger sends: the bytes of a connection, through framing, dispatch and every served API of a real node on a
//! simulated disk, and what the node answers.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use chronik_broker::harness::{converse, served};
use chronik_broker::{Advertise, Config};
use chronik_sim::disk::{SimDisk, Stop};
use chronik_sim::random::Random as SimRandom;
use chronik_wire::messages::{KafkaEncode, KafkaRequest};
use chronik_wire::{ApiKey, BytesMut, encode_request};

use crate::memory::Limits;
use crate::random::Random;
use crate::{Plain, batches, seeds as vectors};

mod answers;
mod dialogue;

/// A node with its disk, twice over: memory of the log, groups, sessions; what an answer repeats of what was asked.
pub const LIMITS: Limits = Limits { fixed_bytes: 96 << 20, bytes_per_byte: 4096 };
/// Longer inputs find nothing that shorter ones do not.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// Sends `bytes` to a node that has topics and a group, and then asks it what there is; starts it again, and asks again.
///
/// # Panics
/// If an answer is out of order or does not decode, if a request that is served is not answered, if the node stops or
/// does not come up again, or does not know then what it knew before.
pub fn run(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(INPUT_BYTES_MAX)];
    let disk = template().duplicate();
    let known = known();
    let mut answered = converse(Arc::new(disk.clone()), 1, config(), &[bytes, known]).unwrap_or_else(|why| panic!("the node stopped: {why}"));
    let knows = answered.pop().expect("an answer for each connection");
    answers::check(bytes, &answered[0]);
    answers::check(known, &knows);
    let again = converse(Arc::new(disk.restart(Stop::PowerCut)), 2, config(), &[known]).unwrap_or_else(|why| panic!("the next start: {why}"));
    same(&knows, &again[0]);
}

/// What was answered before and after a restart.
fn same(before: &[u8], after: &[u8]) {
    let (before, after) = (frames(before), frames(after));
    assert_eq!(before.len(), after.len(), "after a restart there are other answers");
    dialogue::same_topics(before[0], after[0]);
    for (index, (before, after)) in before.iter().zip(&after).enumerate().skip(1) {
        let Some(at) = before.iter().zip(*after).position(|(before, after)| before != after) else {
            assert_eq!(before.len(), after.len(), "after a restart answer {index} has another length");
            continue;
        };
        let near = |bytes: &[u8]| bytes[at.saturating_sub(32)..bytes.len().min(at + 32)].escape_ascii().to_string();
        panic!("after a restart the node knows something else: answer {index} at {at}:\n{}\n{}", near(before), near(after));
    }
}

/// A node that is small and never waits.
fn config() -> Config {
    let settings = [("offsets.topic.num.partitions", "2"), ("group.initial.rebalance.delay.ms", "0"), ("num.partitions", "2")];
    Config {
        data_dir: PathBuf::from("/data"),
        advertise: Advertise::Fixed { host: "localhost".to_owned(), port: 9092 },
        wal_file_bytes: 128 << 10,
        disk_reserve_bytes: 0,
        request_memory_bytes: 64 << 20,
        kafka: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..Config::default()
    }
}

/// The disk of a node on which somebody has worked.
fn template() -> &'static SimDisk {
    static TEMPLATE: OnceLock<SimDisk> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        for api in served() {
            assert!(answers::is_served(api), "a new API, which answers.rs does not know: {api}");
        }
        let disk = SimDisk::new(SimRandom::new(1));
        let requests = dialogue::first_day();
        let answered = converse(Arc::new(disk.clone()), 0, config(), &[&requests, known()]).expect("an honest node");
        answers::check(&requests, &answered[0]);
        dialogue::went_well(&frames(&answered[1]));
        disk
    })
}

/// Asks what there is: topics with their settings, groups, offsets.
fn known() -> &'static [u8] {
    static KNOWN: OnceLock<Vec<u8>> = OnceLock::new();
    KNOWN.get_or_init(dialogue::what_there_is)
}

/// A request as a frame.
fn frame<M: KafkaRequest + KafkaEncode>(request: &M, version: i16) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    encode_request(&mut buffer, i32::from(version) + 1000, Some("fuzz"), request, version).expect("an honest request");
    buffer.to_vec()
}

/// The frames of `bytes`, without their lengths; what is left at the end or has no length is none.
fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let Some(frame) = usize::try_from(i32::from_be_bytes(*length)).ok().and_then(|length| rest.get(..length)) else { break };
        frames.push(frame);
        bytes = &rest[frame.len()..];
    }
    frames
}

/// Changes, repeats, moves or drops requests, their versions and their records; lengths are mostly right afterwards.
pub fn mutate(bytes: &mut [u8], size: usize, size_max: usize, seed: u32, plain: Plain) -> usize {
    let mut random = Random::new(seed);
    if random.one_in(16) {
        return plain(bytes, size, size_max);
    }
    let mut requests: Vec<Vec<u8>> = frames(&bytes[..size]).into_iter().map(<[u8]>::to_vec).collect();
    for _ in 0..1 + random.below(2) {
        change(&mut requests, &mut random, plain);
    }
    let mut fresh = Vec::new();
    for request in &requests {
        let length = if random.one_in(200) { random.edge(request.len() as u64) as i32 } else { request.len() as i32 };
        fresh.extend_from_slice(&length.to_be_bytes());
        fresh.extend_from_slice(request);
    }
    let size = fresh.len().min(size_max);
    bytes[..size].copy_from_slice(&fresh[..size]);
    size
}

fn change(requests: &mut Vec<Vec<u8>>, random: &mut Random, plain: Plain) {
    let index = random.below(requests.len());
    match random.below(12) {
        0 | 1 => requests.insert(index, any_seed(random)),
        2 if !requests.is_empty() => drop(requests.remove(index)),
        3 if !requests.is_empty() => requests.push(requests[index].clone()),
        4 if !requests.is_empty() => {
            let other = random.below(requests.len());
            requests.swap(index, other);
        }
        5 if !requests.is_empty() => other_version(&mut requests[index], random),
        _ if requests.is_empty() => requests.push(any_seed(random)),
        _ => within(&mut requests[index], random, plain),
    }
}

fn any_seed(random: &mut Random) -> Vec<u8> {
    static SEEDS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let seeds = SEEDS.get_or_init(|| frames(&dialogue::everything()).into_iter().map(<[u8]>::to_vec).collect());
    random.pick(seeds).expect("there are requests").clone()
}

/// Another version of the API, or another API with the same body.
fn other_version(request: &mut [u8], random: &mut Random) {
    let Some(header) = request.first_chunk_mut::<4>() else { return };
    if random.one_in(6) {
        let api = random.pick(ApiKey::ALL).expect("there are APIs");
        header[..2].copy_from_slice(&api.code().to_be_bytes());
    }
    let served = ApiKey::from_code(i16::from_be_bytes([header[0], header[1]])).map(ApiKey::served);
    let version = served.map_or(0, |served| served.min + random.below((served.max - served.min + 1) as usize) as i16);
    header[2..].copy_from_slice(&version.to_be_bytes());
}

/// Changes a request behind its first four bytes: anywhere, as a number, or in the records it carries.
fn within(request: &mut Vec<u8>, random: &mut Random, plain: Plain) {
    const HEADER_BYTES: usize = 8;
    if request.len() <= HEADER_BYTES {
        return;
    }
    let batch = request.windows(17).position(|window| window[16] == 2 && window[8] == 0 && window[9] == 0).filter(|_| is_produce(request));
    match (random.below(4), batch) {
        (0 | 1, Some(start)) => records(request, start, random, plain),
        (2, _) => {
            let width = [1, 2, 4, 8][random.below(4)];
            let at = HEADER_BYTES + random.below(request.len() - HEADER_BYTES);
            if let Some(field) = request.get_mut(at..at + width) {
                let old = field.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
                field.copy_from_slice(&random.edge(old).to_be_bytes()[8 - width..]);
            }
        }
        _ => {
            let size = request.len() - HEADER_BYTES;
            request.resize(request.len() + 64, 0);
            let size_max = request.len() - HEADER_BYTES;
            let size = plain(&mut request[HEADER_BYTES..], size, size_max);
            request.truncate(HEADER_BYTES + size);
        }
    }
}

/// Changes a batch without changing its length, and gives it its checksum.
fn records(request: &mut [u8], start: usize, random: &mut Random, plain: Plain) {
    let stated = i32::from_be_bytes(request[start + 8..start + 12].try_into().expect("4 bytes"));
    let end = start.saturating_add(12).saturating_add(usize::try_from(stated).unwrap_or(0)).min(request.len());
    if end <= start + 61 {
        return;
    }
    let batch = &mut request[start..end];
    if random.one_in(2) {
        batches::field(batch, random);
    } else {
        let from = 61 + random.below(batch.len() - 61);
        let length = batch.len() - from;
        let changed = plain(&mut batch[from..], length, length);
        batch[from + changed..].fill(0);
    }
    batches::mend_one(batch);
}

fn is_produce(request: &[u8]) -> bool {
    request.starts_with(&[0, 0])
}

/// Every request that Kafka's vectors have for a served API; and whole conversations.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = vec![
        ("first_day".to_owned(), dialogue::first_day()),
        ("what_there_is".to_owned(), dialogue::what_there_is()),
        ("a_group".to_owned(), dialogue::a_group()),
        ("everything".to_owned(), dialogue::everything()),
    ];
    for vector in vectors::read("kafka-messages.jsonl") {
        let Some(name) = vector.message.strip_suffix("Request") else { continue };
        let Some(api) = ApiKey::ALL.iter().find(|api| api.name() == name) else { continue };
        if !answers::is_served(*api) || !api.served().contains(vector.version) {
            continue;
        }
        let mut frame = Vec::new();
        frame.extend_from_slice(&api.code().to_be_bytes());
        frame.extend_from_slice(&vector.version.to_be_bytes());
        frame.extend_from_slice(&[0, 0, 0, 9, 0, 1, b'c']);
        if api.request_header_version(vector.version) >= 2 {
            frame.push(0);
        }
        frame.extend_from_slice(&vector.bytes);
        let length = (frame.len() as i32).to_be_bytes();
        seeds.push((format!("{name}_{}_{}", vector.version, vector.name), [&length[..], &frame].concat()));
    }
    seeds
}
