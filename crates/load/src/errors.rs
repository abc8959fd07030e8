//! What may go wrong, in terms of what the user can do about it.

use std::io;
use std::time::Duration;

use chronik_client::ClientError;
use chronik_wire::ApiKey;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nobody answers there.
    #[error("cannot connect to {address}: {source}")]
    Connect { address: String, source: ClientError },
    /// The connection ended in the middle.
    #[error("the connection to {address} broke: {source}")]
    Broken { address: String, source: io::Error },
    /// The broker was asked something while the load was prepared or cleaned up, and there was no sound answer.
    #[error("{api}: {source}")]
    Asked { api: ApiKey, source: ClientError },
    /// The broker said no.
    #[error("{api} was refused: {reason}")]
    Refused { api: ApiKey, reason: String, code: i16 },
    /// The broker has no version of this API that is spoken here.
    #[error("{address} does not speak {api} in any of the versions {versions}")]
    Unsupported { address: String, api: ApiKey, versions: String },
    #[error("there is no topic `{0}`")]
    NoTopic(String),
    #[error("topic `{0}` holds no record")]
    EmptyTopic(String),
    /// A request was not answered.
    #[error("{address} has not answered for {waited:?}")]
    Silent { address: String, waited: Duration },
    /// An answer that cannot be read.
    #[error("{address} sent an answer that makes no sense: {what}")]
    Nonsense { address: String, what: &'static str },
    /// Acknowledged records that no consumer got.
    #[error("{missing} of {expected} records were acknowledged and not delivered")]
    NotDelivered { missing: u64, expected: u64 },
    /// The load itself is impossible.
    #[error("{0}")]
    Load(String),
    /// The machine refused something to this process.
    #[error(transparent)]
    Machine(io::Error),
}
