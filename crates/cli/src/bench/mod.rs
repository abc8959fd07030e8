//! `bench`: puts a load on a broker, ours or another, and says how it bore it.

pub(crate) mod arguments;
mod contest;
mod failure;
mod report;
mod topics;

use arguments::{At, BenchCommand, filling};
use chronik_load::{BatchShape, ConsumeLoad, ProduceLoad};

use crate::arguments::Output;
use crate::exit::Exit;
use crate::print;

/// What is measured.
pub(super) enum Load {
    Produce(ProduceLoad),
    /// The topic is filled with the first, unless it was there.
    Consume(ProduceLoad, ConsumeLoad),
    EndToEnd(ProduceLoad, ConsumeLoad),
}

impl Load {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Load::Produce(_) => "produce",
            Load::Consume(..) => "consume",
            Load::EndToEnd(..) => "end-to-end",
        }
    }

    pub(super) fn producing(&self) -> Option<&ProduceLoad> {
        match self {
            Load::Produce(load) | Load::EndToEnd(load, _) => Some(load),
            Load::Consume(..) => None,
        }
    }

    pub(super) fn consuming(&self) -> Option<&ConsumeLoad> {
        match self {
            Load::Produce(_) => None,
            Load::Consume(_, load) | Load::EndToEnd(_, load) => Some(load),
        }
    }

    /// The batches that a topic of the run consists of.
    pub(super) fn batch(&self) -> &BatchShape {
        match self {
            Load::Produce(load) | Load::Consume(load, _) | Load::EndToEnd(load, _) => &load.batch,
        }
    }
}

/// Runs the load, prints what came of it, and takes away the topics it made.
pub(crate) fn run(command: &BenchCommand) -> Exit {
    let (at, load, output) = match command {
        BenchCommand::Produce { at, producing, output } => (at, Load::Produce(producing.load(at)), output.output),
        BenchCommand::Consume { at, shape, consuming, output } => {
            (at, Load::Consume(filling(at, shape), consuming.load(at)), output.output)
        }
        BenchCommand::EndToEnd { at, producing, consuming, output } => {
            (at, Load::EndToEnd(producing.load(at), consuming.load(at)), output.output)
        }
    };
    measure(at, &load, output)
}

fn measure(at: &At, load: &Load, output: Output) -> Exit {
    match contest::run(at, load) {
        Ok(contest) => {
            match output {
                Output::Table => print::out(&report::table(at, load, &contest)),
                other => print::document(&report::json(at, load, &contest), other),
            }
            Exit::Done
        }
        Err(error) => {
            let (problem, exit) = failure::explain(&error);
            print::problems(&[problem]);
            exit
        }
    }
}
