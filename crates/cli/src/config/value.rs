//! What a value may be, and how it is read from text: sizes and times with their units, addresses with their port.

use std::fmt;

/// What a key accepts. The text form is the same in the file, in a variable and in a flag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Path,
    Text,
    Boolean,
    /// A whole number. `unit` is empty, or what Kafka counts in under this name.
    Integer {
        min: i64,
        max: i64,
        unit: &'static str,
    },
    /// A size with its unit: `"64MiB"`.
    Bytes {
        min: u64,
        max: u64,
    },
    /// A time with its unit: `"10s"`.
    Duration {
        min_ms: u64,
        max_ms: u64,
    },
    Choice(&'static [&'static str]),
    /// `host:port`; flags and short variables may leave out the port.
    Address,
}

/// A value that has been read and is within its bounds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Boolean(bool),
    Integer(i64),
    Bytes(u64),
    Duration { ms: u64 },
    Address(Address),
}

/// A host, a port, or both: parts left out are filled from the layer below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
}

/// Why a text is not a value of its kind.
#[derive(Debug, PartialEq)]
pub(crate) struct Mismatch {
    pub(crate) reason: Reason,
    /// What was expected and what was found, as one sentence.
    pub(crate) what: String,
    /// What to write instead.
    pub(crate) fix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Type,
    Unit,
    Range,
    Syntax,
}

impl Kind {
    /// Reads `text`. `port_optional` is for flags and short variables, where `host` alone will do.
    pub(crate) fn parse(self, text: &str, port_optional: bool) -> Result<Value, Mismatch> {
        match self {
            Kind::Path | Kind::Text => Ok(Value::Text(text.to_owned())),
            Kind::Boolean => parse_boolean(text),
            Kind::Integer { .. } => match text.parse() {
                Ok(number) => self.integer(number),
                Err(_) => Err(mismatch(
                    Reason::Type,
                    format!("expected a whole number, found `{text}`"),
                    "write digits only".to_owned(),
                )),
            },
            Kind::Bytes { min, max } => parse_bytes(text, min, max),
            Kind::Duration { min_ms, max_ms } => parse_duration(text, min_ms, max_ms),
            Kind::Choice(choices) => parse_choice(text, choices),
            Kind::Address => Address::parse(text, port_optional).map(Value::Address),
        }
    }

    /// Accepts `number` when it is within the bounds of an integer key.
    pub(crate) fn integer(self, number: i64) -> Result<Value, Mismatch> {
        let Kind::Integer { min, max, .. } = self else { unreachable!("only integer keys hold whole numbers") };
        if (min..=max).contains(&number) {
            return Ok(Value::Integer(number));
        }
        Err(mismatch(
            Reason::Range,
            format!("{number} is outside of what this key accepts"),
            format!("give a number from {min} to {max}"),
        ))
    }

    /// The kind in words, for errors and for the reference page.
    pub(crate) fn describe(self) -> String {
        match self {
            Kind::Path => "path".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Boolean => "true or false".to_owned(),
            Kind::Integer { unit: "", .. } => "whole number".to_owned(),
            Kind::Integer { unit, .. } => format!("whole number, {unit}"),
            Kind::Bytes { .. } => "size with its unit".to_owned(),
            Kind::Duration { .. } => "time with its unit".to_owned(),
            Kind::Choice(choices) => {
                let quoted: Vec<_> = choices.iter().map(|choice| format!("\"{choice}\"")).collect();
                match quoted.split_last().expect("there is a choice") {
                    (only, []) => only.clone(),
                    (last, others) => format!("{} or {last}", others.join(", ")),
                }
            }
            Kind::Address => "host:port".to_owned(),
        }
    }

    /// The bounds in words, empty when there are none worth telling.
    pub(crate) fn bounds(self) -> String {
        match self {
            Kind::Integer { min, max: i64::MAX, .. } => format!("from {min}"),
            Kind::Integer { min, max, .. } => format!("{min} to {max}"),
            Kind::Bytes { min, max } => format!("{} to {}", bytes_text(min), bytes_text(max)),
            Kind::Duration { min_ms, max_ms } => format!("{} to {}", duration_text(min_ms), duration_text(max_ms)),
            _ => String::new(),
        }
    }
}

impl Value {
    /// Whether both say something about the same: all values but addresses of which each has another part.
    pub(crate) fn overlaps(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Address(a), Value::Address(b)) => {
                (a.host.is_some() && b.host.is_some()) || (a.port.is_some() && b.port.is_some())
            }
            _ => true,
        }
    }
}

