//! File descriptors: a process begins with as many as shells think good (1024), and may take as many as the system lets it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::config::schema::MAX_CONNECTIONS;
use crate::config::settings::{Origin, Settings};

/// Descriptors beside those of connections: segments in use, write-ahead log, event queues.
const FOR_FILES: u64 = 2_048;

/// Raises the limit as far as it goes, and says when that is not far enough for the connections that were asked for.
pub(crate) fn raise_limit(settings: &Settings) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!("the limit of file descriptors cannot be raised: {error}");
    }
    let wanted = settings.integer(&MAX_CONNECTIONS).unsigned_abs() + FOR_FILES;
    // A limit that is not there is no limit. The default is not worth a warning: nobody asked for as many.
    let asked = settings.entry(&MAX_CONNECTIONS).origin != Origin::Default;
    if let Some(have) = getrlimit(Resource::Nofile).current.filter(|have| asked && *have < wanted) {
        warn!(
            have,
            wanted,
            "fewer file descriptors than max_connections asks for; raise the limit (ulimit -n, LimitNOFILE=) or lower \
             max_connections"
        );
    }
}
