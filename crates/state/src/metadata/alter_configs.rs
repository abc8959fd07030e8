//! Configs are changed one by one (IncrementalAlterConfigs, KIP-339) or as a whole (AlterConfigs), refused in Kafka's
//! words.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::ids::BrokerId;
use crate::metadata::configs::{ConfigType, topic_config, validate_dynamic_broker_configs, validate_topic_configs};
use crate::metadata::elect::Edit;
use crate::metadata::record::{ConfigRecord, ConfigResource, ConfigResourceKind, Record};
use crate::metadata::{ConfigMap, Controller, Decision, MetadataError, min_in_sync_replicas, resolve};

const MIN_IN_SYNC: &str = "min.insync.replicas";

/// Change these configs, each resource for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncrementalAlterConfigs {
    /// In the order of the request.
    pub resources: Vec<ResourceChanges>,
    /// Say what would happen, and change nothing.
    pub validate_only: bool,
}

/// Changes to one resource: all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceChanges {
    /// Whose configs.
    pub resource: ConfigResource,
    /// In the order of the request.
    pub changes: Vec<ConfigChange>,
}

/// A change to one config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// Kafka's name of the config.
    pub name: String,
    /// What to do with it.
    pub operation: ConfigOperation,
    /// What with; only Delete needs none.
    pub value: Option<String>,
}

/// What to do with a config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigOperation {
    /// 0: give it this value.
    Set,
    /// 1: back to the default.
    Delete,
    /// 2: add these items to its list.
    Append,
    /// 3: take these items out of its list.
    Subtract,
}

/// Replace all configs of these resources, each for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterConfigs {
    /// In the order of the request.
    pub resources: Vec<ResourceConfigs>,
    /// Say what would happen, and change nothing.
    pub validate_only: bool,
}

/// All configs one resource is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceConfigs {
    /// Whose configs.
    pub resource: ConfigResource,
    /// In the order of the request.
    pub configs: Vec<(String, Option<String>)>,
}

impl ConfigOperation {
    /// The operation of that number in Kafka's requests.
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(ConfigOperation::Set),
            1 => Some(ConfigOperation::Delete),
            2 => Some(ConfigOperation::Append),
            3 => Some(ConfigOperation::Subtract),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            ConfigOperation::Set => "SET",
            ConfigOperation::Delete => "DELETE",
            ConfigOperation::Append => "APPEND",
            ConfigOperation::Subtract => "SUBTRACT",
        }
    }
}

impl Controller {
    /// Changes configs one by one. Answers stand in the order of the request.
    pub fn incremental_alter_configs(
        &self,
        command: &IncrementalAlterConfigs,
    ) -> Decision<Vec<Result<(), MetadataError>>> {
        let altered = command.resources.iter().map(|item| (&item.resource, self.changed_configs(item)));
        self.alter(altered.collect(), command.validate_only)
    }

    /// Replaces configs as a whole. Answers stand in the order of the request.
    pub fn alter_configs(&self, command: &AlterConfigs) -> Decision<Vec<Result<(), MetadataError>>> {
        let altered = command.resources.iter().map(|item| (&item.resource, replaced_configs(item)));
        self.alter(altered.collect(), command.validate_only)
    }

    fn alter(
        &self,
        altered: Vec<(&ConfigResource, Result<ConfigMap, MetadataError>)>,
        validate_only: bool,
    ) -> Decision<Vec<Result<(), MetadataError>>> {
        let repeated = duplicates(altered.iter().map(|(resource, _)| *resource));
        let mut records = Vec::new();
        let mut alter_one = |(resource, configs): (&ConfigResource, Result<ConfigMap, MetadataError>)| {
            if repeated.contains(resource) {
                return Err(MetadataError::InvalidRequest("Each resource must appear at most once.".into()));
            }
            let configs = configs?;
            self.validate_configs(resource, &configs)?;
            records.extend(differences(resource, self.current_configs(resource), &configs));
            Ok(())
        };
        let reply = altered.into_iter().map(&mut alter_one).collect();
        self.change_minimums(&mut records);
        let records = if validate_only { Vec::new() } else { records };
        Decision { records, reply }
    }

    /// The partitions' records say what `min.insync.replicas` is: in the same batch as the config, so that no leader
    /// commits by the old one what the controller judges by the new.
    fn change_minimums(&self, records: &mut Vec<Record>) {
        if !records.iter().any(|record| matches!(record, Record::Config(config) if config.name == MIN_IN_SYNC)) {
            return;
        }
        let mut image = self.image.clone();
        records.iter().for_each(|record| image.apply(record));
        for topic in image.topics() {
            let min = min_in_sync_replicas(&resolve(&self.settings, &image, &topic.configs));
            for (index, partition) in topic.partitions.iter() {
                let mut edit = Edit::of(partition);
                edit.set_min_in_sync_replicas(min);
                if let Some(changed) = edit.finish() {
                    records.push(Record::PartitionChange(changed.to_change(topic.id, *index)));
                }
            }
        }
    }

    fn changed_configs(&self, item: &ResourceChanges) -> Result<ConfigMap, MetadataError> {
        refuse_duplicate_keys(item.changes.iter().map(|change| change.name.as_str()))?;
        let needs_value = item.changes.iter().filter(|change| change.operation != ConfigOperation::Delete);
        refuse_null_values(needs_value.filter(|change| change.value.is_none()).map(|change| change.name.as_str()))?;
        let mut configs = self.current_configs(&item.resource).clone();
        for change in &item.changes {
            apply_change(&mut configs, &item.resource, change)?;
        }
        Ok(configs)
    }

