//! DescribeCluster, DescribeLogDirs, InitProducerId, ApiVersions.

use chronik_wire::message;
use chronik_wire::messages::{ApiVersionsRequest, DescribeClusterRequest};

use crate::ask::{Asker, transcript};
use crate::requests::*;

#[test]
fn cluster() {
    transcript("cluster", async |asker: &mut Asker| {
        let nobody =
            message!(ApiVersionsRequest { client_software_name: " ".into(), client_software_version: "1".into() });
        asker.ask("a client with a name that is none", &nobody, 3..=4).await;
        asker.ask("the cluster", &message!(DescribeClusterRequest {}), 0..=2).await;
        let with_operations = message!(DescribeClusterRequest { include_cluster_authorized_operations: true });
        asker.ask("with its operations", &with_operations, 0..=2).await;
        asker.ask("its controllers", &message!(DescribeClusterRequest { endpoint_type: 2 }), 1..=2).await;
        asker.ask("what no broker is", &message!(DescribeClusterRequest { endpoint_type: 9 }), 1..=2).await;
        asker.ask("with fenced brokers", &message!(DescribeClusterRequest { include_fenced_brokers: true }), [2]).await;
    });
}

#[test]
fn log_dirs() {
    transcript("log_dirs", async |asker: &mut Asker| {
        asker.ask_silently(&create(vec![topic("la", 2, 1, &[])]), 7).await;
        asker.ask_silently(&produce("la", BATCH), 9).await;
        asker.ask("of partitions", &describe_log_dirs(Some(&[("la", &[0, 9]), ("nope", &[0])])), 1..=5).await;
        asker.ask("of none", &describe_log_dirs(Some(&[])), [1, 5]).await;
    });
}

#[test]
fn producer_ids() {
    transcript("producer_ids", async |asker: &mut Asker| {
        asker.ask("an id without an epoch", &init_producer_id(None, 5, -1), 3..=5).await;
        asker.ask("an epoch without an id", &init_producer_id(None, -1, 5), 3..=5).await;
        asker.ask("an empty transactional id", &init_producer_id(Some(""), -1, -1), 0..=5).await;
        let first = asker.ask_silently(&init_producer_id(None, -1, -1), 0).await;
        let second = asker.ask_silently(&init_producer_id(None, -1, -1), 5).await;
        let again = asker.ask_silently(&init_producer_id(None, first.producer_id, first.producer_epoch), 5).await;
        assert_eq!((first.error_code, second.error_code, again.error_code), (0, 0, 0));
        assert!(
            first.producer_id >= 0 && second.producer_id > first.producer_id && again.producer_id > second.producer_id
        );
        assert_eq!((first.producer_epoch, second.producer_epoch, again.producer_epoch), (0, 0, 0));
    });
}
