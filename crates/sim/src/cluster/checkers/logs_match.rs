//! Below the high watermarks of both, two replicas hold the same records.

use super::View;

pub(super) fn check(view: &View) -> Result<(), String> {
    for ((partition, one), left) in &view.replicas {
        let others = view.replicas.range((*partition, one + 1)..(partition + 1, 0));
        for ((_, other), right) in others {
            let end = left.high_watermark.min(right.high_watermark);
            let differs = (0..end).find(|offset| left.records.get(offset) != right.records.get(offset));
            if let Some(offset) = differs {
                let (left, right) = (left.records.get(&offset), right.records.get(&offset));
                return Err(format!("{partition}@{offset} is {left:?} on node {one} and {right:?} on node {other}"));
            }
        }
    }
    Ok(())
}
