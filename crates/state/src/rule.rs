//! The rules of replication that keep records, by name: where each comes from, and what is lost without it.
//!
//! The machines ask [`upheld`] at the place of each rule. It is always true, except where a simulator has taken the rule
//! out to see that it would be missed (feature `mutations`): a rule whose absence nobody notices is not tested.

/// A rule without which an acknowledged record can be lost, doubled, or changed behind a reader's back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The high watermark moves only while the agreed in-sync set has `min.insync.replicas` members (KIP-966). Else a
    /// leader that is alone commits what no eligible leader has.
    StrictMinimum,
    /// A replica that is proposed for the in-sync set is waited for at once (KIP-497). Else the controller may have agreed,
    /// the leader not heard of it, and the new member is elected without what was committed meanwhile.
    GrowthCountsAtOnce,
    /// A replica that is proposed to leave is waited for until that is agreed (KIP-497). Else it is elected while the
    /// proposal is on its way.
    ShrinkingCountsWhenAgreed,
    /// A member of the in-sync set that has confirmed nothing in this leadership holds back the high watermark. Else a
    /// new leader commits what only it has.
    UnknownBlocks,
    /// Only confirmations of a session of this leadership count. Else an old one speaks of a log that was cut since.
    SessionsOfThisLeadership,
    /// Where a topic asks for the disk, the leader's own disk counts too. Else its crash takes what the others have not
    /// synced either.
    OwnDiskCounts,
    /// A proposal that was called outdated stays pending until the metadata speaks. It may have been agreed to before.
    OutdatedStaysPending,
    /// A proposal that nobody answered is asked for again and nothing else is. It may have been agreed to.
    UnansweredStaysPending,
    /// A follower joins the in-sync set only with everything that is committed.
    JoinsWithTheCommitted,
    /// A follower joins only with everything from before this leadership: until that is committed the high watermark is a
    /// lower bound, and says too little of what was committed before (KIP-497).
    JoinsFromEpochStart,
    /// The leader proposes only the incarnation that confirmed, and the controller agrees only to the one that is registered
    /// (KIP-903). Else a confirmation from before a crash puts a broker into the set that has lost what it confirmed.
    JoinsAsRegistered,
    /// A proposal is agreed to only upon the version of the record that it was made upon. Else an old one undoes what was
    /// decided since.
    UponTheVersionKnown,
    /// Only a broker that is registered and not fenced may be in the in-sync set (KIP-841).
    OnlyEligibleJoin,
    /// Who is elected was in sync, or is an eligible leader.
    OnlyCertainLead,
    /// An eligible leader is one only as long as the in-sync set is below its minimum: as soon as that is large enough to
    /// commit, others commit without it (KIP-966).
    EligibleOnlyBelowMinimum,
    /// A broker whose log may have lost its end is neither in sync nor an eligible leader when it comes back (KIP-966). Else
    /// it leads without what it once confirmed, and everybody cuts their logs to its.
    LossIsRemembered,
    /// A process never goes on leading in an epoch that an earlier one led: (epoch, offset) names one record for ever
    /// (KAFKA-10527).
    RestartLeadsAnew,
    /// A broker that is fenced leaves the in-sync set in the same decision.
    FencedIsNotInSync,
    /// A follower takes an answer only to its last question, asked of this leadership. Else it cuts its log by what an
    /// earlier leader said of its own.
    AnswersOfThisLeadership,
    /// A follower takes frames only of the session it is in. A connection outlives leaderships.
    FramesOfThisSession,
    /// Logs are compared by epochs, not by their ends (KIP-101, KIP-279). Else two histories of one length are taken for
    /// one.
    HistoriesCompared,
    /// A follower cuts where its own history and the leader's part, which may be before the leader's end of that epoch.
    CutByBothHistories,
    /// The high watermark of a follower does not fall below what its readers saw, however little a new leader knows.
    FollowersWatermarkStays,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 23] = [
        Rule::StrictMinimum,
        Rule::GrowthCountsAtOnce,
        Rule::ShrinkingCountsWhenAgreed,
        Rule::UnknownBlocks,
        Rule::SessionsOfThisLeadership,
        Rule::OwnDiskCounts,
        Rule::OutdatedStaysPending,
        Rule::UnansweredStaysPending,
        Rule::JoinsWithTheCommitted,
        Rule::JoinsFromEpochStart,
        Rule::JoinsAsRegistered,
        Rule::UponTheVersionKnown,
        Rule::OnlyEligibleJoin,
        Rule::OnlyCertainLead,
        Rule::EligibleOnlyBelowMinimum,
        Rule::LossIsRemembered,
        Rule::RestartLeadsAnew,
        Rule::FencedIsNotInSync,
        Rule::AnswersOfThisLeadership,
        Rule::FramesOfThisSession,
        Rule::HistoriesCompared,
        Rule::CutByBothHistories,
        Rule::FollowersWatermarkStays,
    ];
}

/// Does this rule hold? Always, but see above.
#[cfg(not(feature = "mutations"))]
#[inline(always)]
pub(crate) const fn upheld(_rule: Rule) -> bool {
    true
}

#[cfg(feature = "mutations")]
pub use mutations::without;
#[cfg(feature = "mutations")]
pub(crate) use mutations::upheld;

#[cfg(feature = "mutations")]
mod mutations {
    extern crate std;

    use super::Rule;
    use core::cell::Cell;

    std::thread_local! {
        static TAKEN_OUT: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    pub(crate) fn upheld(rule: Rule) -> bool {
        TAKEN_OUT.get() != Some(rule)
    }

    /// Runs `simulation` on this thread as if there were no such rule.
    pub fn without<R>(rule: Rule, simulation: impl FnOnce() -> R) -> R {
        let _restored = Restored;
        TAKEN_OUT.set(Some(rule));
        simulation()
    }

    struct Restored;

    impl Drop for Restored {
        fn drop(&mut self) {
            TAKEN_OUT.set(None);
        }
    }
}
