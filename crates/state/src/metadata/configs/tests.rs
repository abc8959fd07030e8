use super::*;

fn configs(pairs: &[(&str, &str)]) -> ConfigMap {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[test]
fn tables_ascend_and_hold_together() {
    assert!(TOPIC_CONFIGS.is_sorted_by(|left, right| left.name < right.name));
    assert!(BROKER_CONFIGS.is_sorted_by(|left, right| left.name < right.name));
    for key in TOPIC_CONFIGS {
        if let Some(default) = key.default.filter(|default| !default.is_empty()) {
            assert_eq!(key.rule.check(key.name, key.config_type, default), Ok(()));
        }
        assert!(!key.documentation.is_empty(), "{} is not documented", key.name);
        for known in key.broker_names {
            assert!(broker_config(known.name).is_some(), "{} is no broker config", known.name);
        }
    }
    for key in BROKER_CONFIGS {
        if let Some(default) = key.default {
            assert_eq!(key.rule.check(key.name, key.config_type, default), Ok(()));
        }
        assert!(!key.documentation().is_empty(), "{} is not documented", key.name);
    }
}

#[test]
fn a_default_is_the_same_for_topic_and_broker() {
    let none = ConfigMap::new();
    for key in TOPIC_CONFIGS.iter().filter(|key| !key.internal) {
        assert_eq!(effective_value(key.name, &none), key.default.unwrap(), "{}", key.name);
    }
}

fn effective_value(name: &str, node: &ConfigMap) -> String {
    settings::effective(name, &ConfigMap::new(), BrokerLayers::of_node(node))
}

#[test]
fn the_stronger_name_wins_whatever_its_unit() {
    assert_eq!(effective_value("retention.ms", &configs(&[("log.retention.hours", "1")])), "3600000");
    let both = configs(&[("log.retention.hours", "1"), ("log.retention.minutes", "2")]);
    assert_eq!(effective_value("retention.ms", &both), "120000");
    assert_eq!(effective_value("retention.ms", &configs(&[("log.retention.hours", "-1")])), "-1");
}

#[test]
fn the_nearer_layer_wins() {
    let (node, cluster) = (configs(&[("log.retention.ms", "1")]), configs(&[("log.retention.ms", "2")]));
    let (broker, topic) = (configs(&[("log.retention.ms", "3")]), configs(&[("retention.ms", "4")]));
    let none = ConfigMap::new();
    let resolve = |topic: &ConfigMap, layers| TopicSettings::resolve(topic, layers).retention_ms;
    assert_eq!(resolve(&none, BrokerLayers { broker: &none, cluster: &none, node: &node }), Some(1));
    assert_eq!(resolve(&none, BrokerLayers { broker: &none, cluster: &cluster, node: &node }), Some(2));
    assert_eq!(resolve(&none, BrokerLayers { broker: &broker, cluster: &cluster, node: &node }), Some(3));
    assert_eq!(resolve(&topic, BrokerLayers { broker: &broker, cluster: &cluster, node: &node }), Some(4));
}

#[test]
fn settings_of_a_topic_nobody_configured() {
    let settings = TopicSettings::resolve(&ConfigMap::new(), BrokerLayers::of_node(&ConfigMap::new()));
    let expected = TopicSettings {
        delete: true,
        compact: false,
        retention_ms: Some(604_800_000),
        retention_bytes: None,
        segment_bytes: 1 << 30,
        segment_ms: 604_800_000,
        max_message_bytes: 1_048_588,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: 3_600_000,
        compression: CompressionType::Producer,
        min_in_sync_replicas: 1,
        sync: SyncPolicy::Commit,
    };
    assert_eq!(settings, expected);
}

#[test]
fn every_effective_config_reaches_the_settings() {
    let base = TopicSettings::resolve(&ConfigMap::new(), BrokerLayers::of_node(&ConfigMap::new()));
    for key in TOPIC_CONFIGS.iter().filter(|key| key.effective) {
        let other = match key.rule {
            Rule::OneOf(words) | Rule::ListOf(words) => {
                words.iter().copied().find(|word| Some(*word) != key.default).unwrap()
            }
            _ => "2097152",
        };
        let topic = configs(&[(key.name, other)]);
        assert_eq!(validate_topic_configs(&topic), Ok(()));
        let settings = TopicSettings::resolve(&topic, BrokerLayers::of_node(&ConfigMap::new()));
        assert_ne!(settings, base, "{} is called effective but changes nothing", key.name);
    }
}

#[test]
fn refusals_are_kafkas_words() {
    let refusal = |name: &str, value: &str| validate_topic_configs(&configs(&[(name, value)])).unwrap_err();
    assert_eq!(refusal("retention.m", "1"), "Unknown topic config name: retention.m (did you mean retention.ms?)");
    assert_eq!(refusal("unheard.of", "1"), "Unknown topic config name: unheard.of");
    let invalid = |name: &str, value: &str, why: &str| {
        assert_eq!(refusal(name, value), format!("Invalid value {value} for configuration {name}: {why}"));
    };
    invalid("retention.ms", "week", "Not a number of type LONG");
    invalid("retention.ms", "-2", "Value must be at least -1");
    invalid("segment.bytes", "4294967296", "Not a number of type INT");
    invalid("segment.bytes", "1", "Value must be at least 1048576");
    invalid("compression.lz4.level", "18", "Value must be no more than 17");
    invalid("compression.gzip.level", "0", "Value must be between 1 and 9 or equal to -1");
    invalid("preallocate", "yes", "Expected value to be either true or false");
    invalid("cleanup.policy", "keep", "String must be one of: compact, delete");
    invalid("min.cleanable.dirty.ratio", "1.1", "Value must be no more than 1");
    invalid("min.cleanable.dirty.ratio", "NaN", "Value must be at least 0");
    assert!(refusal("remote.storage.enable", "true").starts_with("Tiered Storage functionality is disabled"));
    let padded = format!("{}5", " ".repeat(40_000));
    assert!(refusal("retention.ms", &padded).ends_with("exceeds the maximum value size of 32767 bytes."));
    let lags = configs(&[("min.compaction.lag.ms", "2"), ("max.compaction.lag.ms", "1")]);
    assert!(validate_topic_configs(&lags).unwrap_err().starts_with("conflict topic config setting"));
}

#[test]
fn a_description_names_every_voice() {
    let node = configs(&[("log.retention.hours", "24"), ("log.segment.bytes", "2000000")]);
    let described = describe_topic(&configs(&[("retention.ms", "5")]), BrokerLayers::of_node(&node));
    let entry = |name| described.iter().find(|entry| entry.name == name).unwrap();
    let voices = |name| -> Vec<(&str, String, i8)> {
        entry(name).synonyms.iter().map(|voice| (voice.name, voice.value.clone(), voice.source.code())).collect()
    };
    let retention = voices("retention.ms");
    assert_eq!(entry("retention.ms").value.as_deref(), Some("5"));
    assert_eq!(retention[0], ("retention.ms", "5".into(), 1));
    assert_eq!(retention[1], ("log.retention.hours", "24".into(), 4));
    assert_eq!(retention[2], ("log.retention.hours", "168".into(), 5));
    assert_eq!(entry("segment.bytes").source, ConfigSource::StaticBroker);
    assert_eq!(entry("segment.ms").value.as_deref(), Some("604800000"));
    assert_eq!(voices("preallocate"), [("log.preallocate", "false".into(), 5)]);
    assert_eq!(voices("remote.storage.enable"), []);
    assert_eq!(entry("remote.storage.enable").value.as_deref(), Some("false"));
    assert!(!described.iter().any(|entry| entry.name == "internal.segment.bytes"));
}

#[test]
fn a_node_is_started_with_what_there_is() {
    assert_eq!(validate_node_configs(&configs(&[("num.partitions", "3"), ("log.retention.hours", "1")])), []);
    let wrong = configs(&[("num.partition", "3"), ("log.segment.bytes", "1")]);
    let objections = validate_node_configs(&wrong);
    assert_eq!(objections.len(), 2);
    assert!(objections[1].1.ends_with("(did you mean num.partitions?)"));
}

/// What the validation of Apache Kafka 4.4.0 (`LogConfig.validate`) says to many values of each config.
#[test]
fn values_are_judged_as_kafka_judges_them() {
    let judged = include_str!("../../../testdata/configs/kafka-4.4.tsv");
    let mut names = Vec::new();
    for line in judged.lines() {
        let [name, value, answer] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let ours = topic_config(name).map(|key| key.rule.check(name, key.config_type, value));
        let said = ours.expect(name).map_or_else(|refusal| refusal, |()| "ok".into());
        // The one value Kafka takes and we do not.
        let expected = match (name, value) {
            ("min.cleanable.dirty.ratio", "NaN") => {
                "Invalid value NaN for configuration min.cleanable.dirty.ratio: Value must be at least 0"
            }
            _ => answer,
        };
        assert_eq!(said, expected, "{name} {value:?}");
        names.push(name);
    }
    names.dedup();
    let ours =
        TOPIC_CONFIGS.iter().filter(|key| !key.internal && !key.name.starts_with("chronik.")).map(|key| key.name);
    assert!(ours.eq(names), "Kafka has other topic configs");
}
