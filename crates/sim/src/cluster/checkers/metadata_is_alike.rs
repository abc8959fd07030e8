//! Nodes that have applied the same decisions know the same.

use std::collections::BTreeMap;

use super::View;

pub(super) fn check(view: &View) -> Result<(), String> {
    let mut seen = BTreeMap::new();
    for (node, (image, applied)) in &view.known {
        let (first, known) = seen.entry(applied).or_insert((node, image));
        if known != &image {
            return Err(format!("nodes {first} and {node} differ after {applied} decisions"));
        }
    }
    Ok(())
}
