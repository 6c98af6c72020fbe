// SPDX-License-Identifier: GPL-2.0

//! Words for people.

use std::time::Duration;

/// A time span, in its two biggest units at most.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..=9 => format!("{:.1} s", span.as_secs_f64()),
        10..=99 => format!("{seconds} s"),
        _ if minutes < 100 => format!("{minutes} min"),
        _ if hours < 48 => format!("{hours} h"),
        _ => format!("{days} d"),
    }
}

/// A name that its owner may have chosen to confuse a reader: each character that does not print
/// is replaced.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit_that_fits() {
        let of_ms = |ms| span(Duration::from_millis(ms));
        assert_eq!(of_ms(7), "7 ms");
        assert_eq!(of_ms(1500), "1.5 s");
        assert_eq!(of_ms(18_000), "18 s");
        assert_eq!(of_ms(100_000), "1 min");
        assert_eq!(of_ms(7_200_000), "2 h");
        assert_eq!(of_ms(41 * 86_400_000), "41 d");
    }

    #[test]
    fn what_does_not_print_is_not_printed() {
        assert_eq!(printable("a b\nc\x1b[2J"), "a b?c?[2J");
    }
}
