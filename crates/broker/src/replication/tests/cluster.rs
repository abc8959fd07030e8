//! Nodes in one process, and a controller that is a function call.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chronik_client::Connection;
use chronik_log::ReadRequest;
use chronik_log::records::BatchBuilder;
use chronik_state::ids::{BrokerId, LogId, TopicId};
use chronik_state::metadata::alter_partition::{AlterError, AlterPartitions};
use chronik_state::metadata::record::{Endpoint, Record};
use chronik_state::metadata::{
    BrokerRegistration, ClusterStart, Controller, ControllerSettings, CreatableTopic, CreateTopics, Image,
    PartitionAssignment, Restart,
};
use chronik_state::partition::leader::{AgreedPartition, Outcome, Proposal};
use chronik_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use chronik_wire::messages::produce_response::PartitionProduceResponse;
use chronik_wire::messages::{ProduceRequest, RequestResponsePair};
use chronik_wire::{Uuid, message};
use tokio::sync::mpsc::UnboundedReceiver;

use super::proxy::Proxy;
use crate::config::{ClusterConfig, Config};
use crate::net::listener;
use crate::node::{Node, now_ms, random_id};
use crate::partition::Partition;
use crate::{replication, start, upkeep};

/// Far longer than anything takes, however busy the machine is.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);
pub(super) const CLUSTER_ID: &str = "a-cluster-for-tests-01";

pub(super) struct Cluster {
    controller: Controller,
    next_offset: i64,
    seats: BTreeMap<BrokerId, Seat>,
}

/// A node's place, whether it runs or not.
struct Seat {
    data_dir: tempfile::TempDir,
    rack: Option<String>,
    proxy: Proxy,
    running: Option<Running>,
}

struct Running {
    node: Arc<Node>,
    threads: Vec<JoinHandle<()>>,
    proposals: UnboundedReceiver<(LogId, Proposal)>,
    kafka: SocketAddr,
}

impl Cluster {
    /// Nodes 1 to `count`, all of them running.
    pub(super) fn of(count: BrokerId) -> Self {
        let mut cluster = Cluster {
            controller: Controller::new(ControllerSettings::default(), Image::default()),
            next_offset: 0,
            seats: BTreeMap::new(),
        };
        let start = ClusterStart { cluster_id: CLUSTER_ID.to_owned(), features: BTreeMap::new() };
        let named = cluster.controller.start_cluster(&start);
        cluster.decide(named.records);
        for id in 1..=count {
            let rack = Some(format!("rack-{id}"));
            let seat = Seat { data_dir: tempfile::tempdir().unwrap(), rack, proxy: Proxy::new(), running: None };
            cluster.seats.insert(id, seat);
            cluster.start(id);
        }
        cluster
    }

    pub(super) fn image(&self) -> &Image {
        self.controller.image()
    }

    pub(super) fn node(&self, id: BrokerId) -> &Arc<Node> {
        &self.seats[&id].running.as_ref().expect("it runs").node
    }

    pub(super) fn proxy(&self, id: BrokerId) -> &Proxy {
        &self.seats[&id].proxy
    }

    pub(super) fn broker_epoch(&self, id: BrokerId) -> i64 {
        self.image().broker(id).unwrap().epoch
    }

    /// Starts a process and registers it.
    pub(super) fn start(&mut self, id: BrokerId) {
        let running = Running::new(id, self.seats[&id].data_dir.path());
        let seat = self.seats.get_mut(&id).unwrap();
        seat.proxy.leads_to(running.node.replication.listening());
        let endpoint = |name: &str, address: SocketAddr| Endpoint {
            name: name.to_owned(),
            host: address.ip().to_string(),
            port: address.port(),
            security_protocol: 0,
        };
        let registration = BrokerRegistration {
            id,
            incarnation_id: random_id(),
            directory_id: [id as u8; 16],
            endpoints: vec![
                endpoint("PLAINTEXT", running.kafka),
                endpoint(replication::ENDPOINT, seat.proxy.address()),
            ],
            rack: seat.rack.clone(),
            restart: Restart::Crash,
            confirms_unsynced: false,
            fenced: false,
        };
        // Epochs begin high: a node that registered itself, before it was told of this cluster, is of an earlier one.
        let registered = self.controller.register_broker(&registration, 1000 + self.next_offset);
        self.decide(registered.records);
        let (node, image) = (Arc::clone(&running.node), self.image().clone());
        node.metadata.publish(&node, image.clone(), &image.to_records());
        self.seats.get_mut(&id).unwrap().running = Some(running);
    }

