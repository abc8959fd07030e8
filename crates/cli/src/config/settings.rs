//! The settings of a node after all layers were laid over each other, each with the place it came from.

use std::collections::BTreeMap;
use std::fmt;

use super::peers::Peer;
use super::schema::{self, KEYS, Key};
use super::value::{Address, Value};

/// A value that some layer gives to a key.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    pub(crate) key: &'static Key,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Default,
    File { file: String, line: usize },
    Variable(String),
    Flag(String),
}

/// The value of every key, and who is in the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    entries: BTreeMap<String, Entry>,
    /// The nodes of the cluster, this one among them; none for a single node.
    pub(crate) peers: Option<Vec<Peer>>,
}

/// A key's value and where it comes from. No value: see `unset` in the schema.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Option<Value>,
    pub(crate) origin: Origin,
}

impl Settings {
    /// Nothing but defaults.
    pub(crate) fn defaults() -> Settings {
        let entry = |key: &&'static Key| {
            let parse = |text| key.kind.parse(text, false).expect("the schema's defaults are values of their kind");
            (key.path(), Entry { value: key.default.map(parse), origin: Origin::Default })
        };
        Settings { entries: KEYS.iter().map(entry).collect(), peers: None }
    }

    /// Lays `assignment` over what the layers below said. An address that leaves out a part keeps that of below.
    pub(crate) fn lay(&mut self, assignment: Assignment) {
        let entry = self.entries.get_mut(&assignment.key.path()).expect("every key has an entry");
        let value = match (assignment.value, &entry.value) {
            (Value::Address(above), Some(Value::Address(below))) => Value::Address(above.over(below)),
            (value, _) => value,
        };
        *entry = Entry { value: Some(value), origin: assignment.origin };
    }

    /// Lays `assignment` under what was said: it holds where nothing was, and completes an address of which a part was.
    pub(crate) fn lay_under(&mut self, assignment: Assignment) {
        let entry = self.entries.get_mut(&assignment.key.path()).expect("every key has an entry");
        match (&entry.value, assignment.value) {
            (Some(Value::Address(said)), Value::Address(under)) if entry.origin != Origin::Default => {
                entry.value = Some(Value::Address(said.clone().over(&under)));
            }
            (_, value) if entry.origin == Origin::Default => {
                *entry = Entry { value: Some(value), origin: assignment.origin };
            }
            _ => {}
        }
    }

    pub(crate) fn entry(&self, key: &Key) -> &Entry {
        &self.entries[&key.path()]
    }

    pub(crate) fn replace_value(&mut self, key: &Key, value: Value) {
        self.entries.get_mut(&key.path()).expect("every key has an entry").value = Some(value);
    }

    /// What the list of peers says of this node.
    pub(crate) fn own_peer(&self) -> Option<&Peer> {
        let node_id = self.integer(&schema::NODE_ID);
        let own = |peer: &&Peer| peer.id.as_ref().is_some_and(|id| i64::from(id.value) == node_id);
        self.peers.iter().flatten().find(own)
    }

    pub(crate) fn text(&self, key: &Key) -> &str {
        match &self.entry(key).value {
            Some(Value::Text(text)) => text,
            other => unreachable!("{} holds text, not {other:?}", key.path()),
        }
    }

    pub(crate) fn integer(&self, key: &Key) -> i64 {
        match self.entry(key).value {
            Some(Value::Integer(number)) => number,
            ref other => unreachable!("{} holds a number, not {other:?}", key.path()),
        }
    }

    pub(crate) fn bytes(&self, key: &Key) -> u64 {
        match self.entry(key).value {
            Some(Value::Bytes(bytes)) => bytes,
            ref other => unreachable!("{} holds a size, not {other:?}", key.path()),
        }
    }

    pub(crate) fn duration_ms(&self, key: &Key) -> u64 {
        match self.entry(key).value {
            Some(Value::Duration { ms }) => ms,
            ref other => unreachable!("{} holds a time, not {other:?}", key.path()),
        }
    }

    pub(crate) fn address(&self, key: &Key) -> Option<&Address> {
        match &self.entry(key).value {
            Some(Value::Address(address)) => Some(address),
            None => None,
            other => unreachable!("{} holds an address, not {other:?}", key.path()),
        }
    }
}

impl Origin {
    /// The flag or variable; the file's line; `default`.
    pub(crate) fn name(&self) -> String {
        match self {
            Origin::Flag(name) | Origin::Variable(name) => name.clone(),
            Origin::File { .. } | Origin::Default => self.to_string(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { file, line } => write!(f, "file {file}:{line}"),
            Origin::Variable(name) => write!(f, "env {name}"),
            Origin::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}
