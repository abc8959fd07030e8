//! Brokers as processes, and what /proc says about them.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How long a broker may take until it accepts connections.
const START: Duration = Duration::from_secs(60);

/// A broker on loopback. Killed and its directory removed when it goes out of scope.
pub(crate) struct Broker {
    pub(crate) port: u16,
    process: Child,
    directory: PathBuf,
}

/// What a broker is started with.
pub(crate) enum Kind<'a> {
    /// Our server, with `[storage] sync` set to this.
    Server { program: &'a Path, sync: &'a str },
    /// The floor broker, with or without a sync before each answer.
    Floor { program: &'a Path, sync: bool, file_mib: usize },
}

impl Broker {
    /// Starts a broker in a new directory and waits until it accepts connections.
    pub(crate) fn start(kind: &Kind<'_>, directory: PathBuf) -> Result<Broker> {
        let broker = Broker::launch(kind, directory)?;
        broker.wait()?;
        Ok(broker)
    }

    /// Starts a broker without waiting for it.
    pub(crate) fn launch(kind: &Kind<'_>, directory: PathBuf) -> Result<Broker> {
        fs::create_dir_all(&directory)?;
        let port = free_port()?;
        let mut command = match kind {
            Kind::Server { program, sync } => server(program, &directory, port, sync)?,
            Kind::Floor { program, sync, file_mib } => floor(program, &directory, port, *sync, *file_mib),
        };
        let log = File::create(directory.join("broker.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(&directory);
        let process = command.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Broker { port, process, directory })
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

    /// Processor time of all threads so far, in seconds: nanoseconds on a processor, as the scheduler counts them.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let mut total_ns = 0u64;
        for task in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            total_ns += text.split_whitespace().next().context("empty schedstat")?.parse::<u64>()?;
        }
        Ok(total_ns as f64 / 1e9)
    }

    /// Resident memory, in MiB.
    pub(crate) fn resident_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no size")?.parse()?;
        Ok(kib / 1024.0)
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

fn server(program: &Path, directory: &Path, port: u16, sync: &str) -> Result<Command> {
    let config = directory.join("chronik.toml");
    fs::write(&config, format!("[node.addresses]\nkafka = \"127.0.0.1:{port}\"\n[storage]\nsync = \"{sync}\"\n"))?;
    let mut command = Command::new(program);
    command.args(["start", "--config"]).arg(config).arg("--data-dir").arg(directory.join("data"));
    Ok(command)
}

fn floor(program: &Path, directory: &Path, port: u16, sync: bool, file_mib: usize) -> Command {
    let mut command = Command::new(program);
    command
        .arg(port.to_string())
        .arg(if sync { "1" } else { "0" })
        .arg(file_mib.to_string())
        .arg(directory.join("floor.dat"));
    command
}

/// A port below those that the system hands out for outgoing connections.
fn free_port() -> Result<u16> {
    let start = 21_200 + (std::process::id() % 250) as u16;
    (start..21_500)
        .chain(21_200..start)
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no free port")
}
