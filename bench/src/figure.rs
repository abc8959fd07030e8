//! What is measured: figures by name, each a function that takes samples and says what they mean.
//!
//! A figure plugs in here: write `fn run(lab: &mut Lab) -> Result<Outcome>` in a file of `figures/`, and add a line to
//! [`crate::figures::ALL`]. The rest (tables, verdicts, JSON, charts) follows from the [`Outcome`].

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::lab::Lab;
use crate::peer::Peer;
use crate::sample::{Middle, Samples, middle};

/// Something that is measured in one go and can be run alone.
pub(crate) struct Figure {
    /// As on the command line and in the name of its JSON file.
    pub(crate) name: &'static str,
    /// One line: what is done, in which sizes.
    pub(crate) about: &'static str,
    pub(crate) run: fn(&mut Lab) -> Result<Outcome>,
}

/// What a figure found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) rows: Vec<Row>,
    pub(crate) claims: Vec<Claim>,
    /// What a reader must know to read it rightly; sentences.
    pub(crate) remarks: Vec<String>,
}

/// One quantity, of several systems.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: String,
    pub(crate) columns: Vec<Column>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Column {
    /// A peer's name, or that of something more primitive (a raw sync, an echo).
    pub(crate) system: String,
    pub(crate) samples: Samples,
}

/// A row of the table of targets: a figure of ours, often a ratio, with what it must be and what we aim at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// Names the claim in `bench/notes.toml`; the figure's name and a word.
    pub(crate) name: String,
    pub(crate) what: String,
    /// `×` for ratios.
    pub(crate) unit: String,
    pub(crate) values: Vec<f64>,
    pub(crate) must: f64,
    pub(crate) aim: f64,
    pub(crate) better: Better,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Less,
    More,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    AimMet,
    Met,
    Missed,
}

impl Outcome {
    /// Adds a row; systems without a sample are left out.
    pub(crate) fn row(&mut self, what: &str, unit: &str, columns: Vec<(&str, Samples)>) {
        let columns = columns
            .into_iter()
            .filter(|(_, samples)| !samples.values.is_empty())
            .map(|(system, samples)| Column { system: system.to_owned(), samples })
            .collect();
        self.rows.push(Row { what: what.to_owned(), unit: unit.to_owned(), columns });
    }

    /// Adds a claim, unless there is nothing to judge it by.
    pub(crate) fn claim(&mut self, claim: Claim) {
        if !claim.values.is_empty() {
            self.claims.push(claim);
        }
    }

    pub(crate) fn remark(&mut self, remark: impl Into<String>) {
        self.remarks.push(remark.into());
    }
}

impl Claim {
    /// A claim that something is at most so much.
    pub(crate) fn at_most(name: &str, what: &str, unit: &str, values: Vec<f64>, must: f64, aim: f64) -> Claim {
        let (name, what, unit) = (name.to_owned(), what.to_owned(), unit.to_owned());
        Claim { name, what, unit, values, must, aim, better: Better::Less }
    }

    /// A claim that something is at least so much.
    pub(crate) fn at_least(name: &str, what: &str, unit: &str, values: Vec<f64>, must: f64, aim: f64) -> Claim {
        Claim { better: Better::More, ..Claim::at_most(name, what, unit, values, must, aim) }
    }

    pub(crate) fn middle(&self) -> Middle {
        middle(&self.values)
    }

    /// By the median: an interval that reaches over a bound is for the reader to see.
    pub(crate) fn verdict(&self) -> Verdict {
        let median = self.middle().median;
        let holds = |bound: f64| match self.better {
            Better::Less => median <= bound,
            Better::More => median >= bound,
        };
        match (holds(self.aim), holds(self.must)) {
            (true, _) => Verdict::AimMet,
            (_, true) => Verdict::Met,
            _ => Verdict::Missed,
        }
    }
}

impl Verdict {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Verdict::AimMet => "aim met",
            Verdict::Met => "met",
            Verdict::Missed => "missed",
        }
    }
}

/// Samples of several peers, taken in rounds: forwards, backwards, forwards, … so that nobody always runs first. The
/// first round is thrown away. `one` takes one run of one peer and gives as many quantities as `QUANTITIES`.
pub(crate) fn rounds<const QUANTITIES: usize>(
    lab: &mut Lab,
    peers: &[Peer],
    kept: usize,
    mut one: impl FnMut(&mut Lab, Peer, usize) -> Result<[f64; QUANTITIES]>,
) -> Result<Vec<[Samples; QUANTITIES]>> {
    let mut samples: Vec<[Samples; QUANTITIES]> =
        peers.iter().map(|_| std::array::from_fn(|_| Samples::default())).collect();
    for round in 0..=kept {
        let mut order: Vec<usize> = (0..peers.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let quantities = one(lab, peers[at], round)?;
            if round > 0 {
                for (samples, value) in samples[at].iter_mut().zip(quantities) {
                    samples.add(value);
                }
            }
        }
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_go_by_the_median() {
        let claim = |values: &[f64]| Claim::at_most("n", "w", "×", values.to_vec(), 1.6, 1.25).verdict();
        assert_eq!(claim(&[1.0, 1.2, 9.0]), Verdict::AimMet);
        assert_eq!(claim(&[1.5, 1.6, 1.7]), Verdict::Met);
        assert_eq!(claim(&[1.0, 1.7, 1.8]), Verdict::Missed);
        let share = |value| Claim::at_least("n", "w", "", vec![value], 0.75, 0.9).verdict();
        assert_eq!([share(0.95), share(0.8), share(0.7)], [Verdict::AimMet, Verdict::Met, Verdict::Missed]);
    }

    #[test]
    fn a_verdict_of_nothing_is_not_given() {
        let mut outcome = Outcome::default();
        outcome.claim(Claim::at_most("n", "w", "×", Vec::new(), 1.0, 1.0));
        assert!(outcome.claims.is_empty());
        assert_eq!(Claim::at_most("n", "w", "×", Vec::new(), 1.0, 1.0).verdict(), Verdict::Missed);
    }
}
