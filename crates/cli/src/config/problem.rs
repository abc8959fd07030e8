//! Errors and warnings about configuration, in three parts: what is wrong and where, why it matters, and the fix.

use std::fmt;

/// One thing that is wrong, or will be.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) severity: Severity,
    /// What is wrong, one line, no full stop.
    pub(crate) what: String,
    pub(crate) places: Vec<Place>,
    /// Why it is not let pass; empty where `what` says it all.
    pub(crate) why: String,
    pub(crate) fix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Warning,
    Error,
}

/// Where a problem was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    File(FilePlace),
    /// A flag or a variable, as the user would write it.
    Given(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePlace {
    pub(crate) file: String,
    /// Counted from 1.
    pub(crate) line: usize,
    /// In characters, counted from 1.
    pub(crate) column: usize,
    pub(crate) source_line: String,
    /// Characters to underline, at least 1.
    pub(crate) width: usize,
    /// A word beside the underline; may be empty.
    pub(crate) label: String,
}

/// Stable numbers, so that an error can be looked up and searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Syntax = 101,
    Unreadable = 102,
    WrongType = 103,
    MissingUnit = 104,
    OutOfRange = 105,
    Malformed = 106,
    UnknownKey = 107,
    UnknownVariable = 108,
    EmptyValue = 109,
    GivenTwice = 110,
    AdvertisedAddress = 111,
    ListenAddress = 112,
    Contradiction = 113,
    Cluster = 201,
    NotInThisBuild = 202,
    NodeNotListed = 203,
    DuplicateNode = 204,
    PortConflict = 205,
    SharedAddress = 206,
    Replicas = 207,
    BrokenPeers = 208,
    OldName = 301,
    OldNameRefused = 302,
    NodeIdAlone = 303,
    Start = 401,
    Unreachable = 501,
    NoTopic = 502,
    Refused = 503,
    Broken = 504,
    Load = 505,
}

#[cfg(test)]
impl Code {
    pub(crate) const ALL: &[Code] = &[
        Code::Syntax,
        Code::Unreadable,
        Code::WrongType,
        Code::MissingUnit,
        Code::OutOfRange,
        Code::Malformed,
        Code::UnknownKey,
        Code::UnknownVariable,
        Code::EmptyValue,
        Code::GivenTwice,
        Code::AdvertisedAddress,
        Code::ListenAddress,
        Code::Contradiction,
        Code::Cluster,
        Code::NotInThisBuild,
        Code::NodeNotListed,
        Code::DuplicateNode,
        Code::PortConflict,
        Code::SharedAddress,
        Code::Replicas,
        Code::BrokenPeers,
        Code::OldName,
        Code::OldNameRefused,
        Code::NodeIdAlone,
        Code::Start,
        Code::Unreachable,
        Code::NoTopic,
        Code::Refused,
        Code::Broken,
        Code::Load,
    ];

    /// What it is about, for the reference page.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Code::Syntax => "the file is not TOML",
            Code::Unreadable => "the file cannot be read",
            Code::WrongType => "a value of the wrong type",
            Code::MissingUnit => "a size or time without its unit, or with a wrong one",
            Code::OutOfRange => "a value that the key does not accept",
            Code::Malformed => "an address or number that cannot be read",
            Code::UnknownKey => "a key or table that does not exist",
            Code::UnknownVariable => "a `CHRONIK_*` variable that nothing reads; a warning, with `--strict` an error",
            Code::EmptyValue => "a flag or variable without a value",
            Code::GivenTwice => "two names for one setting, both set",
            Code::AdvertisedAddress => "an advertised address that nobody can connect to",
            Code::ListenAddress => "an address to listen on that is not known here",
            Code::Contradiction => "two settings that exclude each other",
            Code::Cluster => "something that only the nodes of a cluster have, and no peers are listed",
            Code::NotInThisBuild => "something that asks for what this build does not have",
            Code::NodeNotListed => "a node that is not among the peers, or that does not say which of them it is",
            Code::DuplicateNode => "two peers with one number",
            Code::PortConflict => "two services of a node on one port",
            Code::SharedAddress => "an address that two peers share",
            Code::Replicas => "more replicas than nodes, or more of them in sync than there are",
            Code::BrokenPeers => "a list of peers that cannot be read, or in which something is missing",
            Code::OldName => "an old name that still works; a warning",
            Code::OldNameRefused => "an old name that cannot be honoured",
            Code::NodeIdAlone => "a node id in the environment, and no cluster; a warning",
            Code::Start => "the configuration is valid, and the node could not start or had to stop",
            Code::Unreachable => "no broker could be reached to be measured",
            Code::NoTopic => "the topic to be measured is not there, or is empty",
            Code::Refused => "a broker refused a request of `bench`, or does not speak it",
            Code::Broken => "a broker that failed while it was measured",
            Code::Load => "a load that cannot be made",
        }
    }
}

