//! What lies between two nodes: passes bytes on, or holds them, damages them, cuts the connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

const POLL: Duration = Duration::from_millis(2);

/// In front of one node. Bytes go *there*, to that node, and *back*.
pub(super) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    target: Mutex<Option<SocketAddr>>,
    holds_there: AtomicBool,
    holds_back: AtomicBool,
    /// Which of the next bytes to that node is damaged; 0 for none.
    damages: AtomicU64,
    /// Every connection of an earlier age is cut.
    age: AtomicU64,
    bytes_there: AtomicU64,
    connections: AtomicUsize,
    ends: AtomicBool,
}

impl Proxy {
    pub(super) fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        let accepting = std::thread::spawn(move || accept(&listener, &shared));
        Proxy { address, state, accepting: Some(accepting) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The node is there now.
    pub(super) fn leads_to(&self, target: Option<SocketAddr>) {
        *self.state.target.lock() = target;
        self.cut();
    }

    /// Cuts every connection; new ones are passed on.
    pub(super) fn cut(&self) {
        self.state.age.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn hold_there(&self, holds: bool) {
        self.state.holds_there.store(holds, Ordering::SeqCst);
    }

    pub(super) fn hold_back(&self, holds: bool) {
        self.state.holds_back.store(holds, Ordering::SeqCst);
    }

    /// Flips a bit of the byte that follows so many others to the node.
    pub(super) fn damage(&self, after_bytes: u64) {
        self.state.damages.store(after_bytes + 1, Ordering::SeqCst);
    }

    pub(super) fn bytes_there(&self) -> u64 {
        self.state.bytes_there.load(Ordering::SeqCst)
    }

    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ends.store(true, Ordering::SeqCst);
        self.cut();
        self.accepting.take().into_iter().for_each(|thread| thread.join().unwrap());
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    let mut passing = Vec::new();
    while !state.ends.load(Ordering::SeqCst) {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(POLL);
            continue;
        };
        let target = *state.target.lock();
        let Some(onward) = target.and_then(|target| TcpStream::connect(target).ok()) else { continue };
        state.connections.fetch_add(1, Ordering::SeqCst);
        let age = state.age.load(Ordering::SeqCst);
        for (from, to, there) in [(&stream, &onward, true), (&onward, &stream, false)] {
            let (from, to, state) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(state));
            passing.push(std::thread::spawn(move || {
                pass(&from, &to, &state, age, there);
                // The other direction ends with it.
                let _ = from.shutdown(std::net::Shutdown::Both);
                let _ = to.shutdown(std::net::Shutdown::Both);
            }));
        }
    }
    passing.into_iter().for_each(|thread| thread.join().unwrap());
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, state: &State, age: u64, there: bool) {
    from.set_nonblocking(false).unwrap();
    from.set_read_timeout(Some(POLL)).unwrap();
    let holds = if there { &state.holds_there } else { &state.holds_back };
    let mut buffer = vec![0; 64 << 10];
    while state.age.load(Ordering::SeqCst) == age {
        let count = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => return,
        };
        while holds.load(Ordering::SeqCst) && state.age.load(Ordering::SeqCst) == age {
            std::thread::sleep(POLL);
        }
        if there {
            damage(&mut buffer[..count], &state.damages);
            state.bytes_there.fetch_add(count as u64, Ordering::SeqCst);
        }
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

fn damage(bytes: &mut [u8], damages: &AtomicU64) {
    match damages.load(Ordering::SeqCst) {
        0 => {}
        next if next as usize <= bytes.len() => {
            bytes[next as usize - 1] ^= 1;
            damages.store(0, Ordering::SeqCst);
        }
        next => damages.store(next - bytes.len() as u64, Ordering::SeqCst),
    }
}
