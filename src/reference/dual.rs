//! [`Dual`]: numbers that carry a derivative along.
//!
//! A dual number is `value + derivative e` with `e^2 = 0`. Whatever is computed with them by the rules below computes, beside its
//! value, its exact derivative in the direction that the inputs were given: forward-mode differentiation, which knows nothing of
//! back-propagation and is therefore its judge.

use core::ops::{Add, Div, Mul, Sub};

/// What a reference network computes with: `f64`, or [`Dual`] where a derivative is wanted.
pub trait Number: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> {
    /// A number that does not depend on anything.
    fn constant(value: f64) -> Self;
    /// The number without its derivative.
    fn value(self) -> f64;
    /// The exponential function.
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The share of a normal distribution of mean 0 and deviation 1 below this.
    fn normal_cdf(self) -> Self;
}

impl Number for f64 {
    fn constant(value: f64) -> Self {
        value
    }
    fn value(self) -> f64 {
        self
    }
    fn exp(self) -> Self {
        self.exp()
    }
    fn ln(self) -> Self {
        self.ln()
    }
    fn sqrt(self) -> Self {
        self.sqrt()
    }
    fn normal_cdf(self) -> Self {
        0.5 * libm::erfc(-self * core::f64::consts::FRAC_1_SQRT_2)
    }
}

/// A value and its derivative in one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dual {
    /// The value.
    pub value: f64,
    /// The derivative.
    pub derivative: f64,
}

impl Add for Dual {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { value: self.value + other.value, derivative: self.derivative + other.derivative }
    }
}

impl Sub for Dual {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { value: self.value - other.value, derivative: self.derivative - other.derivative }
    }
}

impl Mul for Dual {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self { value: self.value * other.value, derivative: self.derivative * other.value + self.value * other.derivative }
    }
}

impl Div for Dual {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        Self { value, derivative: (self.derivative - value * other.derivative) / other.value }
    }
}

impl Number for Dual {
    fn constant(value: f64) -> Self {
        Self { value, derivative: 0.0 }
    }
    fn value(self) -> f64 {
        self.value
    }
    fn exp(self) -> Self {
        let value = self.value.exp();
        Self { value, derivative: self.derivative * value }
    }
    fn ln(self) -> Self {
        Self { value: self.value.ln(), derivative: self.derivative / self.value }
    }
    fn sqrt(self) -> Self {
        let value = self.value.sqrt();
        Self { value, derivative: self.derivative / (2.0 * value) }
    }
    fn normal_cdf(self) -> Self {
        let density = (-0.5 * self.value * self.value).exp() / core::f64::consts::TAU.sqrt();
        Self { value: self.value.normal_cdf(), derivative: self.derivative * density }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every rule, against derivatives worked out by hand at `x = 3`.
    #[test]
    fn rules_of_differentiation() {
        let x = Dual { value: 3.0, derivative: 1.0 };
        let c = Dual::constant(2.0);
        let cases = [
            ("x + 2", x + c, 5.0, 1.0),
            ("2 - x", c - x, -1.0, -1.0),
            ("x * x * 2", x * x * c, 18.0, 12.0),
            ("2 / x", c / x, 2.0 / 3.0, -2.0 / 9.0),
            ("x / (x + 2)", x / (x + c), 3.0 / 5.0, 2.0 / 25.0),
            ("exp(2 x)", (c * x).exp(), 6f64.exp(), 2.0 * 6f64.exp()),
            ("ln(x x)", (x * x).ln(), 9f64.ln(), 2.0 / 3.0),
            ("sqrt(2 x)", (c * x).sqrt(), 6f64.sqrt(), 1.0 / 6f64.sqrt()),
            ("cdf(x - 2)", (x - c).normal_cdf(), 0.841_344_746_068_542_9, 0.241_970_724_519_143_37),
        ];
        for (name, found, value, derivative) in cases {
            assert!((found.value - value).abs() <= 1e-15 * value.abs(), "{name}: {value} expected, found {}", found.value);
            let error = (found.derivative - derivative).abs();
            assert!(error <= 1e-15 * derivative.abs(), "{name}: derivative {derivative} expected, found {}", found.derivative);
        }
    }
}
