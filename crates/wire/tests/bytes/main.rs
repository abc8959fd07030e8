//! The facade at its boundary: bytes in, bytes out.

mod hostile;
mod support;
mod vectors;
mod views;
