//! Operands made of the bytes of a fuzzer: few bytes decide about shapes, layouts and kinds of numbers, so that most changes of a byte
//! give another valid case.

use super::support::buffer::{Buffer, Place};
use super::support::matrix::{Layout, Matrix};
use super::support::numbers::{POISON, SPECIAL};
use arbitrary::{Result, Unstructured};
use fastrand::Rng;
use selvedge::simd::LANES;

/// The bytes that are left, and where operands are to lie.
pub struct Operands<'a> {
    bytes: Unstructured<'a>,
    place: Place,
}

/// The elements of a matrix and its layout; makes the same matrix for the kernel and for its twin.
pub struct Recipe {
    shape: (usize, usize),
    layout: Layout,
    elements: Vec<f32>,
}

impl<'a> Operands<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        let mut bytes = Unstructured::new(bytes);
        // Pages without access cost a few calls of the system each.
        let place = match bytes.int_in_range(0..=7)? {
            guarded if guarded < Place::GUARDED.len() => Place::GUARDED[guarded],
            _ => Place::Heap,
        };
        Ok(Self { bytes, place })
    }

    /// A number from 0 to `most`.
    pub fn up_to(&mut self, most: usize) -> Result<usize> {
        self.bytes.int_in_range(0..=most)
    }

    pub fn flag(&mut self) -> Result<bool> {
        self.bytes.arbitrary()
    }

    pub fn word(&mut self) -> Result<u64> {
        self.bytes.arbitrary()
    }

    /// All bytes that are left.
    pub fn rest(self) -> &'a [u8] {
        self.bytes.take_rest()
    }

    /// A length up to `most`, every other time next to a whole number of vectors.
    pub fn length(&mut self, most: usize) -> Result<usize> {
        if self.flag()? {
            let edge = LANES * self.up_to(most / LANES)? + self.up_to(2)?;
            Ok(edge.saturating_sub(1).min(most))
        } else {
            self.up_to(most)
        }
    }

    /// A number: any bits, something special, or something usual.
    pub fn number(&mut self) -> Result<f32> {
        Ok(match self.up_to(3)? {
            0 => f32::from_bits(self.bytes.arbitrary()?),
            1 => SPECIAL[self.up_to(SPECIAL.len() - 1)?],
            _ => f32::from(self.bytes.arbitrary::<i16>()?) / 256.0,
        })
    }

    /// A number that is neither negative nor NaN.
    pub fn magnitude(&mut self) -> Result<f32> {
        let magnitude = self.number()?.abs();
        Ok(if magnitude.is_nan() { 1.0 } else { magnitude })
    }

    /// From 0 to 1.
    pub fn share(&mut self) -> Result<f64> {
        Ok(f64::from(self.bytes.arbitrary::<u16>()?) / f64::from(u16::MAX))
    }

    /// Any words.
    pub fn words(&mut self, len: usize) -> Result<Vec<u16>> {
        let mut rng = Rng::with_seed(self.bytes.arbitrary::<u32>()?.into());
        Ok((0..len).map(|_| rng.u16(..)).collect())
    }

    /// Numbers of one kind, with up to three others among them.
    pub fn numbers(&mut self, len: usize) -> Result<Vec<f32>> {
        let kind = self.up_to(7)?;
        let mut rng = Rng::with_seed(self.bytes.arbitrary::<u16>()?.into());
        let mut numbers: Vec<f32> = match kind {
            // The fuzzer's own, as long as there are bytes; then zeros.
            0 => (0..len).map(|_| self.number()).collect::<Result<_>>()?,
            1 => (0..len).map(|_| f32::from_bits(rng.u32(..))).collect(),
            2 => (0..len).map(|_| f32::from(rng.i8(-4..=4))).collect(),
            3 => vec![self.number()?; len],
            4 => {
                let scale = f32::from(self.bytes.arbitrary::<i8>()?).exp2();
                (0..len).map(|_| (rng.f32() * 2.0 - 1.0) * scale).collect()
            }
            _ => (0..len).map(|_| rng.f32() * 2.0 - 1.0).collect(),
        };
        if len > 0 {
            for _ in 0..self.up_to(3)? {
                numbers[self.bytes.int_in_range(0..=len - 1)?] = self.number()?;
            }
        }
        Ok(numbers)
    }

    /// The same elements, where the operands of this case lie.
    pub fn placed<T: Copy>(&self, elements: &[T]) -> Buffer<T> {
        Buffer::new(self.place, elements.to_vec())
    }

    /// Any numbers, where the operands of this case lie.
    pub fn vector(&mut self, len: usize) -> Result<Buffer<f32>> {
        let numbers = self.numbers(len)?;
        Ok(self.placed(&numbers))
    }

    /// A matrix in one block with some padding.
    pub fn matrix(&mut self, shape: (usize, usize)) -> Result<Recipe> {
        let layout = Layout::padded(self.up_to(17)?);
        self.matrix_in(shape, layout)
    }

    /// A matrix in the given blocks.
    pub fn matrix_in(&mut self, shape: (usize, usize), layout: Layout) -> Result<Recipe> {
        let elements = self.numbers(shape.0 * shape.1)?;
        Ok(Recipe { shape, layout, elements })
    }

    /// A matrix to be written: nothing in it may be read.
    pub fn target(&mut self, shape: (usize, usize)) -> Result<Recipe> {
        let layout = Layout::padded(self.up_to(17)?);
        Ok(Recipe { shape, layout, elements: vec![POISON; shape.0 * shape.1] })
    }

    /// A matrix for the kernel, where the operands of this case lie.
    pub fn make(&self, recipe: &Recipe) -> Matrix {
        recipe.make(self.place)
    }
}

impl Recipe {
    /// A matrix for the twin.
    pub fn twin(&self) -> Matrix {
        self.make(Place::Heap)
    }

    fn make(&self, place: Place) -> Matrix {
        Matrix::new(place, self.shape, self.layout, |i, j| self.elements[i * self.shape.1 + j])
    }
}
