//! What the long run saw, second by second and slice by slice.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use chronik_load::{Consumed, Produced};
use serde::Serialize;

use crate::machine;
use crate::process::Broker;

/// Everything, as it goes to `long-series.json`.
#[derive(Debug, Serialize)]
pub(super) struct Series {
    /// Records per second that the machine took as fast as it could, before the run.
    capacity: f64,
    rate: f64,
    pub(super) slices: Vec<Slice>,
    pub(super) seconds: Vec<Second>,
    pub(super) passes: Vec<Pass>,
}

/// Ten seconds of load.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Slice {
    /// When it began, in seconds of the run.
    pub(super) second: f64,
    pub(super) records_per_second: f64,
    /// From when a batch was due to its acknowledgement, in microseconds.
    produce_p50: f64,
    produce_p99: f64,
    produce_p999: f64,
    /// From when a record was due to its being with the consumer, in microseconds.
    delivery_p50: f64,
    delivery_p99: f64,
    /// How late the load itself was: if this is not small, the figures above are the client's.
    client_delay_p99: f64,
}

/// The broker at one moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Second {
    pub(super) second: f64,
    pub(super) resident_mib: f64,
    pub(super) descriptors: f64,
    /// Processor time so far.
    cpu_seconds: f64,
    disk_mib: f64,
    /// Load average of the machine.
    load: f64,
}

/// One reading from the earliest record to what was the last when it began.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Pass {
    pub(super) second: f64,
    pub(super) seconds: f64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// Retention deleted what it was about to read.
    pub(super) overtaken: bool,
}

impl Series {
    pub(super) fn new(capacity: f64, rate: f64) -> Series {
        Series { capacity, rate, slices: Vec::new(), seconds: Vec::new(), passes: Vec::new() }
    }

    pub(super) fn summary(&self, deleted: u64) -> String {
        let records: f64 = self.slices.iter().map(|slice| slice.records_per_second).sum::<f64>() * 10.0;
        let whole = self.passes.iter().filter(|pass| !pass.overtaken).count();
        let read: u64 = self.passes.iter().map(|pass| pass.bytes).sum();
        format!(
            "{:.0} records/s, {:.0} % of the {:.0} that the machine took before the run; {:.1} million records in {} slices of ten \
             seconds, {:.1} million of them deleted by retention; {whole} readings from the earliest record to the end ({:.1} GB in \
             all), {} overtaken by retention",
            self.rate,
            self.rate / self.capacity * 100.0,
            self.capacity,
            records / 1e6,
            self.slices.len(),
            deleted as f64 / 1e6,
            read as f64 / 1e9,
            self.passes.len() - whole,
        )
    }
}

/// A quantity's name, its unit, and where it stands.
type Quantity<T> = (&'static str, &'static str, fn(&T) -> f64);

impl Slice {
    pub(super) const QUANTITIES: [Quantity<Slice>; 5] = [
        ("throughput", "records/s", |slice| slice.records_per_second),
        ("acknowledgement p50", "µs", |slice| slice.produce_p50),
        ("acknowledgement p99", "µs", |slice| slice.produce_p99),
        ("delivery p99", "µs", |slice| slice.delivery_p99),
        ("lateness of the load itself p99", "µs", |slice| slice.client_delay_p99),
    ];

    pub(super) fn new(second: f64, produced: &Produced, consumed: &Consumed) -> Slice {
        Slice {
            second,
            records_per_second: produced.records as f64 / produced.seconds,
            produce_p50: produced.latency.percentile_us(50.0),
            produce_p99: produced.latency.percentile_us(99.0),
            produce_p999: produced.latency.percentile_us(99.9),
            delivery_p50: consumed.delivery.percentile_us(50.0),
            delivery_p99: consumed.delivery.percentile_us(99.0),
            client_delay_p99: produced.client_delay.percentile_us(99.0),
        }
    }

    pub(super) fn produce_p99(&self) -> f64 {
        self.produce_p99
    }

    pub(super) fn delivery_p99(&self) -> f64 {
        self.delivery_p99
    }

    pub(super) fn line(&self) -> String {
        format!(
            "{:>5.0} s: {:.0} records/s, acknowledgement p50 {:.0} p99 {:.0} µs, delivery p99 {:.0} µs",
            self.second, self.records_per_second, self.produce_p50, self.produce_p99, self.delivery_p99
        )
    }
}

impl Second {
    pub(super) const QUANTITIES: [Quantity<Second>; 3] = [
        ("resident memory", "MiB", |second| second.resident_mib),
        ("descriptors", "", |second| second.descriptors),
        ("on disk", "MiB", |second| second.disk_mib),
    ];

    pub(super) fn take(broker: &Broker, begun: Instant) -> Result<Second> {
        Ok(Second {
            second: begun.elapsed().as_secs_f64(),
            resident_mib: broker.resident_mib()?,
            descriptors: fs::read_dir(format!("/proc/{}/fd", broker.id()))?.count() as f64,
            cpu_seconds: broker.cpu_seconds()?,
            disk_mib: bytes_below(broker.directory()) as f64 / f64::from(1 << 20),
            load: machine::load_average()?,
        })
    }
}

/// Bytes of all files below; what is removed meanwhile does not count.
fn bytes_below(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let sizes = entries.flatten().filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some(if metadata.is_dir() { bytes_below(&entry.path()) } else { metadata.len() })
    });
    sizes.sum()
}
