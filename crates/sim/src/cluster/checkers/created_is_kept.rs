//! A topic whose creation was answered is there from then on.

use super::View;
use crate::cluster::places::topic_id;

pub(super) fn check(view: &View) -> Result<(), String> {
    match view.history.created.iter().find(|topic| view.agreed.topic_by_id(topic_id(**topic)).is_none()) {
        Some(topic) => Err(format!("topic {topic} was created, and is gone")),
        None => Ok(()),
    }
}
