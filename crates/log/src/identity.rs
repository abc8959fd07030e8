//! `node.properties`: whose data directory this is.
//!
//! Written once, when the directory is formatted, and checked at every start: a directory that belongs to
//! another node or another cluster stops the start before a byte of it is touched.
//!
//! It is written after the log it stands for: where it is, there must be a log. A node whose log is gone (a file system that is not
//! mounted, a directory that was removed) would otherwise come back as the replica that it was, with nothing in it, and would still
//! count as one that has every acknowledged record.

use std::io;
use std::path::{Path, PathBuf};

use chronik_state::ids::BrokerId;
use thiserror::Error;

use crate::disk::{Disk, OpenMode};

/// The file's name within the data directory.
const FILE_NAME: &str = "node.properties";
/// The version of the file's format, and of the directory's layout as a whole.
const VERSION: &str = "1";
/// More than any such file can have.
const BYTES_MAX: u64 = 64 * 1024;

/// Who a data directory belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster: 22 characters, as Kafka writes ids.
    pub cluster_id: String,
    /// The node.
    pub node_id: BrokerId,
    /// This formatting of this directory (KIP-858).
    pub directory_id: String,
}

/// Why the identity could not be had.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The directory belongs to another node.
    #[error(
        "{path} belongs to node {found}, but this node is configured as node {configured}\n\n\
         A data directory holds the log of exactly one node; another node must not write into it.\n\n\
         Fix: set node_id = {found}, or give this node a data directory of its own"
    )]
    OtherNode { path: PathBuf, found: BrokerId, configured: BrokerId },
    /// The file is not one that this version can read.
    #[error(
        "{path} cannot be understood: {reason}\n\n\
         It says whose data this is, so nothing here was touched.\n\n\
         Fix: restore the file from a backup, or start with another data directory"
    )]
    Unreadable { path: PathBuf, reason: String },
    /// The file is not there, and what it speaks of is.
    #[error(
        "{path} is missing, and the directory holds a log\n\n\
         It says whose data this is, so nothing here was touched.\n\n\
         Fix: restore the file from a backup, or start with another data directory"
    )]
    Missing { path: PathBuf },
    /// The disk said no.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl Identity {
    /// Reads the identity of `directory`; nothing if it was never formatted.
    ///
    /// # Errors
    /// [`IdentityError`]; nothing was changed then.
    pub fn read(disk: &dyn Disk, directory: &Path, node_id: BrokerId) -> Result<Option<Identity>, IdentityError> {
        let path = directory.join(FILE_NAME);
        let failed = |source| IdentityError::Io { path: path.clone(), source };
        let names = match disk.list(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            names => names.map_err(failed)?,
        };
        if !names.iter().any(|name| name == FILE_NAME) {
            return Ok(None);
        }
        let text = read(disk, &path).map_err(failed)?;
        let found = Identity::parse(&text)
            .map_err(|reason| IdentityError::Unreadable { path: path.clone(), reason })?;
        if found.node_id != node_id {
            return Err(IdentityError::OtherNode { path, found: found.node_id, configured: node_id });
        }
        Ok(Some(found))
    }

    /// Formats `directory` as that of `self`. The log that is to be in it is there, and holds nothing: `is_empty`.
    ///
    /// # Errors
    /// [`IdentityError::Missing`] if there is something in it, [`IdentityError::Io`] if the disk said no.
    pub fn format(&self, disk: &dyn Disk, directory: &Path, is_empty: bool) -> Result<(), IdentityError> {
        let path = directory.join(FILE_NAME);
        if !is_empty {
            return Err(IdentityError::Missing { path });
        }
        self.write(disk, directory, &path).map_err(|source| IdentityError::Io { path, source })
    }

    /// The directory belongs to this cluster from now on: known once a cluster of several nodes has been founded.
    ///
    /// # Errors
    /// [`IdentityError::Io`]; the file is the old one or the new one then.
    pub fn join(&self, disk: &dyn Disk, directory: &Path, cluster_id: &str) -> Result<(), IdentityError> {
        let path = directory.join(FILE_NAME);
        let joined = Identity { cluster_id: cluster_id.to_owned(), ..self.clone() };
        joined.write(disk, directory, &path).map_err(|source| IdentityError::Io { path, source })
    }

    fn write(&self, disk: &dyn Disk, directory: &Path, path: &Path) -> io::Result<()> {
        let Identity { cluster_id, node_id, directory_id } = self;
        let text = format!(
            "version={VERSION}\ncluster.id={cluster_id}\nnode.id={node_id}\ndirectory.id={directory_id}\n"
        );
        let temporary = path.with_extension("tmp");
        let file = disk.open(&temporary, OpenMode::Write)?;
        file.set_length(0)?;
        file.write_at(&[io::IoSlice::new(text.as_bytes())], 0)?;
        file.sync()?;
        disk.rename(&temporary, path)?;
        disk.sync_directory(directory)
    }

    fn parse(text: &str) -> Result<Identity, String> {
        let value = |name: &str| {
            let mut values = text.lines().filter_map(|line| line.split_once('=')).filter(|(key, _)| key.trim() == name);
            values.next().map(|(_, value)| value.trim().to_owned()).ok_or(format!("it has no {name}"))
        };
        match value("version")?.as_str() {
            VERSION => {}
            other => return Err(format!("its version is {other}, this program reads version {VERSION}")),
        }
        let node_id = value("node.id")?.parse().map_err(|_| "node.id is not a number".to_owned())?;
        Ok(Identity { cluster_id: value("cluster.id")?, node_id, directory_id: value("directory.id")? })
    }
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<String> {
    let file = disk.open(path, OpenMode::Read)?;
    let mut bytes = vec![0; file.length()?.min(BYTES_MAX) as usize];
    let count = file.read_at(&mut bytes, 0)?;
    bytes.truncate(count);
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    fn identity(node_id: BrokerId, directory_id: &str) -> Identity {
        Identity { cluster_id: "cluster".to_owned(), node_id, directory_id: directory_id.to_owned() }
    }

    fn of_node(directory: &Path, node_id: BrokerId) -> Result<Option<Identity>, IdentityError> {
        Identity::read(&RealDisk, directory, node_id)
    }

    #[test]
    fn what_the_first_start_writes_later_ones_find() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(of_node(directory.path(), 1).unwrap(), None);
        assert_eq!(of_node(&directory.path().join("not/there"), 1).unwrap(), None);
        identity(1, "a").format(&RealDisk, directory.path(), true).unwrap();
        assert_eq!(of_node(directory.path(), 1).unwrap(), Some(identity(1, "a")));
    }

    #[test]
    fn a_directory_with_a_log_is_not_formatted() {
        let directory = tempfile::tempdir().unwrap();
        let error = identity(1, "a").format(&RealDisk, directory.path(), false).unwrap_err();
        assert!(error.to_string().contains("is missing, and the directory holds a log"), "{error}");
        assert_eq!(of_node(directory.path(), 1).unwrap(), None);
    }

    #[test]
    fn another_nodes_directory_is_refused_with_the_fix() {
        let directory = tempfile::tempdir().unwrap();
        identity(1, "a").format(&RealDisk, directory.path(), true).unwrap();
        let error = of_node(directory.path(), 2).unwrap_err();
        assert!(error.to_string().contains("belongs to node 1"), "{error}");
        assert!(error.to_string().contains("Fix: set node_id = 1"), "{error}");
    }

    #[test]
    fn a_newer_or_broken_file_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        for text in ["version=2\n", "", "version=1\ncluster.id=x\nnode.id=one\ndirectory.id=d\n"] {
            std::fs::write(directory.path().join(FILE_NAME), text).unwrap();
            let error = of_node(directory.path(), 1).unwrap_err();
            assert!(matches!(error, IdentityError::Unreadable { .. }), "{error}");
            assert_eq!(std::fs::read_to_string(directory.path().join(FILE_NAME)).unwrap(), text);
        }
    }
}
