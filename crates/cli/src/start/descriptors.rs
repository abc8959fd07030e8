//! File descriptors: a process begins with as many as shells think good (1024), and may take as many as the system lets it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Descriptors beside those of connections: segments in use, write-ahead log, event queues.
const FOR_FILES: u64 = 2_048;

/// Raises the limit as far as it goes, and says when that is not far enough for `connections_max`.
pub(crate) fn raise_limit(connections_max: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!("the limit of file descriptors cannot be raised: {error}");
    }
    let wanted = connections_max as u64 + FOR_FILES;
    // No limit is none.
    let Some(have) = getrlimit(Resource::Nofile).current.filter(|have| *have < wanted) else { return };
    warn!(
        have,
        wanted,
        "there are fewer file descriptors than max_connections asks for; raise the limit (ulimit -n, LimitNOFILE=) or lower \
         max_connections"
    );
}
