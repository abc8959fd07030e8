//! Exit codes: what scripts may rely on. The table is printed at the end of every `--help`.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Configuration = 3,
    Unreachable = 4,
    NotFound = 6,
    Unhealthy = 10,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// All codes of the program, also those of commands which other builds have, so that scripts may be written once.
pub(crate) const TABLE: &str = "\
Exit codes:
    0  done
    1  failed, other
    2  usage
    3  configuration invalid
    4  cannot reach server
    5  authentication or permission
    6  not found
    7  refused by a safety check (nothing changed)
    8  partly done
    9  --wait ran out of time (job continues)
   10  reached, but cluster unhealthy
   11  incomplete answer
  130  interrupted";
