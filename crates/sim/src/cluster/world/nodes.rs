//! Nodes start, stop, read the metadata, and carry out what their replicas decide.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chronik_log::disk::Disk;
use chronik_log::{Commit, LogConfig, Storage, StorageOptions};
use chronik_state::ids::{BrokerId, LogId, PartitionIndex};
use chronik_state::metadata::Image;
use chronik_state::partition::leader::Proposal;

use super::{Event, PARTITIONS, PROPOSAL_PATIENCE_MS, Running, TICK_MS, TOPIC, World, running_mut};
use crate::cluster::checkers::{note_leader, note_watermark};
use crate::cluster::metadata::{Command, Reply};
use crate::cluster::replica::{DiskFailed, Effects, Replica};
use crate::disk::Stop;

impl World {
    pub(super) fn start(&mut self, id: BrokerId) -> Result<(), String> {
        let seed = self.random.number();
        let now_ms = self.now_ms;
        let node = self.nodes.get_mut(&id).expect("there is such a node");
        let disk: Arc<dyn Disk> = Arc::new(node.disk.clone());
        let mut options = StorageOptions::new(PathBuf::from("/data"));
        (options.wal_file_bytes, options.wal_reserve_bytes) = (4096 * 32, 0);
        (options.checkpoint_distance_bytes, options.materialise_bytes) = (40_000, 8_000);
        (options.chunk_bytes, options.chunks_kept, options.disk_reserve_bytes) = (16 << 10, 4, 20_000);
        options.seed = seed;
        let (storage, _) = Storage::open(disk, options, now_ms).map_err(|error| format!("node {id} does not start: {error}"))?;
        node.running = Some(Running {
            storage,
            broker_epoch: None,
            image: Image::default(),
            applied: 0,
            replicas: BTreeMap::new(),
            proposed: BTreeMap::new(),
            commit_is_due: false,
        });
        let life = node.life;
        let phase = self.soon(TICK_MS as u64);
        self.after(phase, Event::Tick { node: id, life });
        let peers: Vec<(BrokerId, BrokerId)> = self.links.keys().copied().filter(|pair| pair.0 == id || pair.1 == id).collect();
        for (one, other) in peers {
            let delay = self.soon(30);
            self.after(delay, Event::Connect { one, other });
        }
        Ok(())
    }

    pub(super) fn crash(&mut self, id: BrokerId, stop: Stop) {
        self.statistics.crashes += 1;
        let peers: Vec<BrokerId> = self.nodes.keys().copied().filter(|peer| *peer != id).collect();
        for peer in peers {
            self.break_link(id, peer);
        }
        let node = self.nodes.get_mut(&id).expect("there is such a node");
        node.running = None;
        node.life += 1;
        node.paused_until_ms = 0;
        node.disk = node.disk.restart(stop);
        let (life, delay) = (node.life, self.soon(4_000));
        self.after(delay, Event::Start { node: id, life });
    }

    pub(super) fn tick(&mut self, id: BrokerId) {
        let now_ms = self.now_ms;
        let node = self.nodes.get_mut(&id).expect("it lives");
        let (life, directory) = (node.life, node.directory);
        let Some(running) = &mut node.running else { return };
        let lost: Vec<(PartitionIndex, i32)> = running
            .proposed
            .iter()
            .filter(|(_, (_, since))| now_ms - since > PROPOSAL_PATIENCE_MS)
            .map(|(partition, (upon, _))| (*partition, *upon))
            .collect();
        let command = match running.broker_epoch {
            None => Command::Register { incarnation: life, directory },
            Some(epoch) => Command::Heartbeat { epoch, applied: running.applied },
        };
        for (partition, upon) in lost {
            running_mut(&mut self.nodes, id).proposed.remove(&partition);
            self.with_replica(id, partition, |replica, now_ms| Ok(replica.on_outcome(upon, None, now_ms)));
        }
        (0..PARTITIONS).for_each(|partition| {
            self.with_replica(id, partition, |replica, now_ms| Ok(replica.on_tick(now_ms)));
        });
        self.ask(id, command);
        let delay = self.soon(40);
        self.after(delay, Event::Learn { node: id, life });
        self.after(TICK_MS, Event::Tick { node: id, life });
        if self.random.chance(30) {
            let running = running_mut(&mut self.nodes, id);
            let _ = running.storage.sync_written();
            let _ = running.storage.upkeep(now_ms, false);
        }
    }

    pub(super) fn ask(&mut self, id: BrokerId, command: Command) {
        if !self.is_unlucky() {
            let (life, delay) = (self.nodes[&id].life, self.soon(20));
            self.after(delay, Event::Ask { node: id, life, command });
        }
    }

