//! Where the data are, and what becomes of them.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::print;

const FILE: &str = "cluster.toml";

pub(super) struct Place {
    directory: PathBuf,
    /// Made by us, to be taken away by us.
    is_temporary: bool,
    is_kept: bool,
}

impl Place {
    /// A directory that holds the configuration file: the one that was named, or a new one among the system's temporary ones.
    pub(super) fn make(named: Option<&str>, keep: bool, file: &str) -> io::Result<Place> {
        let place = match named {
            Some(named) => {
                fs::create_dir_all(named)?;
                Place { directory: std::path::absolute(named)?, is_temporary: false, is_kept: true }
            }
            None => Place { directory: temporary()?, is_temporary: true, is_kept: keep },
        };
        fs::write(place.file(), file)?;
        Ok(place)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    pub(super) fn of_node(&self, id: u16) -> PathBuf {
        self.directory.join(format!("node-{id}"))
    }

    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// In words.
    pub(super) fn fate(&self) -> String {
        let directory = self.directory.display();
        match (self.is_kept, self.is_temporary) {
            (false, _) => format!("{directory}  (gone when the cluster stops; --keep keeps it)"),
            (true, _) => format!("{directory}  (kept)"),
        }
    }

    /// Takes it away, or says where it is.
    pub(super) fn leave(&self) {
        if self.is_kept {
            return print::remark(&format!("the data are kept in {}", self.directory.display()));
        }
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            print::remark(&format!("{} could not be taken away: {error}", self.directory.display()));
        }
    }
}

/// A directory that nobody else may look into.
fn temporary() -> io::Result<PathBuf> {
    let within = std::env::temp_dir();
    let mut attempt = 0;
    loop {
        let directory = numbered(&within, attempt);
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => attempt += 1,
            created => return created.map(|()| directory),
        }
    }
}

fn numbered(within: &Path, attempt: u32) -> PathBuf {
    let process = std::process::id();
    match attempt {
        0 => within.join(format!("chronik-dev-{process}")),
        _ => within.join(format!("chronik-dev-{process}-{attempt}")),
    }
}
