//! Nodes start, stop, look at the time, and carry out what their replicas decide.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chronik_log::disk::Disk;
use chronik_log::{Commit, Storage, StorageOptions};
use chronik_state::ids::BrokerId;
use chronik_state::metadata::Image;

use super::{Event, PROPOSAL_PATIENCE_MS, Running, TICK_MS, World, running_mut};
use crate::cluster::checkers::{check_stored, note_watermark};
use crate::cluster::coordinator::offsets_place;
use crate::cluster::places::Place;
use crate::cluster::replica::{DiskFailed, Effects, Replica};
use crate::cluster::requests::{Asker, Request};
use crate::cluster::seat::{DATA, RAFT_TICK_MS, Seat, directory_id, raft_id};
use crate::disk::Stop;

/// Between attempts to start on a disk that is full.
const TRY_AGAIN_MS: i64 = 300;

impl World {
    pub(super) fn start(&mut self, id: BrokerId) -> Result<(), String> {
        let options = self.storage_options();
        let now_ms = self.clock_ms(id);
        let seed = self.seed;
        let node = self.nodes.get_mut(&id).expect("there is such a node");
        let disk: Arc<dyn Disk> = Arc::new(node.disk.clone());
        let opened = Storage::open(disk, options, now_ms).map_err(|error| error.to_string());
        let seat_id = raft_id(id, node.directory);
        let opened = opened.and_then(|(storage, _)| Ok((Seat::open(&storage, seat_id, seed, now_ms)?, storage)));
        let life = node.life;
        let (seat, storage) = match opened {
            Ok(opened) => opened,
            Err(_) if node.disk.faults().capacity.is_some() || !node.disk.is_powered() => {
                node.disk = node.disk.restart(Stop::Kill);
                self.after(TRY_AGAIN_MS, Event::Start { node: id, life });
                return Ok(());
            }
            Err(error) if node.rots => {
                self.note(|| format!("node {id} does not start: {error}"));
                self.fail(id);
                return Ok(());
            }
            Err(error) => return Err(format!("a node that stopped starts: node {id}: {error}")),
        };
        let applied = seat.council.applied_index();
        self.agreed.check(id, applied, seat.council.applied()).map_err(|what| format!("the metadata is alike everywhere: {what}"))?;
        check_stored(&self.history, seat_id, seat.last_entry())?;
        let mut incarnation = directory_id(id, node.directory);
        incarnation[8..12].copy_from_slice(&life.to_be_bytes());
        node.running = Some(Running {
            storage,
            seat,
            incarnation,
            broker_epoch: None,
            image: Image::default(),
            applied,
            replicas: BTreeMap::new(),
            coordinator: None,
            proposed: BTreeMap::new(),
            commit_is_due: false,
        });
        let phase = self.soon(TICK_MS as u64);
        self.after(phase, Event::Tick { node: id, life });
        let phase = self.soon(RAFT_TICK_MS as u64);
        self.after(phase, Event::RaftTick { node: id, life });
        let peers: Vec<(BrokerId, BrokerId)> = self.links.keys().copied().filter(|pair| pair.0 == id || pair.1 == id).collect();
        for (one, other) in peers {
            let delay = self.soon(30);
            self.after(delay, Event::Connect { one, other });
        }
        Ok(())
    }

    /// Everything is small, so that a few seconds of records have files that end, and checkpoints.
    fn storage_options(&mut self) -> StorageOptions {
        let mut options = StorageOptions::new(PathBuf::from(DATA));
        (options.wal_file_bytes, options.wal_reserve_bytes) = (4096 * 32, 16 << 10);
        (options.checkpoint_distance_bytes, options.materialise_bytes) = (40_000, 8_000);
        (options.chunk_bytes, options.chunks_kept, options.disk_reserve_bytes) = (16 << 10, 4, 20_000);
        options.seed = self.random.number();
        options
    }

    pub(super) fn crash(&mut self, id: BrokerId, stop: Stop) {
        self.statistics.crashes += 1;
        let peers: Vec<BrokerId> = self.ids().into_iter().filter(|peer| *peer != id).collect();
        // Before connections are seen to break: a process that is gone does nothing about it.
        let node = self.nodes.get_mut(&id).expect("there is such a node");
        node.running = None;
        node.life += 1;
        node.paused_until_ms = 0;
        node.disk = node.disk.restart(stop);
        let life = node.life;
        for peer in peers {
            self.break_link(id, peer);
        }
        // Some are back before anybody has noticed.
        let at_once = self.random.chance(30);
        let delay = if at_once { self.soon(60) } else { self.soon(4_000) };
        self.after(delay, Event::Start { node: id, life });
    }

