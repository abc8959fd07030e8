//! What is read and written by hand (Produce, the Fetch response) against the codec, in every version, and against the
//! bytes Kafka writes.

use crate::support::{Random, vectors};
use chronik_wire::{
    ApiKey, Bytes, BytesMut, ErrorCode, RequestHeader, StrBytes, Uuid, encode_response,
    fetch::{FetchPartition, FetchResponse, Piece},
    message,
    messages::{self, ApiVersion, KafkaDecode, KafkaEncode},
    produce::{NodeEndpoint, PartitionResponse, ProduceRequest, ProduceResponse, RecordError, TopicKey, TopicRef},
};

#[test]
fn produce_requests_read_like_the_codec_reads_them() {
    let mut random = Random(1);
    for version in 3..=13 {
        for _ in 0..200 {
            let request = random_produce_request(&mut random, version);
            same_produce_request(&encoded(&request, version), version);
        }
    }
}

#[test]
fn produce_requests_of_kafka_are_read() {
    let mut count = 0;
    for vector in vectors().into_iter().flatten().filter(|vector| vector.message == "ProduceRequest") {
        same_produce_request(&vector.bytes, vector.version);
        count += 1;
    }
    assert!(count == 0 || count == 22, "{count}");
}

#[test]
fn records_are_slices_of_the_frame() {
    let request = random_produce_request(&mut Random(7), 9);
    let body = encoded(&request, 9);
    let frame = body.as_ptr_range();
    let view = ProduceRequest::parse(&body, 9).expect("well formed");
    for records in view.topics().flat_map(|topic| topic.partitions().filter_map(|partition| partition.records)) {
        assert!(records.is_empty() || frame.contains(&records.as_ptr()));
    }
}

#[test]
fn a_produce_answer_has_the_shape_of_its_request() {
    let request = random_produce_request(&mut Random(3), 13);
    let body = encoded(&request, 13);
    let view = ProduceRequest::parse(&body, 13).expect("well formed");
    let response = view.response();
    let asked: Vec<_> = request.topic_data.iter().flat_map(|topic| &topic.partition_data).map(|p| p.index).collect();
    let answered: Vec<_> = response.partitions.iter().map(|partition| partition.index).collect();
    assert_eq!(asked, answered);
    assert_eq!(response.topics.len(), request.topic_data.len());
    assert_eq!(view.partition_count(), asked.len());
}

#[test]
fn produce_responses_are_written_like_the_codec_writes_them() {
    let mut random = Random(2);
    for version in 3..=13 {
        for _ in 0..200 {
            same_produce_response(&random_produce_response(&mut random, version), version);
        }
    }
}

#[test]
fn produce_responses_of_kafka_are_written() {
    let mut count = 0;
    for vector in vectors().into_iter().flatten().filter(|vector| vector.message == "ProduceResponse") {
        let decoded: messages::ProduceResponse = decoded(vector.bytes.clone(), vector.version);
        same_produce_response(&decoded, vector.version);
        count += 1;
    }
    assert!(count == 0 || count == 22, "{count}");
}

#[test]
fn fetch_responses_are_written_like_the_codec_writes_them() {
    let mut random = Random(4);
    for version in 4..=18 {
        for _ in 0..200 {
            same_fetch_response(&random_fetch_response(&mut random, version), version);
        }
    }
}

#[test]
fn fetch_responses_of_kafka_are_written() {
    let mut count = 0;
    for vector in vectors().into_iter().flatten().filter(|vector| vector.message == "FetchResponse") {
        let decoded: messages::FetchResponse = decoded(vector.bytes.clone(), vector.version);
        same_fetch_response(&decoded, vector.version);
        count += 1;
    }
    assert!(count == 0 || count == 34, "{count}");
}

#[test]
fn a_fetch_response_stands_behind_what_is_in_the_buffer() {
    let header = header(ApiKey::Fetch, 12);
    let mut response = FetchResponse::default();
    response.topics.push((TopicKey::Name("t".into()), 2));
    response.partitions.push(FetchPartition { records_bytes: Some(0), ..FetchPartition::failed(0, ErrorCode::None) });
    response.partitions.push(FetchPartition { records_bytes: Some(5), ..FetchPartition::failed(1, ErrorCode::None) });
    let mut buffer = BytesMut::from(&b"earlier"[..]);
    let pieces = response.encode(&mut buffer, &header).expect("fits");
    let pieces: Vec<_> = pieces.into_iter().collect();
    let [Piece::Buffer(first), Piece::Records { partition: 1, bytes: 5 }, Piece::Buffer(last)] = &pieces[..] else {
        panic!("{pieces:?}")
    };
    assert_eq!(first.start, 7);
    assert_eq!((first.end, buffer.len()), (last.start, last.end));
    let length = i32::from_be_bytes(buffer[7..11].try_into().expect("four bytes"));
    assert_eq!(length as usize, buffer.len() - 11 + 5);
}

