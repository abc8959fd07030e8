//! Who is heard of: kept by the metadata leader, in memory only. A new leader grants everybody a whole session (KIP-631).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chronik_state::ids::BrokerId;
use chronik_state::metadata::Image;

/// See the module.
#[derive(Default)]
pub(super) struct Sessions {
    /// The term in which these are the leader's; anew in each.
    term: u64,
    by_broker: BTreeMap<BrokerId, Session>,
    /// When each was heard last, also those of which nothing more is heard.
    heard: BTreeMap<BrokerId, Instant>,
}

#[derive(Clone, Copy)]
struct Session {
    broker_epoch: i64,
    heard: Instant,
    applied_index: u64,
}

impl Sessions {
    /// This node leads in `term`: nobody is held to what an earlier leader heard.
    pub(super) fn begin(&mut self, term: u64) {
        if self.term != term {
            *self = Sessions { term, ..Sessions::default() };
        }
    }

    /// A broker was heard.
    pub(super) fn heard(&mut self, broker: BrokerId, broker_epoch: i64, applied_index: u64, now: Instant) {
        let known = self.by_broker.get(&broker).filter(|known| known.broker_epoch == broker_epoch);
        let applied_index = known.map_or(0, |known| known.applied_index).max(applied_index);
        self.by_broker.insert(broker, Session { broker_epoch, heard: now, applied_index });
        self.heard.insert(broker, now);
    }

    /// Brokers that are let in and have not been heard for `timeout`. Those never heard begin their session now.
    pub(super) fn silent(&mut self, image: &Image, timeout: Duration, now: Instant) -> Vec<(BrokerId, i64)> {
        let mut silent = Vec::new();
        for broker in image.brokers().filter(|broker| !broker.fenced) {
            let fresh = Session { broker_epoch: broker.epoch, heard: now, applied_index: 0 };
            let session = self.by_broker.entry(broker.id).or_insert(fresh);
            if session.broker_epoch != broker.epoch {
                *session = fresh;
            }
            if now.duration_since(session.heard) >= timeout {
                silent.push((broker.id, broker.epoch));
            }
        }
        silent
    }

    /// Is this very incarnation being heard?
    pub(super) fn is_alive(&self, broker: BrokerId, broker_epoch: i64, timeout: Duration, now: Instant) -> bool {
        self.by_broker
            .get(&broker)
            .is_some_and(|session| session.broker_epoch == broker_epoch && now.duration_since(session.heard) < timeout)
    }

    /// When a broker was heard last.
    pub(super) fn heard_at(&self, broker: BrokerId) -> Option<Instant> {
        self.heard.get(&broker).copied()
    }

    /// Everybody gets a whole session anew.
    pub(super) fn forgive(&mut self) {
        self.by_broker.clear();
    }

    /// Nothing more is heard of it.
    pub(super) fn lost(&mut self, broker: BrokerId) {
        self.by_broker.remove(&broker);
    }

    /// Have all brokers that are let in applied `index`?
    pub(super) fn all_applied(&self, image: &Image, own: BrokerId, index: u64) -> bool {
        let mut others = image.brokers().filter(|broker| !broker.fenced && broker.id != own);
        others.all(|broker| self.by_broker.get(&broker.id).is_some_and(|session| session.applied_index >= index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronik_state::metadata::record::{BrokerRecord, Record};

    fn image(fenced: bool) -> Image {
        let mut image = Image::default();
        let (incarnation_id, directory_id) = ([1; 16], [2; 16]);
        let broker = BrokerRecord {
            id: 7,
            incarnation_id,
            epoch: 5,
            directory_id,
            endpoints: Vec::new(),
            rack: None,
            fenced,
            shutting_down: false,
        };
        image.apply(&Record::Broker(broker));
        image
    }

    #[test]
    fn a_broker_has_a_whole_session_from_when_the_leader_began() {
        let (mut sessions, begun) = (Sessions::default(), Instant::now());
        let timeout = Duration::from_secs(3);
        sessions.begin(1);
        assert_eq!(sessions.silent(&image(false), timeout, begun), []);
        assert_eq!(sessions.silent(&image(false), timeout, begun + timeout), [(7, 5)]);
        sessions.heard(7, 5, 10, begun + timeout);
        assert_eq!(sessions.silent(&image(false), timeout, begun + timeout), []);
        assert_eq!(sessions.silent(&image(false), timeout, begun + 2 * timeout), [(7, 5)]);
        assert_eq!(sessions.silent(&image(true), timeout, begun + 2 * timeout), [], "it is fenced already");
        sessions.begin(2);
        assert_eq!(sessions.silent(&image(false), timeout, begun + 2 * timeout), [], "another leader");
    }

    #[test]
    fn it_is_known_when_one_was_heard_that_is_given_up() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        sessions.begin(1);
        sessions.heard(7, 5, 0, now);
        sessions.lost(7);
        assert!(!sessions.is_alive(7, 5, Duration::from_secs(3), now));
        assert_eq!(sessions.heard_at(7), Some(now));
        sessions.begin(2);
        assert_eq!(sessions.heard_at(7), None, "another leader did not hear it");
    }

    #[test]
    fn what_an_earlier_incarnation_applied_does_not_count() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        sessions.heard(7, 4, 100, now);
        assert!(sessions.all_applied(&image(false), 1, 100));
        sessions.heard(7, 5, 50, now);
        assert!(!sessions.all_applied(&image(false), 1, 100));
        assert!(sessions.all_applied(&image(true), 1, 100), "nobody waits for one that is fenced");
    }
}