    /// Ends a process without putting anything in order, and lets everybody know.
    pub(super) fn kill(&mut self, id: BrokerId) {
        self.stop(id);
        let fenced = self.controller.fence_broker(id, self.broker_epoch(id));
        assert_eq!(fenced.reply, Ok(()));
        self.decide(fenced.records);
    }

    /// Ends a process; nobody notices yet.
    pub(super) fn stop(&mut self, id: BrokerId) {
        let seat = self.seats.get_mut(&id).unwrap();
        seat.proxy.leads_to(None);
        drop(seat.running.take());
    }

    /// Others lead in place of `id`, which runs on.
    pub(super) fn fence(&mut self, id: BrokerId) {
        let fenced = self.controller.fence_broker(id, self.broker_epoch(id));
        self.decide(fenced.records);
    }

    pub(super) fn unfence(&mut self, id: BrokerId) {
        let unfenced = self.controller.unfence_broker(id, self.broker_epoch(id));
        self.decide(unfenced.records);
    }

    /// A topic with one partition, on these nodes; the first one leads.
    pub(super) fn create(&mut self, name: &str, replicas: &[BrokerId], configs: &[(&str, &str)]) -> LogId {
        let topic = TopicId(random_id());
        let creatable = CreatableTopic {
            name: name.to_owned(),
            topic_id: topic,
            partitions: -1,
            replication_factor: -1,
            assignments: vec![PartitionAssignment { partition: 0, replicas: replicas.to_vec() }],
            configs: configs.iter().map(|(name, value)| (name.to_string(), Some(value.to_string()))).collect(),
        };
        let created = self.controller.create_topics(&CreateTopics { topics: vec![creatable], validate_only: false });
        assert!(created.reply[0].is_ok(), "{:?}", created.reply);
        self.decide(created.records);
        LogId { topic, partition: 0 }
    }

    /// Applies records, and tells every node that runs.
    pub(super) fn decide(&mut self, records: Vec<Record>) {
        self.next_offset += records.len() as i64;
        records.iter().for_each(|record| self.controller.apply(record));
        for running in self.seats.values().filter_map(|seat| seat.running.as_ref()) {
            running.node.metadata.publish(&running.node, self.controller.image().clone(), &records);
        }
    }

    /// Decides upon what leaders have asked for.
    pub(super) fn answer_proposals(&mut self) {
        let mut asked = Vec::new();
        for (id, seat) in &mut self.seats {
            let Some(running) = &mut seat.running else { continue };
            while let Ok((log, proposal)) = running.proposals.try_recv() {
                asked.push((*id, log, proposal));
            }
        }
        for (id, log, proposal) in asked {
            let partition_epoch = proposal.partition_epoch;
            let command = AlterPartitions {
                broker_id: id,
                broker_epoch: self.broker_epoch(id),
                proposals: vec![(log.topic, log.partition, proposal)],
            };
            let decision = self.controller.alter_partitions(&command);
            self.decide(decision.records);
            let outcome = match decision.reply.map(|mut replies| replies.remove(0)) {
                Ok(Ok(partition)) => Some(Outcome::Agreed(AgreedPartition::of(&partition, self.image()))),
                Ok(Err(AlterError::IneligibleReplica(_))) => Some(Outcome::Refused),
                Ok(Err(AlterError::Behind)) | Err(_) => None,
                Ok(Err(_)) => Some(Outcome::Outdated),
            };
            if let Some(running) = &self.seats[&id].running {
                running.node.partitions.partition(log).unwrap().on_outcome(partition_epoch, outcome);
            }
        }
    }

