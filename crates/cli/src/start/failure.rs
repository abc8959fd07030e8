//! Why a node did not come up, or went down: in the three parts of every other problem.

use std::io::{self, ErrorKind};
use std::path::Path;

use chronik_broker::{RunError, StartError};
use chronik_log::{IdentityError, StorageError};

use crate::config::problem::{Code, Problem};

/// What happened, why, and what to do about it.
pub(crate) fn explain(error: &RunError) -> Problem {
    match error {
        RunError::Start(StartError::Storage(error)) => storage(error),
        RunError::Start(StartError::Identity(IdentityError::Io { path, source })) => disk(error, path, source),
        _ => in_three_parts(error),
    }
}

fn storage(error: &StorageError) -> Problem {
    match error {
        StorageError::Locked { .. } => problem(error)
            .why("two nodes that write one log would destroy it")
            .fix("stop the other node, or give this one a directory of its own: --data-dir DIR"),
        StorageError::Io { path, source, .. } => disk(error, path, source),
        StorageError::Damaged { .. } | StorageError::Lost { .. } | StorageError::Stopped(_) => in_three_parts(error),
    }
}

/// The file system refused: what to do depends on how.
fn disk(error: &dyn std::error::Error, path: &Path, source: &io::Error) -> Problem {
    let directory = path.parent().unwrap_or(path).display();
    let fix = match source.kind() {
        ErrorKind::PermissionDenied => {
            format!("let the user who runs the node read and write {directory}, or choose another --data-dir")
        }
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            format!("{directory} is not a directory: move it away, or choose another --data-dir")
        }
        ErrorKind::ReadOnlyFilesystem => "choose a --data-dir on a file system that can be written to".to_owned(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "make room, or choose a --data-dir with more of it".to_owned()
        }
        _ => "look at the disk (dmesg), or choose another --data-dir".to_owned(),
    };
    problem(error).why("the node keeps everything in its data directory").fix(fix)
}

fn problem(error: &dyn std::error::Error) -> Problem {
    Problem::error(Code::Start, error.to_string())
}

/// Errors that know their fix say what, why and the fix with blank lines between them.
fn in_three_parts(error: &dyn std::error::Error) -> Problem {
    let text = error.to_string();
    let (before, fix) = text.split_once("Fix:").unwrap_or((&text, ""));
    let (what, why) = before.trim().split_once("\n\n").unwrap_or((before.trim(), ""));
    Problem::error(Code::Start, what).why(why.trim()).fix(fix.trim())
}
