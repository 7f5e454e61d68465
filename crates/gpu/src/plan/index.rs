//! Symbolic index arithmetic: positions as sums of multiples of atoms, simplified with known ranges.
//!
//! Every access of a generated kernel is such a sum. Reshapes divide and multiply; most of that cancels
//! here, before any code is written, and what is left is proved to stay inside of its tensor.

use std::collections::HashMap;

/// Σ coefficient · atom + constant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Index {
    /// (atom, coefficient), sorted by atom, without zeros.
    pub terms: Vec<(u32, i64)>,
    /// The constant.
    pub constant: i64,
}

impl Index {
    /// A number.
    pub fn constant(value: usize) -> Self {
        Self { terms: vec![], constant: value as i64 }
    }

    /// One atom.
    pub fn atom(atom: u32) -> Self {
        Self { terms: vec![(atom, 1)], constant: 0 }
    }

    /// This index times a number.
    pub fn times(&self, factor: i64) -> Self {
        let scaled = self.terms.iter().map(|&(atom, c)| (atom, c * factor));
        let terms = if factor == 0 { vec![] } else { scaled.collect() };
        Self { terms, constant: self.constant * factor }
    }

    /// This index moved by a number.
    pub fn offset(mut self, by: i64) -> Self {
        self.constant += by;
        self
    }

    /// Adds so many times another index.
    fn add_times(&mut self, other: &Self, factor: i64) {
        for &(atom, c) in &other.terms {
            match self.terms.binary_search_by_key(&atom, |term| term.0) {
                Ok(at) => self.terms[at].1 += c * factor,
                Err(at) => self.terms.insert(at, (atom, c * factor)),
            }
        }
        self.terms.retain(|term| term.1 != 0);
        self.constant += other.constant * factor;
    }

    fn coefficient(&self, atom: u32) -> i64 {
        self.terms.binary_search_by_key(&atom, |term| term.0).map_or(0, |at| self.terms[at].1)
    }
}

/// What an atom stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A loop or grid variable.
    Var(u32),
    /// Floor division by a constant.
    Div(Index, i64),
    /// Remainder by a constant.
    Mod(Index, i64),
    /// `raw / stride` if that is a whole number below the extent, else 0. Whether it was is a condition
    /// that code can ask for.
    Guarded {
        /// The position times the stride; negative ones wrap around.
        raw: Index,
        /// What it must be a multiple of.
        stride: i64,
        /// What the quotient must stay below.
        extent: usize,
    },
    /// The smaller of an index and a constant.
    Clamped(Index, usize),
    /// Read from a tensor.
    Loaded(u32),
}

/// An atom and what is known of it.
#[derive(Clone, Debug)]
pub struct Atom {
    /// What it stands for.
    pub kind: Kind,
    /// The largest value it takes; the smallest is 0.
    pub max: i64,
    /// The nesting depth of the loop that defines it.
    pub depth: usize,
}

/// The atoms of one kernel.
#[derive(Debug, Default)]
pub struct Indices {
    atoms: Vec<Atom>,
    known: HashMap<Kind, u32>,
    /// Of remainders x mod c: (x div c)·c.
    wholes: HashMap<u32, Index>,
    fresh: u32,
}

impl Indices {
    /// What is known of an atom.
    pub fn get(&self, atom: u32) -> &Atom {
        &self.atoms[atom as usize]
    }

    fn intern(&mut self, kind: Kind, max: i64, depth: usize) -> Index {
        let next = self.atoms.len() as u32;
        let atom = *self.known.entry(kind.clone()).or_insert(next);
        if atom == next {
            self.atoms.push(Atom { kind, max, depth });
        }
        Index::atom(atom)
    }

    /// A new variable that takes the values 0 … extent − 1 at a loop depth.
    pub fn var(&mut self, extent: usize, depth: usize) -> Index {
        self.fresh += 1;
        match extent {
            0 | 1 => Index::constant(0),
            _ => self.intern(Kind::Var(self.fresh), extent as i64 - 1, depth),
        }
    }

    /// Like [`Indices::var`], with the atom that stands for the variable in code. Where only 0 is
    /// possible the index is 0.
    pub fn named_var(&mut self, extent: usize, depth: usize) -> (u32, Index) {
        self.fresh += 1;
        let index = self.intern(Kind::Var(self.fresh), extent.max(1) as i64 - 1, depth);
        (index.terms[0].0, if extent > 1 { index } else { Index::default() })
    }

