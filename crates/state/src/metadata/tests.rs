use super::record::*;
use super::*;
use crate::ids::{BrokerId, TopicId};
use proptest::prelude::*;

fn controller() -> Controller {
    let mut controller = Controller::default();
    register(&mut controller, 1, 7);
    controller
}

fn registration(restart: Restart, fenced: bool) -> BrokerRegistration {
    BrokerRegistration {
        id: 1,
        incarnation_id: [0; 16],
        directory_id: [0; 16],
        endpoints: Vec::new(),
        rack: None,
        restart,
        confirms_unsynced: false,
        fenced,
    }
}

fn register(controller: &mut Controller, id: BrokerId, incarnation: u8) -> i64 {
    let registration =
        BrokerRegistration { id, incarnation_id: [incarnation; 16], ..registration(Restart::Crash, false) };
    let epoch = controller.image().broker(id).map_or(10, |broker| broker.epoch + 1);
    carry_out(controller, controller.register_broker(&registration, epoch))
}

fn carry_out<R>(controller: &mut Controller, decision: Decision<R>) -> R {
    decision.records.iter().for_each(|record| controller.apply(record));
    decision.reply
}

fn topic(name: &str, id: u32, partitions: i32) -> CreatableTopic {
    CreatableTopic {
        name: name.into(),
        topic_id: topic_id(id),
        partitions,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

fn topic_id(number: u32) -> TopicId {
    let mut bytes = [1; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    TopicId(bytes)
}

fn create(controller: &mut Controller, topic: CreatableTopic) -> Result<CreatedTopic, MetadataError> {
    let command = CreateTopics { topics: vec![topic], validate_only: false };
    let decision = controller.create_topics(&command);
    carry_out(controller, decision).remove(0)
}

/// Two of three are fenced when a topic begins, and the third loses its disk before they are back. Nothing was ever committed: whoever comes
/// first leads. (Seed 8 of the simulated clusters: the partition had no leader for ever.)
#[test]
fn a_partition_that_never_had_its_minimum_is_led_by_whoever_comes_first() {
    let mut controller = controller();
    for id in [2, 3] {
        let late = BrokerRegistration { id, incarnation_id: [id as u8; 16], ..registration(Restart::Crash, true) };
        let decision = controller.register_broker(&late, 10 + i64::from(id));
        carry_out(&mut controller, decision);
    }
    let assignments = vec![PartitionAssignment { partition: 0, replicas: vec![1, 2, 3] }];
    let configs = vec![("min.insync.replicas".into(), Some("2".into()))];
    create(&mut controller, CreatableTopic { assignments, configs, ..topic("t", 1, -1) }).unwrap();
    let partition = |controller: &Controller| controller.image().partition(topic_id(1), 0).unwrap().clone();
    assert_eq!((&*partition(&controller).in_sync, &*partition(&controller).eligible_leaders), (&[1][..], &[2, 3][..]));
    let new_disk = BrokerRegistration { incarnation_id: [9; 16], directory_id: [9; 16], ..registration(Restart::Crash, true) };
    let decision = controller.register_broker(&new_disk, 20);
    carry_out(&mut controller, decision);
    assert_eq!(partition(&controller).leader, NO_LEADER);
    let decision = controller.unfence_broker(3, 13);
    carry_out(&mut controller, decision).unwrap();
    let after = partition(&controller);
    assert_eq!((after.leader, &*after.in_sync, &*after.eligible_leaders), (3, &[3][..], &[2][..]));
}

#[test]
fn a_published_image_never_changes() {
    let mut controller = controller();
    create(&mut controller, topic("a", 1, 2)).unwrap();
    let published = controller.image().clone();
    let records = published.to_records();
    create(&mut controller, topic("b", 2, 2)).unwrap();
    register(&mut controller, 1, 8);
    let decision = controller.delete_topics(&[TopicKey::Name("a".into())]);
    carry_out(&mut controller, decision).remove(0).unwrap();
    assert_eq!(published.to_records(), records);
    assert_eq!(published.partition(topic_id(1), 0).unwrap().leader_epoch, 0);
}

/// What the controller knows of a topic is not what a broker was told of its own: one that may have confirmed what was only in memory has
/// lost it when it crashed, and may not lead those who still have it.
#[test]
fn who_confirms_before_its_disk_has_it_is_not_certain_after_a_crash() {
    for (confirms_unsynced, eligible) in [(false, vec![1, 2]), (true, vec![1])] {
        let mut controller = controller();
        register(&mut controller, 2, 1);
        let both = PartitionAssignment { partition: 0, replicas: vec![2, 1] };
        let configs = vec![("min.insync.replicas".into(), Some("2".into()))];
        let topic = CreatableTopic { partitions: -1, assignments: vec![both], configs, ..topic("a", 1, 1) };
        create(&mut controller, topic).unwrap();
        let epoch = controller.image().broker(1).unwrap().epoch;
        let decision = controller.fence_broker(1, epoch);
        carry_out(&mut controller, decision).unwrap();
        let restarted = BrokerRegistration {
            id: 2,
            incarnation_id: [9; 16],
            confirms_unsynced,
            ..registration(Restart::Crash, true)
        };
        let decision = controller.register_broker(&restarted, 99);
        carry_out(&mut controller, decision);
        let mut found = controller.image().partition(topic_id(1), 0).unwrap().eligible_leaders.to_vec();
        found.sort_unstable();
        assert_eq!(found, eligible, "confirms before its disk has it: {confirms_unsynced}");
    }
}

#[test]
fn a_mark_of_a_stop_counts_for_the_process_that_was_known() {
    let start = ClusterStart { cluster_id: "c".into(), features: Default::default() };
    for (stopped, eligible) in [(0, vec![1, 2]), (-1, vec![1])] {
        let mut controller = controller();
        register(&mut controller, 2, 1);
        let both = PartitionAssignment { partition: 0, replicas: vec![2, 1] };
        let configs = [("min.insync.replicas", "2"), ("chronik.sync", "interval")];
        let configs = configs.map(|(name, value)| (name.into(), Some(value.into()))).to_vec();
        let topic = CreatableTopic { partitions: -1, assignments: vec![both], configs, ..topic("a", 1, 1) };
        create(&mut controller, topic).unwrap();
        let epoch = |id| controller.image().broker(id).unwrap().epoch;
        let (fenced, known) = (controller.fence_broker(1, epoch(1)), epoch(2));
        carry_out(&mut controller, fenced).unwrap();
        let restarted =
            BrokerRegistration { id: 2, incarnation_id: [9; 16], ..registration(Restart::Crash, true) };
        let decision = controller.admit_broker(&start, &restarted, Some(known + stopped), 99);
        carry_out(&mut controller, decision).unwrap();
        let mut found = controller.image().partition(topic_id(1), 0).unwrap().eligible_leaders.to_vec();
        found.sort_unstable();
        assert_eq!(found, eligible, "a mark of epoch {known} and {stopped}");
    }
}

#[test]
fn preferred_replicas_lead_again_and_who_stops_leads_nothing_that_others_could() {
    let mut controller = controller();
    register(&mut controller, 2, 1);
    let assigned = |partition: i32, replicas: &[BrokerId]| PartitionAssignment { partition, replicas: replicas.into() };
    let pairs = vec![assigned(0, &[1, 2]), assigned(1, &[2, 1])];
    create(&mut controller, CreatableTopic { partitions: -1, assignments: pairs, ..topic("a", 1, 1) }).unwrap();
    let alone = vec![assigned(0, &[1])];
    create(&mut controller, CreatableTopic { partitions: -1, assignments: alone, ..topic("b", 2, 1) }).unwrap();
    let leaders = |controller: &Controller| {
        [(1, 0), (1, 1), (2, 0)].map(|(topic, index)| controller.image().partition(topic_id(topic), index).unwrap().leader)
    };
    assert!(!controller.may_stop(1));
    let epoch = controller.image().broker(1).unwrap().epoch;
    let decision = controller.shut_down_broker(1, epoch);
    carry_out(&mut controller, decision).unwrap();
    assert_eq!(leaders(&controller)[..2], [2, 2]);
    assert!(controller.may_stop(1), "its only partition left is nobody else's");
    let restarted = BrokerRegistration { incarnation_id: [9; 16], ..registration(Restart::Clean, false) };
    let decision = controller.register_broker(&restarted, 99);
    carry_out(&mut controller, decision);
    let partition = controller.image().partition(topic_id(1), 0).unwrap();
    let proposal = crate::partition::leader::Proposal {
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        in_sync: [1, 2].map(|id| (id, controller.image().broker(id).unwrap().epoch)).into(),
    };
    let command = alter_partition::AlterPartitions {
        broker_id: 2,
        broker_epoch: controller.image().broker(2).unwrap().epoch,
        proposals: vec![(topic_id(1), 0, proposal)],
    };
    let decision = controller.alter_partitions(&command);
    carry_out(&mut controller, decision).unwrap().remove(0).unwrap();
    let decision = controller.rebalance_leaders();
    assert_eq!(carry_out(&mut controller, decision), 1);
    assert_eq!(leaders(&controller), [1, 2, 1]);
}

#[test]
fn ten_thousand_topics_share_what_did_not_change() {
    let mut controller = controller();
    let mut published = Vec::new();
    for number in 0..10_000 {
        create(&mut controller, topic(&format!("topic-{number}"), number, 1)).unwrap();
        published = vec![controller.image().clone()];
    }
    assert_eq!(published[0].topic_count(), 10_000);
    assert_eq!(published[0].topics_from("topic-99").next().unwrap().name.as_ref(), "topic-99");
}

#[test]
fn a_broker_epoch_never_comes_again() {
    let mut controller = controller();
    let before = controller.image().broker(1).unwrap().epoch;
    let registration =
        BrokerRegistration { id: 1, incarnation_id: [9; 16], ..registration(Restart::Crash, false) };
    let decision = controller.register_broker(&registration, 0);
    assert_eq!(carry_out(&mut controller, decision), before + 1);
}

#[test]
fn who_says_again_where_it_is_stays_fenced_or_on_its_way_out() {
    let mut controller = controller();
    let epoch = controller.image().broker(1).unwrap().epoch;
    let decision = controller.shut_down_broker(1, epoch);
    carry_out(&mut controller, decision).unwrap();
    let moved = BrokerRegistration {
        incarnation_id: [7; 16],
        rack: Some("r".into()),
        ..registration(Restart::Crash, false)
    };
    let decision = controller.register_broker(&moved, 99);
    assert_eq!(carry_out(&mut controller, decision), epoch);
    assert_eq!(controller.image().broker(1).unwrap().rack.as_deref(), Some("r"));
    assert!(!controller.image().is_active(1));
}

#[test]
fn three_nodes_get_three_leaders_each() {
    let mut controller = controller();
    register(&mut controller, 2, 1);
    register(&mut controller, 3, 1);
    create(&mut controller, CreatableTopic { replication_factor: 3, ..topic("t", 1, 9) }).unwrap();
    let topic = controller.image().topic("t").unwrap();
    for broker in 1..=3 {
        assert_eq!(topic.partitions.values().filter(|partition| partition.leader == broker).count(), 3);
    }
}

/// A topic of one partition on brokers 1 to 3, with this in-sync set and leader, of which only `alive` are not fenced.
fn led_by(in_sync: &[BrokerId], leader: BrokerId, alive: &[BrokerId]) -> Controller {
    let mut controller = controller();
    register(&mut controller, 2, 1);
    register(&mut controller, 3, 1);
    create(&mut controller, CreatableTopic { replication_factor: 3, ..topic("t", 1, 1) }).unwrap();
    controller.apply(&Record::PartitionChange(PartitionChangeRecord {
        topic_id: topic_id(1),
        partition: 0,
        in_sync: in_sync.to_vec(),
        leader,
        leader_epoch: 4,
        partition_epoch: 1,
        eligible_leaders: Vec::new(),
        last_known_leader: NO_LEADER,
        recovering: false,
        min_in_sync_replicas: 1,
    }));
    for id in (1..=3).filter(|id| !alive.contains(id)) {
        let broker = BrokerRecord::clone(controller.image().broker(id).unwrap());
        controller.apply(&Record::Broker(BrokerRecord { fenced: true, ..broker }));
    }
    controller
}

/// Leader, leader epoch and in-sync set after the election.
fn elected(
    mut controller: Controller,
    election: ElectionType,
) -> Result<(BrokerId, i32, Vec<BrokerId>), MetadataError> {
    let decision = controller.elect_leaders(election, &[("t".into(), 0)]);
    carry_out(&mut controller, decision).remove(0)?;
    let partition = controller.image().partition(topic_id(1), 0).unwrap();
    Ok((partition.leader, partition.leader_epoch, partition.in_sync.to_vec()))
}

#[test]
fn the_preferred_replica_is_elected_when_it_is_in_sync_and_alive() {
    use ElectionType::Preferred;
    assert_eq!(elected(led_by(&[1, 2], 2, &[1, 2, 3]), Preferred), Ok((1, 5, vec![1, 2])));
    assert_eq!(elected(led_by(&[1, 2], 1, &[1, 2, 3]), Preferred), Err(MetadataError::ElectionNotNeeded));
    let unavailable = Err(MetadataError::PreferredLeaderNotAvailable);
    assert_eq!(elected(led_by(&[2, 3], 2, &[1, 2, 3]), Preferred), unavailable);
    assert_eq!(elected(led_by(&[1, 2], 2, &[2, 3]), Preferred), unavailable);
}

#[test]
fn an_unclean_election_takes_who_lives_only_where_nobody_is_in_sync() {
    use ElectionType::Unclean;
    assert_eq!(elected(led_by(&[2], 2, &[1, 2, 3]), Unclean), Err(MetadataError::ElectionNotNeeded));
    assert_eq!(elected(led_by(&[2, 3], NO_LEADER, &[1, 3]), Unclean), Ok((3, 5, vec![2, 3])));
    assert_eq!(elected(led_by(&[2], NO_LEADER, &[1, 3]), Unclean), Ok((1, 5, vec![1])));
    assert_eq!(elected(led_by(&[2], NO_LEADER, &[]), Unclean), Err(MetadataError::EligibleLeadersNotAvailable));
}

#[test]
fn an_assignment_that_is_there_is_taken_and_another_refused() {
    let controller = led_by(&[1, 2, 3], 1, &[1, 2, 3]);
    let wanted = |replicas: Option<&[BrokerId]>| {
        let wanted = Reassignment { topic: "t".into(), partition: 0, replicas: replicas.map(<[BrokerId]>::to_vec) };
        let decision = controller.reassign_partitions(&[wanted]);
        assert_eq!(decision.records, []);
        decision.reply.into_iter().next().unwrap()
    };
    assert_eq!(wanted(Some(&[1, 2, 3])), Ok(()));
    assert_eq!(wanted(None), Err(MetadataError::NoReassignmentInProgress));
    assert!(matches!(wanted(Some(&[2, 1])), Err(MetadataError::InvalidReplicaAssignment(_))));
    assert!(matches!(wanted(Some(&[1, 4])), Err(MetadataError::InvalidReplicaAssignment(_))));
}

#[test]
fn a_record_that_does_not_fit_changes_nothing() {
    let mut controller = controller();
    create(&mut controller, topic("t", 1, 1)).unwrap();
    let epoch = controller.image().broker(1).unwrap().epoch;
    let decision = controller.allocate_producer_ids(1, epoch);
    carry_out(&mut controller, decision).unwrap();
    let before = controller.image().clone();
    let change = |topic_id, partition, partition_epoch| {
        let (in_sync, leader, leader_epoch) = (vec![1], 1, 9);
        Record::PartitionChange(PartitionChangeRecord {
            topic_id,
            partition,
            in_sync,
            leader,
            leader_epoch,
            partition_epoch,
            eligible_leaders: vec![],
            last_known_leader: NO_LEADER,
            recovering: false,
            min_in_sync_replicas: 1,
        })
    };
    let resource = ConfigResource { kind: ConfigResourceKind::Topic, name: "gone".into() };
    let mut earlier = BrokerRecord::clone(before.broker(1).unwrap());
    earlier.epoch -= 1;
    let misfits = [
        Record::Broker(earlier),
        change(topic_id(1), 0, 0),
        change(topic_id(1), 0, 2),
        change(topic_id(1), 1, 1),
        change(topic_id(2), 0, 1),
        Record::RemoveTopic(RemoveTopicRecord { topic_id: topic_id(2) }),
        Record::Topic(TopicRecord { topic_id: topic_id(2), name: "t".into() }),
        Record::Topic(TopicRecord { topic_id: topic_id(1), name: "u".into() }),
        Record::Config(ConfigRecord { resource, name: "retention.ms".into(), value: Some("1".into()) }),
        Record::ProducerIds(ProducerIdsRecord { broker_id: 1, next: 0 }),
    ];
    misfits.iter().for_each(|record| controller.apply(record));
    assert_eq!(controller.image(), &before);
}

#[derive(Debug, Clone)]
enum Step {
    Register { id: BrokerId, incarnation: u8 },
    Fence { id: BrokerId },
    Unfence { id: BrokerId },
    ShutDown { id: BrokerId },
    Elect { name: usize, election: ElectionType },
    MinInSync { name: usize, value: u16 },
    Create { name: usize, partitions: i32, replication_factor: i16, config: bool },
    Grow { name: usize, count: i32 },
    Delete { name: usize },
    Alter { name: usize, value: Option<u16> },
    AlterBrokers { value: Option<u16> },
    ProducerIds { id: BrokerId },
}

const NAMES: [&str; 6] = ["a", "b", "c.d", "c_d", "c-d", "bad name"];

fn step() -> impl Strategy<Value = Step> {
    let (id, name) = (1..4i32, 0..NAMES.len());
    prop_oneof![
        3 => (id.clone(), 0..12u8).prop_map(|(id, incarnation)| Step::Register { id, incarnation }),
        3 => id.clone().prop_map(|id| Step::Fence { id }),
        3 => id.clone().prop_map(|id| Step::Unfence { id }),
        1 => id.clone().prop_map(|id| Step::ShutDown { id }),
        2 => (name.clone(), any::<bool>()).prop_map(|(name, unclean)| {
            Step::Elect { name, election: if unclean { ElectionType::Unclean } else { ElectionType::Preferred } }
        }),
        1 => (name.clone(), 1..4u16).prop_map(|(name, value)| Step::MinInSync { name, value }),
        4 => (name.clone(), -2..5i32, -1..4i16, any::<bool>()).prop_map(|(name, partitions, replication_factor, config)| {
            Step::Create { name, partitions, replication_factor, config }
        }),
        2 => (name.clone(), 0..7i32).prop_map(|(name, count)| Step::Grow { name, count }),
        2 => name.clone().prop_map(|name| Step::Delete { name }),
        2 => (name, any::<Option<u16>>()).prop_map(|(name, value)| Step::Alter { name, value }),
        1 => any::<Option<u16>>().prop_map(|value| Step::AlterBrokers { value }),
        1 => id.prop_map(|id| Step::ProducerIds { id }),
    ]
}

fn decide(controller: &Controller, step: Step, number: u32) -> Vec<Record> {
    let set = |resource, name: &str, value: Option<u16>| IncrementalAlterConfigs {
        resources: vec![ResourceChanges {
            resource,
            changes: vec![ConfigChange {
                name: name.into(),
                operation: if value.is_some() { ConfigOperation::Set } else { ConfigOperation::Delete },
                value: value.map(|value| value.to_string()),
            }],
        }],
        validate_only: false,
    };
    match step {
        Step::Register { id, incarnation } => {
            let restart = [Restart::Clean, Restart::Crash, Restart::Damage][usize::from(incarnation) % 3];
            let fenced = incarnation % 2 == 0;
            let registration =
                BrokerRegistration { id, incarnation_id: [incarnation; 16], ..registration(restart, fenced) };
            controller.register_broker(&registration, number.into()).records
        }
        Step::Fence { id } => controller.fence_broker(id, epoch_of(controller, id)).records,
        Step::Unfence { id } => controller.unfence_broker(id, epoch_of(controller, id)).records,
        Step::ShutDown { id } => controller.shut_down_broker(id, epoch_of(controller, id)).records,
        Step::Elect { name, election } => controller.elect_leaders(election, &[(NAMES[name].into(), 0)]).records,
        Step::MinInSync { name, value } => {
            let resource = ConfigResource { kind: ConfigResourceKind::Topic, name: NAMES[name].into() };
            controller.incremental_alter_configs(&set(resource, "min.insync.replicas", Some(value))).records
        }
        Step::Create { name, partitions, replication_factor, config } => {
            let configs = Vec::from_iter(config.then(|| ("retention.ms".into(), Some("5".into()))));
            let topic = CreatableTopic { replication_factor, configs, ..topic(NAMES[name], number, partitions) };
            controller.create_topics(&CreateTopics { topics: vec![topic], validate_only: false }).records
        }
        Step::Grow { name, count } => {
            let topics = vec![TopicPartitions { name: NAMES[name].into(), count, assignments: None }];
            controller.create_partitions(&CreatePartitions { topics, validate_only: false }).records
        }
        Step::Delete { name } => controller.delete_topics(&[TopicKey::Name(NAMES[name].into())]).records,
        Step::Alter { name, value } => {
            let resource = ConfigResource { kind: ConfigResourceKind::Topic, name: NAMES[name].into() };
            controller.incremental_alter_configs(&set(resource, "retention.ms", value)).records
        }
        Step::AlterBrokers { value } => {
            let resource = ConfigResource { kind: ConfigResourceKind::Broker, name: String::new() };
            controller.incremental_alter_configs(&set(resource, "log.retention.ms", value)).records
        }
        Step::ProducerIds { id } => {
            controller.allocate_producer_ids(id, epoch_of(controller, id)).records
        }
    }
}

fn epoch_of(controller: &Controller, id: BrokerId) -> i64 {
    controller.image().broker(id).map_or(0, |broker| broker.epoch)
}

fn check_invariants(image: &Image) {
    assert_eq!(image.topics().count(), image.topic_count());
    assert_eq!(image.topics().map(|topic| topic.partitions.len()).sum::<usize>(), image.partition_count());
    for topic in image.topics() {
        assert_eq!(image.topic(&topic.name).map(|found| found.id), Some(topic.id));
        assert!(topic.partitions.iter().map(|(index, _)| *index).eq(0..topic.partitions.len() as i32));
        for partition in topic.partitions.values() {
            check_partition(image, partition);
        }
    }
    assert!(!(image.topic("c.d").is_some() && image.topic("c_d").is_some()), "names that collide");
}

fn check_partition(image: &Image, partition: &Partition) {
    let Partition { replicas, in_sync, leader, eligible_leaders, .. } = partition;
    assert!(*leader == NO_LEADER || in_sync.contains(leader), "{partition:?}");
    assert!(in_sync.iter().all(|id| replicas.contains(id) && image.is_active(*id)), "{partition:?}");
    assert!(eligible_leaders.iter().all(|id| replicas.contains(id) && !in_sync.contains(id)), "{partition:?}");
    assert!(*leader != NO_LEADER || in_sync.is_empty(), "who is in sync and alive leads: {partition:?}");
    let is_certain = |id: &BrokerId| image.is_active(*id) && eligible_leaders.contains(id);
    assert!(*leader != NO_LEADER || !replicas.iter().any(is_certain), "who is certain and alive leads: {partition:?}");
    let enough = in_sync.len() >= (partition.min_in_sync_replicas as usize).min(replicas.len());
    assert!(!enough || eligible_leaders.is_empty(), "{partition:?}");
}

proptest! {
    #[test]
    fn replay_and_snapshot_give_the_live_image(steps in proptest::collection::vec(step(), 1..60)) {
        let mut controller = Controller::default();
        let mut log = Vec::new();
        let mut leader_epochs = alloc::collections::BTreeMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            let records = decide(&controller, step, number as u32);
            records.iter().for_each(|record| controller.apply(record));
            log.extend(records);
            check_invariants(controller.image());
            for topic in controller.image().topics() {
                for (index, partition) in topic.partitions.iter() {
                    let before = leader_epochs.insert((topic.id, *index), partition.leader_epoch);
                    prop_assert!(before.is_none_or(|before| before <= partition.leader_epoch));
                }
            }
        }
        let (mut replayed, mut restored) = (Image::default(), Image::default());
        log.iter().for_each(|record| replayed.apply(record));
        prop_assert_eq!(&replayed, controller.image());
        controller.image().to_records().iter().for_each(|record| restored.apply(record));
        prop_assert_eq!(&restored, controller.image());
    }
}