impl Problem {
    pub(crate) fn error(code: Code, what: impl Into<String>) -> Problem {
        Problem {
            code,
            severity: Severity::Error,
            what: what.into(),
            places: Vec::new(),
            why: String::new(),
            fix: String::new(),
        }
    }

    pub(crate) fn warning(code: Code, what: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(code, what) }
    }

    pub(crate) fn at(mut self, place: Place) -> Problem {
        self.places.push(place);
        self
    }

    pub(crate) fn why(mut self, why: impl Into<String>) -> Problem {
        self.why = why.into();
        self
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Problem {
        self.fix = fix.into();
        self
    }
}

impl Place {
    /// A value from the environment.
    pub(crate) fn variable(name: &str, value: &str) -> Place {
        Place::Given(format!("environment: {name}={value}"))
    }

    /// A value from the command line.
    pub(crate) fn flag(flag: &str, value: &str) -> Place {
        Place::Given(format!("command line: {flag} {value}").trim_end().to_owned())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        writeln!(f, "{word}[CHK{:04}]: {}", self.code as u16, self.what)?;
        let gutter = self.gutter();
        for place in &self.places {
            match place {
                Place::Given(given) => writeln!(f, "{:gutter$}--> {given}", "")?,
                Place::File(place) => place.render(f, gutter)?,
            }
        }
        for (label, text) in [("why", &self.why), ("fix", &self.fix)] {
            if !text.is_empty() {
                writeln!(f, "{label}   {}", text.replace('\n', "\n      "))?;
            }
        }
        Ok(())
    }
}

impl Problem {
    /// Room for the line numbers of all places, so that their bars stand in one column.
    fn gutter(&self) -> usize {
        let digits = |place: &Place| match place {
            Place::File(place) => place.line.to_string().len(),
            Place::Given(_) => 1,
        };
        self.places.iter().map(digits).max().unwrap_or(1).max(2)
    }
}

impl FilePlace {
    fn render(&self, f: &mut fmt::Formatter<'_>, gutter: usize) -> fmt::Result {
        writeln!(f, "{:gutter$}--> {}:{}:{}", "", self.file, self.line, self.column)?;
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{:>gutter$} | {}", self.line, self.source_line)?;
        let indent = self.column - 1;
        let underline = "^".repeat(self.width.max(1));
        writeln!(f, "{}", format!("{:gutter$} | {:indent$}{underline} {}", "", "", self.label).trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_points_at_its_line_and_names_the_fix() {
        let place = FilePlace {
            file: "chronik.toml".to_owned(),
            line: 14,
            column: 7,
            source_line: "[node.advertize]".to_owned(),
            width: 9,
            label: "did you mean `advertise`?".to_owned(),
        };
        let problem = Problem::error(Code::UnknownKey, "unknown key `advertize`")
            .at(Place::File(place))
            .why("its value decides what clients are told")
            .fix("rename it");
        let expected = "\
error[CHK0107]: unknown key `advertize`
  --> chronik.toml:14:7
   |
14 | [node.advertize]
   |       ^^^^^^^^^ did you mean `advertise`?
why   its value decides what clients are told
fix   rename it
";
        assert_eq!(problem.to_string(), expected);
    }
}
