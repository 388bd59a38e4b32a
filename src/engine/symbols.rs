//! Symbols as numbers, and a map from them to numbers that remembers the order of insertion. Scores, scales and weights
//! travel in it: their order decides who is cut off first. Emptied and filled anew, it never allocates after construction.

/// A symbol of one market: its index in byte order of the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct SymbolId(pub u32);

impl SymbolId {
    /// The id as an index into tables by symbol.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The id of an index. Loaders number symbols with 32 bits, so that none is cut off.
    pub(crate) fn of_index(index: usize) -> Self {
        Self(index as u32)
    }
}

/// An ordered map of at most one number per symbol. NaN cannot be stored: it marks absence.
#[derive(Debug, Clone, Default)]
pub(crate) struct SymbolMap {
    keys: Vec<SymbolId>,
    values: Vec<f64>,
}

impl SymbolMap {
    /// An empty map for symbols `0..n_symbols`.
    pub(crate) fn new(n_symbols: usize) -> Self {
        Self { keys: Vec::with_capacity(n_symbols), values: vec![f64::NAN; n_symbols] }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn contains(&self, symbol: SymbolId) -> bool {
        !self.values[symbol.index()].is_nan()
    }

    pub(crate) fn get(&self, symbol: SymbolId) -> Option<f64> {
        let value = self.values[symbol.index()];
        (!value.is_nan()).then_some(value)
    }

    pub(crate) fn get_or(&self, symbol: SymbolId, default: f64) -> f64 {
        self.get(symbol).unwrap_or(default)
    }

    /// Sets a number. A symbol that is there already keeps its place.
    pub(crate) fn insert(&mut self, symbol: SymbolId, value: f64) {
        if !self.contains(symbol) {
            self.keys.push(symbol);
        }
        self.values[symbol.index()] = value;
    }

    pub(crate) fn clear(&mut self) {
        for key in self.keys.drain(..) {
            self.values[key.index()] = f64::NAN;
        }
    }

    /// Symbols in the order of insertion.
    pub(crate) fn keys(&self) -> &[SymbolId] {
        &self.keys
    }

    /// Symbols and numbers in the order of insertion.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SymbolId, f64)> + '_ {
        self.keys.iter().map(|&key| (key, self.values[key.index()]))
    }

    /// Replaces each number by what `f` makes of it.
    pub(crate) fn update(&mut self, mut f: impl FnMut(SymbolId, f64) -> f64) {
        for &key in &self.keys {
            let value = &mut self.values[key.index()];
            *value = f(key, *value);
        }
    }

    /// Keeps only the entries that `f` approves.
    pub(crate) fn retain(&mut self, mut f: impl FnMut(SymbolId, f64) -> bool) {
        let values = &mut self.values;
        self.keys.retain(|&key| {
            let keep = f(key, values[key.index()]);
            if !keep {
                values[key.index()] = f64::NAN;
            }
            keep
        });
    }

    /// Moves `leaders`, as far as they are there, to the front and in that order; `leads` tells who is one.
    pub(crate) fn lead_with(&mut self, leaders: &[SymbolId], leads: impl Fn(SymbolId) -> bool) {
        let Self { keys, values } = self;
        keys.retain(|&key| !leads(key));
        let others = keys.len();
        keys.extend(leaders.iter().filter(|leader| !values[leader.index()].is_nan()));
        keys.rotate_left(others);
    }

    /// Whether both have the same numbers for the same symbols, in whatever order.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }

    /// Becomes equal to `other`.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.clear();
        for (key, value) in other.iter() {
            self.insert(key, value);
        }
    }
}
