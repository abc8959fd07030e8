//! A node in this process, for one test.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;

use chronik_broker::Config;
use tempfile::TempDir;

/// A node that runs until the process ends.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    /// Goes with the test; the node does not need it after the last request.
    _data: TempDir,
}

/// Starts a node on a free port of loopback.
pub(crate) fn start() -> Node {
    let data = tempfile::tempdir().expect("a temporary directory");
    let config = Config {
        listen: vec![([127, 0, 0, 1], 0).into()],
        data_dir: data.path().to_owned(),
        disk_reserve_bytes: 0,
        reactors: 1,
        ..Config::default()
    };
    let (ready, is_ready) = mpsc::channel();
    thread::spawn(move || {
        let ended = chronik_broker::run(config, &chronik_broker::Observer::default(), |node| ready.send(node.listening[0]).expect("the test waits"));
        if let Err(error) = ended {
            eprintln!("the node ended: {error}");
        }
    });
    Node { address: is_ready.recv().expect("the node comes up"), _data: data }
}