    /// A position below `extent` that is read at run time.
    pub fn loaded(&mut self, extent: usize, depth: usize) -> (u32, Index) {
        self.fresh += 1;
        let index = self.intern(Kind::Loaded(self.fresh), extent.max(1) as i64 - 1, depth);
        (index.terms[0].0, index)
    }

    /// (smallest, largest) value.
    pub fn range(&self, index: &Index) -> (i64, i64) {
        index.terms.iter().fold((index.constant, index.constant), |(low, high), &(atom, c)| {
            let reach = c * self.get(atom).max;
            (low + reach.min(0), high + reach.max(0))
        })
    }

    /// The value where every variable has the value that `of` says, by atom; what is read at run time counts as 0.
    pub fn evaluate(&self, index: &Index, of: &impl Fn(u32) -> i64) -> i64 {
        let value = |atom: u32| match &self.get(atom).kind {
            Kind::Var(_) => of(atom),
            Kind::Div(inner, c) => self.evaluate(inner, of).div_euclid(*c),
            Kind::Mod(inner, c) => self.evaluate(inner, of).rem_euclid(*c),
            Kind::Guarded { raw, stride, extent } => {
                let raw = self.evaluate(raw, of);
                let inside = raw % stride == 0 && (0..*extent as i64).contains(&(raw / stride));
                if inside { raw / stride } else { 0 }
            }
            Kind::Clamped(inner, max) => self.evaluate(inner, of).min(*max as i64),
            Kind::Loaded(_) => 0,
        };
        index.terms.iter().fold(index.constant, |sum, &(atom, c)| sum + c * value(atom))
    }

    /// The depth at which an index is known.
    pub fn depth(&self, index: &Index) -> usize {
        index.terms.iter().map(|&(atom, _)| self.get(atom).depth).max().unwrap_or(0)
    }

    /// The sum, with quotients and remainders of one number put together again:
    /// (x div c)·c + (x mod c) = x.
    pub fn add(&mut self, a: &Index, b: &Index) -> Index {
        let mut sum = a.clone();
        sum.add_times(b, 1);
        self.together(sum)
    }

    fn together(&mut self, mut sum: Index) -> Index {
        let mut at = 0;
        while let Some(&(atom, m)) = sum.terms.get(at) {
            at += 1;
            self.find_whole(atom);
            if let Some((quotient, number)) = self.quotient_beside(&sum, atom, m) {
                sum.add_times(&quotient, -m);
                sum.add_times(&Index::atom(atom), -m);
                sum.add_times(&number, m);
                at = 0;
            }
        }
        sum
    }

    /// What a sum has to have beside m times x mod c to be put together, if it has that, and what of: (x div c)·c and x; or
    /// ((x mod d) div c)·c and x mod d where c divides d, as (x mod d) mod c is written x mod c.
    fn quotient_beside(&self, sum: &Index, atom: u32, m: i64) -> Option<(Index, Index)> {
        let (Kind::Mod(x, c), Some(whole)) = (&self.get(atom).kind, self.wholes.get(&atom)) else {
            return None;
        };
        let is_there = |&(atom, k): &(u32, i64)| sum.coefficient(atom) == m * k;
        if !whole.terms.is_empty() && whole.terms.iter().all(is_there) {
            return Some((whole.clone(), x.clone()));
        }
        sum.terms.iter().find_map(|&(quotient, k)| {
            let Kind::Div(dividend, by) = &self.get(quotient).kind else { return None };
            let ([(inner, 1)], 0) = (&dividend.terms[..], dividend.constant) else { return None };
            let Kind::Mod(of, d) = &self.get(*inner).kind else { return None };
            let belongs = by == c && k == m * c && of == x && d % c == 0;
            belongs.then(|| (Index::atom(quotient).times(*c), dividend.clone()))
        })
    }

    /// Notes (x div c)·c down for an atom that is x mod c.
    fn find_whole(&mut self, atom: u32) {
        if let Kind::Mod(x, c) = &self.get(atom).kind
            && !self.wholes.contains_key(&atom)
        {
            let (x, c) = (x.clone(), *c);
            let whole = self.div(&x, c).times(c);
            self.wholes.insert(atom, whole);
        }
    }

