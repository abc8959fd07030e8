//! `cargo xtask bench callgrind`: how many instructions one request takes. Unlike times they are the same on every run,
//! so a change of two in a hundred is a change of the program. valgrind knows neither AVX-512 nor io_uring: what the
//! server chooses at run time, it chooses without them here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{cache, cargo, root, run as step};

const BASELINE: &str = "bench/results/callgrind.json";
/// Requests that the test makes inside of each counted function (`crates/broker/src/instructions.rs`).
const REQUESTS: u64 = 100;
/// How much worse than the baseline is too much.
const WORSE: f64 = 0.02;
const KINDS: [&str; 2] = ["produce", "fetch"];

/// Counts; then writes the baseline or, with `--compare`, holds the counts against it.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let compare = match arguments {
        [] => false,
        [flag] if flag == "--compare" => true,
        _ => bail!("usage: cargo xtask bench callgrind [--compare]"),
    };
    let version = Command::new("valgrind").arg("--version").output();
    let version =
        version.context("valgrind is missing: apt-get install valgrind (or your system's package of that name)")?;
    let version = String::from_utf8(version.stdout)?.trim().to_owned();
    let program = build()?;
    let counts = KINDS.map(|kind| count(&program, kind));
    let [produce, fetch] = counts;
    let counts = [produce?, fetch?];
    for (kind, count) in KINDS.iter().zip(counts) {
        println!("{kind:<8} {count:>10} instructions per request");
    }
    let path = root().join(BASELINE);
    if compare {
        let baseline =
            fs::read_to_string(&path).with_context(|| format!("{BASELINE} is missing: run it without --compare"))?;
        return hold_against(&baseline, counts);
    }
    fs::create_dir_all(path.parent().expect("it lies in a folder"))?;
    fs::write(&path, document(counts, &version))?;
    println!("written to {BASELINE}");
    Ok(())
}

/// The tests of the broker as a program, optimised as what is shipped.
fn build() -> Result<PathBuf> {
    eprintln!("== building");
    let mut build = cargo();
    build.args(["test", "--release", "--package", "chronik-broker", "--lib", "--no-run", "--message-format", "json"]);
    let output = build.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "building ended with {}", output.status);
    let lines = String::from_utf8(output.stdout)?;
    let executable = lines.lines().filter_map(|line| line.split_once("\"executable\":\"")).next_back();
    let path = executable.and_then(|(_, rest)| rest.split_once('"')).context("cargo names no program")?.0;
    Ok(PathBuf::from(path))
}

/// Instructions of one request of this kind, all of the thread that serves it, its client's write and read included.
fn count(program: &Path, kind: &str) -> Result<u64> {
    let out = cache().join(format!("callgrind.{kind}"));
    fs::create_dir_all(cache())?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--collect-atstart=no"]);
    valgrind.arg(format!("--toggle-collect=*counted_{kind}*"));
    valgrind.arg(format!("--callgrind-out-file={}", out.display()));
    valgrind.arg(program).args(["--exact", "instructions::requests", "--test-threads", "1"]);
    step(&format!("counting {kind}"), &mut valgrind)?;
    let text = fs::read_to_string(&out)?;
    let total = total_of(&text).context("callgrind wrote no total")?;
    ensure!(total > 0, "nothing was counted: is `counted_{kind}` still the function's name?");
    Ok(total / REQUESTS)
}

fn total_of(callgrind: &str) -> Option<u64> {
    let line =
        callgrind.lines().find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))?;
    line.split_whitespace().next()?.parse().ok()
}

fn document([produce, fetch]: [u64; 2], valgrind: &str) -> String {
    format!(
        "{{\n  \"about\": \"instructions per request, 100 records of 1 KiB each\",\n  \"valgrind\": \"{valgrind}\",\n  \
         \"produce\": {produce},\n  \"fetch\": {fetch}\n}}\n"
    )
}

fn baseline_of(document: &str, kind: &str) -> Option<u64> {
    let (_, rest) = document.split_once(&format!("\"{kind}\":"))?;
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn hold_against(baseline: &str, counts: [u64; 2]) -> Result<()> {
    let mut worse = Vec::new();
    for (kind, count) in KINDS.iter().zip(counts) {
        let before = baseline_of(baseline, kind).with_context(|| format!("{BASELINE} has no `{kind}`"))?;
        let change = count as f64 / before as f64 - 1.0;
        println!("{kind:<8} {:+.2} % against {before}", change * 100.0);
        if change > WORSE {
            worse.push(format!("{kind} takes {:.1} % more instructions", change * 100.0));
        }
    }
    ensure!(worse.is_empty(), "{}; more than {:.0} % is too much", worse.join(", "), WORSE * 100.0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found() {
        assert_eq!(total_of("events: Ir\nfn=(1)\n1 2\ntotals: 4711\n"), Some(4711));
        assert_eq!(total_of("events: Ir\nsummary: 12\n\n"), Some(12));
        assert_eq!(total_of("events: Ir\n"), None);
    }

    #[test]
    fn three_in_a_hundred_more_are_too_many() {
        let baseline = document([1000, 2000], "valgrind-3.19.0");
        assert!(hold_against(&baseline, [1019, 1500]).is_ok());
        assert!(hold_against(&baseline, [1000, 2060]).is_err());
        assert!(hold_against("{}", [1, 1]).is_err());
    }
}
