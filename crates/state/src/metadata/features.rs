//! Features: what the whole cluster has agreed upon, told to clients with every ApiVersions (KIP-584), raised and lowered by
//! an operator (KIP-778).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::ids::BrokerId;
use crate::metadata::record::{FeatureLevelRecord, Record};
use crate::metadata::{Controller, Decision, MetadataError};

/// A feature, and the levels of it that this version of the server can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupportedFeature {
    /// Kafka's name.
    pub name: &'static str,
    /// The lowest level.
    pub min_level: i16,
    /// The highest level: that of a new cluster.
    pub max_level: i16,
}

/// All that are known. `metadata.version` counts the releases of Kafka as its tools name them: 7 is 3.3-IV3, the oldest that
/// Kafka itself starts with, 30 is 4.3-IV0, whose requests and settings are served here. No record of our metadata log depends on it:
/// every level can be left in both directions without a loss.
pub const SUPPORTED_FEATURES: &[SupportedFeature] =
    &[SupportedFeature { name: "metadata.version", min_level: 7, max_level: 30 }];

/// Move these features, all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateFeatures {
    /// In the order of the request.
    pub updates: Vec<FeatureUpdate>,
    /// Say what would happen, and change nothing.
    pub validate_only: bool,
    /// The node that decides, which names itself in what it refuses.
    pub controller_id: BrokerId,
}

/// A feature, and where it is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// Its name.
    pub name: String,
    /// The level it is to have; 0 for none.
    pub level: i16,
    /// Which way the operator means it; none where the request said something unknown.
    pub direction: Option<FeatureDirection>,
}

/// Which way a feature may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureDirection {
    /// Up, or nowhere.
    Upgrade,
    /// Down, or nowhere. Kafka tells those that lose something from those that do not; here none does.
    Downgrade,
}

impl SupportedFeature {
    /// The levels of a cluster that is born with this version.
    pub fn levels_at_birth() -> BTreeMap<String, i16> {
        SUPPORTED_FEATURES.iter().map(|feature| (feature.name.to_string(), feature.max_level)).collect()
    }
}

impl Controller {
    /// Moves features. The first that cannot be moved keeps all where they are.
    pub fn update_features(&self, command: &UpdateFeatures) -> Decision<Result<(), MetadataError>> {
        let mut records = Vec::new();
        let mut names = BTreeSet::new();
        for update in &command.updates {
            if !names.insert(&update.name) {
                return Decision::refuse(invalid(update, "The feature is named twice."));
            }
            match self.update_feature(update, command.controller_id) {
                Ok(record) => records.extend(record),
                Err(error) => return Decision::refuse(error),
            }
        }
        if command.validate_only {
            records.clear();
        }
        Decision { records, reply: Ok(()) }
    }

    fn update_feature(&self, update: &FeatureUpdate, controller_id: BrokerId) -> Result<Option<Record>, MetadataError> {
        let Some(direction) = update.direction else {
            return Err(invalid(update, "The controller does not support the given upgrade type."));
        };
        if update.level < 0 {
            return Err(invalid(update, "A feature version cannot be less than 0."));
        }
        let current = self.image.features().get(&update.name).copied().unwrap_or_default();
        check_supported(update, controller_id)?;
        match direction {
            FeatureDirection::Upgrade if update.level < current => Err(invalid(
                update,
                "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.",
            )),
            FeatureDirection::Downgrade if update.level > current => {
                Err(invalid(update, "Can't downgrade to a newer version."))
            }
            _ if update.level == current => Ok(None),
            _ => Ok(Some(Record::FeatureLevel(FeatureLevelRecord { name: update.name.clone(), level: update.level }))),
        }
    }
}

fn check_supported(update: &FeatureUpdate, controller_id: BrokerId) -> Result<(), MetadataError> {
    match SUPPORTED_FEATURES.iter().find(|feature| feature.name == update.name) {
        Some(feature) if !(feature.min_level..=feature.max_level).contains(&update.level) => {
            let (min, max) = (feature.min_level, feature.max_level);
            Err(invalid(update, &format!("Local controller {controller_id} only supports versions {min}-{max}")))
        }
        Some(_) => Ok(()),
        None if update.level > 0 => {
            Err(invalid(update, &format!("Local controller {controller_id} does not support this feature.")))
        }
        None => Err(invalid(update, &format!("Feature {} not found.", update.name))),
    }
}

