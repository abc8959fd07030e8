//! A seeded source of numbers (splitmix64): the same seed, the same mutation.

pub(crate) struct Random(u64);

/// Numbers at which counters, lengths and offsets break.
const EDGES: &[u64] = &[
    0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff, 0x100, 4095, 4096, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_fffe, 0x7fff_ffff,
    0x8000_0000, 0xffff_fffe, 0xffff_ffff, 0x1_0000_0000, 0x7fff_ffff_ffff_fffe, 0x7fff_ffff_ffff_ffff, 1 << 63, u64::MAX - 1, u64::MAX,
];

impl Random {
    pub(crate) fn new(seed: u32) -> Self {
        Random(u64::from(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next() % bound as u64) as usize }
    }

    /// True once in `times`.
    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// A number that is likely to hurt: an edge, near `old`, or any.
    pub(crate) fn edge(&mut self, old: u64) -> u64 {
        match self.below(4) {
            0 => old.wrapping_add(self.next() % 17).wrapping_sub(8),
            1 => self.next(),
            _ => EDGES[self.below(EDGES.len())],
        }
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}
