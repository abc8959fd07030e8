//! Types and ranges of config values, refused in the words of Kafka's `ConfigDef`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// How a value is written; the numbers are those of DescribeConfigs (KIP-569).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigType {
    /// 1
    Boolean,
    /// 2
    String,
    /// 3
    Int,
    /// 4
    Short,
    /// 5
    Long,
    /// 6
    Double,
    /// 7: items separated by commas.
    List,
}

impl ConfigType {
    /// The number in DescribeConfigs.
    pub fn code(self) -> i8 {
        match self {
            ConfigType::Boolean => 1,
            ConfigType::String => 2,
            ConfigType::Int => 3,
            ConfigType::Short => 4,
            ConfigType::Long => 5,
            ConfigType::Double => 6,
            ConfigType::List => 7,
        }
    }

    fn kafka_name(self) -> &'static str {
        match self {
            ConfigType::Boolean => "BOOLEAN",
            ConfigType::String => "STRING",
            ConfigType::Int => "INT",
            ConfigType::Short => "SHORT",
            ConfigType::Long => "LONG",
            ConfigType::Double => "DOUBLE",
            ConfigType::List => "LIST",
        }
    }

    fn range(self) -> (i64, i64) {
        match self {
            ConfigType::Short => (i16::MIN.into(), i16::MAX.into()),
            ConfigType::Int => (i32::MIN.into(), i32::MAX.into()),
            _ => (i64::MIN, i64::MAX),
        }
    }
}

/// What a value must satisfy beyond its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Nothing.
    Any,
    /// A number not below this.
    AtLeast(i64),
    /// A number from the first to the second.
    Between(i64, i64),
    /// A number from 0 to 1.
    Fraction,
    /// A gzip level: 1 to 9, or −1 for the library's choice.
    GzipLevel,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of these words.
    ListOf(&'static [&'static str]),
    /// `partition:broker` pairs, or `*` for all.
    ThrottledReplicas,
}

impl Rule {
    /// Is `value` allowed as the config `name`? The text names the value as Kafka does: as it was understood.
    pub fn check(&self, name: &str, config_type: ConfigType, value: &str) -> Result<(), String> {
        let refuse = |(shown, why): (String, String)| format!("Invalid value {shown} for configuration {name}: {why}");
        let trimmed = value.trim();
        match config_type {
            ConfigType::Boolean => check_boolean(value).map_err(refuse),
            ConfigType::Short | ConfigType::Int | ConfigType::Long => {
                let number = parse_integer(config_type, trimmed).ok_or_else(|| refuse(not_a(config_type, value)))?;
                self.check_integer(number).map_err(|why| refuse((number.to_string(), why)))
            }
            ConfigType::Double => {
                let number = trimmed.parse::<f64>().map_err(|_| refuse(not_a(config_type, value)))?;
                self.check_double(number).map_err(|why| refuse((format!("{number:?}"), why)))
            }
            ConfigType::String => self.check_word(trimmed).map_err(refuse),
            ConfigType::List if trimmed.is_empty() => Ok(()),
            ConfigType::List if *self == Rule::ThrottledReplicas => check_replicas(name, trimmed).map_err(refuse),
            ConfigType::List => self.check_list(name, trimmed, refuse),
        }
    }

    fn check_integer(&self, number: i64) -> Result<(), String> {
        match *self {
            Rule::AtLeast(min) | Rule::Between(min, _) if number < min => Err(format!("Value must be at least {min}")),
            Rule::Between(_, max) if number > max => Err(format!("Value must be no more than {max}")),
            Rule::GzipLevel if number != -1 && !(1..=9).contains(&number) => {
                Err("Value must be between 1 and 9 or equal to -1".into())
            }
            _ => Ok(()),
        }
    }

    /// Kafka lets pass what is not a number at all; nothing could come of it.
    fn check_double(&self, number: f64) -> Result<(), String> {
        match self {
            Rule::Fraction if number > 1.0 => Err("Value must be no more than 1".into()),
            Rule::Fraction if number.is_nan() || number < 0.0 => Err("Value must be at least 0".into()),
            _ => Ok(()),
        }
    }

    fn check_word(&self, value: &str) -> Result<(), (String, String)> {
        match self {
            Rule::OneOf(words) | Rule::ListOf(words) if !words.contains(&value) => {
                Err((value.to_string(), format!("String must be one of: {}", words.join(", "))))
            }
            _ => Ok(()),
        }
    }

    fn check_list(&self, name: &str, value: &str, refuse: impl Fn((String, String)) -> String) -> Result<(), String> {
        for item in value.split(',').map(str::trim) {
            if item.is_empty() {
                return Err(format!("Configuration '{name}' values must not be empty."));
            }
            self.check_word(item).map_err(&refuse)?;
        }
        Ok(())
    }
}

fn check_boolean(value: &str) -> Result<(), (String, String)> {
    let known = ["true", "false"].iter().any(|word| value.trim().eq_ignore_ascii_case(word));
    match known {
        true => Ok(()),
        false => Err((value.to_string(), "Expected value to be either true or false".into())),
    }
}

fn parse_integer(config_type: ConfigType, value: &str) -> Option<i64> {
    let (smallest, largest) = config_type.range();
    value.parse::<i64>().ok().filter(|number| (smallest..=largest).contains(number))
}

fn not_a(config_type: ConfigType, value: &str) -> (String, String) {
    (value.to_string(), format!("Not a number of type {}", config_type.kafka_name()))
}

fn check_replicas(name: &str, value: &str) -> Result<(), (String, String)> {
    let items: Vec<&str> = value.split(',').map(str::trim).collect();
    if value == "*" || items.iter().all(|item| is_replica(item)) {
        return Ok(());
    }
    let why = format!(
        "{name} must be the literal '*' or a list of replicas in the following format: \
         [partitionId]:[brokerId],[partitionId]:[brokerId],..."
    );
    Err((format!("[{}]", items.join(", ")), why))
}

fn is_replica(item: &str) -> bool {
    let number = |text: &str| text.parse::<u32>().is_ok();
    item.split_once(':').is_some_and(|(partition, broker)| number(partition) && number(broker))
}
