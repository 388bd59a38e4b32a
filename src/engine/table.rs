//! Dense tables of numbers and the memory that they lie in. What their rows and cells stand for is told in `market`.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;
use rayon::prelude::*;

/// Bytes from which on memory is asked for in huge pages. A large panel has a hundred thousand ordinary ones, and
/// getting each of them, and finding it again, took longer than filling it.
const HUGE_FROM: usize = 8 * 1024 * 1024;

/// Numbers side by side, zeros until they are written. They cost nothing until they are touched.
#[derive(Debug)]
pub(crate) enum Cells {
    Few(Vec<f64>),
    Many(MmapMut),
}

impl Cells {
    pub(crate) fn zeros(count: usize) -> Self {
        let bytes = count * size_of::<f64>();
        let memory = (bytes >= HUGE_FROM).then(|| mapped(bytes)).flatten();
        memory.map_or_else(|| Self::Few(vec![0.0; count]), Self::Many)
    }
}

fn mapped(bytes: usize) -> Option<MmapMut> {
    let memory = MmapMut::map_anon(bytes).ok()?;
    // A wish; where it is not granted, ordinary pages do.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    Some(memory)
}

impl Deref for Cells {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        match self {
            Self::Few(cells) => cells,
            Self::Many(memory) => bytemuck::cast_slice(memory),
        }
    }
}

impl DerefMut for Cells {
    fn deref_mut(&mut self) -> &mut [f64] {
        match self {
            Self::Few(cells) => cells,
            Self::Many(memory) => bytemuck::cast_slice_mut(memory),
        }
    }
}

impl Clone for Cells {
    fn clone(&self) -> Self {
        let mut cells = Self::zeros(self.len());
        cells.copy_from_slice(self);
        cells
    }
}

impl PartialEq for Cells {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

/// A dense table: `cells[row * width + column]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    pub(crate) width: usize,
    pub(crate) cells: Cells,
}

impl Table {
    /// A table without numbers.
    pub(crate) fn missing(rows: usize, width: usize) -> Self {
        let mut table = Self::zeros(rows, width);
        table.cells.fill(f64::NAN);
        table
    }

    pub(crate) fn zeros(rows: usize, width: usize) -> Self {
        Self { width, cells: Cells::zeros(rows * width) }
    }

    /// Number of rows; 0 without columns.
    pub(crate) fn rows(&self) -> usize {
        self.cells.len().checked_div(self.width).unwrap_or(0)
    }

    /// The cells of a row.
    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.cells[row * self.width..(row + 1) * self.width]
    }

    pub(crate) fn get(&self, row: usize, column: usize) -> f64 {
        self.cells[row * self.width + column]
    }

    /// The same column after column: `[column * rows + row]`.
    pub(crate) fn transposed(&self) -> Cells {
        // A few columns at a time, so that reading and writing both stay within a few cache lines.
        const TOGETHER: usize = 32;
        let rows = self.rows();
        let mut transposed = Cells::zeros(self.cells.len());
        if rows == 0 {
            return transposed;
        }
        transposed.par_chunks_mut(TOGETHER * rows).enumerate().for_each(|(block, columns)| {
            for row in 0..rows {
                let cells = &self.row(row)[block * TOGETHER..];
                for (column, cell) in columns.chunks_exact_mut(rows).zip(cells) {
                    column[row] = *cell;
                }
            }
        });
        transposed
    }
}
