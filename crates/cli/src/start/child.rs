//! A node that was started by another process of this program, and does not outlive it.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::config::problem::{Code, Problem};
use crate::exit::Exit;
use crate::print;

static IS_ONE: AtomicBool = AtomicBool::new(false);

/// From here on the system kills this process when its parent, `pid`, ends in whatever way.
pub(crate) fn bind_to(pid: i32) -> Result<(), Exit> {
    let bound = set_parent_process_death_signal(Some(Signal::KILL));
    // It may have ended before it was agreed upon.
    let is_parent = getppid().map(Pid::as_raw_pid) == Some(pid);
    IS_ONE.store(true, Ordering::Relaxed);
    match bound {
        Ok(()) if is_parent => Ok(()),
        Ok(()) => Err(Exit::Failed),
        Err(error) => {
            let what = format!("this process cannot be bound to the life of the one that started it: {error}");
            print::problems(&[Problem::error(Code::Start, what).fix("start the nodes one by one, without --dev")]);
            Err(Exit::Failed)
        }
    }
}

/// Whether this process is one: its card is told by its parent.
pub(crate) fn is_one() -> bool {
    IS_ONE.load(Ordering::Relaxed)
}
