//! Asking, and writing down what is answered.

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use chronik_client::{ClientError, Connection};
use chronik_wire::messages::{MetadataRequest, RequestResponsePair};
use chronik_wire::{Uuid, message};

use crate::node::{self, Node};
use crate::requests::topic_named;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Apache Kafka answers before all of it knows.
const KAFKA_SETTLES: Duration = Duration::from_millis(1500);

/// Runs a conversation and compares it with its transcript.
pub(crate) fn transcript(name: &str, conversation: impl AsyncFnOnce(&mut Asker)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let spoken = runtime.block_on(async {
        let mut asker = Asker::begin().await;
        conversation(&mut asker).await;
        asker.text
    });
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/answers").join(name).with_extension("txt");
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        return std::fs::write(&path, spoken).expect("the transcript can be written");
    }
    let written = std::fs::read_to_string(&path).expect("the transcript can be read");
    if let Some(difference) = first_difference(&written, &spoken) {
        panic!("{} {difference}", path.display());
    }
}

/// One who asks, and remembers everything that is said.
pub(crate) struct Asker {
    connection: Connection,
    address: String,
    /// A node of our own, unless another is asked.
    node: Option<Node>,
    /// Topic ids that have come up, with names under which they are written down.
    ids: Vec<(Uuid, String)>,
    text: String,
}

impl Asker {
    async fn begin() -> Self {
        let node = std::env::var_os("ANSWERS_FROM").is_none().then(node::start);
        let address = match &node {
            Some(node) => node.address.to_string(),
            None => std::env::var("ANSWERS_FROM").expect("an address"),
        };
        let connection = Connection::connect(&address, TIMEOUT).await.expect("the node listens");
        Self { connection, address, node, ids: Vec::new(), text: String::new() }
    }

    /// Asks in each of these versions, and writes down each answer that differs from the one before.
    pub(crate) async fn ask<R>(&mut self, what: &str, request: &R, versions: impl IntoIterator<Item = i16>)
    where
        R: RequestResponsePair,
        R::Response: Debug,
    {
        self.text.push_str(&format!("{what}\n"));
        let mut answers: Vec<(i16, i16, String)> = Vec::new();
        for version in versions {
            let answer = match self.connection.send(request, version).await {
                Ok(response) => self.written(&format!("{response:?}")),
                Err(ClientError::Io(_)) => {
                    self.connection = Connection::connect(&self.address, TIMEOUT).await.expect("the node listens");
                    "closes the connection".to_owned()
                }
                Err(error) => format!("no answer: {error}"),
            };
            match answers.last_mut() {
                Some((_, last, said)) if *said == answer => *last = version,
                _ => answers.push((version, version, answer)),
            }
        }
        for (first, last, answer) in answers {
            let versions = if first == last { format!("v{first}") } else { format!("v{first}-{last}") };
            self.text.push_str(&format!("  {versions}: {answer}\n"));
        }
    }

    /// Asks without writing anything down.
    pub(crate) async fn ask_silently<R: RequestResponsePair>(&mut self, request: &R, version: i16) -> R::Response {
        let response = self.connection.send(request, version).await.expect("an answer");
        self.settle().await;
        response
    }

    /// The id of a topic, which from now on is written down by the topic's name.
    pub(crate) async fn id_of(&mut self, topic: &str) -> Uuid {
        let request = message!(MetadataRequest {
            topics: Some(vec![topic_named(Some(topic))]),
            allow_auto_topic_creation: false,
        });
        let id = self.ask_silently(&request, 12).await.topics[0].topic_id;
        self.ids.push((id, format!("Uuid({topic})")));
        id
    }

    /// Lets Apache Kafka come to rest. A node of ours has done what it answered.
    pub(crate) async fn settle(&self) {
        if self.node.is_none() {
            tokio::time::sleep(KAFKA_SETTLES).await;
        }
    }

    /// An answer without what is the same in all of them and what is never the same.
    fn written(&self, answer: &str) -> String {
        let mut text = answer.to_owned();
        for (id, name) in &self.ids {
            text = text.replace(&format!("{id:?}"), name);
        }
        text = text.replace(&format!("{:?}", Uuid::ZERO), "Uuid(0)");
        for said in [
            ", unknown_tagged_fields: TaggedFields { fields: [] }",
            "throttle_time_ms: 0, ",
            "topic_authorized_operations: -2147483648",
            "cluster_authorized_operations: -2147483648, ",
            "is_sensitive: false, ",
        ] {
            text = text.replace(said, "");
        }
        text = without_new_ids(&text.replace("StrBytes(b", "("));
        let port = self.address.rsplit(':').next().expect("a port");
        text = text.replace(&format!("port: {port}"), "port: PORT");
        for field in ["total_bytes: ", "usable_bytes: ", "cluster_id: Some((\"", "cluster_id: (\"", "log_dir: (\""] {
            text = without_value(&text, field);
        }
        without_record_bytes(&text).replace("}, ", "},\n      ")
    }
}

/// Ids that were made for this answer are not written down.
fn without_new_ids(text: &str) -> String {
    let mut parts = text.split("Uuid([");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("Uuid(new");
        out.push_str(&part[part.find(']').expect("an id ends") + 1..]);
    }
    out
}

/// Records are written down as how many bytes they are.
fn without_record_bytes(text: &str) -> String {
    const RECORDS: &str = "records: Some(b\"";
    let mut parts = text.split(RECORDS);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut bytes = 0;
        let mut characters = part.char_indices();
        let end = loop {
            let (at, character) = characters.next().expect("records end");
            match character {
                '"' => break at,
                // `\x41` is one byte, `\n` and the like too.
                '\\' => match characters.next() {
                    Some((_, 'x')) => characters.nth(1),
                    other => other,
                },
                _ => None,
            };
            bytes += 1;
        };
        out.push_str(&format!("records: Some({bytes} bytes{}", &part[end + 1..]));
    }
    out
}

/// Text or number behind `field`, unless it is empty or −1, becomes dots.
fn without_value(text: &str, field: &str) -> String {
    let mut parts = text.split(field);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(field);
        let end = part.find(['"', ',', ' ']).unwrap_or(part.len());
        match &part[..end] {
            "" | "-1" => out.push_str(part),
            _ => out.push_str(&format!("...{}", &part[end..])),
        }
    }
    out
}

fn first_difference(written: &str, spoken: &str) -> Option<String> {
    let (mut left, mut right) = (written.lines(), spoken.lines());
    let (mut number, mut about) = (0, "");
    loop {
        number += 1;
        match (left.next(), right.next()) {
            (None, None) => return None,
            (expected, said) if expected == said => about = said.filter(|line| !line.starts_with(' ')).unwrap_or(about),
            (expected, said) => {
                let (expected, said) = (expected.unwrap_or("(the end)"), said.unwrap_or("(the end)"));
                return Some(format!("line {number}, {about}\n  written: {expected}\n  said:    {said}"));
            }
        }
    }
}
