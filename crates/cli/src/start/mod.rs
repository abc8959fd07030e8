//! `start`: load, begin the log, run the node, and say how it went.

mod card;
pub(crate) mod child;
mod descriptors;
pub(crate) mod dev;
mod failure;
mod http;
mod logging;
mod notify;

use std::io::{self, Write};

use chronik_broker::{Config, Observer, Ready};
use tracing::info;

use crate::arguments::{NodeArguments, OldFlags};
use crate::config::Loaded;
use crate::exit::Exit;
use crate::print;
use crate::refuse;
use crate::version::VERSION;
use card::Card;

/// What the command says of the node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The configuration decides whether it is alone.
    AsConfigured,
    /// An old command, which meant the node of a cluster.
    OldCluster(&'static str),
}

/// Runs a node until it is told to stop.
pub(crate) fn run(node: &NodeArguments, old: &OldFlags, mode: Mode) -> Exit {
    let loaded = match crate::load(node, old) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    if let Mode::OldCluster(command) = mode {
        if loaded.broker.cluster.is_none() {
            return refuse::no_peers(command);
        }
        refuse::warn_old_cluster(command);
    }
    let config = loaded.broker.clone();
    logging::begin(&loaded.settings);
    descriptors::raise_limit(&loaded.settings);
    let mut ports = match http::Ports::take(&loaded.http) {
        Ok(ports) => ports,
        Err(problem) => {
            print::problems(&[problem]);
            return Exit::Failed;
        }
    };
    let observer = Observer::default();
    if config.cluster.is_some() || config.data_dir.exists() {
        // It may wait for others, or have a log to replay, and is to say so.
        ports.serve(&observer);
    }
    let ended = chronik_broker::run(config.clone(), &observer, |ready| {
        tell_ready(&loaded, &config, ready, &ports.told);
        ports.serve(&observer);
    });
    notify::stopping();
    match ended {
        Ok(()) => {
            info!("stopped");
            Exit::Done
        }
        Err(error) => {
            print::problems(&[failure::explain(&error)]);
            Exit::Failed
        }
    }
}

fn tell_ready(loaded: &Loaded, config: &Config, ready: &Ready, http: &str) {
    let card = Card { http: http.to_owned(), ..Card::new(config, &ready.listening, &ready.cluster_id, print::source(loaded)) };
    if logging::is_json(&loaded.settings) || child::is_one() {
        // The card as one line of the log: what reads the log expects nothing else.
        info!(
            version = VERSION,
            mode = card.mode,
            kafka = card.connect,
            listening = card.listening,
            told = card.told,
            nodes = card.nodes,
            http = card.http,
            data = card.data_dir,
            config = card.source,
            "ready"
        );
    } else {
        let _ = io::stderr().write_all(format!("{}\n", card.text()).as_bytes());
    }
    if ready.recovered_entries > 0 {
        info!(
            entries = ready.recovered_entries,
            torn_tail = ready.torn_tail,
            "recovered what the last run had not yet put away"
        );
    }
    notify::ready();
}
