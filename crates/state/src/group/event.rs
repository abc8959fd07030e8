//! What follows from an event, and what follows once its records are in the log.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::classic::{ClassicGroup, GroupState};
use super::message::{GroupError, JoinReply, Reply, Ticket};
use super::purge::Purge;
use super::record::GroupRecord;
use super::{Group, Groups};
use crate::ids::{Offset, TimestampMs};

/// To be carried out in the order of the fields.
#[derive(Default, Debug)]
pub struct Effects {
    /// First: append, and hand the outcome back to [`Groups::on_appended`], whose effects come after these.
    pub append: Option<Append>,
    /// Then, when all the log now holds is committed: answer. They hold whether or not the append succeeded.
    pub replies: Vec<(Ticket, Reply)>,
}

/// Records that belong into one batch, and what waits for them.
#[derive(Debug)]
pub struct Append {
    /// Never empty.
    pub records: Vec<GroupRecord>,
    pub(super) then: Then,
}

/// What is to be done when the outcome of an append is known.
#[derive(Debug)]
pub(super) enum Then {
    /// The records are the decision: apply them and answer.
    Apply(Option<(Ticket, Reply)>),
    /// The records are part of the decision: apply them, go on, and answer at the end.
    Purge(Purge, Option<(Ticket, Reply)>),
    /// The records forget what has expired: apply them, and look for more.
    Expire,
    /// The records tell of what has already happened here.
    Tell(Option<(Ticket, Reply)>),
    /// A group was made by this ticket's join, whose answer is here if it has one already.
    Create { group_id: String, creator: Ticket, reply: Option<JoinReply> },
    /// The leader has assigned.
    Stabilise { group_id: String, assignments: Vec<(String, Vec<u8>)>, decided_at: TimestampMs },
    /// A static member came back under a new id; before that the group was so.
    Rejoin { group_id: String, before: Box<ClassicGroup>, ticket: Ticket, reply: JoinReply },
}

impl Effects {
    pub(super) fn append(&mut self, records: Vec<GroupRecord>, then: Then) {
        debug_assert!(self.append.is_none() && !records.is_empty());
        self.append = Some(Append { records, then });
    }

    /// Answers: with the records if there are any, whose failure is then the answer's failure.
    pub(super) fn answer(&mut self, ticket: Ticket, reply: Reply) {
        match &mut self.append {
            Some(Append { then: Then::Apply(answer) | Then::Tell(answer), .. }) if answer.is_none() => {
                *answer = Some((ticket, reply));
            }
            _ => self.replies.push((ticket, reply)),
        }
    }
}

impl Groups {
    /// The outcome of an append: the offset of its first record, or why it was refused (in which case the log holds
    /// nothing of it). To be called before any other event.
    pub fn on_appended(&mut self, append: Append, outcome: Result<Offset, GroupError>, now: TimestampMs) -> Effects {
        let mut effects = Effects::default();
        match append.then {
            Then::Apply(answer) => {
                if let Ok(base_offset) = outcome {
                    self.apply_all(&append.records, base_offset);
                    self.arrange_expiry(now);
                }
                effects.replies.extend(answer.map(|answer| or_refused(answer, outcome)));
            }
            Then::Purge(purge, answer) => match outcome {
                Ok(base_offset) => {
                    self.apply_all(&append.records, base_offset);
                    self.arrange_expiry(now);
                    self.purge(purge, answer, &mut effects);
                }
                Err(_) => effects.replies.extend(answer.map(|answer| or_refused(answer, outcome))),
            },
            Then::Expire => {
                // What the log does not take now is looked at again the next time.
                if let Ok(base_offset) = outcome {
                    self.apply_all(&append.records, base_offset);
                    self.arrange_expiry(now);
                    self.expire(now, &mut effects);
                }
            }
            Then::Tell(answer) => effects.replies.extend(answer.map(|answer| or_refused(answer, outcome))),
            Then::Create { group_id, creator, reply } => {
                let reply = match outcome {
                    Ok(_) => reply,
                    Err(error) => {
                        self.remove_group(&group_id);
                        Some(JoinReply::refused(error, ""))
                    }
                };
                effects.replies.extend(reply.map(|reply| (creator, Reply::Join(reply))));
                self.arrange_expiry(now);
            }
            Then::Stabilise { group_id, assignments, decided_at } => {
                if let Some(mut session) = self.session(&group_id, now, &mut effects) {
                    session.on_assignment_appended(assignments, decided_at, outcome.err());
                }
                self.check_recorded(&append.records, outcome);
            }
            Then::Rejoin { group_id, before, ticket, reply } => {
                let reply = match outcome {
                    Ok(_) => reply,
                    Err(error) => {
                        let refused = JoinReply { error: Some(error), member_id: String::new(), ..reply };
                        self.groups.insert(group_id.clone(), Group::Classic(before));
                        refused
                    }
                };
                if let Some(mut session) = self.session(&group_id, now, &mut effects) {
                    session.on_rejoin_appended();
                }
                effects.replies.push((ticket, Reply::Join(reply)));
                self.check_recorded(&append.records, outcome);
            }
        }
        effects
    }

    fn apply_all(&mut self, records: &[GroupRecord], base_offset: Offset) {
        for (record, offset) in records.iter().zip(base_offset..) {
            self.apply(record, offset);
        }
    }

    /// What the log says of a group that stands still is what the group is; else a restart would change it.
    fn check_recorded(&self, records: &[GroupRecord], outcome: Result<Offset, GroupError>) {
        let Some(GroupRecord::Group { group_id, value: Some(value) }) = records.first() else { return };
        if let (Ok(_), Some(Group::Classic(group))) = (outcome, self.groups.get(group_id)) {
            assert!(group.state != GroupState::Stable || group.record() == *value, "group differs from its record");
        }
    }
}

fn or_refused((ticket, reply): (Ticket, Reply), outcome: Result<Offset, GroupError>) -> (Ticket, Reply) {
    match outcome {
        Ok(_) => (ticket, reply),
        Err(error) => (ticket, reply.refused(error)),
    }
}