    fn current_configs(&self, resource: &ConfigResource) -> &ConfigMap {
        static NONE: ConfigMap = ConfigMap::new();
        match resource.kind {
            ConfigResourceKind::Topic => self.image.topic(&resource.name).map_or(&NONE, |topic| &*topic.configs),
            ConfigResourceKind::Broker => self.image.broker_configs(&resource.name),
        }
    }

    /// Configs first, then existence, as Kafka does.
    fn validate_configs(&self, resource: &ConfigResource, configs: &ConfigMap) -> Result<(), MetadataError> {
        let name = &resource.name;
        match resource.kind {
            ConfigResourceKind::Topic => {
                validate_topic_configs(configs).map_err(MetadataError::InvalidConfig)?;
                match self.image.topic(name) {
                    Some(_) => Ok(()),
                    None => Err(MetadataError::UnknownTopicOrPartition(format!("The topic '{name}' does not exist."))),
                }
            }
            ConfigResourceKind::Broker => {
                self.check_broker_name(name)?;
                if !name.is_empty() && configs.get(MIN_IN_SYNC) != self.current_configs(resource).get(MIN_IN_SYNC) {
                    // Leaders and the controller have to go by the same (KIP-966).
                    let text = "Broker-level min.insync.replicas cannot be altered while ELR is enabled.";
                    return Err(MetadataError::InvalidConfig(text.into()));
                }
                validate_dynamic_broker_configs(configs)
            }
        }
    }

    fn check_broker_name(&self, name: &str) -> Result<(), MetadataError> {
        if name.is_empty() {
            return Ok(());
        }
        let id: BrokerId =
            name.parse().map_err(|_| MetadataError::InvalidRequest(format!("Invalid broker name {name}")))?;
        match self.image.broker(id) {
            Some(_) => Ok(()),
            None => Err(MetadataError::BrokerIdNotRegistered(format!("No broker with id {id} found."))),
        }
    }
}

fn replaced_configs(item: &ResourceConfigs) -> Result<ConfigMap, MetadataError> {
    refuse_duplicate_keys(item.configs.iter().map(|(name, _)| name.as_str()))?;
    refuse_null_values(item.configs.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()))?;
    Ok(item.configs.iter().cloned().filter_map(|(name, value)| Some((name, value?))).collect())
}

fn apply_change(
    configs: &mut ConfigMap,
    resource: &ConfigResource,
    change: &ConfigChange,
) -> Result<(), MetadataError> {
    let (name, value) = (&change.name, change.value.as_deref().unwrap_or_default());
    match change.operation {
        ConfigOperation::Set => configs.insert(name.clone(), value.to_string()),
        ConfigOperation::Delete => configs.remove(name),
        ConfigOperation::Append | ConfigOperation::Subtract => {
            let list = changed_list(configs.get(name).map(String::as_str), resource, change)?;
            configs.insert(name.clone(), list)
        }
    };
    Ok(())
}

/// The list with items added or taken out; where none is set, what counts is the default.
fn changed_list(
    current: Option<&str>,
    resource: &ConfigResource,
    change: &ConfigChange,
) -> Result<String, MetadataError> {
    let key = topic_config(&change.name)
        .filter(|key| resource.kind == ConfigResourceKind::Topic && key.config_type == ConfigType::List);
    let Some(key) = key else {
        let (operation, name) = (change.operation.name(), &change.name);
        let text = format!("Can't {operation} to key {name} because its type is not LIST.");
        return Err(MetadataError::InvalidConfig(text));
    };
    let mut items: Vec<&str> = items_of(current.or(key.default).unwrap_or_default()).collect();
    for item in items_of(change.value.as_deref().unwrap_or_default()) {
        match change.operation {
            ConfigOperation::Append if !items.contains(&item) => items.push(item),
            ConfigOperation::Subtract => items.retain(|known| *known != item),
            _ => {}
        }
    }
    Ok(items.join(","))
}

fn items_of(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// The records that lead from one set of configs to another; none for what stays the same.
fn differences(resource: &ConfigResource, before: &ConfigMap, after: &ConfigMap) -> Vec<Record> {
    let record = |name: &String, value: Option<&String>| {
        Record::Config(ConfigRecord { resource: resource.clone(), name: name.clone(), value: value.cloned() })
    };
    let set = after.iter().filter(|(name, value)| before.get(*name) != Some(*value));
    let removed = before.keys().filter(|name| !after.contains_key(*name));
    set.map(|(name, value)| record(name, Some(value))).chain(removed.map(|name| record(name, None))).collect()
}

fn refuse_duplicate_keys<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), MetadataError> {
    match duplicates(names).is_empty() {
        true => Ok(()),
        false => Err(MetadataError::InvalidRequest("Error due to duplicate config keys".into())),
    }
}

fn refuse_null_values<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), MetadataError> {
    let names: Vec<&str> = names.collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(MetadataError::InvalidRequest(format!("Null value not supported for : {}", names.join(", ")))),
    }
}

fn duplicates<K: Ord + Copy>(keys: impl Iterator<Item = K>) -> BTreeSet<K> {
    let mut seen = BTreeSet::new();
    keys.filter(|key| !seen.insert(*key)).collect()
}
