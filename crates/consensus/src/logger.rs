//! What the library logs, as events of `tracing`.

use std::fmt;

use slog::{Drain, KV, Level, Logger, OwnedKVList, Record, Serializer};

/// A logger whose lines carry the member's id.
pub(crate) fn logger(id: u64) -> Logger {
    Logger::root(Forward.fuse(), slog::o!("member" => id))
}

struct Forward;

impl Drain for Forward {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), slog::Never> {
        if !tracing::enabled!(target: "chronik::raft", tracing::Level::DEBUG) && !record.level().is_at_least(Level::Warning) {
            return Ok(());
        }
        let mut text = Text(record.msg().to_string());
        // Writing into a string does not fail.
        let _ = record.kv().serialize(record, &mut text);
        let _ = values.serialize(record, &mut text);
        match record.level() {
            Level::Critical | Level::Error => tracing::error!(target: "chronik::raft", "{}", text.0),
            Level::Warning => tracing::warn!(target: "chronik::raft", "{}", text.0),
            // Its informational lines are about steps of the protocol.
            _ => tracing::debug!(target: "chronik::raft", "{}", text.0),
        }
        Ok(())
    }
}

struct Text(String);

impl Serializer for Text {
    fn emit_arguments(&mut self, key: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
        use fmt::Write as _;
        Ok(write!(self.0, " {key}={value}")?)
    }
}
