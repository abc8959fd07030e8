//! A node without sockets, for tests of what its threads do.

use std::rc::Rc;

use tokio::sync::mpsc;

use crate::config::Config;
use crate::net::reactor::Reactor;
use crate::start;

/// Runs `test` on the first thread of a node that is brought up on `data_dir`, and takes the node down again.
pub(crate) fn on_node(data_dir: &tempfile::TempDir, test: impl AsyncFnOnce(&Rc<Reactor>)) {
    let config = Config {
        data_dir: data_dir.path().to_owned(),
        listen: vec![([127, 0, 0, 1], 0).into()],
        reactors: 1,
        ..Config::default()
    };
    let (node, _listeners, _ready) = start::bring_up(config).unwrap();
    start::runtime().unwrap().block_on(async {
        let reactor = Reactor::new(node, 0);
        let (dealt, accepted) = mpsc::unbounded_channel();
        let running = tokio::task::spawn_local(Rc::clone(&reactor).run(accepted));
        test(&reactor).await;
        reactor.node.stop();
        drop(dealt);
        running.await.unwrap();
    });
}
