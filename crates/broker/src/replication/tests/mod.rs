//! Two and three nodes that replicate over real sockets, with a controller that is a function call.

mod cluster;
mod leading;
mod peer;
mod proxy;
mod reading;

use chronik_wire::ErrorCode;

use cluster::{ALL, Cluster, ONE, Produce};

fn code(error: ErrorCode) -> i16 {
    error.code()
}

#[test]
fn what_the_leader_takes_is_on_its_follower_byte_for_byte() {
    let mut cluster = Cluster::of(2);
    let log = cluster.create("t", &[1, 2], &[("min.insync.replicas", "2")]);
    for offset in 0..5 {
        let answer = cluster.produce(1, log, ALL);
        assert_eq!((answer.error_code, answer.base_offset), (0, offset));
        // An answer means that both have it, the follower on its disk.
        assert_eq!(cluster.ends(2, log).0, offset + 1);
        assert!(cluster.partition(1, log).high_watermark() > offset);
    }
    cluster.wait("the follower hears of the high watermark", |cluster| cluster.ends(2, log) == (5, 5));
    assert!(cluster.bytes(1, log) == cluster.bytes(2, log));
    let led_by_the_other = cluster.create("u", &[2, 1], &[]);
    assert_eq!(cluster.produce(2, led_by_the_other, ALL).error_code, 0);
    cluster.wait("it goes both ways", |cluster| cluster.ends(1, led_by_the_other) == (1, 1));
}

#[test]
fn a_write_that_the_follower_does_not_have_is_neither_acknowledged_nor_shown() {
    let mut cluster = Cluster::of(2);
    let log = cluster.create("t", &[1, 2], &[("min.insync.replicas", "2")]);
    assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
    cluster.proxy(2).hold_there(true);
    let answer = cluster.produce(1, log, Produce { timeout_ms: 200, ..ALL });
    assert_eq!(answer.error_code, code(ErrorCode::RequestTimedOut));
    // acks=1 does not wait for it.
    assert_eq!(cluster.produce(1, log, ONE).error_code, 0);
    assert_eq!(cluster.ends(1, log), (3, 1));
    cluster.proxy(2).hold_there(false);
    cluster.wait("both have everything", |cluster| cluster.ends(1, log) == (3, 3) && cluster.ends(2, log) == (3, 3));
}

#[test]
fn a_follower_that_was_away_catches_up_and_is_in_sync_again() {
    let mut cluster = Cluster::of(2);
    let log = cluster.create("t", &[1, 2], &[]);
    assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
    cluster.kill(2);
    assert_eq!(cluster.in_sync(log), [1]);
    for _ in 0..20 {
        // More than one frame takes.
        assert_eq!(cluster.produce(1, log, Produce { bytes: 100_000, ..ALL }).error_code, 0);
    }
    cluster.start(2);
    cluster.wait("it is in sync", |cluster| cluster.in_sync(log) == [1, 2]);
    cluster.wait("it has everything", |cluster| cluster.ends(2, log) == (21, 21));
    assert!(cluster.bytes(1, log) == cluster.bytes(2, log));
}

#[test]
fn what_a_deposed_leader_did_not_replicate_is_cut_off() {
    let mut cluster = Cluster::of(2);
    let log = cluster.create("t", &[1, 2], &[]);
    assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
    cluster.proxy(2).hold_there(true);
    for _ in 0..3 {
        assert_eq!(cluster.produce(1, log, ONE).error_code, 0);
    }
    assert_eq!(cluster.ends(1, log), (4, 1));
    // It runs on, and another leads; then it follows that one.
    cluster.fence(1);
    cluster.proxy(2).hold_there(false);
    assert_eq!(cluster.produce(2, log, Produce { bytes: 77, ..ALL }).error_code, 0);
    cluster.unfence(1);
    cluster
        .wait("the deposed leader follows", |cluster| cluster.ends(1, log) == (2, 2) && cluster.in_sync(log) == [1, 2]);
    assert!(cluster.bytes(1, log) == cluster.bytes(2, log));
    // And again, across a restart.
    cluster.proxy(1).hold_there(true);
    assert_eq!(cluster.produce(2, log, ONE).error_code, 0);
    cluster.kill(2);
    cluster.proxy(1).hold_there(false);
    assert_eq!(cluster.produce(1, log, Produce { bytes: 55, ..ALL }).error_code, 0);
    cluster.start(2);
    cluster.wait("it follows after its restart", |cluster| cluster.ends(2, log) == (3, 3));
    assert!(cluster.bytes(1, log) == cluster.bytes(2, log));
}

