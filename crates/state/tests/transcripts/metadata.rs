//! Commands to the metadata controller: start, register, create, grow, delete, alter, replace, producer-ids, snapshot.
//!
//! Each says the reply, one line an item, and then the records, which are applied. Topic ids are counted up.

use std::fmt::{Debug, Write};
use std::sync::Arc;

use chronik_state::ids::{Offset, TopicId};
use chronik_state::metadata::record::{ConfigResource, ConfigResourceKind, Endpoint, Record};
use chronik_state::metadata::{
    AlterConfigs, BrokerRegistration, ClusterStart, ConfigChange, ConfigOperation, Controller, ControllerSettings,
    CreatableTopic, CreatePartitions, CreateTopics, Decision, Image, IncrementalAlterConfigs, MetadataError,
    PartitionAssignment, ResourceChanges, ResourceConfigs, Topic, TopicKey, TopicPartitions,
};

use crate::script::{Command, Machine};

pub(crate) struct Session {
    controller: Controller,
    log_end: Offset,
    topics_created: u8,
}

impl Default for Session {
    fn default() -> Self {
        let settings = ControllerSettings { default_partitions: 2, default_replication_factor: 1 };
        Session { controller: Controller::new(settings, Image::default()), log_end: 0, topics_created: 0 }
    }
}

impl Machine for Session {
    fn run(&mut self, command: &Command) -> String {
        match command.name() {
            "start" => self.start(command),
            "register" => self.register(command),
            "create" => self.create(command),
            "grow" => self.grow(command),
            "delete" => self.delete(command),
            "alter" => self.alter(command),
            "replace" => self.replace(command),
            "producer-ids" => {
                let decision = self.controller.allocate_producer_ids(command.value("broker"), command.value("epoch"));
                self.carry_out(decision.map(|reply| vec![reply]))
            }
            "snapshot" => self.snapshot(),
            _ => command.unknown(),
        }
    }
}

impl Session {
    fn start(&mut self, command: &Command) -> String {
        let start = ClusterStart {
            cluster_id: command.value("cluster"),
            features: [("metadata.version".to_owned(), command.maybe("version").unwrap_or(1))].into(),
        };
        let decision = self.controller.start_cluster(&start);
        self.carry_out(decision.map(|reply| vec![reply]))
    }

    fn register(&mut self, command: &Command) -> String {
        let id = command.value("id");
        let endpoint = Endpoint { name: "PLAINTEXT".into(), host: "h".into(), port: 9092, security_protocol: 0 };
        let registration = BrokerRegistration {
            id,
            incarnation_id: [command.value("incarnation"); 16],
            directory_id: [id as u8; 16],
            endpoints: vec![endpoint],
            rack: command.maybe("rack"),
        };
        let decision = self.controller.register_broker(&registration, self.log_end);
        self.carry_out(decision.map(|epoch| vec![Ok(format!("epoch {epoch}"))]))
    }

    fn create(&mut self, command: &Command) -> String {
        let names: Vec<&str> = command.plain().filter(|word| *word != "validate").collect();
        let topics = names.into_iter().map(|name| self.creatable(name, command)).collect();
        let decision = self.controller.create_topics(&CreateTopics { topics, validate_only: command.says("validate") });
        self.carry_out(decision)
    }

    fn creatable(&mut self, name: &str, command: &Command) -> CreatableTopic {
        self.topics_created += 1;
        let assignments = command.list::<String>("assign").into_iter().map(|text| {
            let (partition, replicas) = text.split_once(':').expect("partition:replica/replica");
            let replicas = replicas.split('/').filter(|id| !id.is_empty()).map(|id| id.parse().unwrap()).collect();
            PartitionAssignment { partition: partition.parse().unwrap(), replicas }
        });
        CreatableTopic {
            name: name.replace("(empty)", ""),
            topic_id: TopicId([self.topics_created; 16]),
            partitions: command.maybe("partitions").unwrap_or(-1),
            replication_factor: command.maybe("replicas").unwrap_or(-1),
            assignments: assignments.collect(),
            configs: command.input.iter().map(|line| pair(line)).collect(),
        }
    }

    fn grow(&mut self, command: &Command) -> String {
        let assignments: Option<Vec<Vec<i32>>> = command.text("assign").map(|_| {
            command
                .list::<String>("assign")
                .iter()
                .map(|text| text.split('/').map(|id| id.parse().unwrap()).collect())
                .collect()
        });
        let names = command.plain().filter(|word| *word != "validate");
        let topics = names.map(|name| TopicPartitions {
            name: name.into(),
            count: command.value("to"),
            assignments: assignments.clone(),
        });
        let grow = CreatePartitions { topics: topics.collect(), validate_only: command.says("validate") };
        let decision = self.controller.create_partitions(&grow);
        self.carry_out(decision)
    }

