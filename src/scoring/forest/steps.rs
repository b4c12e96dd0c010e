//! The steps through a tree: the one hot loop.

/// Trees of one row, or rows of one tree, that are walked side by side: their steps do not wait for one another.
pub const SIDE: usize = 16;

/// Steps between two looks at whether all have arrived: trees that are grown leaf by leaf have few deep branches.
const STRIDE: u32 = 3;

/// The type of slots and thresholds.
pub trait Lane: Copy + PartialOrd + Default + std::fmt::Debug {
    /// Whether it holds every f64.
    const EXACT: bool;
    fn of(value: f64) -> Self;
    fn wide(self) -> f64;
    /// A word of category bits, and back.
    fn of_bits(bits: u32) -> Self;
    fn bits(self) -> u32;
    /// The largest value of this type that is not above `at`: comparing with it decides the same.
    fn not_above(at: f64) -> Self;
}

impl Lane for f32 {
    const EXACT: bool = false;
    fn of(value: f64) -> f32 {
        value as f32
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn of_bits(bits: u32) -> f32 {
        f32::from_bits(bits)
    }
    fn bits(self) -> u32 {
        self.to_bits()
    }
    fn not_above(at: f64) -> f32 {
        let near = at as f32;
        if f64::from(near) > at { near.next_down() } else { near }
    }
}

impl Lane for f64 {
    const EXACT: bool = true;
    fn of(value: f64) -> f64 {
        value
    }
    fn wide(self) -> f64 {
        self
    }
    fn of_bits(bits: u32) -> f64 {
        f64::from_bits(u64::from(bits))
    }
    fn bits(self) -> u32 {
        self.to_bits() as u32
    }
    fn not_above(at: f64) -> f64 {
        at
    }
}

/// Counts slots, and nodes within a tree.
pub trait Index: Copy + std::fmt::Debug {
    /// Only of what [`super::Forest::new`] found to fit.
    fn of(value: usize) -> Self;
    fn get(self) -> usize;
}

impl Index for u16 {
    fn of(value: usize) -> u16 {
        value as u16
    }
    fn get(self) -> usize {
        usize::from(self)
    }
}

impl Index for u32 {
    fn of(value: usize) -> u32 {
        value as u32
    }
    fn get(self) -> usize {
        self as usize
    }
}

/// A split: `step` further lies the left child, beside it the right one. A leaf: `step` is 0, `slot` is 0 (-inf), and
/// `at`, which is not below it, is the leaf's value or, where values are f64 or formulas, its number.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Split<L, I> {
    pub at: L,
    pub slot: I,
    pub step: I,
}

/// The nodes of all trees, proven to stay among themselves.
#[derive(Debug)]
pub struct Nodes<L, I> {
    nodes: Vec<Split<L, I>>,
    /// Slots of a row.
    width: usize,
    /// Slots from here on are words of bits.
    first_word: usize,
}

impl<L: Lane, I: Index> Nodes<L, I> {
    /// # Panics
    /// If a node leads out of the nodes or to a slot beyond `width`: the steps rely on it.
    pub fn new(nodes: Vec<Split<L, I>>, width: usize, first_word: usize) -> Nodes<L, I> {
        for (place, node) in nodes.iter().enumerate() {
            assert!(node.slot.get() < width, "node {place} looks at a slot of the row");
            // A leaf stays: its slot is -inf, which is not above any value but NaN.
            let stays = node.step.get() == 0 && node.slot.get() == 0 && !node.at.wide().is_nan();
            assert!(stays || place + node.step.get() + 1 < nodes.len(), "node {place} leads to a node");
        }
        Nodes { nodes, width, first_word }
    }

    pub fn at(&self, node: u32) -> L {
        self.nodes[node as usize].at
    }

    /// Takes `depth` steps from `at`, on lane after lane. Slots lie lane beside lane for `lanes` lanes, or there is one
    /// row for all.
    pub fn walk<const N: usize>(&self, at: &mut [u32; N], depth: u32, slots: &[L], row_for_all: bool) {
        let categories = self.first_word < self.width;
        match (categories, row_for_all) {
            (false, false) => self.steps::<N, N, false>(at, depth, slots),
            (false, true) => self.steps::<N, 1, false>(at, depth, slots),
            (true, false) => self.steps::<N, N, true>(at, depth, slots),
            (true, true) => self.steps::<N, 1, true>(at, depth, slots),
        }
    }

    #[inline(never)]
    fn steps<const N: usize, const ROWS: usize, const CATEGORIES: bool>(
        &self,
        at: &mut [u32; N],
        depth: u32,
        slots: &[L],
    ) {
        const { assert!(ROWS == 1 || ROWS == N) };
        // All lanes at once, rather than up to the first that fails.
        let last = at.iter().fold(0, |last, &at| last.max(at));
        let stays = slots[..ROWS].iter().fold(true, |all, &slot| all & (slot == L::of(f64::NEG_INFINITY)));
        assert!(slots.len() >= self.width * ROWS && (last as usize) < self.nodes.len() && stays);
        let mut lanes = *at;
        let mut left = depth;
        while left > 0 {
            for _ in 0..STRIDE.min(left) {
                for (lane, at) in lanes.iter_mut().enumerate() {
                    // SAFETY: `at` was checked above; a split leads to a node (`new`), and a leaf, whose slot is the
                    // checked -inf, to itself.
                    let node = unsafe { self.nodes.get_unchecked(*at as usize) };
                    let slot = node.slot.get();
                    // SAFETY: a node's slot is below `width` (`new`); as many rows as that were checked above.
                    let value = unsafe { *slots.get_unchecked(slot * ROWS + lane % ROWS) };
                    // A NaN is not at most anything: it goes right.
                    let at_most = value <= node.at;
                    let mut right = !at_most;
                    if CATEGORIES {
                        let listed = value.bits() & node.at.bits() != 0;
                        right = if slot >= self.first_word { listed } else { right };
                    }
                    *at += node.step.get() as u32 + u32::from(right);
                }
            }
            left -= STRIDE.min(left);
            // SAFETY: as above.
            let steps = lanes.iter().map(|&at| unsafe { self.nodes.get_unchecked(at as usize) }.step.get());
            if left > 0 && steps.fold(0, |any, step| any | step) == 0 {
                break;
            }
        }
        *at = lanes;
    }
}