impl Address {
    /// Reads `host:port`, `[v6]:port`, or a host alone where `port_optional`.
    pub(crate) fn parse(text: &str, port_optional: bool) -> Result<Address, Mismatch> {
        let form = if port_optional { "host or host:port" } else { "host:port" };
        let complain = |what: String| {
            Err(mismatch(Reason::Syntax, what, format!("write it as {form}, for example `broker.example.com:9092`")))
        };
        if text.contains("://") {
            return complain(format!("`{text}` is a URL, not an address"));
        }
        let (host, port) = match split_host(text) {
            Ok(parts) => parts,
            Err(what) => return complain(what),
        };
        if host.is_empty() {
            return complain(format!("`{text}` has no host"));
        }
        if host.contains(char::is_whitespace) || host.contains('/') || host.contains(',') {
            return complain(format!("`{host}` is not a host name"));
        }
        let port = match port {
            None if port_optional => None,
            None => return complain(format!("`{text}` has no port")),
            Some(digits) => match digits.parse::<u16>() {
                Ok(port) => Some(port),
                Err(_) => return complain(format!("`{digits}` is not a port (0 to 65535)")),
            },
        };
        Ok(Address { host: Some(host.to_owned()), port })
    }

    /// This address, with the parts it leaves out taken from `below`.
    pub(crate) fn over(self, below: &Address) -> Address {
        Address { host: self.host.or_else(|| below.host.clone()), port: self.port.or(below.port) }
    }
}

/// Splits an address into host and port; the brackets of an IPv6 host are taken off.
fn split_host(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((host, after)) = rest.split_once(']') else {
            return Err(format!("`{text}` opens a bracket and does not close it"));
        };
        return match after {
            "" => Ok((host, None)),
            _ => match after.strip_prefix(':') {
                Some(port) => Ok((host, Some(port))),
                None => Err(format!("`{after}` after the bracket is not a port")),
            },
        };
    }
    match text.matches(':').count() {
        0 => Ok((text, None)),
        1 => Ok(text.split_once(':').map(|(host, port)| (host, Some(port))).expect("one colon")),
        _ if text.parse::<std::net::Ipv6Addr>().is_ok() => Ok((text, None)),
        _ => Err(format!("`{text}` has more than one colon; an IPv6 host stands in brackets")),
    }
}

fn parse_boolean(text: &str) -> Result<Value, Mismatch> {
    match text {
        "true" => Ok(Value::Boolean(true)),
        "false" => Ok(Value::Boolean(false)),
        _ => Err(mismatch(
            Reason::Type,
            format!("expected true or false, found `{text}`"),
            "write true or false".to_owned(),
        )),
    }
}

fn parse_choice(text: &str, choices: &[&str]) -> Result<Value, Mismatch> {
    if choices.contains(&text) {
        return Ok(Value::Text(text.to_owned()));
    }
    Err(mismatch(
        Reason::Range,
        format!("`{text}` is not one of {}", choices.join(", ")),
        match super::suggest::closest(text, choices.iter().copied()) {
            Some(choice) => format!("did you mean `{choice}`?"),
            None => format!("write one of {}", choices.join(", ")),
        },
    ))
}

const SIZE_UNITS: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
const TIME_UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

fn parse_bytes(text: &str, min: u64, max: u64) -> Result<Value, Mismatch> {
    let bytes = parse_unit(text, SIZE_UNITS, "size", "64MiB")?;
    if (min..=max).contains(&bytes) {
        return Ok(Value::Bytes(bytes));
    }
    Err(out_of_range(text, &bytes_text(min), &bytes_text(max)))
}

fn parse_duration(text: &str, min_ms: u64, max_ms: u64) -> Result<Value, Mismatch> {
    let ms = parse_unit(text, TIME_UNITS, "time", "10s")?;
    if (min_ms..=max_ms).contains(&ms) {
        return Ok(Value::Duration { ms });
    }
    Err(out_of_range(text, &duration_text(min_ms), &duration_text(max_ms)))
}

fn out_of_range(text: &str, min: &str, max: &str) -> Mismatch {
    mismatch(
        Reason::Range,
        format!("{text} is outside of what this key accepts"),
        format!("give a value from {min} to {max}"),
    )
}

