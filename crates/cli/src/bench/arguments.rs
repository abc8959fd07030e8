//! What may stand behind `bench`. Names are those of Kafka's own performance tools where they have one.

use std::time::Duration;

use chronik_load::{BatchShape, Compression, ConsumeLoad, ProduceLoad, Rhythm, Until};
use clap::{Args, Subcommand, ValueEnum};

use crate::arguments::OutputArgument;
use crate::config::value::{Kind, Value};

const TIME_MAX_MS: u64 = 7 * 24 * 3600 * 1000;
const DEFAULT_TIME: Duration = Duration::from_secs(10);
/// How much is written for `consume` to read, unless the number of records is given.
const FILL_BYTES: u64 = 256 << 20;

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Send records, and see how long their acknowledgements take
    Produce {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        producing: Producing,
        #[command(flatten)]
        output: OutputArgument,
    },
    /// Read records as fast as they come; without --topic, a topic is filled first
    Consume {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        consuming: Consuming,
        #[command(flatten)]
        output: OutputArgument,
    },
    /// Send and read at once, and see how long a record takes from producer to consumer
    EndToEnd {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        producing: Producing,
        #[command(flatten)]
        consuming: Consuming,
        #[command(flatten)]
        output: OutputArgument,
    },
}

/// Which brokers, which topic, how long.
#[derive(Debug, Args)]
pub(crate) struct At {
    /// Broker to measure
    #[arg(short, long, value_name = "HOST:PORT", default_value = "localhost:9092")]
    pub(crate) bootstrap_server: String,
    /// A second Kafka-compatible broker: both get the same load in turns, and the ratio is printed
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) against: Option<String>,
    /// How often each broker gets its turn [default: 1, with --against 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,
    /// Topic to use. One that is not there is created, and deleted at the end [default: a name of its own]
    #[arg(long, value_name = "NAME")]
    pub(crate) topic: Option<String>,
    /// Partitions of a topic that is created
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) partitions: u32,
    /// Setting of a topic that is created (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) topic_config: Vec<(String, String)>,
    /// Records of each turn, after the warm-up
    #[arg(long, visible_alias = "num-records", value_name = "N", conflicts_with = "duration")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) records: Option<u64>,
    /// Time of each turn, after the warm-up [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) duration: Option<Duration>,
    /// Time that is not counted at the beginning of each turn
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub(crate) warmup: Duration,
    /// Threads that share the connections, of producers and of consumers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    pub(crate) threads: usize,
}

impl At {
    pub(crate) fn until(&self) -> Until {
        match self.records {
            Some(records) => Until::Records(records),
            None => Until::Time(self.duration.unwrap_or(DEFAULT_TIME)),
        }
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.against.is_some() { 4 } else { 1 })
    }
}

/// What records look like.
#[derive(Debug, Args)]
pub(crate) struct Shape {
    /// Bytes of a record's value
    #[arg(long, value_name = "BYTES", default_value = "1024", value_parser = size)]
    pub(crate) record_size: usize,
    /// Records in a batch
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = positive)]
    pub(crate) batch: usize,
    /// Number of different keys, each sent to the partition that Kafka's clients choose for it [default: no keys]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keys: Option<u64>,
    /// Compression of batches; they are made once, before the load begins
    #[arg(long, value_enum, value_name = "CODEC", default_value_t = Codec::None)]
    pub(crate) compression: Codec,
}

impl Shape {
    pub(crate) fn batch(&self) -> BatchShape {
        BatchShape {
            records: self.batch,
            record_bytes: self.record_size,
            keys: self.keys,
            compression: self.compression.into(),
        }
    }
}

/// What producers do.
#[derive(Debug, Args)]
pub(crate) struct Producing {
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// Records per second of all producers together; latency then counts from when a batch was due, not from when it
    /// could be sent [default: as fast as possible]
    #[arg(long, visible_alias = "throughput", value_name = "RECORDS/S", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Producers, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    pub(crate) producers: usize,
    /// Requests that a producer sends before it waits for an answer
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    pub(crate) in_flight: usize,
    /// Who has to have a record before it counts as written
    #[arg(long, value_enum, default_value_t = Acks::All)]
    pub(crate) acks: Acks,
}