    /// The disk did not do what it should: the process stops, and says why. Where a bit has turned over the disk is replaced.
    pub(super) fn fail(&mut self, id: BrokerId) {
        if !self.nodes[&id].rots {
            return self.crash(id, Stop::Kill);
        }
        self.statistics.rotten += 1;
        self.lose_disk(id);
    }

    pub(super) fn tick(&mut self, id: BrokerId) {
        let now_ms = self.now_ms;
        let life = self.nodes[&id].life;
        self.after(TICK_MS, Event::Tick { node: id, life });
        let running = running_mut(&mut self.nodes, id);
        let lost: Vec<(Place, i32)> = running
            .proposed
            .iter()
            .filter(|(_, (_, since))| now_ms - since > PROPOSAL_PATIENCE_MS)
            .map(|(place, (upon, _))| (*place, *upon))
            .collect();
        for (place, upon) in lost {
            running_mut(&mut self.nodes, id).proposed.remove(&place);
            self.with_replica(id, place, |replica, now_ms| Ok(replica.on_outcome(upon, None, now_ms)));
            if !self.lives(id, life) {
                return;
            }
        }
        for place in self.places(id) {
            self.with_replica(id, place, |replica, now_ms| Ok(replica.on_tick(now_ms)));
        }
        if self.lives(id, life) {
            self.say_that_it_lives(id);
            self.keep_house(id);
        }
    }

    fn say_that_it_lives(&mut self, id: BrokerId) {
        let node = &self.nodes[&id];
        let Some(running) = &node.running else { return };
        let request = match running.broker_epoch {
            None => Request::Register { incarnation: running.incarnation, directory: directory_id(id, node.directory) },
            Some(epoch) => Request::Heartbeat { epoch, applied: running.seat.council.applied_index() },
        };
        let asker = Asker::Node(id, node.life);
        self.ask(asker, id, request);
    }

    /// What is done beside the work: what waited is synced, logs go into segments, checkpoints and snapshots are taken.
    fn keep_house(&mut self, id: BrokerId) {
        let now_ms = self.clock_ms(id);
        let (tidies, takes_snapshot, keep) = (self.random.chance(30), self.random.chance(6), self.random.below(8));
        let running = running_mut(&mut self.nodes, id);
        if tidies {
            let _ = running.storage.sync_written();
            let _ = running.storage.upkeep(now_ms, false);
        }
        if takes_snapshot {
            // The log is still whole where it could not be taken.
            let _ = running.seat.council.snapshot(keep);
        }
    }

    pub(super) fn places(&self, id: BrokerId) -> Vec<Place> {
        self.nodes[&id].running.iter().flat_map(|running| running.replicas.keys().copied()).collect()
    }

    pub(super) fn commit(&mut self, id: BrokerId) {
        let running = running_mut(&mut self.nodes, id);
        running.commit_is_due = false;
        let durable = match running.storage.commit() {
            Ok(Commit::Done { durable_lsn }) => durable_lsn,
            Ok(_) => running.storage.durable_lsn(),
            Err(_) => return self.fail(id),
        };
        for place in self.places(id) {
            self.with_replica(id, place, |replica, now_ms| Ok(replica.on_durable(durable, now_ms)));
        }
    }

    /// Lets a replica do something, and carries out what came of it.
    pub(super) fn with_replica(
        &mut self,
        id: BrokerId,
        place: Place,
        act: impl FnOnce(&mut Replica, i64) -> Result<Effects, DiskFailed>,
    ) {
        let (now_ms, clock_ms) = (self.now_ms, self.clock_ms(id));
        let node = self.nodes.get_mut(&id).expect("there is such a node");
        let life = node.life;
        let Some(running) = &mut node.running else { return };
        let Some(replica) = running.replicas.get_mut(&place) else { return };
        let Ok(effects) = act(replica, clock_ms) else { return self.fail(id) };
        note_watermark(&mut self.history, (id, life, place), replica.high_watermark());
        let commit = !std::mem::replace(&mut running.commit_is_due, true);
        let epoch = running.broker_epoch.unwrap_or(-1);
        if let Some(proposal) = effects.propose {
            running.proposed.insert(place, (proposal.partition_epoch, now_ms));
            self.ask(Asker::Node(id, life), id, Request::Alter { epoch, place, proposal });
        }
        if commit {
            let delay = self.soon(8);
            self.after(delay, Event::Commit { node: id, life });
        }
        for (to, message) in effects.messages {
            self.send(id, to, place, message);
        }
        for (ticket, answer) in effects.answered {
            if !self.is_unlucky() {
                let (producer, attempt) = ((ticket >> 32) as usize, ticket as u32);
                let delay = self.soon(10);
                self.after(delay, Event::Answered { producer, attempt, answer });
            }
        }
        if place == offsets_place() {
            self.tell_committed(id);
        }
    }
}
