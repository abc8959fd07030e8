//! The chores: `cargo xtask test` runs everything that proves this tree, `cargo xtask bench` measures it.

mod bench;
mod callgrind;
mod conformance;
mod differ;
mod fuzz;
mod prepare;
mod process;
mod test;
mod tidy;
mod toolchain;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  test [--only PART]… [--list] [--against chronik|kafka] [--jobs N]
        Everything that proves this tree: cargo test, then the end-to-end cases with real clients, then the short run of the
        conformance suites.
        --only PART   only the end-to-end cases whose name contains PART (repeatable); `--only unit` for cargo test alone,
                      `--only conformance` for the short run of the suites
        --list        name the end-to-end cases and stop
        --against     run the cases against Apache Kafka instead, to see that they ask for what Kafka does

  bench [FIGURE]… [--list] [--small]
        What the server costs and how fast it is, beside Apache Kafka and the floor broker in the same run: all figures
        (about a quarter of an hour), or those named. --list names them, --small tries them in sizes that mean nothing.
  bench quick
        The figures that a change to the server moves first, beside the floor broker alone. Two or three minutes.
  bench callgrind [--compare]
        Instructions of one produce and one fetch request, counted by valgrind, into bench/results/callgrind.json;
        --compare fails when there are over 2 % more than are written there.

  conformance [SUITE]… [TEST]… [--against chronik|kafka] [--subset] [--record] [--page] [--list] [--jobs N]
        Suites that others wrote for their own clients, and whether they end as the lists in tests/conformance say.
        TEST       a test's name, a part of it or a pattern
        --subset   the short run that is part of `cargo xtask test`
        --record   write what was seen into the lists, and docs/compatibility.md anew
        --page     write docs/compatibility.md from the lists, and nothing else

  fuzz TARGET [--minutes N] | --replay | --seeds | --minimise TARGET
        Hostile bytes: requests, batches, wal, segments, config. Ends at the first finding. See docs/fuzzing.md.
        --replay      the corpora and all past findings once, without the engine; part of `test`

  differ [--seed N] [--requests N] [--only API]… [--all]
        The same random requests to Apache Kafka and to this server: what differs, but for what tests/differ/explained.toml
        explains. The same seed asks the same.

  stress
        Ten thousand connections, and other neglects of theirs: the cases `connections` of `test` with all of their numbers.

  faults [--rounds N] [--seed S] [--only PART]…
        Three nodes as processes, and all that can happen to them, at length: 50 rounds of faults under load, a network at fault,
        followers that were away for a million records, a million records through a kill and a stop. `test` has short forms of all.

  tidy  The boundaries that no compiler holds: forbidden edges between crates, licences, file names in documents, remains.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("test") => test::run(&arguments[1..]),
        Some("bench") => bench::run(&arguments[1..]),
        Some("conformance") => conformance::run(&arguments[1..]),
        Some("differ") => differ::run(&arguments[1..]),
        Some("fuzz") => fuzz::run(&arguments[1..]),
        Some("stress") => test::stress(&arguments[1..]),
        Some("faults") => test::faults(&arguments[1..]),
        Some("tidy") => tidy::run(),
        Some("help" | "--help" | "-h") | None => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(anyhow::anyhow!("unknown command `{other}`\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
