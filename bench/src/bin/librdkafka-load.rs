//! A producer that is librdkafka's own, and the broker that librdkafka fakes for its tests: who answers at once and keeps
//! nothing is the most that this producer can be given.
//!
//! `librdkafka-load LIBRARY mock TOPIC`: prints where the mock broker listens, until its standard input ends.
//! `librdkafka-load LIBRARY produce ADDRESS TOPIC RECORDS BYTES`: prints the seconds it took.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::Read;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use libloading::{Library, Symbol};

/// The first field of `rd_kafka_message_t` is its error; no other is looked at.
type Delivered = extern "C" fn(*mut c_void, *const c_int, *mut c_void);

const PRODUCER: c_int = 0;
const ANY_PARTITION: i32 = -1;
const WARM_UP_RECORDS: u64 = 50_000;
const POLL_MS: c_int = 100;
const FLUSH_MS: c_int = 60_000;

static ACKNOWLEDGED: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);

extern "C" fn delivered(_: *mut c_void, error: *const c_int, _: *mut c_void) {
    // SAFETY: librdkafka calls this with a message, whose first field is an int.
    let counter = if unsafe { *error } == 0 { &ACKNOWLEDGED } else { &FAILED };
    counter.fetch_add(1, Ordering::Relaxed);
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [library, "mock", topic] => mock(&Client::new(library, &[("log_level", "3")])?, topic),
        [library, "produce", address, topic, records, bytes] => {
            let client = Client::new(library, &[("bootstrap.servers", address)])?;
            produce(&client, topic, records.parse()?, bytes.parse()?)
        }
        _ => bail!("usage: librdkafka-load LIBRARY mock TOPIC | produce ADDRESS TOPIC RECORDS BYTES"),
    }
}

/// A producer of librdkafka's with its default settings.
struct Client {
    /// Never unloaded: its threads run on until the process ends.
    library: ManuallyDrop<Library>,
    handle: *mut c_void,
}

impl Client {
    fn new(library: &str, settings: &[(&str, &str)]) -> Result<Client> {
        // SAFETY: the caller names librdkafka, which runs nothing when it is loaded; every signature below is that of its
        // `rdkafka.h` (2.16.0), every string ends with a zero, and buffers are as long as is said.
        unsafe {
            let library = Library::new(library)?;
            let conf_new: Symbol<'_, unsafe extern "C" fn() -> *mut c_void> = library.get(b"rd_kafka_conf_new")?;
            let conf_set: Symbol<
                '_,
                unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char, *mut c_char, usize) -> c_int,
            > = library.get(b"rd_kafka_conf_set")?;
            let set_delivered: Symbol<'_, unsafe extern "C" fn(*mut c_void, Delivered)> =
                library.get(b"rd_kafka_conf_set_dr_msg_cb")?;
            let new: Symbol<'_, unsafe extern "C" fn(c_int, *mut c_void, *mut c_char, usize) -> *mut c_void> =
                library.get(b"rd_kafka_new")?;
            let mut error = [0 as c_char; 512];
            let conf = conf_new();
            for (name, value) in settings {
                let (name, value) = (CString::new(*name)?, CString::new(*value)?);
                let outcome = conf_set(conf, name.as_ptr(), value.as_ptr(), error.as_mut_ptr(), error.len());
                ensure!(outcome == 0, "{}", CStr::from_ptr(error.as_ptr()).to_string_lossy());
            }
            set_delivered(conf, delivered);
            let handle = new(PRODUCER, conf, error.as_mut_ptr(), error.len());
            ensure!(!handle.is_null(), "{}", CStr::from_ptr(error.as_ptr()).to_string_lossy());
            Ok(Client { library: ManuallyDrop::new(library), handle })
        }
    }
}

