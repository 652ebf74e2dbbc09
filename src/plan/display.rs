//! The memory map as a table.

use super::{Plan, Purpose, Region};
use core::fmt;

/// The memory map: every region of every buffer with its place, shape and size.
impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let purpose = match self.purpose() {
            Purpose::Training => "training",
            Purpose::Inference => "inference",
        };
        writeln!(f, "{purpose}, up to {} rows in {} parts; offsets and lengths in f32", self.batch(), self.parts())?;
        writeln!(f, "{:<28} {:>10} {:>10} {:>16} {:>8} {:>10}", "region", "offset", "length", "shape", "leading", "KiB")?;
        let kib = |len: usize| len as f64 * 4.0 / 1024.0;
        let total = |f: &mut fmt::Formatter<'_>, name: &str, len: usize| {
            writeln!(f, "{name:<28} {:>10} {len:>10} {:>16} {:>8} {:>10.1}", "", "", "", kib(len))
        };
        let matrix = |f: &mut fmt::Formatter<'_>, layer: Option<usize>, what: &str, base: usize, region: Region| {
            match layer {
                Some(layer) => write!(f, "  layer {layer:<4} {what:<15}")?,
                None => write!(f, "  {what:<26}")?,
            }
            let (offset, len) = (base + region.offset, region.len());
            write!(f, " {offset:>10} {len:>10} {:>7} x {:<6} {:>8}", region.rows, region.columns, region.leading_dimension)?;
            writeln!(f, " {:>10.1}", kib(len))
        };
        let rest = |f: &mut fmt::Formatter<'_>, name: &str, offset: usize, len: usize| {
            writeln!(f, "  {name:<26} {offset:>10} {len:>10} {:>16} {:>8} {:>10.1}", "", "", kib(len))
        };
        total(f, "parameters", self.parameters_len())?;
        for (i, layer) in self.layers().iter().enumerate() {
            for tensor in layer.tensors().iter().filter(|tensor| !tensor.region.is_empty()) {
                matrix(f, Some(i), tensor.name, 0, tensor.region)?;
            }
        }
        total(f, "workspace", self.workspace_len())?;
        total(f, "one block of it", self.block_len())?;
        let rows = self.sizes.block_rows;
        let mut base = 0;
        for (i, _) in self.inputs().iter().enumerate().filter(|(_, input)| input.place.is_none()) {
            matrix(f, None, "input", base, self.input(i, rows))?;
        }
        base += self.sizes.inputs;
        for i in 0..self.layers().len() {
            matrix(f, Some(i), "output", base, self.output(i, rows))?;
        }
        base += self.sizes.outputs;
        if let Purpose::Training = self.purpose() {
            for i in 0..self.layers().len() {
                matrix(f, Some(i), "gradient", base, self.gradient(i, rows))?;
            }
        }
        base += self.sizes.gradients;
        for (name, len) in [("losses", self.sizes.losses), ("targets", self.sizes.targets), ("masks", self.sizes.masks)] {
            if len > 0 {
                rest(f, name, base, len)?;
            }
            base += len;
        }
        if let Purpose::Training = self.purpose() {
            for i in (0..self.layers().len()).filter(|&i| self.layers()[i].keeps_sums()) {
                matrix(f, Some(i), "sums", base, self.sums(i, rows))?;
            }
        }
        base += self.sizes.sums;
        if self.sizes.scratch > 0 {
            rest(f, "scratch", base, self.sizes.scratch)?;
        }
        if self.sizes.statistics > 0 {
            total(f, "statistics", self.sizes.statistics)?;
        }
        if self.sizes.squares > 0 {
            total(f, "squares of gradients", self.sizes.squares)?;
        }
        Ok(())
    }
}
