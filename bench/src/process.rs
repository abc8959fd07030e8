//! Brokers as processes, and what /proc says about them.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::peer::Peer;
use crate::{kafka, machine};

/// How long a broker may take until it accepts connections.
const START: Duration = Duration::from_secs(120);
/// Longer than one load, so that the floor's file holds a whole run to be fetched.
const FLOOR_FILE_MIB: usize = 1_300;

/// What brokers are started from.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) server: PathBuf,
    pub(crate) floor: PathBuf,
    /// Directory of Apache Kafka's jars; without it nothing is compared with Kafka.
    pub(crate) kafka_jars: Option<PathBuf>,
    /// librdkafka's shared library; without it nothing is produced with it.
    pub(crate) librdkafka: Option<PathBuf>,
}

/// A broker on loopback. Killed and its directory removed when it goes out of scope.
pub(crate) struct Broker {
    pub(crate) port: u16,
    command: Command,
    launched: Instant,
    process: Child,
    directory: PathBuf,
}

impl Broker {
    /// Starts a broker in a new directory without waiting for it.
    pub(crate) fn launch(programs: &Programs, peer: Peer, directory: PathBuf) -> Result<Broker> {
        fs::create_dir_all(&directory)?;
        let port = free_port()?;
        let command = match peer {
            Peer::Ours => server(&programs.server, &directory, port, "commit")?,
            Peer::OursUnsynced => server(&programs.server, &directory, port, "interval")?,
            Peer::Floor => floor(&programs.floor, &directory, port, true),
            Peer::FloorUnsynced => floor(&programs.floor, &directory, port, false),
            Peer::Kafka | Peer::KafkaFlushed => {
                let jars = programs.kafka_jars.as_deref().context("Apache Kafka's jars were not given")?;
                kafka::prepare(jars, &directory, &kafka::Node::alone(port, free_port()?))?
            }
        };
        Broker::start(command, port, directory)
    }

    /// Starts one that is to listen on `port` by this command, without waiting for it.
    pub(crate) fn start(mut command: Command, port: u16, directory: PathBuf) -> Result<Broker> {
        command.stdin(Stdio::null()).current_dir(&directory);
        let launched = Instant::now();
        let process = spawn(&mut command, &directory)?;
        Ok(Broker { port, command, launched, process, directory })
    }

    /// Waits until a connection is accepted.
    pub(crate) fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port))).is_err() {
            ensure!(Instant::now() < deadline, "no broker after {START:?}: see {}", self.directory.display());
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(())
    }

    /// `kill -9`. Its files stay.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Starts it again on its files and its port, without waiting for it.
    pub(crate) fn launch_again(&mut self) -> Result<()> {
        self.launched = Instant::now();
        self.process = spawn(&mut self.command, &self.directory)?;
        Ok(())
    }

    /// When it was last started.
    pub(crate) fn launched(&self) -> Instant {
        self.launched
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it keeps its files.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Processor time of all threads so far, in seconds: nanoseconds on a processor, as the scheduler counts them.
    /// Threads that have ended are not in it; none of the brokers ends threads while it is under load.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let mut total_ns = 0u64;
        for task in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            total_ns += text.split_whitespace().next().context("empty schedstat")?.parse::<u64>()?;
        }
        Ok(total_ns as f64 / 1e9)
    }

    /// How often its threads went to sleep by themselves so far: each is followed by a wake-up.
    pub(crate) fn sleeps(&self) -> Result<u64> {
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let Ok(status) = fs::read_to_string(task?.path().join("status")) else { continue };
            total += machine::status_number(&status, "voluntary_ctxt_switches:")?;
        }
        Ok(total)
    }

    /// Resident memory, in MiB.
    pub(crate) fn resident_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        Ok(machine::status_number(&status, "VmRSS:")? as f64 / 1024.0)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to be done about a process that cannot be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn spawn(command: &mut Command, directory: &Path) -> Result<Child> {
    let log = File::options().create(true).append(true).open(directory.join("broker.log"))?;
    command.stdout(log.try_clone()?).stderr(log);
    // SAFETY: between fork and exec only a system call is made.
    unsafe { command.pre_exec(end_with_the_bench) };
    command.spawn().with_context(|| format!("{command:?}"))
}

/// A broker does not outlive the run that asked for it, however that ends.
fn end_with_the_bench() -> std::io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?)
}

fn server(program: &Path, directory: &Path, port: u16, sync: &str) -> Result<Command> {
    let config = directory.join("chronik.toml");
    fs::write(&config, format!("[node.addresses]\nkafka = \"127.0.0.1:{port}\"\n[storage]\nsync = \"{sync}\"\n"))?;
    let mut command = Command::new(program);
    command.args(["start", "--config"]).arg(config).arg("--data-dir").arg(directory.join("data"));
    Ok(command)
}

fn floor(program: &Path, directory: &Path, port: u16, sync: bool) -> Command {
    let mut command = Command::new(program);
    command
        .arg(port.to_string())
        .arg(if sync { "1" } else { "0" })
        .arg(FLOOR_FILE_MIB.to_string())
        .arg(directory.join("floor.dat"));
    command
}

/// A port below those that the system hands out for outgoing connections, and none that was given before: what was asked
/// for is not yet listened on. `CHRONIK_BENCH_PORTS` moves the hundred ports.
pub(crate) fn free_port() -> Result<u16> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first: u16 = std::env::var("CHRONIK_BENCH_PORTS").ok().and_then(|port| port.parse().ok()).unwrap_or(21_200);
    (0..100)
        .map(|_| first + GIVEN.fetch_add(1, Ordering::Relaxed) % 100)
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no free port")
}
