#![cfg(test)]
//! One client and one node on one thread: what a counter of instructions looks at (`cargo xtask bench callgrind`). As a
//! test it holds that what is counted is served.

use std::hint::black_box;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chronik_log::records::BatchBuilder;
use chronik_wire::messages::KafkaRequest;
use chronik_wire::messages::{
    CreateTopicsRequest, CreateTopicsResponse, FetchRequest, FetchResponse, ProduceRequest, ProduceResponse,
    create_topics_request, fetch_request, produce_request,
};
use chronik_wire::{decode_response, encode_request, message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalRuntime;
use tokio::sync::mpsc::{self, UnboundedSender};

use crate::config::Config;
use crate::net::reactor::{Accepted, Reactor};
use crate::node::{Node, now_ms};
use crate::start;

const TOPIC: &str = "counted";
const RECORDS: usize = 100;
const RECORD_BYTES: usize = 1024;
const PRODUCE_VERSION: i16 = 7;
const FETCH_VERSION: i16 = 10;
/// Requests before the counted ones: buffers and maps have grown by then.
const WARM_UP: usize = 20;
/// Requests that are counted; `xtask/src/callgrind.rs` divides by it.
const COUNTED: usize = 100;

struct Bench {
    runtime: LocalRuntime,
    node: Arc<Node>,
    dealt: UnboundedSender<Accepted>,
    client: TcpStream,
    answer: BytesMut,
}

impl Bench {
    /// A node with one topic, and a connection to it.
    fn new(data_dir: &tempfile::TempDir) -> Bench {
        let config = Config {
            data_dir: data_dir.path().to_owned(),
            listen: vec![([127, 0, 0, 1], 0).into()],
            reactors: 1,
            ..Config::default()
        };
        let (node, _listeners, _ready) = start::bring_up(config).unwrap();
        let runtime = start::runtime().unwrap();
        let (dealt, accepted) = mpsc::unbounded_channel();
        let client = runtime.block_on(async {
            tokio::task::spawn_local(Reactor::new(Arc::clone(&node), 0).run(accepted));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            client.set_nodelay(true).unwrap();
            let (stream, peer) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let local = stream.local_addr().unwrap();
            assert!(dealt.send(Accepted { stream: stream.into_std().unwrap(), peer, local }).is_ok());
            client
        });
        let mut bench = Bench { runtime, node, dealt, client, answer: BytesMut::new() };
        bench.create_topic();
        bench
    }

    fn create_topic(&mut self) {
        let topic = message!(create_topics_request::CreatableTopic {
            name: TOPIC.into(),
            num_partitions: 1,
            replication_factor: 1,
        });
        let request = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000 });
        self.ask(&frame(&request, 4), 1);
        let response: CreateTopicsResponse = decode_response(self.answered(), 4).unwrap().1;
        assert_eq!(response.topics[0].error_code, 0);
    }

    /// Sends the same frame so many times, each when the last was answered.
    fn ask(&mut self, frame: &[u8], times: usize) {
        let Bench { runtime, client, answer, .. } = self;
        runtime.block_on(async {
            for _ in 0..times {
                client.write_all(frame).await.unwrap();
                let length = client.read_i32().await.unwrap();
                answer.resize(length as usize, 0);
                client.read_exact(answer).await.unwrap();
            }
        });
    }

    fn answered(&self) -> Bytes {
        Bytes::copy_from_slice(&self.answer)
    }

    fn end(self) {
        let Bench { runtime, node, dealt, client, .. } = self;
        drop((client, dealt));
        node.stop();
        drop(runtime);
    }
}

/// What is counted carries a name that the counter is told. Two functions with the same body would be made one: hence
/// the hints.
#[inline(never)]
fn counted_produce(bench: &mut Bench, frame: &[u8]) {
    black_box("produce");
    bench.ask(frame, COUNTED);
}

#[inline(never)]
fn counted_fetch(bench: &mut Bench, frame: &[u8]) {
    black_box("fetch");
    bench.ask(frame, COUNTED);
}

#[test]
fn requests() {
    let data_dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(&data_dir);
    let produce = frame(&produce_request(), PRODUCE_VERSION);
    bench.ask(&produce, WARM_UP);
    counted_produce(&mut bench, &produce);
    let produced: ProduceResponse = decode_response(bench.answered(), PRODUCE_VERSION).unwrap().1;
    let partition = &produced.responses[0].partition_responses[0];
    assert_eq!((partition.error_code, partition.base_offset), (0, ((WARM_UP + COUNTED - 1) * RECORDS) as i64));

    let fetch = frame(&fetch_request(), FETCH_VERSION);
    bench.ask(&fetch, WARM_UP);
    counted_fetch(&mut bench, &fetch);
    let fetched: FetchResponse = decode_response(bench.answered(), FETCH_VERSION).unwrap().1;
    let partition = &fetched.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    let records = partition.records.as_ref().map_or(0, |records| records.len());
    assert!(records > RECORDS * RECORD_BYTES && records < 2 * RECORDS * RECORD_BYTES, "{records} bytes");
    bench.end();
}

/// One batch for the only partition.
fn produce_request() -> ProduceRequest {
    let mut batch = BatchBuilder::new();
    for _ in 0..RECORDS {
        batch.record(now_ms(), None, Some(&[b'v'; RECORD_BYTES]), &[]);
    }
    let records = Bytes::copy_from_slice(batch.build().bytes());
    let partition = message!(produce_request::PartitionProduceData { index: 0, records: Some(records) });
    let topic = message!(produce_request::TopicProduceData { name: TOPIC.into(), partition_data: vec![partition] });
    message!(ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![topic] })
}

/// The first batch, as a consumer far behind would ask for it.
fn fetch_request() -> FetchRequest {
    let partition = message!(fetch_request::FetchPartition {
        partition: 0,
        fetch_offset: 0,
        partition_max_bytes: (RECORDS * RECORD_BYTES) as i32,
    });
    let topic = message!(fetch_request::FetchTopic { topic: TOPIC.into(), partitions: vec![partition] });
    message!(FetchRequest {
        replica_id: -1,
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: (RECORDS * RECORD_BYTES) as i32,
        session_epoch: -1,
        topics: vec![topic],
    })
}

fn frame<R: KafkaRequest>(request: &R, version: i16) -> Vec<u8> {
    let mut frame = BytesMut::new();
    encode_request(&mut frame, 1, Some("counter"), request, version).unwrap();
    frame.to_vec()
}
