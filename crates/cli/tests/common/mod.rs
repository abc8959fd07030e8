//! The binary as a user runs it: arguments, a clean environment, a directory of its own.

// Every test file is a program of its own and uses its part of this.
#![allow(dead_code)]

pub(crate) mod dev;
pub(crate) mod server;

use std::path::Path;
use std::process::{Command, Output};

pub(crate) struct Run {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A directory, and the binary to be run in it.
pub(crate) struct Workplace {
    directory: tempfile::TempDir,
}

impl Workplace {
    pub(crate) fn new() -> Workplace {
        Workplace { directory: tempfile::tempdir().expect("a temporary directory can be made") }
    }

    /// A workplace that holds `chronik.toml`.
    pub(crate) fn with_file(text: &str) -> Workplace {
        let workplace = Workplace::new();
        std::fs::write(workplace.path().join("chronik.toml"), text).expect("a file can be written");
        workplace
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chronik-server"));
        command.args(arguments).current_dir(self.path()).env_clear();
        command
    }

    pub(crate) fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let output = self.command(arguments).envs(variables.iter().copied()).output().expect("the binary runs");
        Run::from(output)
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        Run {
            exit: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("output is UTF-8"),
        }
    }
}

impl Run {
    /// Holds that the run ended with `exit` and said each of `texts` on standard error.
    #[track_caller]
    pub(crate) fn says(&self, exit: i32, texts: &[&str]) {
        assert_eq!(self.exit, Some(exit), "stderr:\n{}\nstdout:\n{}", self.stderr, self.stdout);
        for text in texts {
            assert!(self.stderr.contains(text), "not said: {text}\n---\n{}", self.stderr);
        }
    }
}
