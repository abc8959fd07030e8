//! Waiting for sockets and times: what every loop of this crate turns around.

use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

/// The time of a run, in nanoseconds since its beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

pub(crate) fn ns(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX / 4)
}

/// Sockets that are waited for, each under a number.
pub(crate) struct Waiting {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Waiting {
    pub(crate) fn new() -> io::Result<Waiting> {
        // A thread is woken up to 50 µs late unless it says that it minds.
        rustix::thread::set_current_timer_slack(NonZero::new(1))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Waiting { epoll, events: Vec::with_capacity(256) })
    }

    /// From now on tells when this socket has news: each once, so that all of them must be taken.
    pub(crate) fn add(&self, socket: impl AsFd, number: usize) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(number as u64), flags)?)
    }

    /// Waits at most so many nanoseconds. The numbers of the sockets that have news.
    pub(crate) fn wait(&mut self, at_most_ns: u64) -> io::Result<impl Iterator<Item = usize> + '_> {
        const MILLISECOND: u64 = 1_000_000;
        self.events.clear();
        let mut left_ns = at_most_ns;
        if !left_ns.is_multiple_of(MILLISECOND) {
            // epoll counts in milliseconds everywhere; poll counts in nanoseconds.
            let timeout =
                Timespec { tv_sec: (left_ns / 1_000_000_000) as i64, tv_nsec: (left_ns % 1_000_000_000) as i64 };
            interruptible(poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&timeout)))?;
            left_ns = 0;
        }
        let timeout = Timespec { tv_sec: (left_ns / 1_000_000_000) as i64, tv_nsec: (left_ns % 1_000_000_000) as i64 };
        let events = rustix::buffer::spare_capacity(&mut self.events);
        interruptible(epoll::wait(&self.epoll, events, Some(&timeout)))?;
        Ok(self.events.iter().map(|event| event.data.u64() as usize))
    }
}

fn interruptible(outcome: rustix::io::Result<usize>) -> io::Result<usize> {
    match outcome {
        Err(rustix::io::Errno::INTR) => Ok(0),
        other => Ok(other?),
    }
}
