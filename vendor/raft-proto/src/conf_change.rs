//! Changes of the membership: one view of both forms, and words for them.

use std::borrow::Cow;

use crate::eraftpb::{ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState};

/// Either form of a change.
pub trait ConfChangeI {
    /// As the newer form.
    fn into_v2(self) -> ConfChangeV2;
    /// As the newer form, without giving it away.
    fn as_v2(&self) -> Cow<'_, ConfChangeV2>;
    /// As the older form, if it is one.
    fn as_v1(&self) -> Option<&ConfChange>;
}

impl ConfChangeI for ConfChange {
    fn into_v2(self) -> ConfChangeV2 {
        let change = ConfChangeSingle { change_type: self.change_type, node_id: self.node_id };
        ConfChangeV2 { changes: vec![change], context: self.context, ..ConfChangeV2::default() }
    }

    fn as_v2(&self) -> Cow<'_, ConfChangeV2> {
        Cow::Owned(self.clone().into_v2())
    }

    fn as_v1(&self) -> Option<&ConfChange> {
        Some(self)
    }
}

impl ConfChangeI for ConfChangeV2 {
    fn into_v2(self) -> ConfChangeV2 {
        self
    }

    fn as_v2(&self) -> Cow<'_, ConfChangeV2> {
        Cow::Borrowed(self)
    }

    fn as_v1(&self) -> Option<&ConfChange> {
        None
    }
}

impl ConfChangeV2 {
    /// Does it go by way of a joint membership, and if so, does that end by itself? Always where it has several steps.
    pub fn enter_joint(&self) -> Option<bool> {
        match self.get_transition() {
            ConfChangeTransition::Explicit => Some(false),
            ConfChangeTransition::Implicit => Some(true),
            ConfChangeTransition::Auto => (self.changes.len() > 1).then_some(true),
        }
    }

    /// Does it end a joint membership? One that says nothing does.
    pub fn leave_joint(&self) -> bool {
        self.changes.is_empty() && self.get_transition() == ConfChangeTransition::Auto
    }
}

/// One step.
pub fn new_conf_change_single(node_id: u64, change_type: ConfChangeType) -> ConfChangeSingle {
    ConfChangeSingle { change_type: change_type.into(), node_id }
}

/// Reads steps from words like `v1 l2 r3`: a voter, a learner, one that is removed.
pub fn parse_conf_change(text: &str) -> Result<Vec<ConfChangeSingle>, String> {
    let step = |word: &str| {
        let unknown = || format!("not a change of membership: {word}");
        let change_type = match word.chars().next() {
            Some('v') => ConfChangeType::AddNode,
            Some('l') => ConfChangeType::AddLearnerNode,
            Some('r') => ConfChangeType::RemoveNode,
            _ => return Err(unknown()),
        };
        let node_id = word[1..].parse().map_err(|_| unknown())?;
        Ok(new_conf_change_single(node_id, change_type))
    };
    text.split_ascii_whitespace().map(step).collect()
}

/// The words for steps.
pub fn stringify_conf_change(changes: &[ConfChangeSingle]) -> String {
    let word = |change: &ConfChangeSingle| {
        let letter = match change.get_change_type() {
            ConfChangeType::AddNode => 'v',
            ConfChangeType::AddLearnerNode => 'l',
            ConfChangeType::RemoveNode => 'r',
        };
        format!("{letter}{}", change.node_id)
    };
    changes.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Do both name the same members? Their order means nothing.
pub fn conf_state_eq(one: &ConfState, other: &ConfState) -> bool {
    let sorted = |ids: &[u64]| {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids
    };
    let of = |state: &ConfState| {
        let lists = [&state.voters, &state.learners, &state.voters_outgoing, &state.learners_next];
        (lists.map(|ids| sorted(ids)), state.auto_leave)
    };
    of(one) == of(other)
}