fn parse_unit(text: &str, units: &[(&str, u64)], noun: &str, example: &str) -> Result<u64, Mismatch> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let unit = unit.trim_start();
    let names = || units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    if digits.is_empty() {
        return Err(mismatch(
            Reason::Type,
            format!("expected a {noun}, found `{text}`"),
            format!("write a whole number and one of the units {}, for example \"{example}\"", names()),
        ));
    }
    if unit.is_empty() {
        return Err(mismatch(
            Reason::Unit,
            format!("`{text}` has no unit"),
            format!("add one of the units {}, for example \"{example}\"", names()),
        ));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let fix = match similar_unit(unit, units) {
            Some(name) => format!("did you mean \"{digits}{name}\"?"),
            None => format!("use one of the units {}, for example \"{example}\"", names()),
        };
        return Err(mismatch(Reason::Unit, format!("`{unit}` is not a unit of {noun}"), fix));
    };
    digits.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor)).ok_or_else(|| {
        mismatch(Reason::Range, format!("{text} is too large to count"), "give a smaller value".to_owned())
    })
}

/// `MB`, `mb`, `sec`: close enough to a unit to name it.
fn similar_unit<'a>(unit: &str, units: &[(&'a str, u64)]) -> Option<&'a str> {
    let lower = unit.to_ascii_lowercase();
    let spelled = match lower.as_str() {
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hour" | "hours" | "hr" => "h",
        "day" | "days" => "d",
        "k" | "kb" | "kib" => "KiB",
        "m" | "mb" | "mib" => "MiB",
        "g" | "gb" | "gib" => "GiB",
        "t" | "tb" | "tib" => "TiB",
        other => other,
    };
    units.iter().map(|(name, _)| *name).find(|name| name.eq_ignore_ascii_case(spelled))
}

fn mismatch(reason: Reason, what: String, fix: String) -> Mismatch {
    Mismatch { reason, what, fix }
}

/// A size in the largest unit that holds it exactly.
pub(crate) fn bytes_text(bytes: u64) -> String {
    in_largest_unit(bytes, SIZE_UNITS)
}

/// A time in the largest unit that holds it exactly.
pub(crate) fn duration_text(ms: u64) -> String {
    in_largest_unit(ms, TIME_UNITS)
}

fn in_largest_unit(amount: u64, units: &[(&str, u64)]) -> String {
    let (name, factor) =
        units.iter().rev().find(|(_, factor)| amount >= *factor && amount.is_multiple_of(*factor)).unwrap_or(&units[0]);
    format!("{}{name}", amount / factor)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Boolean(flag) => write!(f, "{flag}"),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Bytes(bytes) => f.write_str(&bytes_text(*bytes)),
            Value::Duration { ms } => f.write_str(&duration_text(*ms)),
            Value::Address(address) => write!(f, "{address}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_deref() {
            Some(host) if host.contains(':') => write!(f, "[{host}]")?,
            Some(host) => f.write_str(host)?,
            None => {}
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Kind = Kind::Bytes { min: 1 << 10, max: 1 << 40 };
    const TIME: Kind = Kind::Duration { min_ms: 1, max_ms: 86_400_000 };

    #[test]
    fn units_are_read_and_written_back_in_the_largest_that_fits() {
        for (kind, text, shown) in
            [(SIZE, "64MiB", "64MiB"), (SIZE, "1024 KiB", "1MiB"), (TIME, "90s", "90s"), (TIME, "3600s", "1h")]
        {
            assert_eq!(kind.parse(text, false).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_wrong_unit_is_refused_with_the_right_one() {
        let refused = |kind: Kind, text| kind.parse(text, false).unwrap_err();
        assert_eq!(refused(SIZE, "64MB").fix, "did you mean \"64MiB\"?");
        assert_eq!(refused(TIME, "10sec").fix, "did you mean \"10s\"?");
        assert_eq!(refused(TIME, "10").reason, Reason::Unit);
        assert_eq!(refused(TIME, "soon").reason, Reason::Type);
        assert_eq!(refused(TIME, "2d").reason, Reason::Range);
        assert_eq!(refused(SIZE, "99999999999TiB").reason, Reason::Range);
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        let full = |text| Address::parse(text, false);
        assert_eq!(full("[::1]:9092").unwrap().to_string(), "[::1]:9092");
        assert_eq!(full("broker:9092").unwrap().to_string(), "broker:9092");
        for text in
            ["broker", ":9092", "9092:", "a:b:c", "http://broker:9092", "broker:70000", "[::1", "[::1]9092", "a b:1"]
        {
            assert!(full(text).is_err(), "{text} must be refused");
        }
        assert_eq!(Address::parse("::1", true).unwrap(), Address { host: Some("::1".to_owned()), port: None });
    }

    #[test]
    fn a_partial_address_is_completed_from_below() {
        let below = Address::parse("0.0.0.0:9192", false).unwrap();
        assert_eq!(Address::parse("127.0.0.1", true).unwrap().over(&below).to_string(), "127.0.0.1:9192");
        assert_eq!(Address { host: None, port: Some(1) }.over(&below).to_string(), "0.0.0.0:1");
    }
}
