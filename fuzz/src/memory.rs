//! How much memory an input may take: every allocation of the process is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What one input may hold at its peak, beside what was held before it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Whatever its length.
    pub fixed_bytes: usize,
    /// For each of its bytes.
    pub bytes_per_byte: usize,
}

/// Runs `run` on `bytes`.
///
/// # Panics
/// If it took more memory than `limits` allow, or panicked itself.
pub fn within_bounds(bytes: &[u8], limits: Limits, run: fn(&[u8])) {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    run(bytes);
    assert!(!PANICKED.load(Ordering::Relaxed), "something panicked, and somebody kept it to himself");
    let taken = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    let allowed = limits.fixed_bytes + limits.bytes_per_byte * bytes.len();
    assert!(taken <= allowed, "{} bytes of input took {taken} bytes of memory, {allowed} are allowed", bytes.len());
}

/// Has every panic of this process count, also one that is contained: that of a connection, which the node outlives.
pub fn count_panics() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICKED.store(true, Ordering::Relaxed);
        told(panic);
    }));
}

static PANICKED: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

fn taken(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

fn given_back(bytes: usize) {
    HELD.fetch_sub(bytes, Ordering::Relaxed);
}

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        given_back(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        taken(size);
        given_back(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
