//! Vectors in huge pages.
#![allow(unsafe_code, reason = "the system is told how to lay out memory")]

use core::mem::MaybeUninit;
use std::vec::Vec;

/// The size of a huge page of most processors. No smaller page that a system has is larger, so multiples of it are borders of pages.
pub(super) const HUGE_PAGE: usize = 2 << 20;

/// Whether there is a system to ask.
pub(super) const CAN_ASK: bool = cfg!(all(target_os = "linux", not(miri)));

/// An empty vector with room for `capacity` elements, for rows that are to be gathered and other large data.
///
/// Where the system has huge pages for those who ask (Linux, unless `/sys/kernel/mm/transparent_hugepage/enabled` says `never`), the memory
/// is laid out in pages of 2 MiB, as far as it fills them. Elsewhere this is [`Vec::with_capacity`]. What is written already stays where it
/// is, so nobody can ask later.
///
/// ```
/// use selvedge::memory::vec_in_huge_pages;
///
/// let (rows, columns) = (1000, 784);
/// let mut numbers = vec_in_huge_pages(rows * columns);
/// numbers.extend((0..rows * columns).map(|i| i as f32));
/// assert_eq!(numbers.len(), rows * columns);
/// ```
///
/// # Panics
/// As [`Vec::with_capacity`].
#[track_caller]
pub fn vec_in_huge_pages<T>(capacity: usize) -> Vec<T> {
    let mut vec = Vec::with_capacity(capacity);
    ask_for_huge_pages(vec.spare_capacity_mut());
    vec
}

/// Asks for huge pages where memory that has not been written yet fills them.
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) fn ask_for_huge_pages<T>(memory: &mut [MaybeUninit<T>]) {
    use rustix::mm::{Advice, madvise};

    let bytes = memory.as_mut_ptr().cast::<u8>();
    let before = bytes.align_offset(HUGE_PAGE);
    let whole = size_of_val(memory).saturating_sub(before) / HUGE_PAGE * HUGE_PAGE;
    if whole > 0 {
        // SAFETY: these bytes are part of `memory`, and the advice does not change what they hold.
        let answer = unsafe { madvise(bytes.wrapping_add(before).cast(), whole, Advice::LinuxHugepage) };
        // A kernel without huge pages refuses, and the vector is as good as any.
        let _ = answer;
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
pub(crate) fn ask_for_huge_pages<T>(_: &mut [MaybeUninit<T>]) {}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::print_stdout)]
mod tests {
    use super::*;

    #[test]
    fn is_an_empty_vector_with_room() {
        for capacity in [0, 1, 1000, 3 << 20] {
            let mut vec = vec_in_huge_pages::<u64>(capacity);
            assert!(vec.is_empty() && vec.capacity() >= capacity);
            vec.extend(0..capacity as u64);
            assert!(vec.iter().copied().eq(0..capacity as u64));
        }
        assert!(vec_in_huge_pages::<()>(7).is_empty());
    }

    /// The flags of the mapping in which an address lies, as the kernel tells them.
    #[cfg(target_os = "linux")]
    fn flags_of(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            if let Some((start, end)) = range
                && let (Ok(start), Ok(end)) = (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
            {
                inside = (start..end).contains(&address);
            } else if let (true, Some(flags)) = (inside, line.strip_prefix("VmFlags:")) {
                return flags.to_owned();
            }
        }
        panic!("no mapping of {address:#x}");
    }

    /// `hg` is the flag of those who have asked.
    #[test]
    #[cfg(target_os = "linux")]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn the_kernel_has_been_asked() {
        if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
            println!("skipped: this kernel has no huge pages");
            return;
        }
        const LEN: usize = 64 << 20;
        let asks = |vec: &Vec<u8>| flags_of(vec.as_ptr() as usize + LEN / 2).split(' ').any(|flag| flag == "hg");
        assert!(asks(&vec_in_huge_pages(LEN)));
        // The flag is there for a reason.
        assert!(!asks(&Vec::with_capacity(LEN)));
    }
}
