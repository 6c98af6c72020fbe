// SPDX-License-Identifier: GPL-2.0

//! Rules for the names in a patch descriptor.

use crate::model::names::{
    func_key,
    is_attribute, //
};
use proptest::prelude::*;
use std::ffi::CString;

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
        let [a_name, b_name] = [&a.0, &b.0].map(|name| CString::new(&**name).unwrap());

        prop_assert_eq!(
            func_key(&a_name, a.1) == func_key(&b_name, b.1),
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
