//! `version`: what this binary is.

use serde_json::{Value, json};

use crate::arguments::Output;
use crate::exit::Exit;
use crate::print;

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Prints name, version and the machine it was built for.
pub(crate) fn print(output: Output) -> Exit {
    match output {
        Output::Table => print::out(&format!("chronik-server {VERSION} ({})\n", target())),
        _ => print::document(&facts(), output),
    }
    Exit::Done
}

fn facts() -> Value {
    json!({
        "name": "chronik-server",
        "version": VERSION,
        "target": target(),
        "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
    })
}

fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}