    fn delete(&mut self, command: &Command) -> String {
        let by_name = command.plain().map(|name| TopicKey::Name(name.into()));
        let by_id = command.list::<u8>("ids").into_iter().map(|id| TopicKey::Id(TopicId([id; 16])));
        let keys: Vec<TopicKey> = by_name.chain(by_id).collect();
        let decision = self.controller.delete_topics(&keys);
        let named = |topic: Arc<Topic>| topic.name.to_string();
        self.carry_out(decision.map(|reply| reply.into_iter().map(|item| item.map(named)).collect()))
    }

    fn alter(&mut self, command: &Command) -> String {
        let change = |line: &String| {
            let (operation, rest) = line.split_once(' ').expect("operation name value");
            let (name, value) = pair(rest);
            let operation = match operation {
                "set" => ConfigOperation::Set,
                "delete" => ConfigOperation::Delete,
                "append" => ConfigOperation::Append,
                "subtract" => ConfigOperation::Subtract,
                _ => command.unknown(),
            };
            ConfigChange { name, operation, value }
        };
        let changes: Vec<ConfigChange> = command.input.iter().map(change).collect();
        let resources = resources(command).map(|resource| ResourceChanges { resource, changes: changes.clone() });
        let alter = IncrementalAlterConfigs { resources: resources.collect(), validate_only: command.says("validate") };
        let decision = self.controller.incremental_alter_configs(&alter);
        self.carry_out(decision)
    }

    fn replace(&mut self, command: &Command) -> String {
        let configs: Vec<_> = command.input.iter().map(|line| pair(line)).collect();
        let resources = resources(command).map(|resource| ResourceConfigs { resource, configs: configs.clone() });
        let alter = AlterConfigs { resources: resources.collect(), validate_only: command.says("validate") };
        let decision = self.controller.alter_configs(&alter);
        self.carry_out(decision)
    }

    fn snapshot(&self) -> String {
        let records = self.controller.image().to_records();
        let mut restored = Image::default();
        records.iter().for_each(|record| restored.apply(record));
        assert_eq!(&restored, self.controller.image());
        records.iter().map(|record| format!("  {}\n", describe(record))).collect()
    }

    fn carry_out<T: Debug>(&mut self, decision: Decision<Vec<Result<T, MetadataError>>>) -> String {
        let mut said = String::new();
        for item in &decision.reply {
            match item {
                Ok(reply) => writeln!(said, "ok {reply:?}").unwrap(),
                Err(error) => writeln!(said, "{}: {error}", kind(error)).unwrap(),
            }
        }
        for record in &decision.records {
            writeln!(said, "  {}", describe(record)).unwrap();
            self.controller.apply(record);
        }
        self.log_end += decision.records.len() as Offset;
        said
    }
}

trait Map<R> {
    fn map<S>(self, convert: impl FnOnce(R) -> S) -> Decision<S>;
}

impl<R> Map<R> for Decision<R> {
    fn map<S>(self, convert: impl FnOnce(R) -> S) -> Decision<S> {
        Decision { records: self.records, reply: convert(self.reply) }
    }
}

fn resources(command: &Command) -> impl Iterator<Item = ConfigResource> {
    let topics = command.list::<String>("topics").into_iter().map(|name| (ConfigResourceKind::Topic, name));
    let brokers =
        command.list::<String>("brokers").into_iter().map(|name| (ConfigResourceKind::Broker, name.replace("all", "")));
    topics.chain(brokers).map(|(kind, name)| ConfigResource { kind, name })
}

fn pair(line: &str) -> (String, Option<String>) {
    match line.split_once(' ') {
        Some((name, value)) => (name.into(), Some(value.into())),
        None => (line.into(), None),
    }
}

fn kind(error: &MetadataError) -> String {
    let debug = format!("{error:?}");
    debug.split('(').next().unwrap_or_default().to_owned()
}

fn describe(record: &Record) -> String {
    match record {
        Record::Cluster(record) => format!("cluster {}", record.cluster_id),
        Record::FeatureLevel(record) => format!("feature {} {}", record.name, record.level),
        Record::Broker(record) => format!(
            "broker {} incarnation {} epoch {} rack {:?}",
            record.id, record.incarnation_id[0], record.epoch, record.rack
        ),
        Record::Topic(record) => format!("topic {} id {}", record.name, record.topic_id.0[0]),
        Record::Partition(record) => format!(
            "partition {}-{} replicas {:?} isr {:?} leader {} epoch {} version {}",
            record.topic_id.0[0],
            record.partition,
            record.replicas,
            record.in_sync,
            record.leader,
            record.leader_epoch,
            record.partition_epoch
        ),
        Record::PartitionChange(record) => format!(
            "change {}-{} isr {:?} leader {} epoch {} version {}",
            record.topic_id.0[0],
            record.partition,
            record.in_sync,
            record.leader,
            record.leader_epoch,
            record.partition_epoch
        ),
        Record::RemoveTopic(record) => format!("remove {}", record.topic_id.0[0]),
        Record::Config(record) => {
            format!("config {:?} {:?} {} {:?}", record.resource.kind, record.resource.name, record.name, record.value)
        }
        Record::ProducerIds(record) => format!("producer ids below {} for {}", record.next, record.broker_id),
    }
}
