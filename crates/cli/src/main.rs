//! `chronik-server`.

use std::process::ExitCode;

fn main() -> ExitCode {
    chronik_cli::main()
}