    /// Waits for something to become true, deciding what is asked meanwhile.
    pub(super) fn wait(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "waited in vain for this: {what}");
            self.answer_proposals();
            std::thread::sleep(POLL);
        }
    }

    pub(super) fn partition(&self, id: BrokerId, log: LogId) -> Arc<Partition> {
        self.node(id).partitions.partition(log).unwrap()
    }

    /// Log end and high watermark.
    pub(super) fn ends(&self, id: BrokerId, log: LogId) -> (i64, i64) {
        let partition = self.partition(id, log);
        (partition.log.log_end_offset(), partition.high_watermark())
    }

    /// Everything that lies in a log.
    pub(super) fn bytes(&self, id: BrokerId, log: LogId) -> Vec<u8> {
        let log = &self.partition(id, log).log;
        let request = ReadRequest {
            offset: log.log_start_offset(),
            max_bytes: usize::MAX,
            end_offset: i64::MAX,
            at_least_one: true,
            now_ms: now_ms(),
        };
        log.read(request).unwrap().to_vec().unwrap()
    }

    pub(super) fn in_sync(&self, log: LogId) -> Vec<BrokerId> {
        let mut in_sync = self.image().partition(log.topic, log.partition).unwrap().in_sync.to_vec();
        in_sync.sort_unstable();
        in_sync
    }

    /// Asks one node, as a client does.
    pub(super) fn ask<R: RequestResponsePair>(&self, id: BrokerId, request: &R, version: i16) -> R::Response {
        ask(self.kafka(id), request, version)
    }

    pub(super) fn kafka(&self, id: BrokerId) -> SocketAddr {
        self.seats[&id].running.as_ref().expect("it runs").kafka
    }

    /// Writes one record; the answer.
    pub(super) fn produce(&self, id: BrokerId, log: LogId, produce: Produce) -> PartitionProduceResponse {
        answer_of(self.ask(id, &produce.request(log), PRODUCE_VERSION))
    }
}

pub(super) const PRODUCE_VERSION: i16 = 13;

/// One record to be written.
#[derive(Clone, Copy)]
pub(super) struct Produce {
    pub(super) acks: i16,
    pub(super) timeout_ms: i32,
    pub(super) bytes: usize,
}

/// With acks=all.
pub(super) const ALL: Produce = Produce { acks: -1, timeout_ms: PATIENCE.as_millis() as i32, bytes: 10 };
/// With acks=1.
pub(super) const ONE: Produce = Produce { acks: 1, ..ALL };

impl Produce {
    pub(super) fn request(self, log: LogId) -> ProduceRequest {
        let mut batch = BatchBuilder::new();
        batch.record(now_ms(), None, Some(&vec![b'x'; self.bytes]), &[]);
        let records = Some(batch.build().bytes().to_vec().into());
        let partition = message!(PartitionProduceData { index: log.partition, records });
        let topic =
            message!(TopicProduceData { topic_id: Uuid::from_bytes(log.topic.0), partition_data: vec![partition] });
        message!(ProduceRequest { acks: self.acks, timeout_ms: self.timeout_ms, topic_data: vec![topic] })
    }
}

pub(super) fn answer_of(response: chronik_wire::messages::ProduceResponse) -> PartitionProduceResponse {
    response.responses[0].partition_responses[0].clone()
}

pub(super) fn ask<R: RequestResponsePair>(address: SocketAddr, request: &R, version: i16) -> R::Response {
    start::runtime().unwrap().block_on(async {
        let mut connection = Connection::connect(address, PATIENCE * 2).await.unwrap();
        connection.send(request, version).await.unwrap()
    })
}

impl Running {
    fn new(id: BrokerId, data_dir: &std::path::Path) -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let cluster = ClusterConfig {
            replica_lag_max_ms: 500,
            wal_heartbeat_interval_ms: 100,
            wal_silence_max_ms: 2000,
            ..ClusterConfig::new(Vec::new(), nowhere, nowhere)
        };
        let config = Config {
            node_id: id,
            data_dir: data_dir.to_owned(),
            listen: vec![nowhere],
            reactors: 1,
            disk_reserve_bytes: 0,
            ..Config::default()
        };
        let (node, mut listeners, ready) = start::bring_up_told(config, &cluster).unwrap();
        let (mut threads, dealt) = start::spawn_reactors(&node).unwrap();
        threads.push(upkeep::spawn(&node).unwrap());
        threads.extend(replication::spawn(&node).unwrap());
        let (serving, listener) = (Arc::clone(&node), listeners.remove(0));
        threads.push(std::thread::spawn(move || {
            start::runtime().unwrap().block_on(listener::accept_loop(serving, listener, dealt))
        }));
        let proposals = node.replication.proposals().unwrap();
        Running { node, threads, proposals, kafka: ready.listening[0] }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.node.stop();
        let joined: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        if !std::thread::panicking() {
            assert!(joined.iter().all(Result::is_ok), "a thread panicked");
            assert_eq!(self.node.failure.get(), None);
        }
    }
}
