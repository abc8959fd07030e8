use super::*;
use proptest::prelude::*;

fn batch(producer_id: ProducerId, producer_epoch: ProducerEpoch, first_sequence: i32, count: i32) -> ProducerBatch {
    let last_sequence = last_sequence(first_sequence, count);
    ProducerBatch { producer_id, producer_epoch, first_sequence, last_sequence, is_transactional: false }
}

fn at(base_offset: Offset, count: i32) -> Appended {
    Appended { base_offset, last_offset: base_offset + Offset::from(count) - 1, timestamp: 1000 + base_offset }
}

/// A log of batches as a leader would write it, with the retries and slips of clients between.
#[derive(Default)]
struct Leader {
    producers: Producers,
    log: Vec<(ProducerBatch, Appended, TimestampMs)>,
    log_end: Offset,
}

impl Leader {
    fn produce(&mut self, batch: ProducerBatch, now_ms: TimestampMs) -> Result<Verdict, ProducerError> {
        let verdict = self.producers.check(&batch)?;
        if verdict == Verdict::Append {
            let count = batch.last_sequence.wrapping_sub(batch.first_sequence) & i32::MAX;
            let appended = at(self.log_end, count + 1);
            self.log_end = appended.last_offset + 1;
            self.producers.apply(&batch, appended, now_ms);
            self.log.push((batch, appended, now_ms));
        }
        Ok(verdict)
    }
}

#[test]
fn sequences_wrap_after_the_largest() {
    let mut leader = Leader::default();
    assert_eq!(leader.produce(batch(1, 0, i32::MAX - 1, 2), 0), Ok(Verdict::Append));
    assert_eq!(leader.produce(batch(1, 0, 0, 1), 0), Ok(Verdict::Append));
    assert_eq!(last_sequence(i32::MAX - 1, 4), 1);
    assert_eq!(leader.produce(batch(1, 0, 1, 1), 0), Ok(Verdict::Append));
}

#[test]
fn a_batch_across_the_wrap_is_recognised() {
    let mut leader = Leader::default();
    let across = batch(1, 0, i32::MAX - 1, 4);
    assert_eq!(leader.produce(across, 0), Ok(Verdict::Append));
    assert_eq!(leader.produce(across, 0), Ok(Verdict::Duplicate(at(0, 4))));
    assert_eq!(leader.produce(batch(1, 0, 2, 1), 0), Ok(Verdict::Append));
}

#[test]
fn an_open_transaction_keeps_its_producer() {
    let mut producers = Producers::default();
    let open = ProducerBatch { is_transactional: true, ..batch(1, 0, 0, 1) };
    producers.apply(&open, at(7, 1), 0);
    producers.apply(&batch(2, 0, 0, 1), at(8, 1), 0);
    assert_eq!(producers.expire(DEFAULT_EXPIRATION_MS, DEFAULT_EXPIRATION_MS), 1);
    assert_eq!(producers.check(&batch(1, 0, 1, 1)), Err(ProducerError::TransactionOpen { producer_id: 1 }));
    producers.advance_log_start(9);
    assert_eq!(producers.iter().next().unwrap().1.transaction_first_offset(), Some(9));
}

#[test]
fn truncation_says_when_it_forgot_more_than_it_cut() {
    let mut leader = Leader::default();
    for sequence in 0..BATCHES_REMEMBERED as i32 - 1 {
        leader.produce(batch(1, 0, sequence, 1), 0).unwrap();
    }
    let mut short = leader.producers.clone();
    assert_eq!(short.truncate_to(2), Truncated::Exact);
    assert_eq!(short.check(&batch(1, 0, 2, 1)), Ok(Verdict::Append));
    assert_eq!(short.truncate_to(0), Truncated::RebuildFromLog);
    assert!(short.is_empty());
    leader.produce(batch(1, 0, 4, 1), 0).unwrap();
    assert_eq!(leader.producers.truncate_to(4), Truncated::RebuildFromLog);
}

#[derive(Debug, Clone)]
enum Step {
    Next { producer_id: ProducerId, count: i32 },
    Retry { back: usize },
    NewEpoch { producer_id: ProducerId },
    Stray { batch: ProducerBatch },
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let producer_id = 0..4i64;
    prop_oneof![
        5 => (producer_id.clone(), 1..5i32).prop_map(|(producer_id, count)| Step::Next { producer_id, count }),
        3 => (0..12usize).prop_map(|back| Step::Retry { back }),
        1 => producer_id.clone().prop_map(|producer_id| Step::NewEpoch { producer_id }),
        1 => (producer_id, 0..3i16, 0..20i32, 1..4i32)
            .prop_map(|(id, epoch, first, count)| Step::Stray { batch: batch(id, epoch, first, count) }),
        1 => Just(Step::Expire),
    ]
}

