//! One node that answers: a connection, and the versions that are spoken on both sides.

use std::collections::BTreeMap;
use std::time::Duration;

use chronik_client::messages::RequestResponsePair;
use chronik_client::{ApiKey, ClientError, Connection, Versions};

/// How long a connection, and the first answer, may take: it comes from the node itself.
const GREET_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer may take. Longer than nodes look for somebody who leads the metadata (`rpc_timeout_ms`).
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

pub(super) struct Speaker {
    connection: Connection,
    versions: BTreeMap<ApiKey, Versions>,
}

/// Why a node was not heard.
#[derive(Clone, Debug)]
pub(super) enum Silence {
    /// Nobody listens there.
    NotReached(String),
    /// Somebody listens, and does not answer.
    NoAnswer,
}

impl Speaker {
    /// Connects to `host:port`, and asks which versions are spoken there.
    pub(super) async fn greet(address: &str) -> Result<Speaker, Silence> {
        let connected = Connection::connect(address, GREET_WITHIN).await;
        let mut connection = connected.map_err(|error| Silence::NotReached(reason(&error)))?;
        let versions = connection.api_versions().await.map_err(|_| Silence::NoAnswer)?;
        connection.set_timeout(ANSWER_WITHIN);
        Ok(Speaker { connection, versions })
    }

    /// Asks in the highest version up to `highest` that is spoken there.
    pub(super) async fn ask<R: RequestResponsePair>(
        &mut self,
        api: ApiKey,
        highest: i16,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let theirs = self.versions.get(&api).map_or(0, |versions| versions.max);
        self.connection.send(request, theirs.min(highest)).await
    }
}

/// Without the system's number.
fn reason(error: &ClientError) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Silence::NotReached(why) => write!(f, "not reached: {why}"),
            Silence::NoAnswer => {
                write!(f, "accepts connections and does not answer: it waits for other nodes, or hangs")
            }
        }
    }
}
