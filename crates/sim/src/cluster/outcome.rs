//! What a seed is to do, and what it showed.

use std::fmt;

/// What a run is to do, beside what its seed decides.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Nothing goes wrong.
    pub peaceful: bool,
}

/// What a seed showed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What happened in it.
    pub statistics: Statistics,
    /// The promise that was broken, if one was.
    pub broken: Option<String>,
}

/// What happened in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Events.
    pub events: u64,
    /// Records acknowledged with acks=all.
    pub acked: u64,
    /// Records read by consumers.
    pub shown: u64,
    /// Offsets that a group committed and heard of.
    pub commits: u64,
    /// Nodes that were stopped by force.
    pub crashes: u64,
    /// Disks that rotted, and were found out.
    pub rotten: u64,
    /// Connections that broke.
    pub breaks: u64,
    /// Leaderships of partitions.
    pub elections: u64,
    /// Terms of the metadata's Raft group that had a leader.
    pub terms: u64,
    /// How long healing took, in virtual time.
    pub healing_ms: i64,
}

impl Statistics {
    /// Adds another run's.
    pub fn add(&mut self, other: &Statistics) {
        self.events += other.events;
        self.acked += other.acked;
        self.shown += other.shown;
        self.commits += other.commits;
        self.crashes += other.crashes;
        self.rotten += other.rotten;
        self.breaks += other.breaks;
        self.elections += other.elections;
        self.terms += other.terms;
        self.healing_ms = self.healing_ms.max(other.healing_ms);
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Statistics { events, acked, shown, commits, crashes, rotten, breaks, elections, terms, healing_ms } = self;
        write!(
            formatter,
            "{events} events, {acked} records acknowledged, {shown} shown, {commits} offsets committed, {crashes} crashes, {rotten} rotten disks found, {breaks} broken connections, \
             {elections} leaderships, {terms} metadata leaders, healed after {healing_ms} ms at most"
        )
    }
}