fn next_batch(producers: &Producers, producer_id: ProducerId, count: i32) -> ProducerBatch {
    match producers.iter().find(|(id, _)| *id == producer_id) {
        Some((_, state)) => batch(producer_id, state.producer_epoch(), advance(state.last_sequence(), 1), count),
        None => batch(producer_id, 0, 0, count),
    }
}

proptest! {
    #[test]
    fn replay_and_restore_give_the_live_state(steps in proptest::collection::vec(step(), 1..80)) {
        let mut leader = Leader::default();
        let mut replayed = Producers::default();
        for (now_ms, step) in steps.into_iter().enumerate() {
            let (now_ms, before) = (now_ms as TimestampMs, leader.log.len());
            match step {
                Step::Next { producer_id, count } => {
                    let next = next_batch(&leader.producers, producer_id, count);
                    prop_assert_eq!(leader.produce(next, now_ms), Ok(Verdict::Append));
                }
                Step::Retry { back } if back < before => {
                    let again = leader.log[before - 1 - back].0;
                    let newest = leader.log.iter().rfind(|(batch, ..)| *batch == again).unwrap().1;
                    if let Ok(Verdict::Duplicate(original)) = leader.produce(again, now_ms) {
                        prop_assert_eq!(original, newest);
                    }
                }
                Step::Retry { .. } => {}
                Step::NewEpoch { producer_id } => {
                    let current = next_batch(&leader.producers, producer_id, 1).producer_epoch;
                    leader.produce(batch(producer_id, current + 1, 0, 1), now_ms).unwrap();
                }
                Step::Stray { batch } => { let _ = leader.produce(batch, now_ms); }
                Step::Expire => {
                    leader.producers.expire(now_ms, 10);
                    replayed.expire(now_ms, 10);
                }
            }
            for (batch, appended, seen_ms) in &leader.log[before..] {
                replayed.apply(batch, *appended, *seen_ms);
            }
            prop_assert_eq!(&replayed, &leader.producers);
        }
        prop_assert_eq!(Producers::restore(&leader.producers.snapshot()), Ok(leader.producers));
    }

    /// Within one epoch and without expiry, no sequence number is in the log twice and none is left out.
    #[test]
    fn every_sequence_once(batches in proptest::collection::vec((0..30i32, 1..6i32), 1..200)) {
        let mut leader = Leader::default();
        leader.produce(batch(1, 0, 0, 1), 0).unwrap();
        for (first, count) in batches {
            let _ = leader.produce(batch(1, 0, first, count), 0);
        }
        let mut expected = 0;
        for (batch, _, _) in &leader.log {
            prop_assert_eq!(batch.first_sequence, expected);
            expected = batch.last_sequence + 1;
        }
    }

    #[test]
    fn truncation_that_calls_itself_exact_is(counts in proptest::collection::vec((0..2i64, 1..4i32), 1..12), cut in 0..30i64) {
        let mut leader = Leader::default();
        for (producer_id, count) in counts {
            let next = next_batch(&leader.producers, producer_id, count);
            leader.produce(next, 0).unwrap();
        }
        let mut expected = Producers::default();
        for (batch, appended, now_ms) in leader.log.iter().filter(|(_, appended, _)| appended.last_offset < cut) {
            expected.apply(batch, *appended, *now_ms);
        }
        if leader.producers.truncate_to(cut) == Truncated::Exact {
            prop_assert_eq!(leader.producers, expected);
        }
    }

    #[test]
    fn any_bytes_are_restored_or_refused(bytes: Vec<u8>) {
        let _ = Producers::restore(&bytes);
    }

    #[test]
    fn a_damaged_snapshot_is_restored_or_refused(at: proptest::sample::Index, flip in 1u8..) {
        let mut leader = Leader::default();
        (0..9).for_each(|sequence| { leader.produce(batch(sequence % 3, 0, sequence as i32 / 3, 1), 5).unwrap(); });
        let mut bytes = leader.producers.snapshot();
        let index = at.index(bytes.len());
        bytes[index] ^= flip;
        let _ = Producers::restore(&bytes);
        bytes.truncate(index);
        prop_assert!(Producers::restore(&bytes).is_err());
    }
}
