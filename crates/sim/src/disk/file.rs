//! One file: what a reader sees, what would survive, and what lies between.

use crate::random::Random;

/// What a disk writes at once or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// A change that is not durable yet.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { position: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    pub(super) fn describe(&self) -> String {
        match self {
            Change::Write { position, bytes } => format!("{position}..{}", position + bytes.len()),
            Change::Length(length) => length.to_string(),
        }
    }

    /// The length the file has at least, or has, afterwards.
    pub(super) fn end(&self) -> usize {
        match self {
            Change::Write { position, bytes } => position + bytes.len(),
            Change::Length(length) => *length,
        }
    }

    fn apply_to(&self, content: &mut Vec<u8>) {
        match self {
            Change::Length(length) => content.resize(*length, 0),
            Change::Write { position, bytes } => {
                let end = position + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*position..end].copy_from_slice(bytes);
            }
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct FileImage {
    current: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

impl FileImage {
    pub(super) fn current(&self) -> &[u8] {
        &self.current
    }

    pub(super) fn length(&self) -> usize {
        self.current.len()
    }

    pub(super) fn apply(&mut self, change: Change) {
        change.apply_to(&mut self.current);
        self.pending.push(change);
    }

    /// Everything is durable.
    pub(super) fn settle(&mut self) {
        for change in self.pending.drain(..) {
            change.apply_to(&mut self.durable);
        }
    }

    /// The bytes of a range are durable, and the length as far as they need it; other changes are not.
    pub(super) fn settle_range(&mut self, start: usize, end: usize) {
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[start..end].copy_from_slice(&self.current[start..end]);
        let within = |change: &Change| matches!(change, Change::Write { position, bytes } if *position >= start && position + bytes.len() <= end);
        self.pending.retain(|change| !within(change));
    }

    pub(super) fn rot(&mut self, byte: usize, bit: u8) {
        for content in [&mut self.current, &mut self.durable] {
            if let Some(byte) = content.get_mut(byte) {
                *byte ^= 1 << bit;
            }
        }
    }

    /// The power was cut: any part of what was pending is there.
    pub(super) fn lose(&mut self, random: &mut Random) {
        let mood = random.below(4);
        for change in std::mem::take(&mut self.pending) {
            match &change {
                Change::Length(_) if random.chance(50) => change.apply_to(&mut self.durable),
                Change::Length(_) => {}
                Change::Write { position, bytes } => keep_sectors(&mut self.durable, *position, bytes, mood, random),
            }
        }
        self.current = self.durable.clone();
    }
}

/// Keeps some of the sectors of a write: none, all, a beginning, or any; one that was just being written may be wrong.
fn keep_sectors(content: &mut Vec<u8>, position: usize, bytes: &[u8], mood: u64, random: &mut Random) {
    let grows = random.chance(50);
    let kept_until = random.below(bytes.len() as u64 + 1) as usize;
    let mut at = 0;
    while at < bytes.len() {
        let sector_end = ((position + at) / SECTOR_BYTES + 1) * SECTOR_BYTES - position;
        let end = sector_end.min(bytes.len());
        let kept = match mood {
            0 => false,
            1 => true,
            2 => end <= kept_until,
            _ => random.chance(50),
        };
        let fits = position + end <= content.len() || grows;
        if kept && fits {
            let change = Change::Write { position: position + at, bytes: bytes[at..end].to_vec() };
            change.apply_to(content);
            if random.chance(3) {
                let byte = position + at + random.below((end - at) as u64) as usize;
                content[byte] ^= 1 << random.below(8);
            }
        }
        at = end;
    }
}