    /// Floor division of a non-negative index.
    pub fn div(&mut self, index: &Index, c: i64) -> Index {
        let (whole, rest) = self.split(index, c);
        let (low, high) = self.range(&rest);
        if low >= 0 && high < c {
            return whole;
        }
        let (rest, c) = if low >= 0 {
            (rest, c)
        } else {
            // Parts that could be negative on their own stay together.
            return self.raw_div(index.clone(), c);
        };
        let g = rest.terms.iter().fold(c, |g, &(_, k)| gcd(g, k));
        let small = Index {
            terms: rest.terms.iter().map(|&(atom, k)| (atom, k / g)).collect(),
            constant: rest.constant.div_euclid(g),
        };
        let quotient = self.raw_div(small, c / g);
        self.add(&whole, &quotient)
    }

    fn raw_div(&mut self, index: Index, c: i64) -> Index {
        if c == 1 {
            return index;
        }
        if let ([(atom, 1)], 0) = (&index.terms[..], index.constant)
            && let Kind::Div(inner, d) = self.get(*atom).kind.clone()
        {
            return self.div(&inner, d * c);
        }
        let (max, depth) = (self.range(&index).1 / c, self.depth(&index));
        self.intern(Kind::Div(index, c), max, depth)
    }

    /// The remainder of a non-negative index.
    pub fn rem(&mut self, index: &Index, c: i64) -> Index {
        let (_, rest) = self.split(index, c);
        let (low, high) = self.range(&rest);
        if low >= 0 && high < c {
            return rest;
        }
        if low < 0 {
            return self.raw_rem(index.clone(), c);
        }
        let g = rest.terms.iter().fold(c, |g, &(_, k)| gcd(g, k));
        let small = Index {
            terms: rest.terms.iter().map(|&(atom, k)| (atom, k / g)).collect(),
            constant: rest.constant.div_euclid(g),
        };
        self.raw_rem(small, c / g).times(g).offset(rest.constant.rem_euclid(g))
    }

    fn raw_rem(&mut self, index: Index, c: i64) -> Index {
        if c == 1 {
            return Index::constant(0);
        }
        if let ([(atom, 1)], 0) = (&index.terms[..], index.constant)
            && let Kind::Mod(inner, d) = self.get(*atom).kind.clone()
            && d % c == 0
        {
            return self.rem(&inner, c);
        }
        let (max, depth) = (self.range(&index).1.min(c - 1), self.depth(&index));
        self.intern(Kind::Mod(index, c), max, depth)
    }

    /// index = c · whole + rest, with as much as possible in the whole part.
    fn split(&self, index: &Index, c: i64) -> (Index, Index) {
        let (mut whole, mut rest) = (Index::default(), Index::default());
        for &(atom, k) in &index.terms {
            if k % c == 0 {
                whole.terms.push((atom, k / c));
            } else {
                rest.terms.push((atom, k));
            }
        }
        whole.constant = index.constant.div_euclid(c);
        rest.constant = index.constant.rem_euclid(c);
        (whole, rest)
    }

    /// The smaller of an index and a constant.
    pub fn clamp(&mut self, index: &Index, max: usize) -> Index {
        if self.range(index).1 <= max as i64 {
            return index.clone();
        }
        // What is always 0 is written as 0, or equal positions would look different.
        if index.terms.is_empty() || max == 0 {
            return Index::constant(max);
        }
        let depth = self.depth(index);
        self.intern(Kind::Clamped(index.clone(), max), max as i64, depth)
    }

    /// `raw / stride` where that is a whole number below `extent`; the atom whose condition says whether
    /// it is, unless that is always so.
    pub fn guard(&mut self, raw: &Index, stride: usize, extent: usize) -> (Index, Option<u32>) {
        let (low, high) = self.range(raw);
        if stride == 1 && low >= 0 && high < extent as i64 {
            return (raw.clone(), None);
        }
        let depth = self.depth(raw);
        let kind = Kind::Guarded { raw: raw.clone(), stride: stride as i64, extent };
        let index = self.intern(kind, extent.max(1) as i64 - 1, depth);
        let atom = index.terms[0].0;
        (if extent > 1 { index } else { Index::default() }, Some(atom))
    }

