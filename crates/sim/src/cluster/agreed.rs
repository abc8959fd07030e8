//! What the Raft group has decided, as the first node said that applied it. All others have to say the same, for ever.

use std::collections::BTreeMap;

use chronik_council::{Applied, Change, decision};
use chronik_state::ids::BrokerId;
use chronik_state::metadata::Image;

/// See the module.
pub(super) struct Agreed {
    /// By entry; the first is what the group began with.
    decisions: BTreeMap<u64, Decided>,
}

struct Decided {
    term: u64,
    records: Vec<u8>,
    /// All that was decided up to here.
    image: Image,
}

impl Agreed {
    /// What a group begins with: entry 1.
    pub(super) fn new(founding: Image) -> Self {
        Agreed { decisions: BTreeMap::from([(1, Decided { term: 1, records: Vec::new(), image: founding })]) }
    }

    /// What is agreed now, whoever knows of it.
    pub(super) fn image(&self) -> &Image {
        &self.decisions.last_key_value().expect("the first is always there").1.image
    }

    /// The last decision.
    pub(super) fn index(&self) -> u64 {
        *self.decisions.last_key_value().expect("the first is always there").0
    }

    /// A node says that this was decided.
    ///
    /// # Errors
    /// Another has said something else.
    pub(super) fn on_applied(&mut self, node: BrokerId, applied: &Applied) -> Result<(), String> {
        let Applied { index, term, image, change } = applied;
        let Change::Records(records) = change else { return self.check(node, *index, image) };
        let records = decision::encode(records);
        if let Some(first) = self.decisions.get(index) {
            if (first.term, &first.records) != (*term, &records) {
                return Err(format!("node {node} applies another entry {index} of term {term} than that of term {}", first.term));
            }
            return Ok(());
        }
        if *index < self.index() {
            return Err(format!("node {node} applies an entry {index} that nobody has applied, before {}", self.index()));
        }
        let decided = Decided { term: *term, records, image: image.clone() };
        self.decisions.insert(*index, decided);
        Ok(())
    }

    /// A node knows this image, which holds everything up to `index`.
    ///
    /// # Errors
    /// It is not what was decided.
    pub(super) fn check(&self, node: BrokerId, index: u64, image: &Image) -> Result<(), String> {
        if index == 0 && *image == Image::default() {
            // A new disk, which nobody has told anything yet.
            return Ok(());
        }
        let (at, decided) = self.decisions.range(..=index).next_back().ok_or("before everything")?;
        match &decided.image == image {
            true => Ok(()),
            false => Err(format!("node {node} knows something else at entry {index} than what was decided at {at}")),
        }
    }
}
