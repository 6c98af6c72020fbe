// SPDX-License-Identifier: GPL-2.0

//! Rules for the names in a patch descriptor.

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_names))]
mod cases {
    use crate::model::names::{
        func_key,
        is_attribute,
        object_label,
        shown_sympos, //
    };

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
    fn attributes() {
        assert!(is_attribute(b"enabled"));
        assert!(is_attribute(b"transition"));
        assert!(is_attribute(b"force"));
        assert!(is_attribute(b"replace"));
        assert!(is_attribute(b"stack_order"));
    }

    #[test]
    fn names_beside_attributes() {
        assert!(!is_attribute(b""));
        assert!(!is_attribute(b"enable"));
        assert!(!is_attribute(b"enabled0"));
        assert!(!is_attribute(b"Enabled"));
        assert!(!is_attribute(b"force\0"));
        assert!(!is_attribute(b"patched"));
        assert!(!is_attribute(b"stack-order"));
        assert!(!is_attribute(b"vmlinux"));
    }

    #[test]
    fn sympos() {
        assert_eq!(shown_sympos(0), 1);
        assert_eq!(shown_sympos(1), 1);
        assert_eq!(shown_sympos(2), 2);
        assert_eq!(shown_sympos(usize::MAX), usize::MAX);
    }

    /// Positions 0 and 1 are the same.
    #[test]
    fn functions() {
        assert_eq!(func_key(c"open", 0), func_key(c"open", 1));
        assert_eq!(func_key(c"open", 2), func_key(c"open", 2));
        assert_ne!(func_key(c"open", 0), func_key(c"open", 2));
        assert_ne!(func_key(c"open", 1), func_key(c"open", 2));
    }

    #[test]
    fn functions_of_other_names() {
        assert_ne!(func_key(c"open", 0), func_key(c"read", 0));
        assert_ne!(func_key(c"open", 1), func_key(c"opens", 1));
        assert_ne!(func_key(c"", 1), func_key(c"open", 1));
    }
}
