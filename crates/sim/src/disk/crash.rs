//! What a disk looks like after its machine stopped.

use super::{Node, Platters, Stop, apply_names};

impl Platters {
    pub(super) fn stop(&mut self, stop: Stop) {
        if stop == Stop::PowerCut || !self.powered {
            self.lose_names();
            self.lose_content();
        }
        self.powered = true;
        self.faults = super::Faults { capacity: self.faults.capacity, ..super::Faults::default() };
        self.locked.clear();
    }

    /// Any of the changes of names may have reached the disk.
    fn lose_names(&mut self) {
        for change in std::mem::take(&mut self.pending_names) {
            if self.random.chance(50) {
                apply_names(&mut self.durable_names, &change);
            }
        }
        self.drop_orphans();
        self.names = self.durable_names.clone();
    }

    /// What lies in a directory that is gone, is gone.
    fn drop_orphans(&mut self) {
        let names = self.durable_names.clone();
        let reachable = |path: &std::path::Path| {
            path.ancestors().skip(1).all(|parent| names.get(parent) == Some(&Node::Directory))
        };
        self.durable_names.retain(|path, _| reachable(path));
    }

    fn lose_content(&mut self) {
        let mut random = self.random.fork();
        for file in &mut self.files {
            file.lose(&mut random);
        }
    }
}
