//! Types and ranges of config values, refused in the words of Kafka's `ConfigDef`.

use alloc::format;
use alloc::string::String;

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
    /// Is `value` allowed as the config `name`?
    pub fn check(&self, name: &str, config_type: ConfigType, value: &str) -> Result<(), String> {
        self.objection(config_type, value).map_or(Ok(()), |objection| {
            Err(format!("Invalid value {value} for configuration {name}: {objection}"))
        })
    }

    fn objection(&self, config_type: ConfigType, value: &str) -> Option<String> {
        let trimmed = value.trim();
        match config_type {
            ConfigType::Boolean => {
                let known = ["true", "false"].iter().any(|word| trimmed.eq_ignore_ascii_case(word));
                (!known).then(|| "Expected value to be either true or false".into())
            }
            ConfigType::Short | ConfigType::Int | ConfigType::Long => self.integer_objection(config_type, trimmed),
            ConfigType::Double => self.double_objection(trimmed),
            ConfigType::String | ConfigType::List => self.word_objection(trimmed),
        }
    }

    fn integer_objection(&self, config_type: ConfigType, value: &str) -> Option<String> {
        let (smallest, largest) = config_type.range();
        let parsed = value.parse::<i64>().ok().filter(|number| (smallest..=largest).contains(number));
        let Some(number) = parsed else {
            return Some(format!("Not a number of type {}", config_type.kafka_name()));
        };
        match *self {
            Rule::AtLeast(min) | Rule::Between(min, _) if number < min => {
                Some(format!("Value must be at least {min}"))
            }
            Rule::Between(_, max) if number > max => Some(format!("Value must be no more than {max}")),
            Rule::GzipLevel if number != -1 && !(1..=9).contains(&number) => {
                Some("Value must be between 1 and 9 or equal to -1".into())
            }
            _ => None,
        }
    }

    fn double_objection(&self, value: &str) -> Option<String> {
        match (value.parse::<f64>(), self) {
            (Err(_), _) => Some("Not a number of type DOUBLE".into()),
            (Ok(number), Rule::Fraction) if number > 1.0 => Some("Value must be no more than 1".into()),
            (Ok(number), Rule::Fraction) if number >= 0.0 => None,
            (Ok(_), Rule::Fraction) => Some("Value must be at least 0".into()),
            _ => None,
        }
    }

    fn word_objection(&self, value: &str) -> Option<String> {
        match self {
            Rule::OneOf(words) => one_of(words, value),
            Rule::ListOf(words) => value.split(',').find_map(|item| one_of(words, item.trim())),
            Rule::ThrottledReplicas => {
                let pairs = value.split(',').map(str::trim).filter(|item| !item.is_empty());
                let wrong = value != "*" && pairs.map(is_replica).any(|fine| !fine);
                wrong.then(|| {
                    "The value must be the literal '*' or a list of replicas in the form \
                     [partitionId]:[brokerId],[partitionId]:[brokerId],..."
                        .into()
                })
            }
            _ => None,
        }
    }
}

fn one_of(words: &[&str], value: &str) -> Option<String> {
    (!words.contains(&value)).then(|| format!("String must be one of: {}", words.join(", ")))
}

fn is_replica(item: &str) -> bool {
    let number = |text: &str| text.parse::<u32>().is_ok();
    item.split_once(':').is_some_and(|(partition, broker)| number(partition) && number(broker))
}
