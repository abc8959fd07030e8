//! The consumer that always begins at the beginning.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use chronik_load::{Cluster, ConsumeLoad, LoadError, Target, Until, consume};

use super::series::Pass;

/// Between two readings this many times as long as the last one took: the load is a reader who comes again and again, not
/// one who takes a whole processor.
const REST: u32 = 3;
/// Kafka's OFFSET_OUT_OF_RANGE.
const OUT_OF_RANGE: i16 = 1;
/// Longer than any reading takes.
const LONGEST: Duration = Duration::from_secs(3_600);

pub(super) fn again_and_again(
    bootstrap: &str,
    target: &Target,
    begun: Instant,
    ended: &AtomicBool,
) -> Result<Vec<Pass>> {
    let mut cluster = Cluster::connect(bootstrap)?;
    let mut passes = Vec::new();
    let load = ConsumeLoad { once: true, ..ConsumeLoad::new(Until::Time(LONGEST)) };
    while !ended.load(Ordering::SeqCst) {
        let offsets = cluster.offsets(target)?;
        let second = begun.elapsed().as_secs_f64();
        let started = Instant::now();
        let (records, bytes, overtaken) = match consume(target, &load, &offsets) {
            Ok(consumed) => (consumed.records, consumed.wire_bytes, false),
            Err(LoadError::Refused { code: OUT_OF_RANGE, .. }) => (0, 0, true),
            Err(LoadError::EmptyTopic(_)) => (0, 0, false),
            Err(error) => return Err(error.into()),
        };
        let took = started.elapsed();
        if records > 0 || overtaken {
            passes.push(Pass { second, seconds: took.as_secs_f64(), records, bytes, overtaken });
        }
        thread::sleep((took * REST).clamp(Duration::from_millis(100), Duration::from_secs(30)));
    }
    Ok(passes)
}
