use super::*;
use proptest::prelude::*;

fn partition(index: PartitionIndex) -> FetchPartition {
    FetchPartition { topic: FetchTopic::Name("t".into()), partition: index }
}

fn position(fetch_offset: Offset) -> FetchPosition {
    FetchPosition {
        fetch_offset,
        max_bytes: 1 << 20,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        log_start_offset: -1,
    }
}

fn request(session_id: i32, epoch: i32, partitions: &[PartitionIndex]) -> FetchSessionRequest {
    FetchSessionRequest {
        session_id,
        epoch,
        uses_topic_ids: false,
        partitions: partitions.iter().map(|index| (partition(*index), position(0))).collect(),
        forgotten: Vec::new(),
    }
}

fn outcome(high_watermark: Offset, has_records: bool) -> FetchOutcome {
    FetchOutcome { high_watermark, log_start_offset: 0, has_records, error: false, redirected: false }
}

fn order(context: &FetchContext) -> Vec<PartitionIndex> {
    context.partitions().map(|(_, key, _)| key.partition).collect()
}

#[test]
fn a_session_that_was_not_brought_back_is_lost() {
    let mut sessions = FetchSessions::new(10);
    let context = sessions.begin(request(0, 0, &[1]), 0).unwrap();
    let id = sessions.complete(context, 0, 99);
    let lost = sessions.begin(request(id, 1, &[]), 0).unwrap();
    assert_eq!(sessions.begin(request(id, 2, &[]), 0).unwrap_err(), FetchSessionError::IdNotFound { session_id: id });
    assert!(sessions.is_empty());
    assert_eq!(sessions.complete(lost, 0, 5), id);
    assert!(sessions.is_empty());
}

#[test]
fn an_abandoned_request_takes_its_session_with_it() {
    let mut sessions = FetchSessions::new(10);
    let context = sessions.begin(request(0, 0, &[1]), 0).unwrap();
    let id = sessions.complete(context, 0, 99);
    let context = sessions.begin(request(id, 1, &[]), 0).unwrap();
    sessions.abandon(context);
    assert!(sessions.is_empty());
}

#[test]
fn the_end_of_an_error_is_told_though_nothing_else_changed() {
    let mut sessions = FetchSessions::new(1);
    let context = sessions.begin(request(0, 0, &[1]), 0).unwrap();
    let id = sessions.complete(context, 0, 2);
    let told = [outcome(5, false), FetchOutcome { error: true, ..outcome(5, false) }, outcome(5, false)];
    for (epoch, outcome) in (1..).zip(told) {
        let mut context = sessions.begin(request(id, epoch, &[]), 0).unwrap();
        let slot = context.partitions().next().unwrap().0;
        assert!(context.include(slot, &outcome));
        sessions.complete(context, 0, 2);
    }
}

#[test]
fn what_clients_ask_for_takes_bounded_memory() {
    let mut sessions = FetchSessions::new(10);
    let half: Vec<_> = (0..PARTITIONS_MAX as i32 / 2).collect();
    let context = sessions.begin(request(0, 0, &half), 0).unwrap();
    let first = sessions.complete(context, 0, 2);
    let context = sessions.begin(request(0, 0, &half), 0).unwrap();
    assert_ne!(sessions.complete(context, 0, 4), NO_SESSION);
    let context = sessions.begin(request(0, 0, &[1]), 0).unwrap();
    assert_eq!(sessions.complete(context, 0, 6), NO_SESSION);
    // One that grows beyond is closed, and its answer is a full one.
    let mut context = sessions.begin(request(first, 1, &[i32::MAX]), 0).unwrap();
    assert!(!context.is_incremental() && context.len() == half.len() + 1);
    let slot = context.partitions().next().unwrap().0;
    assert!(context.include(slot, &outcome(0, false)));
    assert_eq!(sessions.complete(context, 0, 8), NO_SESSION);
    assert_eq!(sessions.partition_count(), half.len());
}

#[test]
fn a_session_that_forgets_all_it_has_ends_with_an_answer() {
    let mut sessions = FetchSessions::new(10);
    let context = sessions.begin(request(0, 0, &[1, 2]), 0).unwrap();
    let id = sessions.complete(context, 0, 8);
    let mut last = request(id, 1, &[1, 3]);
    last.forgotten = [1, 2, 3].map(partition).to_vec();
    let context = sessions.begin(last, 0).unwrap();
    assert!(!context.is_incremental());
    assert_eq!(order(&context), [1, 3]);
    assert_eq!(sessions.complete(context, 0, 9), NO_SESSION);
    assert!(sessions.is_empty());
}