impl Producing {
    pub(crate) fn load(&self, at: &At) -> ProduceLoad {
        ProduceLoad {
            producers: self.producers,
            in_flight: self.in_flight,
            acks: match self.acks {
                Acks::All => -1,
                Acks::One => 1,
                Acks::None => 0,
            },
            rhythm: self.rate.map_or(Rhythm::Fast, Rhythm::Rate),
            warm_up: at.warmup,
            threads: at.threads,
            ..ProduceLoad::new(self.shape.batch(), at.until())
        }
    }
}

/// What consumers do.
#[derive(Debug, Args)]
pub(crate) struct Consuming {
    /// Consumers that share the partitions, as members of a group do
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    pub(crate) consumers: usize,
    /// How many times everything is read, by consumers of their own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    pub(crate) groups: usize,
    /// Most bytes of an answer
    #[arg(long, value_name = "BYTES", default_value = "50MiB", value_parser = size)]
    pub(crate) fetch_max_bytes: usize,
    /// Most bytes of one partition in an answer
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = size)]
    pub(crate) max_partition_fetch_bytes: usize,
}

impl Consuming {
    pub(crate) fn load(&self, at: &At) -> ConsumeLoad {
        let bytes = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).min(i32::MAX as u32);
        ConsumeLoad {
            consumers: self.consumers,
            groups: self.groups,
            max_bytes: bytes(self.fetch_max_bytes),
            partition_max_bytes: bytes(self.max_partition_fetch_bytes),
            warm_up: at.warmup,
            threads: at.threads,
            ..ConsumeLoad::new(at.until())
        }
    }
}

/// The load that fills a topic before it is read.
pub(crate) fn filling(at: &At, shape: &Shape) -> ProduceLoad {
    let record_bytes = shape.record_size.max(1) as u64;
    let records = at.records.unwrap_or(FILL_BYTES.div_ceil(record_bytes));
    ProduceLoad::new(shape.batch(), Until::Records(records))
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Acks {
    #[value(name = "all", alias = "-1")]
    All,
    #[value(name = "1")]
    One,
    #[value(name = "0")]
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Compression {
        match codec {
            Codec::None => Compression::None,
            Codec::Gzip => Compression::Gzip,
            Codec::Snappy => Compression::Snappy,
            Codec::Lz4 => Compression::Lz4,
            Codec::Zstd => Compression::Zstd,
        }
    }
}

fn time(text: &str) -> Result<Duration, String> {
    match (Kind::Duration { min_ms: 0, max_ms: TIME_MAX_MS }).parse(text, false) {
        Ok(Value::Duration { ms }) => Ok(Duration::from_millis(ms)),
        Ok(_) => Err("not a time".to_owned()),
        Err(mismatch) => Err(format!("{}: {}", mismatch.what, mismatch.fix)),
    }
}

/// A number of bytes, with or without a unit.
fn size(text: &str) -> Result<usize, String> {
    if let Ok(bytes) = text.parse() {
        return Ok(bytes);
    }
    match (Kind::Bytes { min: 0, max: i32::MAX as u64 }).parse(text, false) {
        Ok(Value::Bytes(bytes)) => Ok(bytes as usize),
        Ok(_) => Err("not a size".to_owned()),
        Err(mismatch) => Err(format!("{}: {}", mismatch.what, mismatch.fix)),
    }
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a whole number above 0 is wanted".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let wanted = "a number of records per second above 0 is wanted";
    text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0).ok_or_else(|| wanted.to_owned())
}

fn setting(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').ok_or("NAME=VALUE is wanted, e.g. flush.messages=1")?;
    Ok((parts.0.to_owned(), parts.1.to_owned()))
}
