//! A faked world: disks that lose, tear, rot and fill up, and the checks that live through it.