fn same_produce_request(body: &Bytes, version: i16) {
    let expected: messages::ProduceRequest = decoded(body.clone(), version);
    let view = ProduceRequest::parse(body, version).expect("well formed");
    assert_eq!(view.transactional_id(), expected.transactional_id.as_deref());
    assert_eq!((view.acks(), view.timeout_ms()), (expected.acks, expected.timeout_ms));
    assert_eq!(view.topics().len(), expected.topic_data.len());
    for (topic, expected) in view.topics().zip(&expected.topic_data) {
        match topic.key() {
            TopicRef::Name(name) => assert_eq!((name, version < 13), (&*expected.name, true)),
            TopicRef::Id(id) => {
                assert_eq!((id, version >= 13), (expected.topic_id.to_bytes(), true))
            }
        }
        let partitions: Vec<_> = topic.partitions().map(|partition| (partition.index, partition.records)).collect();
        let expected: Vec<_> =
            expected.partition_data.iter().map(|partition| (partition.index, partition.records.as_deref())).collect();
        assert_eq!(partitions, expected);
    }
}

fn same_produce_response(expected: &messages::ProduceResponse, version: i16) {
    let header = header(ApiKey::Produce, version);
    let mut by_codec = BytesMut::new();
    encode_response(&mut by_codec, &header, expected).expect("encodes");
    let mut by_hand = BytesMut::new();
    produce_response_of(expected, version).encode(&mut by_hand, &header).expect("encodes");
    assert_eq!(by_hand, by_codec, "v{version}");
}

fn same_fetch_response(expected: &messages::FetchResponse, version: i16) {
    let header = header(ApiKey::Fetch, version);
    let mut by_codec = BytesMut::new();
    encode_response(&mut by_codec, &header, expected).expect("encodes");
    let records: Vec<_> =
        expected.responses.iter().flat_map(|topic| &topic.partitions).map(|partition| &partition.records).collect();
    let mut buffer = BytesMut::new();
    let pieces = fetch_response_of(expected, version).encode(&mut buffer, &header).expect("encodes");
    let mut by_hand = Vec::new();
    for piece in pieces.iter() {
        match piece {
            Piece::Buffer(range) => by_hand.extend_from_slice(&buffer[range.clone()]),
            Piece::Records { partition, bytes } => {
                let records = records[*partition].as_ref().expect("announced");
                assert_eq!(records.len(), *bytes);
                by_hand.extend_from_slice(records);
            }
        }
    }
    assert_eq!(by_hand, by_codec, "v{version}");
    assert_eq!(pieces.frame_bytes(), by_codec.len());
}

fn produce_response_of(codec: &messages::ProduceResponse, version: i16) -> ProduceResponse {
    let mut response = ProduceResponse {
        topics: Vec::new(),
        partitions: Vec::new(),
        throttle_time_ms: codec.throttle_time_ms,
        node_endpoints: codec
            .node_endpoints
            .iter()
            .map(|node| endpoint(node.node_id, &node.host, node.port, node.rack.as_ref()))
            .collect(),
    };
    for topic in &codec.responses {
        response.topics.push((topic_key(&topic.name, topic.topic_id, version), topic.partition_responses.len()));
        response.partitions.extend(topic.partition_responses.iter().map(|partition| {
            PartitionResponse {
                index: partition.index,
                error: ErrorCode::from_code(partition.error_code).expect("an error of Kafka's"),
                base_offset: partition.base_offset,
                log_append_time_ms: partition.log_append_time_ms,
                log_start_offset: partition.log_start_offset,
                record_errors: partition
                    .record_errors
                    .iter()
                    .map(|error| RecordError {
                        batch_index: error.batch_index,
                        message: error.batch_index_error_message.as_deref().map(Into::into),
                    })
                    .collect(),
                error_message: partition.error_message.as_deref().map(Into::into),
                current_leader: (partition.current_leader != Default::default())
                    .then_some((partition.current_leader.leader_id, partition.current_leader.leader_epoch)),
            }
        }));
    }
    response
}

