//! Caps on a text before any parser sees it: length, tokens, nesting. Both parsers survive
//! what passes; the caps bound the time and memory they may take.

use super::super::facts::Unproven;
use super::super::refusal::refuse;

/// The stack that a thread must have which calls `analyse`: decoding a tree that nests as
/// deep as the decoder allows (100 messages) was measured to take up to 2 MiB.
pub const STACK_BYTES_MIN: usize = 8 << 20;

/// The largest text that is judged. Beyond it a text that hits the prefilter is refused.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Length of the whole text, in bytes.
    pub text_bytes_max: usize,
    /// Words, numbers and single marks, counted without regard to quotes: never fewer
    /// than either parser sees outside of literals.
    pub tokens_max: usize,
    /// Brackets open at once, counted without regard to quotes.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { text_bytes_max: 1 << 20, tokens_max: 200_000, depth_max: 256 }
    }
}

/// Refuses a text that is longer, wider or deeper than the limits.
pub(in crate::statement) fn check(text: &[u8], limits: &Limits) -> Result<(), Unproven> {
    if text.len() > limits.text_bytes_max {
        return Err(refuse("too-long", "the statement is longer than limits.statement_bytes_max", SHORTEN));
    }
    let mut tokens = 0_usize;
    let mut depth = 0_usize;
    let mut in_word = false;
    for byte in text {
        let word = byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'$' || *byte >= 0x80;
        if !(word && in_word || byte.is_ascii_whitespace()) {
            tokens += 1;
        }
        in_word = word;
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limits.depth_max {
            return Err(refuse("too-deep", "the statement nests deeper than the limit", SPLIT));
        }
    }
    if tokens > limits.tokens_max {
        return Err(refuse("too-many-tokens", "the statement has more words than the limit", SPLIT));
    }
    Ok(())
}

const SHORTEN: &str = "Send its values as parameters, or raise limits.statement_bytes_max.";

const SPLIT: &str = "Send it as several smaller statements, or with parameters.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_beyond_each_limit_and_passes_up_to_it() {
        let limits = Limits { text_bytes_max: 20, tokens_max: 5, depth_max: 2 };
        for (text, reason) in [
            ("a b c d e", None),
            ("a b c d e f", Some("too-many-tokens")),
            ("((a", None),
            ("(((", Some("too-deep")),
            ("()()", None),
            ("aaaaaaaaaaaaaaaaaaaa", None),
            ("aaaaaaaaaaaaaaaaaaaaa", Some("too-long")),
        ] {
            assert_eq!(
                check(text.as_bytes(), &limits).err().map(|unproven| unproven.reason),
                reason,
                "{text}"
            );
        }
    }
}
