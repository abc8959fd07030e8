//! Commands to the metadata controller: start, register, fence, unfence, shut-down, create, grow, delete, alter, replace,
//! in-sync, elect, producer-ids, snapshot.
//!
//! Each says the reply, one line an item, and then the records, which are applied. Topic ids are counted up.

use std::fmt::{Debug, Write};
use std::sync::Arc;

use chronik_state::ids::{Offset, TopicId};
use chronik_state::metadata::record::{ConfigResource, ConfigResourceKind, Endpoint, NO_LEADER, Record};
use chronik_state::metadata::alter_partition::AlterPartitions;
use chronik_state::metadata::{
    AlterConfigs, BrokerRegistration, ClusterStart, ConfigChange, ConfigOperation, Controller, ControllerSettings,
    CreatableTopic, CreatePartitions, CreateTopics, Decision, ElectionType, Image, IncrementalAlterConfigs, MetadataError,
    PartitionAssignment, ResourceChanges, ResourceConfigs, Restart, Topic, TopicKey, TopicPartitions,
};
use chronik_state::partition::leader::Proposal;

use crate::script::{Command, Machine};

pub(crate) struct Session {
    controller: Controller,
    log_end: Offset,
    topics_created: u8,
}

impl Default for Session {
    fn default() -> Self {
        let settings = ControllerSettings { default_partitions: 2, ..ControllerSettings::default() };
        Session { controller: Controller::new(settings, Image::default()), log_end: 0, topics_created: 0 }
    }
}

impl Machine for Session {
    fn run(&mut self, command: &Command) -> String {
        match command.name() {
            "start" => self.start(command),
            "register" => self.register(command),
            "fence" | "unfence" | "shut-down" => self.change_broker(command),
            "in-sync" => self.propose(command),
            "elect" => self.elect(command),
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
            directory_id: [command.maybe("disk").unwrap_or(id as u8); 16],
            endpoints: vec![endpoint],
            rack: command.maybe("rack"),
            restart: match () {
                () if command.says("clean") => Restart::Clean,
                () if command.says("damage") => Restart::Damage,
                () => Restart::Crash,
            },
            confirms_unsynced: command.says("unsynced"),
            fenced: command.says("fenced"),
        };
        let decision = self.controller.register_broker(&registration, self.log_end);
        self.carry_out(decision.map(|epoch| vec![Ok(format!("epoch {epoch}"))]))
    }

    fn change_broker(&mut self, command: &Command) -> String {
        let id = command.value("id");
        let known = self.controller.image().broker(id).map_or(-1, |broker| broker.epoch);
        let epoch = command.maybe("epoch").unwrap_or(known);
        let decision = match command.name() {
            "fence" => self.controller.fence_broker(id, epoch),
            "unfence" => self.controller.unfence_broker(id, epoch),
            _ => self.controller.shut_down_broker(id, epoch),
        };
        self.carry_out(decision.map(|reply| vec![reply]))
    }

    /// The leader of partition 0 of a topic proposes; a member is written id or id:epoch.
    fn propose(&mut self, command: &Command) -> String {
        let name: String = command.value("topic");
        let image = self.controller.image();
        let topic_id = image.topic(&name).map_or(TopicId([0; 16]), |topic| topic.id);
        let partition = image.partition(topic_id, 0).cloned();
        let known = |id: i32| image.broker(id).map_or(-1, |broker| broker.epoch);
        let member = |text: &String| match text.split_once(':') {
            Some((id, epoch)) => (id.parse().unwrap(), epoch.parse().unwrap()),
            None => (text.parse().unwrap(), known(text.parse().unwrap())),
        };
        let proposal = Proposal {
            leader_epoch: command.maybe("epoch").unwrap_or(partition.as_ref().map_or(0, |known| known.leader_epoch)),
            partition_epoch: command.maybe("version").unwrap_or(partition.as_ref().map_or(0, |known| known.partition_epoch)),
            in_sync: command.list::<String>("isr").iter().map(member).collect(),
        };
        let broker_id = command.value("from");
        let alter = AlterPartitions {
            broker_id,
            broker_epoch: command.maybe("broker").unwrap_or(known(broker_id)),
            proposals: vec![(topic_id, 0, proposal)],
        };
        let decision = self.controller.alter_partitions(&alter);
        let said = match &decision.reply {
            Ok(replies) => match &replies[0] {
                Ok(partition) => format!("agreed upon version {}\n", partition.partition_epoch),
                Err(error) => format!("{error:?}: {error}\n"),
            },
            Err(error) => format!("{}: {error}\n", kind(error)),
        };
        said + &self.carry_out(Decision { records: decision.records, reply: Vec::<Result<(), MetadataError>>::new() })
    }

    fn elect(&mut self, command: &Command) -> String {
        let election = if command.says("unclean") { ElectionType::Unclean } else { ElectionType::Preferred };
        let decision = self.controller.elect_leaders(election, &[(command.value("topic"), 0)]);
        self.carry_out(decision)
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

/// What is not as nearly always.
fn rest(eligible: &[i32], last_known: i32, recovering: bool, min_in_sync: i32) -> String {
    let mut said = String::new();
    if !eligible.is_empty() {
        write!(said, " eligible {eligible:?}").unwrap();
    }
    if last_known != NO_LEADER {
        write!(said, " last led by {last_known}").unwrap();
    }
    if recovering {
        said.push_str(" recovering");
    }
    if min_in_sync != 1 {
        write!(said, " min {min_in_sync}").unwrap();
    }
    said
}

fn describe(record: &Record) -> String {
    match record {
        Record::Cluster(record) => format!("cluster {}", record.cluster_id),
        Record::FeatureLevel(record) => format!("feature {} {}", record.name, record.level),
        Record::Broker(record) => format!(
            "broker {} incarnation {} epoch {} rack {:?}{}{}",
            record.id,
            record.incarnation_id[0],
            record.epoch,
            record.rack,
            if record.fenced { " fenced" } else { "" },
            if record.shutting_down { " shutting down" } else { "" },
        ),
        Record::Topic(record) => format!("topic {} id {}", record.name, record.topic_id.0[0]),
        Record::Partition(record) => format!(
            "partition {}-{} replicas {:?} isr {:?} leader {} epoch {} version {}{}",
            record.topic_id.0[0],
            record.partition,
            record.replicas,
            record.in_sync,
            record.leader,
            record.leader_epoch,
            record.partition_epoch,
            rest(&record.eligible_leaders, record.last_known_leader, record.recovering, record.min_in_sync_replicas),
        ),
        Record::PartitionChange(record) => format!(
            "change {}-{} isr {:?} leader {} epoch {} version {}{}",
            record.topic_id.0[0],
            record.partition,
            record.in_sync,
            record.leader,
            record.leader_epoch,
            record.partition_epoch,
            rest(&record.eligible_leaders, record.last_known_leader, record.recovering, record.min_in_sync_replicas),
        ),
        Record::RemoveTopic(record) => format!("remove {}", record.topic_id.0[0]),
        Record::Config(record) => {
            format!("config {:?} {:?} {} {:?}", record.resource.kind, record.resource.name, record.name, record.value)
        }
        Record::ProducerIds(record) => format!("producer ids below {} for {}", record.next, record.broker_id),
    }
}
