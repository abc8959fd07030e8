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

/// Why there is none.
pub(super) enum NoPlace {
    Io(io::Error),
    /// Something that is not ours to write over.
    Taken(String),
}

impl From<io::Error> for NoPlace {
    fn from(error: io::Error) -> NoPlace {
        NoPlace::Io(error)
    }
}

impl Place {
    /// A directory that holds the configuration file: the one that was named, or a new one among the system's temporary ones.
    pub(super) fn make(named: Option<&str>, keep: bool, file: &str) -> Result<Place, NoPlace> {
        let Some(named) = named else {
            let place = Place { directory: temporary()?, is_temporary: true, is_kept: keep };
            return match fs::write(place.file(), file) {
                Ok(()) => Ok(place),
                Err(error) => {
                    let _ = fs::remove_dir_all(&place.directory);
                    Err(error.into())
                }
            };
        };
        fs::create_dir_all(named)?;
        let place = Place { directory: std::path::absolute(named)?, is_temporary: false, is_kept: true };
        place.check(file)?;
        // Whole or not at all.
        let fresh = place.directory.join(format!("{FILE}.new"));
        fs::write(&fresh, file)?;
        fs::rename(fresh, place.file())?;
        Ok(place)
    }

    /// Whether the file that is there, if one is, is of an earlier run with as many nodes.
    fn check(&self, file: &str) -> Result<(), NoPlace> {
        let found = match fs::read_to_string(self.file()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        let path = self.file();
        if found.lines().next() != file.lines().next() {
            return Err(NoPlace::Taken(format!("{} is there, and was not made by --dev", path.display())));
        }
        let nodes = |text: &str| text.matches("[[peers]]").count();
        match nodes(&found) == nodes(file) {
            true => Ok(()),
            false => Err(NoPlace::Taken(format!("{} is of a cluster of {} nodes", path.display(), nodes(&found)))),
        }
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
