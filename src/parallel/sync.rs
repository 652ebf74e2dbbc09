//! What a team synchronizes by: the standard library, or with `--cfg loom` its twin in loom, which runs a test once for each order in which
//! the accesses of its threads can take effect.

#[cfg(loom)]
pub(super) use loom::cell::UnsafeCell;
#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(loom)]
pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};

#[cfg(not(loom))]
pub(super) use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(not(loom))]
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};

/// A cell with loom's interface, by which loom sees who reads and writes it.
#[cfg(not(loom))]
pub(super) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(super) fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    pub(super) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    pub(super) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}

/// Between an access and one of another place, all of them of [`Ordering::SeqCst`], which is order enough. But loom takes such accesses for
/// acquiring and releasing ones, and has to be told.
#[inline(always)]
pub(super) fn sequentially_consistent() {
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}
