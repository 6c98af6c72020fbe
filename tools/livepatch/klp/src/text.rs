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

/// A name that its owner may have chosen to confuse a reader: each character that does not print,
/// or changes how others do, is replaced.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if misleads(c) { '?' } else { c })
        .collect()
}

/// As [`printable`], for a text that has lines and columns.
pub fn printable_lines(text: &str) -> String {
    let is_layout = |c| matches!(c, '\n' | '\t');
    text.chars()
        .map(|c| if misleads(c) && !is_layout(c) { '?' } else { c })
        .collect()
}

/// Control characters, and those that separate lines, have no width, or turn the direction of
/// writing around.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
        )
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
        assert_eq!(printable("a\u{202e}b\u{2066}c\u{9b}d"), "a?b?c?d");
        assert_eq!(printable("ä 漢"), "ä 漢");
        assert_eq!(printable_lines("a\tb\nc\n"), "a\tb\nc\n");
    }
}
