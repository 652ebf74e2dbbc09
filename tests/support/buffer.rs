//! Where the operands of a kernel lie.

#[cfg(all(target_os = "linux", not(miri)))]
use super::guard::{Edge, Guarded};
use std::ops::{Deref, DerefMut};

/// Where a buffer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Anywhere.
    Heap,
    /// Directly before a page without access.
    #[cfg(all(target_os = "linux", not(miri)))]
    BeforeGuard,
    /// Directly behind a page without access.
    #[cfg(all(target_os = "linux", not(miri)))]
    BehindGuard,
}

impl Place {
    /// The places where a read or write outside of the buffer kills the process.
    #[cfg(all(target_os = "linux", not(miri)))]
    pub(crate) const GUARDED: &[Self] = &[Self::BeforeGuard, Self::BehindGuard];
    /// The places where a read or write outside of the buffer kills the process: none on this system, nor under Miri, which sees it
    /// anywhere.
    #[cfg(any(not(target_os = "linux"), miri))]
    #[allow(dead_code, reason = "the tests that need them are for Linux")]
    pub(crate) const GUARDED: &[Self] = &[];
}

/// A slice at a [`Place`].
pub(crate) enum Buffer<T: Copy> {
    Heap(Vec<T>),
    #[cfg(all(target_os = "linux", not(miri)))]
    Guarded(Guarded<T>),
}

impl<T: Copy> Buffer<T> {
    pub(crate) fn new(place: Place, elements: Vec<T>) -> Self {
        match place {
            Place::Heap => Self::Heap(elements),
            #[cfg(all(target_os = "linux", not(miri)))]
            Place::BeforeGuard => Self::Guarded(Guarded::new(&elements, Edge::End)),
            #[cfg(all(target_os = "linux", not(miri)))]
            Place::BehindGuard => Self::Guarded(Guarded::new(&elements, Edge::Start)),
        }
    }
}

impl<T: Copy> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match self {
            Self::Heap(elements) => elements,
            #[cfg(all(target_os = "linux", not(miri)))]
            Self::Guarded(elements) => elements,
        }
    }
}

impl<T: Copy> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::Heap(elements) => elements,
            #[cfg(all(target_os = "linux", not(miri)))]
            Self::Guarded(elements) => elements,
        }
    }
}
