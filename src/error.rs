//! Typed errors. Every variant carries what was expected and what was found.

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
    /// A softmax that is followed by another layer.
    SoftmaxInside {
        /// The number of the layer.
        layer: usize,
    },
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
        }
    }
}

impl core::error::Error for PlanError {}
