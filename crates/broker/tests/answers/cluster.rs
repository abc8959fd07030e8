//! DescribeCluster, DescribeLogDirs, InitProducerId, ApiVersions, UpdateFeatures.

use chronik_wire::message;
use chronik_wire::messages::update_features_request::FeatureUpdateKey;
use chronik_wire::messages::{ApiVersionsRequest, DescribeClusterRequest, UpdateFeaturesRequest};

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

const NEWEST: i16 = 30;
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;

fn update(feature: &str, max_version_level: i16, upgrade_type: i8) -> UpdateFeaturesRequest {
    let key = message!(FeatureUpdateKey { feature: feature.into(), max_version_level, upgrade_type });
    message!(UpdateFeaturesRequest { feature_updates: vec![key], validate_only: true })
}

#[test]
fn features() {
    transcript("features", async |asker: &mut Asker| {
        let version = "metadata.version";
        // Version 0 has another word for the direction, and cannot only try.
        let level = message!(FeatureUpdateKey { feature: version.into(), max_version_level: NEWEST });
        let here = message!(UpdateFeaturesRequest { feature_updates: vec![level] });
        asker.ask("to where it is", &here, 0..=2).await;
        let level = message!(FeatureUpdateKey { feature: version.into(), max_version_level: 1000, allow_downgrade: true });
        let away = message!(UpdateFeaturesRequest { feature_updates: vec![level] });
        asker.ask("with the flag of version 0", &away, [0]).await;
        asker.ask("down, meant as up", &update(version, 20, UPGRADE), 1..=2).await;
        asker.ask("to a level that is not there", &update(version, 1000, UPGRADE), 1..=2).await;
        asker.ask("to none", &update(version, 0, SAFE_DOWNGRADE), 1..=2).await;
        asker.ask("below none", &update(version, -1, SAFE_DOWNGRADE), 1..=2).await;
        asker.ask("in no direction", &update(version, 20, 9), 1..=2).await;
        asker.ask("a feature that is not there", &update("no.such.feature", 1, UPGRADE), 1..=2).await;
        asker.ask("none of it", &update("no.such.feature", 0, SAFE_DOWNGRADE), 1..=2).await;
        asker.ask("nothing", &message!(UpdateFeaturesRequest {}), 0..=2).await;
    });
}

#[test]
fn a_level_is_told_with_the_versions() {
    transcript("feature_levels", async |asker: &mut Asker| {
        let who = message!(ApiVersionsRequest {
            client_software_name: "answers".into(),
            client_software_version: "1".into()
        });
        let before = asker.ask_silently(&who, 4).await;
        let level = async |asker: &mut Asker| {
            let told = asker.ask_silently(&who, 3).await;
            assert!(told.finalized_features_epoch >= before.finalized_features_epoch);
            let level = told.finalized_features.iter().find(|feature| &*feature.name == "metadata.version");
            level.map(|level| (level.min_version_level, level.max_version_level))
        };
        let supported = before.supported_features.iter().find(|feature| &*feature.name == "metadata.version");
        assert_eq!(supported.map(|range| (range.min_version, range.max_version)), Some((7, NEWEST)));
        assert_eq!(level(asker).await, Some((NEWEST, NEWEST)));
        asker.ask("tried", &update("metadata.version", NEWEST - 1, SAFE_DOWNGRADE), [2]).await;
        assert_eq!(level(asker).await, Some((NEWEST, NEWEST)));
        let down = message!(UpdateFeaturesRequest {
            feature_updates: update("metadata.version", NEWEST - 1, SAFE_DOWNGRADE).feature_updates
        });
        asker.ask("done", &down, [2]).await;
        asker.settle().await;
        assert_eq!(level(asker).await, Some((NEWEST - 1, NEWEST - 1)));
        let up = message!(UpdateFeaturesRequest {
            feature_updates: update("metadata.version", NEWEST, UPGRADE).feature_updates
        });
        asker.ask("and back", &up, [2]).await;
        asker.settle().await;
        assert_eq!(level(asker).await, Some((NEWEST, NEWEST)));
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