#[test]
fn a_connection_that_broke_is_remade() {
    let mut cluster = Cluster::of(2);
    let log = cluster.create("t", &[1, 2], &[("min.insync.replicas", "2")]);
    for round in 1..=5 {
        assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
        assert_eq!(cluster.ends(2, log).0, round);
        cluster.proxy(2).cut();
    }
    assert!(cluster.proxy(2).connections() >= 5, "{} connections", cluster.proxy(2).connections());
    cluster.wait("everything is shown", |cluster| cluster.ends(2, log) == (5, 5));
}

#[test]
fn a_connection_over_which_nothing_comes_is_closed_and_remade() {
    let mut cluster = Cluster::of(2);
    let log = cluster.create("t", &[1, 2], &[]);
    assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
    let before = cluster.proxy(2).connections();
    // Idle, both sides speak up often enough.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(cluster.proxy(2).connections(), before);
    cluster.proxy(2).hold_there(true);
    cluster.proxy(2).hold_back(true);
    cluster.wait("another connection is tried", |cluster| cluster.proxy(2).connections() > before);
}

/// Bytes on their way to one follower are bounded; the rest is in the log, and nothing of it is left out.
#[test]
fn a_slow_follower_is_sent_no_more_than_it_has_room_for() {
    let mut cluster = Cluster::of(2);
    let log = cluster.create("t", &[1, 2], &[]);
    assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
    // It takes everything, but what it says does not arrive.
    cluster.proxy(2).hold_back(true);
    let before = cluster.proxy(2).bytes_there();
    for _ in 0..12 {
        assert_eq!(cluster.produce(1, log, Produce { bytes: 1_000_000, ..ONE }).error_code, 0);
    }
    cluster.wait("as much is sent as may be", |cluster| cluster.proxy(2).bytes_there() - before >= 4 << 20);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let sent = cluster.proxy(2).bytes_there() - before;
    assert!(sent < 6 << 20, "{sent} bytes were sent without a word of the follower");
    cluster.proxy(2).hold_back(false);
    cluster.wait("all of it arrives", |cluster| cluster.ends(2, log).0 == 13);
    assert!(cluster.bytes(1, log) == cluster.bytes(2, log));
}

#[test]
fn a_damaged_frame_ends_its_connection_and_is_not_stored() {
    let mut cluster = Cluster::of(2);
    let log = cluster.create("t", &[1, 2], &[("min.insync.replicas", "2")]);
    assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
    // In the header of the stream's frame, in a batch's, and among the records.
    for (round, after_bytes) in [(1, 5), (2, 80), (3, 900)] {
        let before = cluster.proxy(2).connections();
        cluster.proxy(2).damage(after_bytes);
        assert_eq!(cluster.produce(1, log, Produce { bytes: 2000, ..ALL }).error_code, 0);
        assert!(cluster.proxy(2).connections() > before, "after byte {after_bytes}");
        assert_eq!(cluster.ends(2, log).0, round + 1);
    }
    assert!(cluster.bytes(1, log) == cluster.bytes(2, log));
}