    /// The multi-index of a row-major position.
    pub fn unflatten(&mut self, position: &Index, extents: &[usize]) -> Vec<Index> {
        let mut rest = position.clone();
        let mut index = vec![Index::default(); extents.len()];
        for axis in (0..extents.len()).rev() {
            let extent = extents[axis].max(1) as i64;
            if axis == 0 {
                index[0] = rest.clone();
            } else {
                index[axis] = self.rem(&rest, extent);
                rest = self.div(&rest, extent);
            }
        }
        index
    }

    /// The row-major position of a multi-index.
    pub fn flatten(&mut self, index: &[Index], extents: &[usize]) -> Index {
        let mut position = Index::default();
        let mut stride = 1;
        for (i, &extent) in index.iter().zip(extents).rev() {
            position.add_times(i, stride);
            stride *= extent as i64;
        }
        // Put quotients and remainders together only now, when all of them are there.
        self.together(position)
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshape_there_and_back_is_the_identity() {
        let mut indices = Indices::default();
        let x = indices.var(2 * 3 * 4 * 5, 0);
        for extents in [vec![2, 3, 4, 5], vec![6, 20], vec![120], vec![1, 120, 1], vec![3, 2, 20]] {
            let index = indices.unflatten(&x, &extents);
            assert_eq!(indices.flatten(&index, &extents), x, "{extents:?}");
        }
    }

    #[test]
    fn reshaping_a_remainder_there_and_back_is_the_identity() {
        let mut indices = Indices::default();
        let x = indices.var(1000, 0);
        let x = indices.rem(&x, 24);
        for extents in [vec![12, 2], vec![2, 3, 4], vec![3, 2, 2, 2], vec![2, 12], vec![8, 3]] {
            let index = indices.unflatten(&x, &extents);
            assert_eq!(indices.flatten(&index, &extents), x, "{extents:?}");
        }
    }

    #[test]
    fn lanes_divide_out() {
        let mut indices = Indices::default();
        let t = indices.var(100, 0);
        let lane = t.times(4).offset(3);
        let column = indices.rem(&lane, 32);
        // (4t + 3) mod 32 = 4 (t mod 8) + 3: still one aligned group of four.
        assert_eq!(column.terms.len(), 1);
        assert_eq!((column.terms[0].1, column.constant), (4, 3));
        let row = indices.div(&lane, 32);
        assert_eq!(indices.flatten(&[row, column], &[13, 32]), lane);
    }

    #[test]
    fn merged_axes_read_through_a_permutation() {
        let mut indices = Indices::default();
        let (a, b) = (indices.var(6, 0), indices.var(7, 0));
        let merged = indices.flatten(&[a.clone(), b.clone()], &[6, 7]);
        assert_eq!(indices.unflatten(&merged, &[6, 7]), vec![a, b]);
    }

    /// Random trees of operations agree with the same operations on numbers.
    #[test]
    fn agrees_with_arithmetic() {
        let mut indices = Indices::default();
        let extents = [5usize, 7, 12];
        let vars: Vec<Index> = extents.iter().map(|&n| indices.var(n, 0)).collect();
        let mut seed = 1u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % n
        };
        for _ in 0..300 {
            let first = next(3) as usize;
            let mut expr = vars[first].clone();
            let mut steps: Vec<(u64, i64, usize)> = vec![];
            for _ in 0..5 {
                let (op, c, v) = (next(4), next(6) as i64 + 2, next(3) as usize);
                expr = match op {
                    0 => indices.div(&expr, c),
                    1 => indices.rem(&expr, c),
                    2 => indices.add(&expr.times(c), &vars[v]),
                    _ => expr.offset(c),
                };
                steps.push((op, c, v));
            }
            for _ in 0..10 {
                let at: Vec<i64> = extents.iter().map(|&n| next(n as u64) as i64).collect();
                let expected = steps.iter().fold(at[first], |x, &(op, c, v)| match op {
                    0 => x / c,
                    1 => x % c,
                    2 => x * c + at[v],
                    _ => x + c,
                });
                let (low, high) = indices.range(&expr);
                let of = |atom: u32| {
                    let known = vars.iter().position(|var| *var == Index::atom(atom));
                    at[known.expect("one of the variables")]
                };
                assert_eq!(indices.evaluate(&expr, &of), expected);
                assert!(low <= expected && expected <= high);
            }
        }
    }
}
