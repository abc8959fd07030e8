//! ListOffsets, OffsetForLeaderEpoch, DeleteRecords.

use crate::ask::{Asker, transcript};
use crate::requests::*;

#[test]
fn offsets() {
    transcript("offsets", async |asker: &mut Asker| {
        let compacted: &[(&str, Option<&str>)] = &[("cleanup.policy", Some("compact"))];
        asker.ask_silently(&create(vec![topic("oa", 3, 1, &[]), topic("oc", 1, 1, compacted)]), 7).await;
        for _ in 0..12 {
            asker.ask_silently(&produce("oa", BATCH), 9).await;
        }
        let both = |timestamp| list_offsets("oa", &[(0, -1, timestamp)]);
        asker.ask("the end", &both(-1), 1..=11).await;
        asker.ask("the start", &both(-2), 1..=11).await;
        asker.ask("the youngest", &both(-3), 1..=11).await;
        asker.ask("the start on disk", &both(-4), 1..=11).await;
        asker.ask("the newest in tiered storage", &both(-5), 1..=11).await;
        asker.ask("the first not yet in tiered storage", &both(-6), [10]).await;
        asker.ask("what no version knows", &both(-7), [1, 11]).await;
        asker.ask("an early time", &both(0), [1, 4, 11]).await;
        asker.ask("the time of the records", &both(BATCH_TIMESTAMP_MS), [7]).await;
        asker.ask("a later time", &both(BATCH_TIMESTAMP_MS + 1), [1, 7]).await;
        for timestamp in [-1, -2, -3, 0] {
            let what = format!("an empty partition, {timestamp}");
            asker.ask(&what, &list_offsets("oa", &[(1, -1, timestamp)]), [7]).await;
        }
        asker.ask("the leader's epoch", &list_offsets("oa", &[(0, 0, -1)]), [4, 7]).await;
        asker.ask("an epoch to come", &list_offsets("oa", &[(0, 5, -1)]), [4, 7]).await;
        asker.ask("no such topic", &list_offsets("nope", &[(0, -1, -1)]), [1, 7]).await;
        asker.ask("no such partition", &list_offsets("oa", &[(9, -1, -1)]), [1, 7]).await;
        asker.ask("a partition twice", &list_offsets("oa", &[(0, -1, -1), (0, -1, -2)]), [1, 7]).await;

        asker.ask("where the epoch ends", &epoch_ends("oa", &[(0, -1, 0), (1, 0, 0)]), 2..=4).await;
        asker.ask("where one to come ends", &epoch_ends("oa", &[(0, -1, 5), (0, -1, -1)]), 2..=4).await;
        asker.ask("believing in one to come", &epoch_ends("oa", &[(0, 5, 0)]), 2..=4).await;
        asker.ask("ends of what does not exist", &epoch_ends("nope", &[(0, -1, 0)]), 2..=4).await;

        asker.ask("delete up to an offset", &delete_records("oa", &[(0, 3)]), 0..=2).await;
        asker.ask("delete what is deleted", &delete_records("oa", &[(0, 1)]), [2]).await;
        asker.ask("the start then", &both(-2), [7]).await;
        asker.ask("delete beyond the end", &delete_records("oa", &[(0, 100)]), [2]).await;
        asker.ask("delete below nothing", &delete_records("oa", &[(0, -2)]), [2]).await;
        asker.ask("delete everything", &delete_records("oa", &[(0, -1)]), [0]).await;
        asker.ask("the time of the records then", &both(BATCH_TIMESTAMP_MS), [7]).await;
        asker.ask("delete from what does not exist", &delete_records("nope", &[(0, 1)]), 0..=2).await;
        asker.ask("delete from what is compacted", &delete_records("oc", &[(0, -1)]), [2]).await;
    });
}
