//! Slices that touch a page without access, so that the first byte read or written outside kills the process.
#![allow(unsafe_code, reason = "pages without access are made by the operating system")]

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::{io, ptr, slice, thread};

/// The bytes between the slice and the page without access at its other end.
const FILL: u8 = 0xff;

/// Which end of the slice touches a page without access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    Start,
    End,
}

/// A slice in whole pages of its own, with a page without access on either side.
pub(crate) struct Guarded<T: Copy> {
    mapping: NonNull<u8>,
    page: usize,
    pages: usize,
    elements: NonNull<T>,
    len: usize,
}

impl<T: Copy> Guarded<T> {
    pub(crate) fn new(elements: &[T], edge: Edge) -> Self {
        let bytes = size_of_val(elements);
        // SAFETY: `sysconf` has no preconditions.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("the size of a page");
        let pages = bytes.div_ceil(page).max(1);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new anonymous mapping at an address of the system's choice touches no other memory.
        let mapping = unsafe {
            libc::mmap(ptr::null_mut(), (pages + 2) * page, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        };
        assert!(mapping != libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
        let mapping = NonNull::new(mapping.cast::<u8>()).expect("a mapping is not at address 0");
        // SAFETY: all of this lies inside the new mapping, and the middle pages are writable once `mprotect` has succeeded.
        // Pages are aligned to more than any element, and so is the end of a page minus whole elements.
        unsafe {
            let start = mapping.add(page);
            assert!(
                libc::mprotect(start.as_ptr().cast(), pages * page, protection) == 0,
                "mprotect: {}",
                io::Error::last_os_error()
            );
            start.write_bytes(FILL, pages * page);
            let target = match edge {
                Edge::Start => start,
                Edge::End => start.add(pages * page - bytes),
            };
            target.cast::<T>().copy_from_nonoverlapping(NonNull::from(elements).cast(), elements.len());
            Self { mapping, page, pages, elements: target.cast(), len: elements.len() }
        }
    }
}

impl<T: Copy> Deref for Guarded<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `new` has written that many elements there, and the mapping lives as long as this value.
        unsafe { slice::from_raw_parts(self.elements.as_ptr(), self.len) }
    }
}

impl<T: Copy> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and nothing else points there.
        unsafe { slice::from_raw_parts_mut(self.elements.as_ptr(), self.len) }
    }
}

impl<T: Copy> Drop for Guarded<T> {
    fn drop(&mut self) {
        let bytes = self.pages * self.page;
        // SAFETY: the middle pages are initialized bytes.
        let all = unsafe { slice::from_raw_parts(self.mapping.add(self.page).as_ptr(), bytes) };
        let start = self.elements.as_ptr() as usize - all.as_ptr() as usize;
        let (before, behind) = (&all[..start], &all[start + self.len * size_of::<T>()..]);
        let untouched = before.iter().chain(behind).all(|&byte| byte == FILL);
        // SAFETY: this is the whole mapping, and no reference into it outlives this value.
        unsafe { libc::munmap(self.mapping.as_ptr().cast(), bytes + 2 * self.page) };
        assert!(untouched || thread::panicking(), "bytes outside of a slice were written");
    }
}
