//! CreateTopics, CreatePartitions, DeleteTopics.

use chronik_wire::Uuid;

use crate::ask::{Asker, transcript};
use crate::requests::*;

#[test]
fn create_topics() {
    transcript("create_topics", async |asker: &mut Asker| {
        let topics = || create(vec![topic("a", 3, 1, &[("retention.ms", Some("60000"))]), topic("b", -1, -1, &[])]);
        let mut only_validated = topics();
        only_validated.validate_only = true;
        asker.ask("only validated, in versions that do not tell what would be", &only_validated, 2..=4).await;
        asker.ask_silently(&topics(), 5).await;
        asker.ask("topics that exist", &topics(), 2..=7).await;
        let names = ["", ".", "..", "a b", "ä", &"x".repeat(250), "__cluster_metadata"];
        let names = names.iter().map(|name| topic(name, 1, 1, &[])).collect();
        asker.ask("names that no topic can have", &create(names), [7]).await;
        let numbers = [("c", 0, 1), ("d", -2, 1), ("e", 1, 0), ("f", 1, -2)];
        let numbers = numbers.iter().map(|(name, partitions, replicas)| topic(name, *partitions, *replicas, &[]));
        asker.ask("numbers that cannot be", &create(numbers.collect()), [2, 7]).await;
        let twice = create(vec![topic("c", 1, 1, &[]), topic("c", 2, 1, &[])]);
        asker.ask("a topic twice", &twice, [2, 7]).await;
        let configs = [
            ("c", ("nonsense", Some("1"))),
            ("d", ("retention.ms", Some("soon"))),
            ("e", ("retention.ms", None)),
            ("f", ("cleanup.policy", Some("burn"))),
            ("g", ("segment.bytes", Some("1"))),
            ("h", ("min.insync.replicas", Some("0"))),
        ];
        let configs = configs.iter().map(|(name, config)| topic(name, 1, 1, &[*config])).collect();
        asker.ask("configs that cannot be", &create(configs), [7]).await;
        asker.ask("assignments that cannot be", &create(wrong_assignments()), [7]).await;
        asker.ask_silently(&create(vec![topic("e.f", 1, 1, &[])]), 7).await;
        asker.ask("a name that differs in a point only", &create(vec![topic("e_f", 1, 1, &[])]), [7]).await;
        asker.ask("nothing", &create(Vec::new()), 2..=7).await;
    });
}

fn wrong_assignments() -> Vec<chronik_wire::messages::create_topics_request::CreatableTopic> {
    vec![
        assigned_topic("c", 1, -1, &[(0, &[1])]),
        assigned_topic("d", -1, 1, &[(0, &[1])]),
        assigned_topic("e", -1, -1, &[(1, &[1])]),
        assigned_topic("f", -1, -1, &[(0, &[9])]),
        assigned_topic("g", -1, -1, &[(0, &[1, 1])]),
        assigned_topic("h", -1, -1, &[(0, &[])]),
        assigned_topic("i", -1, -1, &[(0, &[1]), (0, &[1])]),
    ]
}

#[test]
fn create_partitions() {
    transcript("create_partitions", async |asker: &mut Asker| {
        asker.ask_silently(&create(vec![topic("g3", 3, 1, &[]), topic("g1", 1, 1, &[])]), 7).await;
        asker.ask("only validated", &grow(&[("g1", 4, None)], true), 0..=3).await;
        asker.ask("as many as there are", &grow(&[("g1", 1, None)], false), [3]).await;
        asker.ask("fewer", &grow(&[("g3", 1, None), ("g1", 0, None)], false), [3]).await;
        asker.ask("assignments that do not fit", &grow(&[("g1", 3, Some(&[&[1]]))], false), [3]).await;
        asker.ask("a broker that is none", &grow(&[("g1", 2, Some(&[&[9]]))], false), [3]).await;
        asker.ask("a topic twice", &grow(&[("g1", 4, None), ("g1", 5, None)], false), [3]).await;
        asker.ask("assigned", &grow(&[("g1", 3, Some(&[&[1], &[1]]))], false), [3]).await;
        asker.settle().await;
        asker.ask("what came of it", &metadata_of(vec![topic_named(Some("g1"))]), [9]).await;
    });
}

#[test]
fn delete_topics() {
    transcript("delete_topics", async |asker: &mut Asker| {
        let names = ["da", "db", "dc", "dd"];
        asker.ask_silently(&create(names.iter().map(|name| topic(name, 1, 1, &[])).collect()), 7).await;
        let (a, b) = (asker.id_of("da").await, asker.id_of("db").await);
        asker.ask("one twice", &delete(&["dd", "dd"]), [1, 5]).await;
        asker.ask("one that does not exist", &delete(&["nope"]), [1, 5]).await;
        asker.ask("by name", &delete(&["dd"]), 1..=3).await;
        asker.ask("by id", &delete_named_or_by_id(&[(None, a)]), [6]).await;
        asker.settle().await;
        asker.ask("its id afterwards", &metadata_of(vec![topic_with_id(a)]), [12]).await;
        let unknown = Uuid::from_bytes([9; 16]);
        asker.ask("an id that does not exist", &delete_named_or_by_id(&[(None, unknown)]), [6]).await;
        asker.ask("neither", &delete_named_or_by_id(&[(None, Uuid::ZERO)]), [6]).await;
        asker.ask("both", &delete_named_or_by_id(&[(Some("db"), b)]), [6]).await;
        asker.ask("by name in version 6", &delete_named_or_by_id(&[(Some("db"), Uuid::ZERO)]), [6]).await;
    });
}
