// SPDX-License-Identifier: GPL-2.0

//! Sorting with little stack.
//!
//! `sort_unstable()` of the standard library calls itself up to 2 log2(n) times, and each of these
//! calls has a buffer of 1 to 2.4 KiB on the stack. A thousand functions in random order are more
//! than a stack of the kernel can take, which has 16 KiB (x86_64) for everything. So nothing in
//! the core may sort by itself.

/// Sorts in place. Equal elements come in any order.
pub(crate) fn sort<T: Ord>(elements: &mut [T]) {
    sort_by(elements, |a, b| a < b);
}

/// Sorts by a key, in place. Elements with the same key come in any order.
pub(crate) fn sort_by_key<T, K: Ord>(elements: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(elements, |a, b| key(a) < key(b));
}

/// A heapsort: O(n log n) steps whatever the order was, no recursion, no buffer.
fn sort_by<T>(elements: &mut [T], less: impl Fn(&T, &T) -> bool) {
    // Most of what the core sorts is in order, as compilers and linkers keep it.
    if elements.is_sorted_by(|a, b| !less(b, a)) {
        return;
    }
    // In a heap no element is less than its two children. Those that have none are heaps already.
    for parent in (0..elements.len()).rev() {
        sift_down(elements, parent, &less);
    }
    // Its first element is the greatest: to the end with it, and the others are a heap again.
    for end in (1..elements.len()).rev() {
        elements.swap(0, end);
        if let Some(heap) = elements.get_mut(..end) {
            sift_down(heap, 0, &less);
        }
    }
}

/// Makes a heap of `parent` and what is below it, where all that is below it are heaps.
fn sift_down<T>(heap: &mut [T], mut parent: usize, less: &impl Fn(&T, &T) -> bool) {
    // No element is less than one that is not there, nor the other way round.
    let is_less = |heap: &[T], a: usize, b: usize| match (heap.get(a), heap.get(b)) {
        (Some(a), Some(b)) => less(a, b),
        _ => false,
    };

    loop {
        let (left, right) = (2 * parent + 1, 2 * parent + 2);
        let child = if is_less(heap, left, right) {
            right
        } else {
            left
        };
        if !is_less(heap, parent, child) {
            return;
        }
        heap.swap(parent, child);
        parent = child;
    }
}
