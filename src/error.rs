//! Typed errors. Every variant carries what was expected and what was found.

use crate::plan::Value;
use core::fmt;

/// An instruction set that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IsaError {
    /// The name is not in [`Isa::NAMES`](crate::simd::Isa::NAMES).
    Unknown {
        /// The name, cut to what fits.
        found: ShortText,
    },
    /// The processor, or the build, lacks the instruction set.
    Unavailable {
        /// The name.
        name: &'static str,
    },
}

impl IsaError {
    pub(crate) fn unknown(name: &str) -> Self {
        Self::Unknown { found: ShortText::new(name) }
    }
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { found } => {
                write!(f, "unknown instruction set `{found}`; expected one of")?;
                for (i, name) in crate::simd::Isa::NAMES.iter().enumerate() {
                    write!(f, "{} {name}", if i == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::Unavailable { name } => {
                write!(f, "instruction set `{name}` is not available on this processor; available:")?;
                for (i, isa) in crate::simd::Isa::available().enumerate() {
                    write!(f, "{} {isa}", if i == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

impl core::error::Error for IsaError {}

/// Up to 24 bytes of text, for errors in code that does not allocate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortText {
    bytes: [u8; 24],
    len: u8,
}

impl ShortText {
    fn new(text: &str) -> Self {
        let mut len = text.len().min(24);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        let mut bytes = [0; 24];
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        Self { bytes, len: len as u8 }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A network that cannot be planned.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PlanError {
    /// There are no layers.
    NoLayers,
    /// A layer has no inputs or no outputs.
    Empty {
        /// The number of the layer.
        layer: usize,
        /// Its number of inputs.
        in_dim: usize,
        /// Its number of outputs.
        out_dim: usize,
    },
    /// A layer has more parameters than memory can hold.
    TooLarge {
        /// The number of the layer.
        layer: usize,
        /// Its number of inputs.
        in_dim: usize,
        /// Its number of outputs.
        out_dim: usize,
    },
    /// A parameter of an activation that is not a finite number of at least 0.
    Parameter {
        /// The number of the layer.
        layer: usize,
        /// The parameter.
        name: &'static str,
        /// Its value.
        found: f32,
    },
    /// A softmax that is followed by another layer, or another activation that is computed with a loss.
    SoftmaxInside {
        /// The number of the layer.
        layer: usize,
    },
    /// A layer takes something that does not come before it.
    UnknownValue {
        /// The number of the layer.
        layer: usize,
        /// What it takes.
        found: Value,
    },
    /// A layer adds values of different widths.
    Columns {
        /// The number of the layer.
        layer: usize,
        /// The columns of the first value.
        expected: usize,
        /// The columns of the second.
        found: usize,
    },
    /// A dropout rate outside of its range.
    Rate {
        /// The number of the layer.
        layer: usize,
        /// The rate.
        found: f64,
    },
    /// Parts of a layer that must be layers of their own.
    Merged {
        /// The number of the layer.
        layer: usize,
        /// What the layer may be.
        expected: &'static str,
    },
    /// None or too many of something.
    Count {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
        /// How many there are.
        found: usize,
    },
    /// An output of a layer that does not exist.
    UnknownOutput {
        /// The number of the layer.
        layer: usize,
        /// The number of layers.
        layers: usize,
    },
    /// An input or a layer whose values go nowhere.
    Unused {
        /// What nobody takes.
        found: Value,
    },
    /// A layer that is an output more than once.
    OutputTwice {
        /// The number of the layer.
        layer: usize,
    },
    /// A loss that cannot follow this activation: a softmax takes a cross-entropy, and a cross-entropy computes its activation itself, so
    /// nothing can stand between them.
    LossOfActivation {
        /// The number of the layer.
        layer: usize,
    },
}

impl PlanError {
    /// The number of the layer that is at fault, if it is one.
    pub fn layer(&self) -> Option<usize> {
        match *self {
            Self::Empty { layer, .. }
            | Self::TooLarge { layer, .. }
            | Self::Parameter { layer, .. }
            | Self::SoftmaxInside { layer }
            | Self::UnknownValue { layer, .. }
            | Self::Columns { layer, .. }
            | Self::Rate { layer, .. }
            | Self::Merged { layer, .. }
            | Self::OutputTwice { layer }
            | Self::LossOfActivation { layer }
            | Self::Unused { found: Value::Layer(layer) } => Some(layer),
            Self::NoLayers | Self::Count { .. } | Self::UnknownOutput { .. } | Self::Unused { .. } => None,
        }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLayers => f.write_str("at least 1 layer expected, found 0"),
            Self::Empty { layer, in_dim, out_dim } => {
                write!(f, "layer {layer}: at least 1 input and 1 output expected, found {in_dim} and {out_dim}")
            }
            Self::TooLarge { layer, in_dim, out_dim } => {
                write!(f, "layer {layer}: parameters that fit into memory expected, found {in_dim} x {out_dim}")
            }
            Self::Parameter { layer, name, found } => {
                write!(f, "layer {layer}: {name} of at least 0 expected, found {found}")
            }
            Self::SoftmaxInside { layer } => {
                write!(f, "layer {layer}: softmax expected on the last layer only, found with layers behind it")
            }
            Self::UnknownValue { layer, found } => {
                write!(f, "layer {layer}: an input or an earlier layer expected, found {found:?}")
            }
            Self::Columns { layer, expected, found } => {
                write!(f, "layer {layer}: values of the same width expected, found {expected} and {found} columns")
            }
            Self::Rate { layer, found } => write!(f, "layer {layer}: a dropout rate from 0 to 1 expected, found {found}"),
            Self::Merged { layer, expected } => write!(f, "layer {layer}: {expected} expected, found both in one layer"),
            Self::Count { what, limit, found } => write!(f, "1 to {limit} {what} expected, found {found}"),
            Self::UnknownOutput { layer, layers } => write!(f, "an output of one of {layers} layers expected, found layer {layer}"),
            Self::Unused { found } => write!(f, "a layer that takes every value expected, found none that takes {found:?}"),
            Self::OutputTwice { layer } => write!(f, "layer {layer}: one output of a layer expected, found a second"),
            Self::LossOfActivation { layer } => {
                write!(f, "layer {layer}: a loss that goes with the activation expected, found one that does not")
            }
        }
    }
}

impl core::error::Error for PlanError {}