/// Its log ends before the leader's begins.
#[test]
fn a_follower_that_lacks_what_is_gone_begins_anew_where_the_leader_does() {
    let mut cluster = Cluster::of(2);
    let log = cluster.create("t", &[1, 2], &[]);
    assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
    cluster.kill(2);
    for _ in 0..5 {
        assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
    }
    cluster.partition(1, log).log.advance_log_start(4).unwrap();
    cluster.start(2);
    cluster.wait("it is in sync", |cluster| cluster.in_sync(log) == [1, 2] && cluster.ends(2, log) == (6, 6));
    assert_eq!(cluster.partition(2, log).log.log_start_offset(), 4);
    assert!(cluster.bytes(1, log) == cluster.bytes(2, log));
    // And while it follows, its log begins where the leader's does.
    cluster.partition(1, log).log.advance_log_start(5).unwrap();
    cluster.wait("the start moves", |cluster| cluster.partition(2, log).log.log_start_offset() == 5);
}

/// Retention works on each node for itself, so that a log that is cut may begin behind its leader's, and nothing of it be left.
#[test]
fn a_log_is_cut_where_it_begins() {
    let mut cluster = Cluster::of(2);
    let log = cluster.create("t", &[2, 1], &[]);
    for _ in 0..3 {
        assert_eq!(cluster.produce(2, log, ALL).error_code, 0);
    }
    cluster.wait("the follower knows", |cluster| cluster.ends(1, log) == (3, 3));
    cluster.proxy(1).hold_there(true);
    cluster.partition(2, log).log.advance_log_start(3).unwrap();
    assert_eq!(cluster.produce(2, log, ONE).error_code, 0);
    cluster.fence(2);
    cluster.proxy(1).hold_there(false);
    assert_eq!(cluster.produce(1, log, Produce { bytes: 99, ..ALL }).error_code, 0);
    cluster.unfence(2);
    cluster.wait("both are one", |cluster| cluster.ends(2, log) == (4, 4) && cluster.in_sync(log) == [1, 2]);
    assert_eq!((cluster.partition(1, log).log.log_start_offset(), cluster.partition(2, log).log.log_start_offset()), (0, 3));
    let end = cluster.bytes(2, log);
    assert!(end.len() > 99 && cluster.bytes(1, log).ends_with(&end));
}

/// Confirmed once written, where the topic asks for no more.
#[test]
fn a_topic_that_does_not_wait_for_the_disk_is_replicated_too() {
    let mut cluster = Cluster::of(2);
    let log = cluster.create("t", &[1, 2], &[("min.insync.replicas", "2"), ("chronik.sync", "interval")]);
    for _ in 0..5 {
        assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
    }
    cluster.wait("the follower knows", |cluster| cluster.ends(2, log) == (5, 5));
    cluster.proxy(2).hold_there(true);
    let answer = cluster.produce(1, log, Produce { timeout_ms: 200, ..ALL });
    assert_eq!(answer.error_code, code(ErrorCode::RequestTimedOut));
    cluster.proxy(2).hold_there(false);
    cluster.wait("both have everything", |cluster| cluster.ends(1, log) == (6, 6) && cluster.ends(2, log) == (6, 6));
    assert!(cluster.bytes(1, log) == cluster.bytes(2, log));
}

#[test]
fn three_replicas_of_many_partitions() {
    let mut cluster = Cluster::of(3);
    let orders = [[1, 2, 3], [2, 3, 1], [3, 1, 2]];
    let logs: Vec<_> = (0..30)
        .map(|index| cluster.create(&format!("t{index}"), &orders[index % 3], &[("min.insync.replicas", "2")]))
        .collect();
    for (index, log) in logs.iter().enumerate() {
        for _ in 0..3 {
            assert_eq!(cluster.produce(orders[index % 3][0], *log, ALL).error_code, 0);
        }
    }
    cluster.wait("all have all", |cluster| logs.iter().all(|log| (1..=3).all(|id| cluster.ends(id, *log) == (3, 3))));
    // One goes, and the others go on without a new topic or a restart.
    cluster.kill(1);
    for log in &logs {
        let leader = cluster.image().partition(log.topic, 0).unwrap().leader;
        assert_eq!(cluster.produce(leader, *log, ALL).error_code, 0);
    }
    cluster.start(1);
    cluster.wait("it is back", |cluster| {
        logs.iter().all(|log| cluster.in_sync(*log) == [1, 2, 3] && cluster.ends(1, *log) == (4, 4))
    });
}
