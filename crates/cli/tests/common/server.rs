//! A running node.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use chronik_client::Connection;
use chronik_client::messages::RequestResponsePair;

use super::Workplace;

/// A node that has told its card.
pub(crate) struct Server {
    pub(crate) process: Child,
    stderr: BufReader<ChildStderr>,
    /// All it said until it was ready.
    pub(crate) card: String,
    pub(crate) port: u16,
}

impl Server {
    /// Starts a node on a port that the system chooses and waits until it is ready.
    pub(crate) fn start(workplace: &Workplace, arguments: &[&str], variables: &[(&str, &str)]) -> Server {
        let mut command = workplace.command(&[&["start"], arguments].concat());
        // Many nodes run here at once, and those that are to be asked over HTTP say so.
        command.env("CHRONIK_HTTP__ENABLED", "false").envs(variables.iter().copied());
        if !arguments.contains(&"--bind") {
            command.args(["--bind", "127.0.0.1:0"]);
        }
        Server::spawn(command)
    }

    fn spawn(mut command: Command) -> Server {
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the binary runs");
        let mut stderr = BufReader::new(process.stderr.take().expect("it is piped"));
        let mut card = String::new();
        let port = loop {
            let start = card.len();
            let read = stderr.read_line(&mut card).expect("standard error is text");
            assert!(read > 0, "it ended before it was ready:\n{card}");
            if let Some(port) = port_in(&card[start..]) {
                break port;
            }
        };
        // The rest of the card comes in the same write.
        for _ in 0..if card.starts_with('{') { 0 } else { 6 } {
            stderr.read_line(&mut card).expect("standard error is text");
        }
        Server { process, stderr, card, port }
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// What it said after the card, and its exit code.
    pub(crate) fn wait(mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("standard error is text");
        (rest, self.process.wait().expect("it ends").code())
    }

    /// The same, and a node that does not end within `limit` is killed.
    pub(crate) fn wait_at_most(self, limit: Duration) -> (String, Option<i32>) {
        let id = self.process.id().to_string();
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let watchdog = std::thread::spawn(move || {
            if ended.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-KILL", &id]).status();
            }
        });
        let outcome = self.wait();
        drop(done);
        watchdog.join().expect("the watchdog does not panic");
        outcome
    }

    /// Asks the node one thing, on a connection to `address` of its own.
    pub(crate) fn ask<R: RequestResponsePair>(&self, address: &str, request: &R, api_version: i16) -> R::Response {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut connection =
                Connection::connect((address, self.port), Duration::from_secs(10)).await.expect("it listens");
            connection.send(request, api_version).await.expect("it answers")
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The port in a line of the card, or of the log that takes its place.
fn port_in(line: &str) -> Option<u16> {
    let after = line.split_once("listening on ").or_else(|| line.split_once("\"listening\":\""))?.1;
    let address = after.split([';', '"', ',', ')']).next()?;
    address.rsplit_once(':')?.1.trim().parse().ok()
}
