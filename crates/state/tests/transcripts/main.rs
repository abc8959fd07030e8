//! Transcripts: the machines of this crate, spoken to at their public boundary.
//!
//! `testdata/<machine>/*.txt` holds commands and everything the machine said; each file is run against a fresh machine
//! and compared whole. `UPDATE_TRANSCRIPTS=1 cargo test -p chronik-state --test transcripts` writes down what the
//! machines say now; the difference is then read like code.

mod epochs;
mod fetch_session;
mod follower;
mod groups;
mod leader;
mod metadata;
mod producers;
mod script;

use script::run_all;

#[test]
fn producers() {
    run_all("producers", producers::Session::default);
}

#[test]
fn epochs() {
    run_all("epochs", epochs::Session::default);
}

#[test]
fn leader() {
    run_all("leader", leader::Session::default);
}

#[test]
fn follower() {
    run_all("follower", follower::Session::default);
}

#[test]
fn groups() {
    run_all("groups", groups::Session::default);
}

#[test]
fn fetch_session() {
    run_all("fetch_session", fetch_session::Session::default);
}

#[test]
fn metadata() {
    run_all("metadata", metadata::Session::default);
}
