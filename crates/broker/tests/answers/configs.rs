//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ListConfigResources.

use chronik_wire::message;
use chronik_wire::messages::ListConfigResourcesRequest;

use crate::ask::{Asker, transcript};
use crate::requests::*;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

const KEYS: Option<&[&str]> = Some(&["cleanup.policy", "nonsense", "retention.bytes", "segment.bytes"]);

#[test]
fn configs() {
    transcript("configs", async |asker: &mut Asker| {
        asker.ask_silently(&create(vec![topic("ca", 1, 1, &[("retention.bytes", Some("9000"))])]), 7).await;
        asker.ask("of a topic", &describe_configs(TOPIC, "ca", KEYS), 1..=4).await;
        let mut with_synonyms = describe_configs(TOPIC, "ca", KEYS);
        with_synonyms.include_synonyms = true;
        asker.ask("with synonyms", &with_synonyms, [1, 4]).await;
        asker.ask("of a topic that does not exist", &describe_configs(TOPIC, "nope", None), [1, 4]).await;
        asker.ask("of one that cannot", &describe_configs(TOPIC, "bad name", None), [1, 4]).await;
        asker.ask("of the broker", &describe_configs(BROKER, "1", Some(&["num.partitions", "nonsense"])), [1, 4]).await;
        let told = Some(&["broker.id", "node.id", "process.roles"][..]);
        asker.ask("what the broker was told at its start", &describe_configs(BROKER, "1", told), [4]).await;
        asker.ask("of another broker", &describe_configs(BROKER, "9", None), [4]).await;
        asker.ask("of a broker without a number", &describe_configs(BROKER, "x", None), [4]).await;
        let mut nothing = describe_configs(77, "x", None);
        asker.ask("of a kind that is none", &nothing, [4]).await;
        nothing.resources.extend(describe_configs(TOPIC, "ca", KEYS).resources);
        asker.ask("of a kind that is none, and of a topic", &nothing, [1, 4]).await;
    });
}

#[test]
fn changed_configs() {
    transcript("changed_configs", async |asker: &mut Asker| {
        asker.ask_silently(&create(vec![topic("ch", 1, 1, &[("retention.bytes", Some("9000"))])]), 7).await;
        let mut now = describe_configs(TOPIC, "ch", Some(&["cleanup.policy", "retention.bytes", "segment.bytes"]));
        now.include_synonyms = true;
        let replaced = alter_configs(TOPIC, "ch", &[("segment.bytes", Some("2000000"))]);
        asker.ask("all replaced", &replaced, 0..=2).await;
        asker.settle().await;
        asker.ask("what holds then", &now, [4]).await;
        let changes = [("retention.bytes", SET, Some("7")), ("cleanup.policy", APPEND, Some("compact"))];
        asker.ask("set and appended", &change_configs(TOPIC, "ch", &changes), 0..=1).await;
        asker.settle().await;
        asker.ask("what holds then", &now, [4]).await;
        let changes = [("retention.bytes", DELETE, None), ("cleanup.policy", SUBTRACT, Some("compact"))];
        asker.ask("deleted and subtracted", &change_configs(TOPIC, "ch", &changes), [1]).await;
        asker.settle().await;
        asker.ask("what holds then", &now, [4]).await;
        let mut validated = change_configs(TOPIC, "ch", &[("retention.bytes", SET, Some("8"))]);
        validated.validate_only = true;
        asker.ask("only validated", &validated, [1]).await;
        asker.settle().await;
        asker.ask("what holds then", &now, [4]).await;
    });
}

/// What is wrong, kind and name of a resource, configs to set.
type Refused<'a> = (&'a str, i8, &'a str, &'a [(&'a str, Option<&'a str>)]);

#[test]
fn refused_configs() {
    transcript("refused_configs", async |asker: &mut Asker| {
        asker.ask_silently(&create(vec![topic("cr", 1, 1, &[])]), 7).await;
        let refused: &[Refused<'_>] = &[
            ("a name that does not exist", TOPIC, "cr", &[("nonsense", Some("1"))]),
            ("a value that cannot be", TOPIC, "cr", &[("retention.ms", Some("soon"))]),
            ("a value out of range", TOPIC, "cr", &[("segment.bytes", Some("3"))]),
            ("no value", TOPIC, "cr", &[("retention.ms", None)]),
            ("a name twice", TOPIC, "cr", &[("retention.ms", Some("1")), ("retention.ms", Some("2"))]),
            ("a topic that does not exist", TOPIC, "nope", &[("retention.ms", Some("1"))]),
            ("one that cannot", TOPIC, "bad name", &[("retention.ms", Some("1"))]),
            ("all topics", TOPIC, "", &[("retention.ms", Some("1"))]),
            ("another broker", BROKER, "9", &[("log.retention.ms", Some("1"))]),
            ("a broker without a number", BROKER, "x", &[("log.retention.ms", Some("1"))]),
            ("a broker's that is read at its start", BROKER, "1", &[("num.partitions", Some("3"))]),
            ("a kind that is none", 3, "x", &[("retention.ms", Some("1"))]),
        ];
        for (what, kind, name, configs) in refused {
            let changes: Vec<_> = configs.iter().map(|(name, value)| (*name, SET, *value)).collect();
            asker.ask(what, &change_configs(*kind, name, &changes), [1]).await;
            asker.ask("  the same, replacing all", &alter_configs(*kind, name, configs), [2]).await;
        }
        let append = change_configs(TOPIC, "cr", &[("retention.ms", APPEND, Some("1"))]);
        asker.ask("appending to what is no list", &append, [1]).await;
        let mut twice = change_configs(TOPIC, "cr", &[("retention.ms", SET, Some("1"))]);
        twice.resources.push(twice.resources[0].clone());
        asker.ask("a resource twice", &twice, [1]).await;
    });
}

#[test]
fn config_resources() {
    transcript("config_resources", async |asker: &mut Asker| {
        asker.ask_silently(&create(vec![topic("cl", 1, 1, &[])]), 7).await;
        asker.ask("in version 0, client metrics", &message!(ListConfigResourcesRequest {}), [0]).await;
        asker.ask("brokers", &message!(ListConfigResourcesRequest { resource_types: vec![BROKER] }), [1]).await;
        asker.ask("topics", &message!(ListConfigResourcesRequest { resource_types: vec![TOPIC] }), [1]).await;
        asker.ask("a kind that is none", &message!(ListConfigResourcesRequest { resource_types: vec![99] }), [1]).await;
    });
}
