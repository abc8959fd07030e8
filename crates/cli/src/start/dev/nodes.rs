//! The nodes as processes: started, heard, and ended.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::place::Place;
use super::plan::{NodePlan, Plan};
use crate::config::variables_of_process;
use crate::print;

/// This program, also after its file was replaced.
const PROGRAM: &str = "/proc/self/exe";

pub(super) struct Nodes {
    /// Those that have not ended, by what stays theirs when their number is another's.
    running: BTreeMap<u16, OwnedFd>,
    started: BTreeMap<u16, Pid>,
    ended: UnboundedReceiver<(u16, io::Result<ExitStatus>)>,
}

impl Nodes {
    /// Starts all of them. Called on the process's first thread: a node ends with the thread that started it.
    pub(super) fn start(plan: &Plan, place: &Place, log_level: Option<&str>) -> io::Result<Nodes> {
        let (tell, ended) = unbounded_channel();
        let mut nodes = Nodes { running: BTreeMap::new(), started: BTreeMap::new(), ended };
        for node in &plan.nodes {
            let spawned =
                command(plan, place, node, log_level).spawn().and_then(|child| watch(node.id, child, tell.clone()));
            match spawned {
                Ok((pid, process)) => {
                    nodes.running.insert(node.id, process);
                    nodes.started.insert(node.id, pid);
                }
                Err(error) => {
                    nodes.kill();
                    return Err(error);
                }
            }
        }
        Ok(nodes)
    }

    /// The next node that ends, and how it did.
    pub(super) async fn ended(&mut self) -> (u16, String) {
        match self.ended.recv().await {
            Some((id, status)) => {
                self.running.remove(&id);
                (id, status.map_or_else(|error| error.to_string(), |status| status.to_string()))
            }
            // Nobody is left to end.
            None => std::future::pending().await,
        }
    }

    pub(super) fn none_left(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    pub(super) fn pid(&self, id: u16) -> String {
        self.started.get(&id).map_or_else(|| "?".to_owned(), |pid| pid.as_raw_pid().to_string())
    }

    fn signal(&self, signal: Signal) {
        for process in self.running.values() {
            // One that ends just now needs none.
            let _ = pidfd_send_signal(process, signal);
        }
    }
}

fn command(plan: &Plan, place: &Place, node: &NodePlan, log_level: Option<&str>) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("start").arg("--config").arg(place.file()).arg("--data-dir").arg(place.of_node(node.id));
    command.arg("--child-of").arg(std::process::id().to_string());
    if let Some(level) = log_level {
        command.args(["--log-level", level]);
    }
    // The file says it all: what was meant for a node that is alone would hold for each of them.
    for (name, _) in variables_of_process().iter().filter(|(name, _)| name.starts_with("CHRONIK_")) {
        command.env_remove(name);
    }
    command.envs(plan.variables(node));
    // A group of its own: Ctrl-C is for us, and we tell the nodes.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Passes on what it says, and tells when it ends.
fn watch(
    id: u16,
    mut child: Child,
    tell: UnboundedSender<(u16, io::Result<ExitStatus>)>,
) -> io::Result<(Pid, OwnedFd)> {
    let pid = Pid::from_child(&child);
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error.into());
        }
    };
    let said = [child.stdout.take().map(boxed), child.stderr.take().map(boxed)];
    let hearers: Vec<_> = said.into_iter().flatten().map(|pipe| thread::spawn(move || pass_on(id, pipe))).collect();
    thread::spawn(move || {
        let status = child.wait();
        for hearer in hearers {
            let _ = hearer.join();
        }
        // Nobody listens when this process is on its way out.
        let _ = tell.send((id, status));
    });
    Ok((pid, process))
}

fn boxed(pipe: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(pipe)
}

fn pass_on(id: u16, pipe: Box<dyn Read + Send>) {
    let mut lines = BufReader::new(pipe);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            print::remark(&format!("{id} | {}", text.trim_end()));
        }
        line.clear();
    }
}
