//! An ordered map whose copies share what did not change.
//!
//! The controller publishes an image after each decision. With ten thousand topics a whole copy per created topic would
//! be quadratic, so entries live in small sorted leaves behind `Arc`: a clone is one count, and a change to a shared map
//! copies the list of leaves and one leaf.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;

/// Entries of a leaf at most; at twice the square root of the size a map wants to be fast for, copying the list of
/// leaves costs about as much as copying a leaf.
const LEAF_MAX: usize = 128;

/// A sorted map, cheap to clone and cheap to change after a clone.
#[derive(Clone)]
pub struct SharedMap<K, V> {
    leaves: Arc<Vec<Arc<Leaf<K, V>>>>,
    len: usize,
}

type Leaf<K, V> = Vec<(K, V)>;

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// The value of `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let leaf = self.leaves.get(self.leaf_for(key))?;
        let index = position(leaf, key).ok()?;
        Some(&leaf[index].1)
    }

    /// The value of `key`, to be changed; copies what is shared.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let index = self.leaf_for(key);
        let at = position(self.leaves.get(index)?, key).ok()?;
        let leaf = Arc::make_mut(&mut Arc::make_mut(&mut self.leaves)[index]);
        Some(&mut leaf[at].1)
    }

    /// True if `key` has a value.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Gives `key` a value and returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let index = self.leaf_for(&key);
        let leaves = Arc::make_mut(&mut self.leaves);
        if leaves.is_empty() {
            leaves.push(Arc::default());
        }
        let leaf = Arc::make_mut(&mut leaves[index]);
        match position(leaf, &key) {
            Ok(at) => return Some(core::mem::replace(&mut leaf[at].1, value)),
            Err(at) => leaf.insert(at, (key, value)),
        }
        self.len += 1;
        if leaf.len() > LEAF_MAX {
            let upper = leaf.split_off(LEAF_MAX / 2);
            leaves.insert(index + 1, Arc::new(upper));
        }
        None
    }

    /// Takes `key` out and returns the value it had.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let index = self.leaf_for(key);
        let at = position(self.leaves.get(index)?, key).ok()?;
        let leaves = Arc::make_mut(&mut self.leaves);
        let leaf = Arc::make_mut(&mut leaves[index]);
        let (_, value) = leaf.remove(at);
        self.len -= 1;
        if leaf.is_empty() {
            leaves.remove(index);
        }
        Some(value)
    }

    /// All entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.leaves.iter().flat_map(|leaf| leaf.iter()).map(|(key, value)| (key, value))
    }

    /// The entries from `key` on, in the order of their keys.
    pub fn iter_from<'a, Q: Ord + ?Sized>(&'a self, key: &Q) -> impl Iterator<Item = (&'a K, &'a V)>
    where
        K: Borrow<Q>,
    {
        let index = self.leaf_for(key);
        let at = self.leaves.get(index).map_or(0, |leaf| position(leaf, key).unwrap_or_else(|at| at));
        let first = self.leaves.get(index).into_iter().flat_map(move |leaf| leaf[at..].iter());
        let rest = self.leaves.iter().skip(index + 1).flat_map(|leaf| leaf.iter());
        first.chain(rest).map(|(key, value)| (key, value))
    }

    /// All values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The leaf whose range holds `key`: the last that begins at or below it.
    fn leaf_for<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.leaves.partition_point(|leaf| leaf[0].0.borrow() <= key).saturating_sub(1)
    }
}

fn position<K: Borrow<Q>, V, Q: Ord + ?Sized>(leaf: &Leaf<K, V>, key: &Q) -> Result<usize, usize> {
    leaf.binary_search_by(|(candidate, _)| candidate.borrow().cmp(key))
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        SharedMap { leaves: Arc::default(), len: 0 }
    }
}

/// Equal entries, however they are spread over leaves.
impl<K: PartialEq, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.leaves.iter(), other.leaves.iter());
        self.len == other.len && mine.flat_map(|leaf| leaf.iter()).eq(theirs.flat_map(|leaf| leaf.iter()))
    }
}

impl<K: Eq, V: Eq> Eq for SharedMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.leaves.iter().flat_map(|leaf| leaf.iter());
        f.debug_map().entries(entries.map(|(key, value)| (key, value))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u16),
        Remove(u16),
        Change(u16),
        Publish,
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = 0..700u16;
        prop_oneof![
            6 => key.clone().prop_map(Step::Insert),
            2 => key.clone().prop_map(Step::Remove),
            2 => key.prop_map(Step::Change),
            1 => Just(Step::Publish),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_an_ordered_map_and_copies_stay(steps in proptest::collection::vec(step(), 0..1500)) {
            let mut map = SharedMap::default();
            let mut model = BTreeMap::new();
            let mut published = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(key) => prop_assert_eq!(map.insert(key, number), model.insert(key, number)),
                    Step::Remove(key) => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    Step::Change(key) => {
                        prop_assert_eq!(map.get(&key), model.get(&key));
                        if let Some(value) = map.get_mut(&key) { *value = number; }
                        if let Some(value) = model.get_mut(&key) { *value = number; }
                    }
                    Step::Publish if published.len() < 3 => published.push((map.clone(), model.clone())),
                    Step::Publish => {}
                }
                prop_assert_eq!(map.len(), model.len());
            }
            published.push((map, model));
            for (map, model) in published {
                prop_assert!(map.iter().eq(model.iter()));
                for key in [0, 1, 350, 699, 1000] {
                    prop_assert!(map.iter_from(&key).eq(model.range(key..)));
                }
            }
        }
    }
}
