//! Metadata and DescribeTopicPartitions.

use chronik_wire::messages::MetadataRequest;
use chronik_wire::{Uuid, message};

use crate::ask::{Asker, transcript};
use crate::requests::*;

#[test]
fn metadata() {
    transcript("metadata", async |asker: &mut Asker| {
        asker.ask_silently(&create(vec![topic("ma", 2, 1, &[]), topic("mb", 1, 1, &[])]), 7).await;
        let (a, unknown) = (asker.id_of("ma").await, Uuid::from_bytes([7; 16]));
        asker.id_of("mb").await;
        let named = || vec![topic_named(Some("ma")), topic_named(Some("ma"))];
        asker.ask("a topic, named twice", &metadata_of(named()), 4..=13).await;
        asker.ask("one that does not exist", &metadata_of(vec![topic_named(Some("nope"))]), 4..=13).await;
        asker.ask("one that cannot exist", &metadata_of(vec![topic_named(Some("bad name"))]), [4, 13]).await;
        asker.ask("no topic", &metadata_of(Vec::new()), [4, 13]).await;
        asker.ask("by id", &metadata_of(vec![topic_with_id(a)]), 10..=13).await;
        asker.ask("an id that does not exist", &metadata_of(vec![topic_with_id(unknown)]), 12..=13).await;
        asker.ask("an id and a name", &metadata_of(vec![topic_with_id(a), topic_named(Some("mb"))]), [12]).await;
        let mut with_operations = metadata_of(named());
        with_operations.include_topic_authorized_operations = true;
        asker.ask("with a topic's operations", &with_operations, 8..=13).await;
        with_operations.include_cluster_authorized_operations = true;
        asker.ask("and the cluster's", &with_operations, 8..=10).await;
    });
}

#[test]
fn metadata_creates_what_is_missing() {
    transcript("metadata_creates", async |asker: &mut Asker| {
        let request = |name: &str| message!(MetadataRequest { topics: Some(vec![topic_named(Some(name))]) });
        asker.ask_silently(&request("new"), 4).await;
        asker.ask("a topic that was asked for before", &request("new"), [0, 1, 4, 9]).await;
        asker.ask("one that cannot be", &request("bad name"), [0, 4, 13]).await;
        asker.ask("all topics", &message!(MetadataRequest { topics: None }), [1, 9]).await;
        asker
            .ask("all topics, as version 0 says it", &message!(MetadataRequest { topics: Some(Vec::new()) }), [0])
            .await;
    });
}

#[test]
fn describe_topic_partitions() {
    transcript("describe_topic_partitions", async |asker: &mut Asker| {
        asker.ask_silently(&create(vec![topic("pa", 3, 1, &[]), topic("pb", 1, 1, &[])]), 7).await;
        asker.id_of("pa").await;
        asker.id_of("pb").await;
        let both = ["pb", "pa"];
        asker.ask("all there is", &describe_partitions(&["pb", "nope", "pa", "bad name"], 100, None), [0]).await;
        asker.ask("a page that ends within a topic", &describe_partitions(&both, 2, None), [0]).await;
        asker.ask("a page that ends with a topic", &describe_partitions(&both, 3, None), [0]).await;
        asker.ask("a page that ends before what does not exist", &describe_partitions(&["pa", "pax", "pb"], 3, None), [0]).await;
        asker.ask("the next page", &describe_partitions(&both, 2, Some(("pa", 2))), [0]).await;
        asker.ask("from behind the last partition", &describe_partitions(&both, 2, Some(("pa", 20))), [0]).await;
        asker.ask("a cursor that names another topic", &describe_partitions(&both, 2, Some(("x", 0))), [0]).await;
        asker.ask("a negative cursor", &describe_partitions(&both, 2, Some(("pa", -1))), [0]).await;
        asker.ask("no room", &describe_partitions(&both, 0, None), [0]).await;
        asker.ask("a topic twice", &describe_partitions(&["pb", "pb"], 9, None), [0]).await;
        asker.ask("every topic from a cursor on", &describe_partitions(&[], 9, Some(("pb", 0))), [0]).await;
    });
}
