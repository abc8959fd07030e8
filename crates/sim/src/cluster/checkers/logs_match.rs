//! Below the high watermarks of both, and from where both begin, two replicas hold the same records.

use super::View;

pub(super) fn check(view: &View) -> Result<(), String> {
    for ((place, one), left) in &view.replicas {
        let others = view.replicas.range((*place, one + 1)..(place + 1, 0));
        for ((_, other), right) in others {
            let begin = left.log_start_offset.max(right.log_start_offset);
            let end = left.high_watermark.min(right.high_watermark);
            let differs = (begin..end).find(|offset| left.records.get(offset) != right.records.get(offset));
            if let Some(offset) = differs {
                let (left, right) = (left.records.get(&offset), right.records.get(&offset));
                return Err(format!("{place}@{offset} is {left:?} on node {one} and {right:?} on node {other}"));
            }
        }
    }
    Ok(())
}
