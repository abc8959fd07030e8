//! `cargo xtask fuzz`: hostile bytes at five doors of the server. The targets are in `fuzz/`, a workspace of its own.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{self, cache, cargo, root};

const TARGETS: &[&str] = &["requests", "batches", "wal", "segments", "config"];
/// Longest input of each target, in bytes: a data directory is larger than a batch.
const INPUT_BYTES_MAX: &[(&str, usize)] =
    &[("requests", 16 << 10), ("batches", 16 << 10), ("wal", 96 << 10), ("segments", 96 << 10), ("config", 4096)];
/// Seconds after which an input counts as one that never ends.
const INPUT_SECONDS_MAX: u32 = 25;
/// Memory of the whole process, in MiB; what one input may take is checked far more tightly by the targets themselves.
const MEMORY_MIB_MAX: u32 = 2048;
/// The clock of `/proc/PID/stat` on Linux, ticks a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the command line asks for.
#[derive(Debug, PartialEq)]
enum Task {
    Run { target: String, minutes: f64 },
    Minimise { target: String },
    Replay,
    Seeds,
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match parse(arguments)? {
        Task::Run { target, minutes } => fuzz(&target, minutes),
        Task::Minimise { target } => minimise(&target),
        Task::Replay => replay(),
        Task::Seeds => seeds(),
    }
}

/// Runs all inputs of the corpora and all past findings once, without the engine.
pub(crate) fn replay() -> Result<()> {
    let program = build_replay()?;
    process::run("replay of the fuzzing corpora", Command::new(program).arg(root().join("fuzz")))
}

/// Lets the engine look for `minutes`; ends at the first finding.
fn fuzz(target: &str, minutes: f64) -> Result<()> {
    let program = build(target)?;
    let work = folder(target)?;
    let findings = work.join("found/");
    let seconds = (minutes * 60.0).ceil().max(1.0);
    let mut engine = Command::new(program);
    engine.args(limits(target)).arg(format!("-max_total_time={seconds}"));
    engine.arg(format!("-artifact_prefix={}", findings.display())).args(["-print_final_stats=1", "-reload=0"]);
    engine.arg(work.join("corpus")).args(kept(target));
    eprintln!("== fuzzing {target} for {minutes} minutes; new inputs go to {}", work.join("corpus").display());
    let began = Instant::now();
    let mut child = engine.spawn().context("the engine does not start")?;
    let (status, cpu_seconds) = wait(&mut child)?;
    note_hours(&work, began.elapsed(), cpu_seconds, status.success())?;
    println!("{target}: {cpu_seconds:.0} s of processor time in {:.0} s", began.elapsed().as_secs_f64());
    if !status.success() {
        bail!("a finding: {} holds the input. Keep it in fuzz/findings/{target} with the fix", findings.display());
    }
    Ok(())
}

/// Puts the fewest and smallest inputs into the tree that reach all that was ever reached.
fn minimise(target: &str) -> Result<()> {
    let program = build(target)?;
    let work = folder(target)?;
    let kept = root().join("fuzz/corpus").join(target);
    let fresh = work.join("minimised");
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir_all(&fresh)?;
    let mut engine = Command::new(program);
    engine.arg("-merge=1").args(limits(target)).arg(&fresh).arg(&kept).arg(work.join("corpus"));
    process::run("minimising", &mut engine)?;
    let _ = fs::remove_dir_all(&kept);
    fs::create_dir_all(&kept)?;
    for entry in fs::read_dir(&fresh)? {
        let path = entry?.path();
        fs::copy(&path, kept.join(path.file_name().context("a file has a name")?))?;
    }
    Ok(())
}

/// Writes the inputs to begin with beside those that the engine has found.
fn seeds() -> Result<()> {
    let program = build_replay()?;
    for target in TARGETS {
        let corpus = folder(target)?.join("corpus");
        fs::create_dir_all(&corpus)?;
        let beside = cache().join("fuzz/seeds");
        process::run("seeds", Command::new(&program).arg("--seeds").arg(&beside).arg(target))?;
        for entry in fs::read_dir(beside.join(target))? {
            let path = entry?.path();
            fs::copy(&path, corpus.join(path.file_name().context("a file has a name")?))?;
        }
    }
    Ok(())
}