/// In Kafka's words.
fn invalid(update: &FeatureUpdate, why: &str) -> MetadataError {
    let FeatureUpdate { name, level, .. } = update;
    MetadataError::InvalidUpdateVersion(format!("Invalid update version {level} for feature {name}. {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::ClusterStart;
    use FeatureDirection::{Downgrade, Upgrade};

    const NAME: &str = "metadata.version";

    fn born() -> Controller {
        let mut controller = Controller::default();
        let start = ClusterStart { cluster_id: "c".into(), features: SupportedFeature::levels_at_birth() };
        let decision = controller.start_cluster(&start);
        decision.records.iter().for_each(|record| controller.apply(record));
        controller
    }

    fn update(name: &str, level: i16, direction: impl Into<Option<FeatureDirection>>) -> FeatureUpdate {
        FeatureUpdate { name: name.into(), level, direction: direction.into() }
    }

    fn asked(controller: &mut Controller, updates: &[FeatureUpdate]) -> Result<(), MetadataError> {
        let decision = controller.update_features(&UpdateFeatures { updates: updates.to_vec(), validate_only: false, controller_id: 1 });
        decision.records.iter().for_each(|record| controller.apply(record));
        decision.reply
    }

    #[track_caller]
    fn refused(controller: &mut Controller, updates: &[FeatureUpdate], why: &str) {
        let before = controller.image().features().clone();
        let error = asked(controller, updates).expect_err("it is refused").to_string();
        assert!(error.ends_with(why), "{error}");
        assert_eq!(controller.image().features(), &before);
    }

    #[test]
    fn a_level_goes_down_and_up_again_and_a_restart_leaves_it() {
        let mut controller = born();
        assert_eq!(controller.image().features()[NAME], 30);
        asked(&mut controller, &[update(NAME, 30, Upgrade)]).unwrap();
        asked(&mut controller, &[update(NAME, 7, Downgrade)]).unwrap();
        assert_eq!(controller.image().features()[NAME], 7);
        let again = ClusterStart { cluster_id: "c".into(), features: SupportedFeature::levels_at_birth() };
        assert_eq!(controller.start_cluster(&again).records, []);
        asked(&mut controller, &[update(NAME, 21, Upgrade)]).unwrap();
        assert_eq!(controller.image().features()[NAME], 21);
    }

    #[test]
    fn what_cannot_be_is_refused_whole() {
        let mut controller = born();
        let down = "without setting the upgrade type to either safe or unsafe downgrade.";
        refused(&mut controller, &[update(NAME, 8, Upgrade)], down);
        asked(&mut controller, &[update(NAME, 8, Downgrade)]).unwrap();
        refused(&mut controller, &[update(NAME, 9, Downgrade)], "Can't downgrade to a newer version.");
        refused(&mut controller, &[update(NAME, 31, Upgrade)], "Local controller 1 only supports versions 7-30");
        refused(&mut controller, &[update(NAME, 0, Downgrade)], "Local controller 1 only supports versions 7-30");
        refused(&mut controller, &[update(NAME, -1, Downgrade)], "cannot be less than 0.");
        refused(&mut controller, &[update(NAME, 9, None)], "does not support the given upgrade type.");
        refused(&mut controller, &[update(NAME, 9, Upgrade), update("x", 1, Upgrade)], "does not support this feature.");
        refused(&mut controller, &[update(NAME, 9, Upgrade), update(NAME, 9, Upgrade)], "named twice.");
        refused(&mut controller, &[update("x", 0, Downgrade)], "Feature x not found.");
    }

    #[test]
    fn to_try_changes_nothing() {
        let controller = born();
        let command = UpdateFeatures { updates: [update(NAME, 9, Downgrade)].to_vec(), validate_only: true, controller_id: 1 };
        assert_eq!(controller.update_features(&command), Decision { records: Vec::new(), reply: Ok(()) });
    }
}
