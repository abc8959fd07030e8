//! Topics that a run has made, and takes away when it ends: also when it fails, and when it is interrupted.

use std::sync::{Arc, Mutex, PoisonError};

use chronik_load::{Cluster, LoadError};

/// Broker and name of every topic that is to be deleted.
#[derive(Clone, Default)]
pub(super) struct OwnTopics(Arc<Mutex<Vec<(String, String)>>>);

impl OwnTopics {
    /// None yet. From now on Ctrl-C deletes them and ends the process with code 130.
    pub(super) fn guarded() -> Result<OwnTopics, LoadError> {
        let topics = OwnTopics::default();
        let guard = topics.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(LoadError::Machine)?;
        std::thread::spawn(move || {
            if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
                guard.delete();
                std::process::exit(130);
            }
        });
        Ok(topics)
    }

    pub(super) fn add(&self, bootstrap: &str, topic: &str) {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        topics.push((bootstrap.to_owned(), topic.to_owned()));
    }

    /// Deletes what is left; one that cannot be deleted is told on standard error, since somebody has to know.
    pub(super) fn delete(&self) {
        let topics = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (bootstrap, topic) in topics {
            let deleted = Cluster::connect(&bootstrap).and_then(|mut cluster| cluster.delete_topic(&topic));
            if let Err(error) = deleted {
                eprintln!("topic `{topic}` is left behind on {bootstrap}: {error}");
            }
        }
    }
}
