//! The machine: what it is, how busy it is, and what has to be done to it before a run can be compared with another.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// Load average of the last minute.
pub(crate) fn load_average() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().context("empty loadavg")?.parse()?)
}

/// Processor time of the whole machine so far that was not idle, in seconds: `/proc/stat`, hundredths.
pub(crate) fn busy_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("empty stat")?;
    let fields: Vec<u64> = line.split_whitespace().skip(1).map(str::parse).collect::<Result<_, _>>()?;
    // user, nice, system, idle, iowait, irq, softirq: all but idle and iowait.
    let busy: u64 =
        fields.iter().take(7).enumerate().filter(|(at, _)| !matches!(at, 3 | 4)).map(|(_, time)| time).sum();
    Ok(busy as f64 / 100.0)
}

/// Processor time of this process so far, in seconds: hundredths, threads that have ended included.
pub(crate) fn own_cpu_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // After the name, which ends with the last parenthesis; user and system are fields 14 and 15.
    let (_, fields) = text.rsplit_once(')').context("no name")?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next().context("no user time")??, times.next().context("no system time")??);
    Ok((user + system) as f64 / 100.0)
}

/// Touches memory and gives it back, so that the run after it finds pages that are there: memory that the host has taken
/// away in the meantime costs ten times as much to write to, and whoever runs first would pay for all.
pub(crate) fn prefault(bytes: usize) {
    let mut memory = vec![0u8; bytes];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&memory);
}

/// Writes out what earlier runs left in the page cache.
pub(crate) fn settle() {
    rustix::fs::sync();
}

/// Gives a process and its threads (or takes from them) a place before all others: without it, latency under load is
/// that of the scheduler. Whether the system permits it.
pub(crate) fn real_time(process: u32, on: bool) -> bool {
    let policy: &[&str] =
        if on { &["--fifo", "--all-tasks", "--pid", "10"] } else { &["--other", "--all-tasks", "--pid", "0"] };
    Command::new("chrt").args(policy).arg(process.to_string()).output().is_ok_and(|output| output.status.success())
}

/// The number behind a name in a `status` file of /proc.
pub(crate) fn status_number(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}"))?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}

/// Processor, memory, kernel and file system, for the page.
pub(crate) fn describe(directory: &Path) -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let memory = status_number(&fs::read_to_string("/proc/meminfo")?, "MemTotal:")? as f64 / f64::from(1 << 20);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "{} cores ({}), {memory:.0} GiB, Linux {}, {}",
        std::thread::available_parallelism()?,
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim(),
        file_system(directory)?
    ))
}

fn file_system(directory: &Path) -> Result<String> {
    let directory = directory.canonicalize()?;
    let mounts = fs::read_to_string("/proc/mounts")?;
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            directory.starts_with(fields.get(1)?).then(|| (fields[1].len(), fields[2].to_owned()))
        })
        .max();
    Ok(mount.context("no mount holds the directory")?.1)
}

/// The minute it is, UTC.
pub(crate) fn now() -> Result<String> {
    let output = Command::new("date").args(["--utc", "+%Y-%m-%d %H:%M"]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
