//! A cluster of `start --dev`.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::Workplace;

pub(crate) struct Dev {
    pub(crate) process: Child,
    stderr: BufReader<ChildStderr>,
    /// All that was said until the card was through.
    pub(crate) said: String,
    pub(crate) nodes: Vec<DevNode>,
}

/// A row of the card.
pub(crate) struct DevNode {
    pub(crate) kafka: String,
    pub(crate) pid: u32,
    pub(crate) data: std::path::PathBuf,
}

impl Dev {
    /// Starts three nodes on ports that are free now, and waits for the card.
    pub(crate) fn start(workplace: &Workplace, arguments: &[&str]) -> Dev {
        let first = free_ports(12);
        let ports = [0, 3, 6, 9].map(|further| (first + further).to_string()).join(":");
        let mut command = workplace.command(&[&["start", "--dev", "--first-ports", &ports], arguments].concat());
        command.env("TMPDIR", workplace.path());
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the binary runs");
        let stderr = BufReader::new(process.stderr.take().expect("it is piped"));
        let mut dev = Dev { process, stderr, said: String::new(), nodes: Vec::new() };
        dev.until_said("stop    Ctrl-C");
        dev.nodes = dev.said.lines().filter_map(row).collect();
        dev
    }

    /// Reads on until a line holds `text`.
    pub(crate) fn until_said(&mut self, text: &str) {
        loop {
            let start = self.said.len();
            let read = self.stderr.read_line(&mut self.said).expect("standard error is text");
            assert!(read > 0, "it ended and had not said {text}:\n{}", self.said);
            if self.said[start..].contains(text) {
                return;
            }
        }
    }

    pub(crate) fn addresses(&self) -> String {
        self.nodes.iter().map(|node| node.kafka.as_str()).collect::<Vec<_>>().join(",")
    }

    /// How it ended, after all it had to say.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("standard error is text");
        (self.process.wait().expect("it ends"), rest)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // The nodes go with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("kill runs");
    assert!(sent.success());
}

/// Whether a process of this number is there and runs: one that ended and was not waited for does not.
pub(crate) fn runs(pid: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    state.is_some_and(|stat| !stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

fn row(line: &str) -> Option<DevNode> {
    let cells: Vec<&str> = line.split_whitespace().collect();
    let kafka = cells.get(1).filter(|cell| cell.starts_with("127.0.0.1:"))?;
    let data = cells.last()?;
    let pid = cells.get(cells.len() - 2)?.parse().ok()?;
    Some(DevNode { kafka: (*kafka).to_owned(), pid, data: data.into() })
}

/// The first of `count` ports in a row that nobody listens on, below those that the system gives away, and not the same twice.
fn free_ports(count: u16) -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let process = std::process::id();
    let candidates = (0..100).map(|_| {
        let number = process.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % 500;
        24_000 + number as u16 * count
    });
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut free = candidates.filter(|first| (*first..first + count).all(is_free));
    free.next().expect("there are free ports")
}
