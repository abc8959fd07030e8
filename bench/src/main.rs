//! `chronik-bench`: what our server costs and how fast it is, beside Apache Kafka and the floor, in one run.

mod figure;
mod figures;
mod kafka;
mod lab;
mod long;
mod machine;
mod meter;
mod peer;
mod process;
mod raw;
mod report;
mod sample;
mod topic;
mod trio;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;

use crate::figure::Figure;
use crate::lab::Lab;
use crate::process::Programs;
use crate::report::page::Places;
use crate::report::record::Record;
use crate::report::text;

/// Measures brokers on this machine. Started by `cargo xtask bench`, which builds and fetches what is measured.
#[derive(Parser)]
struct Arguments {
    /// Our server.
    #[arg(long)]
    server: PathBuf,
    /// The floor broker.
    #[arg(long)]
    floor: PathBuf,
    /// The directory of Apache Kafka's jars.
    #[arg(long)]
    kafka_jars: Option<PathBuf>,
    /// librdkafka's shared library.
    #[arg(long)]
    librdkafka: Option<PathBuf>,
    /// A place on the disk to be measured; emptied.
    #[arg(long)]
    directory: PathBuf,
    /// Where JSON and charts go; nowhere without it.
    #[arg(long)]
    results: Option<PathBuf>,
    /// The page that is written from the results; `bench/notes.toml` has its notes.
    #[arg(long, requires = "results", requires = "notes")]
    page: Option<PathBuf>,
    /// Why a figure was missed, by the name of the claim.
    #[arg(long)]
    notes: Option<PathBuf>,
    /// Commit of the tree that is measured.
    #[arg(long, default_value = "unknown")]
    commit: String,
    /// A tenth of the sizes and one round: to see that everything works. Its figures mean nothing.
    #[arg(long)]
    small: bool,
    /// How long the long run takes, after its first minute.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Names the figures and ends.
    #[arg(long)]
    list: bool,
    /// Figures to take; all when none is named. `quick`: a few, for work on the server; `page`: only writes the page.
    figures: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if arguments.list {
        for figure in figures::ALL.iter().chain(figures::APART) {
            println!("{:<22} {}", figure.name, figure.about);
        }
        return Ok(());
    }
    let programs = Programs {
        server: arguments.server.clone(),
        floor: arguments.floor.clone(),
        kafka_jars: arguments.kafka_jars.clone(),
        librdkafka: arguments.librdkafka.clone(),
    };
    // Brokers are started in directories of their own.
    let directory = std::path::absolute(&arguments.directory)?;
    if arguments.figures == ["page"] {
        return page(arguments);
    }
    let figures = chosen(&arguments.figures)?;
    let started = Instant::now();
    let mut lab = Lab::new(programs, directory, arguments.small)?;
    lab.minutes = arguments.minutes;
    lab.results = arguments.results.clone();
    for figure in figures {
        take(figure, &mut lab, arguments)?;
    }
    println!("{:.1} minutes in all", started.elapsed().as_secs_f64() / 60.0);
    page(arguments)
}

/// Writes charts and the page from the results, where there are places for them.
fn page(arguments: &Arguments) -> Result<()> {
    let (Some(results), Some(page), Some(notes)) = (&arguments.results, &arguments.page, &arguments.notes) else {
        return Ok(());
    };
    report::page::write(&Places { results, page, notes })
}

/// The figures of these names, in the order of the registry; for none, all but those that stand apart.
fn chosen(names: &[String]) -> Result<Vec<&'static Figure>> {
    match names {
        [] => return Ok(figures::ALL.iter().collect()),
        [quick] if quick == "quick" => return Ok(figures::QUICK.iter().collect()),
        _ => {}
    }
    let known = || figures::ALL.iter().chain(figures::APART);
    if let Some(unknown) = names.iter().find(|name| known().all(|figure| figure.name != **name)) {
        bail!("there is no figure `{unknown}`; --list names them");
    }
    Ok(known().filter(|figure| names.iter().any(|name| name == figure.name)).collect())
}

fn take(figure: &Figure, lab: &mut Lab, arguments: &Arguments) -> Result<()> {
    println!("{}: {}", figure.name, figure.about);
    let date = machine::now()?;
    let started = Instant::now();
    let outcome = (figure.run)(lab).with_context(|| figure.name)?;
    let seconds = started.elapsed().as_secs_f64();
    text::print(&outcome);
    println!("  {seconds:.0} s, load average {:.2}", machine::load_average()?);
    let Some(results) = &arguments.results else { return Ok(()) };
    let record = Record {
        figure: figure.name.to_owned(),
        about: figure.about.to_owned(),
        date,
        commit: arguments.commit.clone(),
        machine: machine::describe(&lab.directory)?,
        seconds,
        outcome,
    };
    record.write(results)
}
