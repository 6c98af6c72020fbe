// SPDX-License-Identifier: GPL-2.0

//! The life of a patch.

use crate::model::phase::Phase;
use proptest::prelude::*;

proptest! {
    #[test]
    fn decoding_knows_four_values(raw in any::<i32>()) {
        let phase = Phase::decode(raw);

        prop_assert_eq!(phase.encode(), if (0..4).contains(&raw) { raw } else { 0 });
    }
}