fn fetch_response_of(codec: &messages::FetchResponse, version: i16) -> FetchResponse {
    let mut response = FetchResponse {
        throttle_time_ms: codec.throttle_time_ms,
        error: ErrorCode::from_code(codec.error_code).expect("an error of Kafka's"),
        session_id: codec.session_id,
        node_endpoints: codec
            .node_endpoints
            .iter()
            .map(|node| endpoint(node.node_id, &node.host, node.port, node.rack.as_ref()))
            .collect(),
        ..FetchResponse::default()
    };
    for topic in &codec.responses {
        response.topics.push((topic_key(&topic.topic, topic.topic_id, version), topic.partitions.len()));
        response.partitions.extend(topic.partitions.iter().map(fetch_partition_of));
    }
    response
}

fn fetch_partition_of(codec: &messages::fetch_response::PartitionData) -> FetchPartition {
    let (diverging, leader, snapshot) = (&codec.diverging_epoch, &codec.current_leader, &codec.snapshot_id);
    FetchPartition {
        index: codec.partition_index,
        error: ErrorCode::from_code(codec.error_code).expect("an error of Kafka's"),
        high_watermark: codec.high_watermark,
        last_stable_offset: codec.last_stable_offset,
        log_start_offset: codec.log_start_offset,
        diverging_epoch: (*diverging != Default::default()).then_some((diverging.epoch, diverging.end_offset)),
        current_leader: (*leader != Default::default()).then_some((leader.leader_id, leader.leader_epoch)),
        snapshot_id: (*snapshot != Default::default()).then_some((snapshot.end_offset, snapshot.epoch)),
        aborted_transactions: codec.aborted_transactions.as_ref().map(|transactions| {
            transactions.iter().map(|transaction| (transaction.producer_id, transaction.first_offset)).collect()
        }),
        preferred_read_replica: codec.preferred_read_replica,
        records_bytes: codec.records.as_ref().map(Bytes::len),
    }
}

fn random_produce_request(random: &mut Random, version: i16) -> messages::ProduceRequest {
    message!(messages::ProduceRequest {
        transactional_id: random_text(random),
        acks: random.below(3) as i16 - 1,
        timeout_ms: random.next() as i32,
        topic_data: (0..random.below(4))
            .map(|_| {
                message!(messages::produce_request::TopicProduceData {
                    name: if version < 13 { random_text(random).unwrap_or_default() } else { StrBytes::default() },
                    topic_id: if version < 13 { Uuid::ZERO } else { random_id(random) },
                    partition_data: (0..random.below(5))
                        .map(|index| {
                            message!(messages::produce_request::PartitionProduceData {
                                index: index as i32,
                                records: random_records(random),
                            })
                        })
                        .collect(),
                })
            })
            .collect(),
    })
}

fn random_produce_response(random: &mut Random, version: i16) -> messages::ProduceResponse {
    use messages::produce_response::{BatchIndexAndErrorMessage, LeaderIdAndEpoch, PartitionProduceResponse};
    let responses = (0..random.below(4)).map(|_| {
        let partition_responses = (0..random.below(4)).map(|index| {
            let mut partition = message!(PartitionProduceResponse {
                index: index as i32,
                error_code: random.below(100) as i16 - 1,
                base_offset: random.next() as i64,
                log_append_time_ms: random.next() as i64,
            });
            if version >= 5 {
                partition.log_start_offset = random.next() as i64;
            }
            if version >= 8 {
                partition.error_message = random_text(random);
                partition.record_errors = (0..random.below(3))
                    .map(|index| {
                        message!(BatchIndexAndErrorMessage {
                            batch_index: index as i32,
                            batch_index_error_message: random_text(random),
                        })
                    })
                    .collect();
            }
            if version >= 10 && random.below(2) == 0 {
                partition.current_leader = message!(LeaderIdAndEpoch { leader_id: 3, leader_epoch: 9 });
            }
            partition
        });
        let partition_responses = partition_responses.collect();
        message!(messages::produce_response::TopicProduceResponse {
            name: if version < 13 { random_text(random).unwrap_or_default() } else { StrBytes::default() },
            topic_id: if version < 13 { Uuid::ZERO } else { random_id(random) },
            partition_responses,
        })
    });
    let responses = responses.collect();
    message!(messages::ProduceResponse {
        responses,
        throttle_time_ms: random.next() as i32,
        node_endpoints: if version >= 10 && random.below(3) == 0 {
            vec![message!(messages::produce_response::NodeEndpoint { node_id: 1, host: "a".into(), port: 9092 })]
        } else {
            Vec::new()
        },
    })
}

