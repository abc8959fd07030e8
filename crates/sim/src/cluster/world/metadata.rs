//! What a node does with what is agreed: it takes roles once it knows of its own registration, and not before.

use chronik_council::Applied;
use chronik_log::LogConfig;
use chronik_state::ids::BrokerId;

use super::{World, running_mut};
use crate::cluster::checkers::note_leader;
use crate::cluster::places::{Place, log_id, place_of};
use crate::cluster::replica::Replica;
use crate::cluster::requests::{Asker, Reply};

impl World {
    /// A decision is committed, and applied here.
    pub(super) fn on_decision(&mut self, id: BrokerId, news: Applied) -> Result<(), String> {
        let running = running_mut(&mut self.nodes, id);
        if news.index <= running.applied {
            return Err(format!("what is applied is never undone: node {id} applies entry {} after {}", news.index, running.applied));
        }
        running.applied = news.index;
        let own = news.image.broker(id).filter(|broker| broker.incarnation_id == running.incarnation);
        if let Some(epoch) = own.map(|broker| broker.epoch) {
            running.broker_epoch.get_or_insert(epoch);
        }
        // Before it knows of its own registration what it knows may be old: it takes no role.
        if running.broker_epoch.is_some() {
            running.image = news.image;
            self.take_roles(id);
        }
        Ok(())
    }

    fn take_roles(&mut self, id: BrokerId) {
        let (life, image) = (self.nodes[&id].life, running_mut(&mut self.nodes, id).image.clone());
        for topic in image.topics() {
            for (index, partition) in topic.partitions.iter().filter(|(_, partition)| partition.replicas.contains(&id)) {
                let place = place_of(topic.id, *index);
                if !self.lives(id, life) || !self.open_replica(id, place) {
                    return;
                }
                let before = self.followed(id, place);
                self.with_replica(id, place, |replica, now_ms| Ok(replica.on_metadata(partition, &image, now_ms)));
                self.look_at_role(id, place, before);
            }
        }
        self.look_at_coordinator(id);
    }

    /// The log of a partition that is new here begins. False if the disk fails.
    fn open_replica(&mut self, id: BrokerId, place: Place) -> bool {
        let rules = self.rules;
        let running = running_mut(&mut self.nodes, id);
        if running.replicas.contains_key(&place) {
            return true;
        }
        let config = LogConfig { segment_bytes: 4_000, retention_ms: -1, ..LogConfig::default() };
        match running.storage.create(log_id(place), config) {
            Ok(log) => {
                let epoch = running.broker_epoch.expect("it is registered");
                running.replicas.insert(place, Replica::new(log, id, epoch, rules));
                true
            }
            Err(_) => {
                self.fail(id);
                false
            }
        }
    }

    fn followed(&self, id: BrokerId, place: Place) -> Option<BrokerId> {
        self.nodes[&id].running.as_ref()?.replicas.get(&place)?.follows()
    }

    /// Whoever leads is noted; whoever follows asks to be fed.
    fn look_at_role(&mut self, id: BrokerId, place: Place, before: Option<BrokerId>) {
        let life = self.nodes[&id].life;
        let Some(replica) = self.nodes[&id].running.as_ref().and_then(|running| running.replicas.get(&place)) else { return };
        let (leads_in, follows) = (replica.leads_in(), replica.follows());
        if let Some(epoch) = leads_in {
            note_leader(&mut self.history, place, epoch, (id, life));
        }
        if let Some(leader) = follows
            && (before != Some(leader) || self.is_apart(id, place))
            && self.link(id, leader).connected
        {
            self.with_replica(id, place, |replica, _| Ok(replica.on_reachable(leader)));
        }
    }

    fn is_apart(&self, id: BrokerId, place: Place) -> bool {
        self.nodes[&id].running.as_ref().is_some_and(|running| running.replicas.get(&place).is_some_and(Replica::is_apart))
    }

    pub(super) fn on_reply(&mut self, to: Asker, reply: Reply) {
        match (to, reply) {
            (Asker::Node(id, life), Reply::Altered { place, upon, outcome }) if self.lives(id, life) => {
                let running = running_mut(&mut self.nodes, id);
                if outcome.is_some() && running.proposed.get(&place).is_some_and(|(known, _)| *known == upon) {
                    running.proposed.remove(&place);
                    self.with_replica(id, place, |replica, now_ms| Ok(replica.on_outcome(upon, outcome, now_ms)));
                }
            }
            (_, Reply::Created { topic }) => self.topic_is_created(topic),
            _ => {}
        }
    }
}