fn limits(target: &str) -> Vec<String> {
    let length = INPUT_BYTES_MAX.iter().find(|(name, _)| *name == target).map_or(4096, |(_, bytes)| *bytes);
    vec![
        format!("-max_len={length}"),
        format!("-timeout={INPUT_SECONDS_MAX}"),
        format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
        "-len_control=0".to_owned(),
    ]
}

/// The target with the engine, its branches counted.
fn build(target: &str) -> Result<PathBuf> {
    let into = cache().join("fuzz/build");
    let mut command = cargo();
    command.current_dir(root().join("fuzz")).args(["build", "--locked", "--features", "engine", "--bin", target]);
    command.arg("--target-dir").arg(&into).env("RUSTC_WRAPPER", root().join("fuzz/rustc.sh")).env("CARGO_INCREMENTAL", "0");
    process::run("building the target", &mut command)?;
    Ok(into.join("debug").join(target))
}

/// In the folder of the other builds: what they share is built once.
fn build_replay() -> Result<PathBuf> {
    let into = cache().parent().context("the cache lies in target")?.to_owned();
    let mut command = cargo();
    command.current_dir(root().join("fuzz")).args(["build", "--locked", "--bin", "replay", "--target-dir"]).arg(&into);
    process::run("building the replay", &mut command)?;
    Ok(into.join("debug/replay"))
}

/// Where a target's own files lie, below `target`.
fn folder(target: &str) -> Result<PathBuf> {
    let folder = cache().join("fuzz").join(target);
    for part in ["corpus", "found"] {
        fs::create_dir_all(folder.join(part))?;
    }
    Ok(folder)
}

/// The inputs in the tree.
fn kept(target: &str) -> Vec<PathBuf> {
    let folders = ["corpus", "findings"].map(|kind| root().join("fuzz").join(kind).join(target));
    folders.into_iter().filter(|folder| folder.is_dir()).collect()
}

/// Waits for the end; also how much processor time it took, as far as could be seen a second before.
fn wait(child: &mut Child) -> Result<(ExitStatus, f64)> {
    let mut cpu_seconds = 0.0;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, cpu_seconds));
        }
        cpu_seconds = cpu_seconds_of(child.id()).unwrap_or(cpu_seconds);
        sleep(Duration::from_millis(500));
    }
}

/// User and system time of a process, from the fields behind its name in `/proc/PID/stat` (proc(5)).
fn cpu_seconds_of(process: u32) -> Option<f64> {
    let line = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = line.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS_PER_SECOND)
}

/// One line for each run: seconds of wall time, of processor time, and how it ended.
fn note_hours(work: &Path, elapsed: Duration, cpu_seconds: f64, is_clean: bool) -> Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(work.join("hours.tsv"))?;
    let ended = if is_clean { "clean" } else { "finding" };
    writeln!(file, "{:.0}\t{cpu_seconds:.0}\t{ended}", elapsed.as_secs_f64())?;
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Task> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let target = |name: &str| match TARGETS.contains(&name) {
        true => Ok(name.to_owned()),
        false => bail!("unknown target `{name}`; there are {}", TARGETS.join(", ")),
    };
    match words.as_slice() {
        ["--replay"] => Ok(Task::Replay),
        ["--seeds"] => Ok(Task::Seeds),
        ["--minimise", name] => Ok(Task::Minimise { target: target(name)? }),
        [name] => Ok(Task::Run { target: target(name)?, minutes: 10.0 }),
        [name, "--minutes", minutes] => {
            let minutes = minutes.parse().ok().filter(|minutes| *minutes > 0.0).context("--minutes takes a number")?;
            Ok(Task::Run { target: target(name)?, minutes })
        }
        _ => bail!("give one target of {}, --replay, --seeds or --minimise TARGET", TARGETS.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_a_target_or_a_chore() {
        let parse = |words: &[&str]| parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&["wal", "--minutes", "0.5"]).unwrap(), Task::Run { target: "wal".into(), minutes: 0.5 });
        assert_eq!(parse(&["--replay"]).unwrap(), Task::Replay);
        for wrong in [&["walls"][..], &["wal", "--minutes", "0"], &["wal", "--minutes", "x"], &[]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn this_process_has_used_some_time() {
        assert!(cpu_seconds_of(std::process::id()).is_some());
    }
}
