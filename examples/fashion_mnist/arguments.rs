//! What can be asked for on the command line.

use crate::recipes::Recipe;
use clap::Parser;
use clap::builder::RangedU64ValueParser;
use selvedge::error::IsaError;
use selvedge::simd::Isa;
use std::path::PathBuf;

/// Trains a network on Fashion-MNIST, tests it, and draws what came of it.
#[derive(Debug, Parser)]
#[command(name = "fashion_mnist", after_help = AFTER_HELP, args_override_self = true)]
pub(crate) struct Arguments {
    /// Directory with the four files of Fashion-MNIST, each with .gz or without
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Which network, and how it is trained
    #[arg(long, value_enum, default_value_t = Recipe::Course)]
    pub(crate) recipe: Recipe,

    /// How often every row is trained on [default: 10; recipe pixels: 24, best: 12]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(1, 1_000_000))]
    pub(crate) epochs: Option<usize>,

    /// Rows of a training step [default: 128; recipes pixels and best: 64]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(1, u32::MAX))]
    pub(crate) batch_size: Option<usize>,

    /// Largest step per unit of gradient, along the schedule of the recipe [default: the recipe's]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = learning_rate)]
    pub(crate) learning_rate: Option<f32>,

    /// Share of the last step that the next one keeps, from 0 to 1, where the schedule does not say [default: the recipe's]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = momentum)]
    pub(crate) momentum: Option<f32>,

    /// Training rows, the last ones, that are kept for validation; 0 trains on all
    #[arg(long, value_name = "N", default_value_t = 5_000, allow_negative_numbers = true, value_parser = whole(0, u32::MAX))]
    pub(crate) validation_rows: usize,

    /// What the initial weights and the order of the rows depend on
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) seed: u64,

    /// Threads, 1 to 64; changes the speed, not the results [default: as many processors as have enough to do]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(1, 64))]
    pub(crate) threads: Option<usize>,

    /// Instruction set: avx512, avx2 or portable [default: the best one]
    #[arg(long, value_name = "NAME", env = "SELVEDGE_ISA", value_parser = instruction_set)]
    pub(crate) isa: Option<Isa>,

    /// Folder for the pictures; made if necessary
    #[arg(long, value_name = "DIR", default_value = "fashion_mnist_output")]
    pub(crate) output: PathBuf,

    /// Draw no pictures
    #[arg(long)]
    pub(crate) no_pictures: bool,

    /// Write the results as a line of JSON to a file, or with - as the last line of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
The data are looked for in the directory of --data, then in that of the variable SELVEDGE_DATA, in data/fashion-mnist and in the
user's cache folder, then downloaded to the cache folder. Without a network garments are drawn instead; the first line says so.

Exit codes: 0 done, 1 a file is missing, wrong or cannot be written, 2 the command line asks for what cannot be.";

fn whole(smallest: u64, largest: u32) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(smallest..=u64::from(largest))
}

fn learning_rate(text: &str) -> Result<f32, String> {
    number(text, "a finite number not below 0", |x| x.is_finite() && x >= 0.0)
}

fn momentum(text: &str) -> Result<f32, String> {
    number(text, "a number from 0 to 1", |x| (0.0..=1.0).contains(&x))
}

fn number(text: &str, expected: &str, fits: fn(f32) -> bool) -> Result<f32, String> {
    text.parse().ok().filter(|&x| fits(x)).ok_or_else(|| format!("{expected} expected"))
}

fn instruction_set(name: &str) -> Result<Isa, String> {
    Isa::from_name(name).map_err(|error| match error {
        IsaError::Unavailable { .. } => error.to_string(),
        _ => {
            let available: Vec<&str> = Isa::available().map(Isa::name).collect();
            format!("{error}; available on this processor: {}", available.join(", "))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for x in ["-0.1", "nan", "inf", "1e99", "fast", ""] {
            assert!(learning_rate(x).is_err(), "{x}");
        }
        assert_eq!((learning_rate("0.25"), momentum("1")), (Ok(0.25), Ok(1.0)));
        assert!(momentum("1.01").is_err() && momentum("NaN").is_err());
    }
}