    pub(super) fn on_reply(&mut self, id: BrokerId, reply: Reply) {
        match reply {
            Reply::Registered { epoch } => {
                let running = running_mut(&mut self.nodes, id);
                running.broker_epoch.get_or_insert(epoch);
            }
            Reply::Altered { partition, upon, outcome } => {
                let running = running_mut(&mut self.nodes, id);
                if outcome.is_some() && running.proposed.get(&partition).is_some_and(|(known, _)| *known == upon) {
                    running.proposed.remove(&partition);
                    self.with_replica(id, partition, |replica, now_ms| Ok(replica.on_outcome(upon, outcome, now_ms)));
                }
            }
        }
    }

    /// A node reads the next few decisions, and takes the roles they give it.
    pub(super) fn learn(&mut self, id: BrokerId) {
        let count = 1 + self.random.below(3) as usize;
        let rules = self.rules;
        let running = running_mut(&mut self.nodes, id);
        let news = self.metadata.from(running.applied);
        for records in news.iter().take(count) {
            records.iter().for_each(|record| running.image.apply(record));
            running.applied += 1;
        }
        // Before it knows of its own registration it takes no role.
        let Some(broker_epoch) = running.broker_epoch.filter(|epoch| running.applied as i64 > *epoch) else {
            return self.learn_more(id);
        };
        let image = running.image.clone();
        let Some(topic) = image.topic_by_id(TOPIC) else { return self.learn_more(id) };
        for (index, partition) in topic.partitions.iter().filter(|(_, partition)| partition.replicas.contains(&id)) {
            let running = running_mut(&mut self.nodes, id);
            if !running.replicas.contains_key(index) {
                let config = LogConfig { segment_bytes: 4_000, retention_ms: -1, ..LogConfig::default() };
                let Ok(log) = running.storage.create(LogId { topic: TOPIC, partition: *index }, config) else { return };
                running.replicas.insert(*index, Replica::new(log, id, broker_epoch, rules));
            }
            let before = running.replicas[index].follows();
            self.with_replica(id, *index, |replica, now_ms| Ok(replica.on_metadata(partition, &image, now_ms)));
            let Some(running) = &self.nodes[&id].running else { return };
            let replica = &running.replicas[index];
            if let Some(epoch) = replica.leads_in() {
                note_leader(&mut self.history, *index, epoch, (id, self.nodes[&id].life));
            }
            if let Some(leader) = replica.follows()
                && (before != Some(leader) || partition.leader == leader)
                && self.link(id, leader).connected
            {
                self.with_replica(id, *index, |replica, _| Ok(replica.on_reachable(leader)));
            }
        }
        self.learn_more(id);
    }

    pub(super) fn learn_more(&mut self, id: BrokerId) {
        let Some(running) = &self.nodes[&id].running else { return };
        if !self.metadata.from(running.applied).is_empty() {
            let (life, delay) = (self.nodes[&id].life, self.soon(40));
            self.after(delay, Event::Learn { node: id, life });
        }
    }

    pub(super) fn commit(&mut self, id: BrokerId) {
        let running = running_mut(&mut self.nodes, id);
        running.commit_is_due = false;
        let durable = match running.storage.commit() {
            Ok(Commit::Done { durable_lsn }) => durable_lsn,
            Ok(_) => running.storage.durable_lsn(),
            Err(_) => return self.crash(id, Stop::Kill),
        };
        (0..PARTITIONS).for_each(|partition| {
            self.with_replica(id, partition, |replica, now_ms| Ok(replica.on_durable(durable, now_ms)));
        });
    }

    /// Lets a replica do something, and carries out what came of it.
    pub(super) fn with_replica(
        &mut self,
        id: BrokerId,
        partition: PartitionIndex,
        act: impl FnOnce(&mut Replica, i64) -> Result<Effects, DiskFailed>,
    ) {
        let (now_ms, node) = (self.now_ms, self.nodes.get_mut(&id).expect("there is such a node"));
        let life = node.life;
        let Some(running) = &mut node.running else { return };
        let Some(replica) = running.replicas.get_mut(&partition) else { return };
        let Ok(effects) = act(replica, now_ms) else { return self.crash(id, Stop::Kill) };
        note_watermark(&mut self.history, (id, life, partition), replica.high_watermark());
        let commit = !std::mem::replace(&mut running.commit_is_due, true);
        let epoch = running.broker_epoch.unwrap_or(-1);
        if let Some(proposal) = effects.propose {
            running.proposed.insert(partition, (proposal.partition_epoch, now_ms));
            self.propose(id, epoch, partition, proposal);
        }
        if commit {
            let delay = self.soon(8);
            self.after(delay, Event::Commit { node: id, life });
        }
        for (to, message) in effects.messages {
            self.send(id, to, partition, message);
        }
        for (ticket, answer) in effects.answered {
            if !self.is_unlucky() {
                let (producer, attempt) = ((ticket >> 32) as usize, ticket as u32);
                let delay = self.soon(10);
                self.after(delay, Event::Answered { producer, attempt, answer });
            }
        }
    }

    pub(super) fn propose(&mut self, id: BrokerId, epoch: i64, partition: PartitionIndex, proposal: Proposal) {
        self.ask(id, Command::Alter { epoch, partition, proposal });
    }
}