fn random_fetch_response(random: &mut Random, version: i16) -> messages::FetchResponse {
    let responses = (0..random.below(4)).map(|_| {
        let partitions = (0..random.below(4)).map(|index| random_fetch_partition(random, index, version)).collect();
        message!(messages::fetch_response::FetchableTopicResponse {
            topic: if version < 13 { random_text(random).unwrap_or_default() } else { StrBytes::default() },
            topic_id: if version < 13 { Uuid::ZERO } else { random_id(random) },
            partitions,
        })
    });
    let responses = responses.collect();
    message!(messages::FetchResponse {
        responses,
        throttle_time_ms: random.next() as i32,
        error_code: if version >= 7 { 70 } else { 0 },
        session_id: if version >= 7 { random.next() as i32 } else { 0 },
        node_endpoints: if version >= 16 && random.below(3) == 0 {
            vec![message!(messages::fetch_response::NodeEndpoint { node_id: 1, host: "a".into(), port: 9092 })]
        } else {
            Vec::new()
        },
    })
}

fn random_fetch_partition(random: &mut Random, index: usize, version: i16) -> messages::fetch_response::PartitionData {
    use messages::fetch_response::{AbortedTransaction, EpochEndOffset, LeaderIdAndEpoch, PartitionData, SnapshotId};
    let mut partition = message!(PartitionData {
        partition_index: index as i32,
        error_code: random.below(100) as i16 - 1,
        high_watermark: random.next() as i64,
        last_stable_offset: random.next() as i64,
        records: random_records(random),
    });
    if version >= 5 {
        partition.log_start_offset = random.next() as i64;
    }
    if random.below(2) == 0 {
        partition.aborted_transactions = Some(
            (0..random.below(3))
                .map(|_| message!(AbortedTransaction { producer_id: random.next() as i64, first_offset: 4 }))
                .collect(),
        );
    }
    if version >= 11 {
        partition.preferred_read_replica = random.below(3) as i32 - 1;
    }
    if version >= 12 {
        if random.below(3) == 0 {
            partition.diverging_epoch = message!(EpochEndOffset { epoch: 2, end_offset: 77 });
        }
        if random.below(3) == 0 {
            partition.current_leader = message!(LeaderIdAndEpoch { leader_id: 2, leader_epoch: 5 });
        }
        if random.below(3) == 0 {
            partition.snapshot_id = message!(SnapshotId { end_offset: 8, epoch: 1 });
        }
    }
    partition
}

fn random_text(random: &mut Random) -> Option<StrBytes> {
    match random.below(4) {
        0 => None,
        1 => Some(StrBytes::default()),
        2 => Some("zwölf".into()),
        _ => Some("t".repeat(random.below(300)).into()),
    }
}

fn random_id(random: &mut Random) -> Uuid {
    Uuid::from_bytes((u128::from(random.next()) << 64 | u128::from(random.next())).to_be_bytes())
}

fn random_records(random: &mut Random) -> Option<Bytes> {
    match random.below(4) {
        0 => None,
        1 => Some(Bytes::new()),
        _ => Some(vec![random.next() as u8; random.below(20_000)].into()),
    }
}

fn topic_key(name: &str, id: Uuid, version: i16) -> TopicKey {
    if version < 13 { TopicKey::Name(name.into()) } else { TopicKey::Id(id.to_bytes()) }
}

fn endpoint(node_id: i32, host: &StrBytes, port: i32, rack: Option<&StrBytes>) -> NodeEndpoint {
    NodeEndpoint { node_id, host: host.clone(), port, rack: rack.cloned() }
}

fn header(api_key: ApiKey, api_version: i16) -> RequestHeader {
    RequestHeader { api_key, api_version, correlation_id: 77, client_id: None }
}

fn decoded<M: KafkaDecode>(bytes: Bytes, version: i16) -> M {
    M::decode_from_bytes(bytes, ApiVersion::new(version), Default::default()).expect("well formed")
}

fn encoded<M: KafkaEncode>(message: &M, version: i16) -> Bytes {
    message.encode_to_bytes(ApiVersion::new(version)).expect("encodes")
}
