// SPDX-License-Identifier: GPL-2.0

//! Rules for the names in a patch descriptor.

use crate::model::names::{
    is_attribute,
    object_label,
    same_function,
    shown_sympos, //
};
use proptest::prelude::*;

#[test]
fn label_of_kernel_image() {
    assert_eq!(object_label(None), c"vmlinux");
}

#[test]
fn label_of_module() {
    assert_eq!(object_label(Some(c"ext4")), c"ext4");
    assert_eq!(object_label(Some(c"")), c"");
}

/// The attributes in Documentation/ABI/testing/sysfs-kernel-livepatch.
#[test]
fn attributes_of_patch() {
    for name in ["enabled", "transition", "force", "replace", "stack_order"] {
        assert!(is_attribute(name.as_bytes()));
    }
}

#[test]
fn names_beside_attributes() {
    for name in [
        "",
        "enable",
        "enabled0",
        "Enabled",
        "force\0",
        "patched",
        "stack-order",
        "vmlinux",
    ] {
        assert!(!is_attribute(name.as_bytes()));
    }
}

#[test]
fn sympos_in_sysfs() {
    assert_eq!(shown_sympos(0), 1);
    assert_eq!(shown_sympos(1), 1);
    assert_eq!(shown_sympos(2), 2);
    assert_eq!(shown_sympos(usize::MAX), usize::MAX);
}

#[test]
fn positions_zero_and_one_are_same() {
    assert!(same_function((b"open", 0), (b"open", 1)));
    assert!(same_function((b"open", 1), (b"open", 0)));
    assert!(!same_function((b"open", 0), (b"open", 2)));
    assert!(!same_function((b"open", 1), (b"open", 2)));
}

#[test]
fn names_differ() {
    assert!(!same_function((b"open", 0), (b"read", 0)));
    assert!(!same_function((b"open", 1), (b"opens", 1)));
    assert!(!same_function((b"", 1), (b"open", 1)));
}

/// The condition of `klp_find_func()`.
fn upstream(old_func: (&str, usize), func: (&str, usize)) -> bool {
    old_func.0 == func.0
        && (old_func.1 == func.1
            || (old_func.1 == 0 && func.1 == 1)
            || (old_func.1 == 1 && func.1 == 0))
}

fn function() -> impl Strategy<Value = (String, usize)> {
    ("[ab]{0,2}", prop_oneof![0usize..4, any::<usize>()])
}

proptest! {
    #[test]
    fn same_function_agrees_with_upstream(a in function(), b in function()) {
        prop_assert_eq!(
            same_function((a.0.as_bytes(), a.1), (b.0.as_bytes(), b.1)),
            upstream((&a.0, a.1), (&b.0, b.1))
        );
    }

    #[test]
    fn only_attributes_are_attributes(name in "[a-z_]{0,12}") {
        let listed =
            ["enabled", "transition", "force", "replace", "stack_order"].contains(&&*name);

        prop_assert_eq!(is_attribute(name.as_bytes()), listed);
    }
}