/// Serves until standard input ends.
fn mock(client: &Client, topic: &str) -> Result<()> {
    // SAFETY: signatures of `rdkafka_mock.h`; the cluster and its string live as long as the client.
    unsafe {
        let cluster_new: Symbol<'_, unsafe extern "C" fn(*mut c_void, c_int) -> *mut c_void> =
            client.library.get(b"rd_kafka_mock_cluster_new")?;
        let topic_create: Symbol<'_, unsafe extern "C" fn(*mut c_void, *const c_char, c_int, c_int) -> c_int> =
            client.library.get(b"rd_kafka_mock_topic_create")?;
        let bootstraps: Symbol<'_, unsafe extern "C" fn(*const c_void) -> *const c_char> =
            client.library.get(b"rd_kafka_mock_cluster_bootstraps")?;
        let cluster = cluster_new(client.handle, 1);
        ensure!(!cluster.is_null(), "no mock cluster");
        let topic = CString::new(topic)?;
        ensure!(topic_create(cluster, topic.as_ptr(), 1, 1) == 0, "no mock topic");
        println!("{}", CStr::from_ptr(bootstraps(cluster)).to_string_lossy());
    }
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Produces after a warm-up; the seconds from the first record to the last acknowledgement.
fn produce(client: &Client, topic: &str, records: u64, bytes: usize) -> Result<()> {
    let topic_name = CString::new(topic)?;
    // SAFETY: a signature of `rdkafka.h`; no settings of its own are given to the topic.
    let topic = unsafe {
        let topic_new: Symbol<'_, unsafe extern "C" fn(*mut c_void, *const c_char, *mut c_void) -> *mut c_void> =
            client.library.get(b"rd_kafka_topic_new")?;
        topic_new(client.handle, topic_name.as_ptr(), std::ptr::null_mut())
    };
    ensure!(!topic.is_null(), "no topic");
    let mut noise = 0x9e37_79b9_7f4a_7c15u64;
    let payload: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (noise >> 56) as u8
    })
    .take(bytes)
    .collect();
    send(client, topic, &payload, WARM_UP_RECORDS.min(records))?;
    let started = Instant::now();
    send(client, topic, &payload, records)?;
    println!("{}", started.elapsed().as_secs_f64());
    Ok(())
}

/// Hands over `records` copies of a payload that outlives their delivery, and waits until all are acknowledged.
fn send(client: &Client, topic: *mut c_void, payload: &[u8], records: u64) -> Result<()> {
    type Produce =
        unsafe extern "C" fn(*mut c_void, i32, c_int, *const c_void, usize, *const c_void, usize, *mut c_void) -> c_int;
    let before = ACKNOWLEDGED.load(Ordering::Relaxed);
    // SAFETY: signatures of `rdkafka.h`. Without a flag the payload is neither copied nor freed; `flush` returns only
    // after librdkafka is done with it, or fails the run.
    unsafe {
        let produce: Symbol<'_, Produce> = client.library.get(b"rd_kafka_produce")?;
        let poll: Symbol<'_, unsafe extern "C" fn(*mut c_void, c_int) -> c_int> =
            client.library.get(b"rd_kafka_poll")?;
        let flush: Symbol<'_, unsafe extern "C" fn(*mut c_void, c_int) -> c_int> =
            client.library.get(b"rd_kafka_flush")?;
        for number in 0..records {
            let null = std::ptr::null_mut();
            // Its queue is full: the only thing to do is to let it deliver.
            while produce(topic, ANY_PARTITION, 0, payload.as_ptr().cast(), payload.len(), null, 0, null) != 0 {
                poll(client.handle, POLL_MS);
                ensure!(FAILED.load(Ordering::Relaxed) == 0, "records were not delivered");
            }
            if number % 1_000 == 0 {
                poll(client.handle, 0);
            }
        }
        if flush(client.handle, FLUSH_MS) != 0 {
            // It still holds the payload.
            std::process::exit(2);
        }
    }
    let acknowledged = ACKNOWLEDGED.load(Ordering::Relaxed) - before;
    ensure!(acknowledged == records, "{acknowledged} of {records} records were acknowledged");
    Ok(())
}