#[test]
fn ids_are_positive_and_free() {
    let mut sessions = FetchSessions::new(10);
    let mut ids = Vec::new();
    for seed in [0, 1, 2, u32::MAX, u32::MAX] {
        let context = sessions.begin(request(0, 0, &[1]), 0).unwrap();
        ids.push(sessions.complete(context, 0, seed));
    }
    assert_eq!(ids, [1, 2, 3, i32::MAX, 4]);
}

#[test]
fn epochs_wrap_to_one() {
    assert_eq!(next_epoch(i32::MAX), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Want(PartitionIndex),
    Forget(PartitionIndex),
    Records(PartitionIndex),
    Watermark(PartitionIndex),
    Request,
}

fn step() -> impl Strategy<Value = Step> {
    let index = 0..12i32;
    prop_oneof![
        3 => index.clone().prop_map(Step::Want),
        1 => index.clone().prop_map(Step::Forget),
        2 => index.clone().prop_map(Step::Records),
        2 => index.prop_map(Step::Watermark),
        3 => Just(Step::Request),
    ]
}

proptest! {
    /// Against a plain list: the order, and that the client always ends up knowing every watermark.
    #[test]
    fn the_client_knows_everything(steps in proptest::collection::vec(step(), 1..120)) {
        let mut sessions = FetchSessions::new(1);
        let context = sessions.begin(request(0, 0, &[0]), 0).unwrap();
        let mut list = vec![0];
        let mut watermarks = [0i64; 12];
        let mut known = BTreeMap::new();
        let id = sessions.complete(context, 0, 4);
        let (mut epoch, mut wanted, mut forgotten, mut records) = (1, Vec::new(), Vec::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Want(index) => wanted.push(index),
                Step::Forget(index) if index != 0 => forgotten.push(index),
                Step::Forget(_) => {}
                Step::Records(index) => { records.insert(index); }
                Step::Watermark(index) => watermarks[index as usize] += 1,
                Step::Request => {
                    let mut changes = request(id, epoch, &wanted);
                    changes.forgotten = forgotten.iter().map(|index| partition(*index)).collect();
                    for index in wanted.drain(..) {
                        if !list.contains(&index) { list.push(index) }
                    }
                    list.retain(|index| !forgotten.contains(index));
                    known.retain(|index, _| list.contains(index));
                    forgotten.clear();
                    let mut context = sessions.begin(changes, 0).unwrap();
                    prop_assert_eq!(order(&context), list.clone());
                    let read: Vec<_> = context.partitions().map(|(slot, key, _)| (slot, key.partition)).collect();
                    for (slot, index) in read {
                        let watermark = watermarks[index as usize];
                        let has_records = records.contains(&index);
                        let included = context.include(slot, &outcome(watermark, has_records));
                        prop_assert_eq!(included, has_records || known.get(&index) != Some(&watermark));
                        if included { known.insert(index, watermark); }
                        if has_records {
                            list.retain(|other| *other != index);
                            list.push(index);
                        }
                    }
                    records.clear();
                    prop_assert_eq!(sessions.complete(context, 0, 4), id);
                    epoch += 1;
                }
            }
        }
    }

    /// Never more sessions than slots, and the books agree with the sessions.
    #[test]
    fn the_cache_is_bounded(requests in proptest::collection::vec((0..5i32, 0..3i32, 1..6i32, 0..100_000i64), 1..100)) {
        let mut sessions = FetchSessions::new(3);
        let mut now_ms = 0;
        for (session_id, epoch, size, later_ms) in requests {
            now_ms += later_ms;
            let indices: Vec<_> = (0..size).collect();
            if let Ok(context) = sessions.begin(request(session_id, epoch - 1, &indices), now_ms) {
                sessions.complete(context, now_ms, 2);
            }
            prop_assert!(sessions.len() <= 3);
            prop_assert_eq!(sessions.by_last_use.len(), sessions.len());
            let partitions: usize = sessions.sessions.values().map(|session| session.size).sum();
            prop_assert_eq!(sessions.partition_count(), partitions);
            prop_assert!(sessions.evictable.iter().all(|(size, id)| sessions.sessions[id].size == *size));
        }
    }
}
