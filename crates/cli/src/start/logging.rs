//! Log lines on standard error: for people, or one JSON object per line.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::schema::{LOG_FORMAT, LOG_LEVEL};
use crate::config::settings::Settings;
use crate::print;

/// Log lines from here on. Called once.
pub(crate) fn begin(settings: &Settings) {
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match settings.text(&LOG_FORMAT) {
        "json" => Box::new(lines.json().flatten_event(true)),
        _ => Box::new(lines.with_ansi(print::is_colourful())),
    };
    let level = settings.text(&LOG_LEVEL);
    match level.parse::<LevelFilter>() {
        Ok(level) => tracing_subscriber::registry().with(lines.with_filter(level)).init(),
        Err(_) => tracing_subscriber::registry().with(lines.with_filter(EnvFilter::new(level))).init(),
    }
}

/// Whether log lines are for machines.
pub(crate) fn is_json(settings: &Settings) -> bool {
    settings.text(&LOG_FORMAT) == "json"
}
