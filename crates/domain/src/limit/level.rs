//! Levels that are measured now and then, in place of being counted with each change: what a tenant's data takes on disk.

use super::quota::Bound;

/// The quota that is measured where a tenant has tables of its own.
pub const STORAGE: &str = "storage";

/// Less than this is no news, however small the limit is: tables grow by pages and are cleaned up behind.
const GRAIN: u64 = 64 * 1024;

/// Whether what was found is worth writing down over what is known. Each entry is kept for good, so a level that moves a little
/// makes none; one that crosses a mark always does.
#[must_use]
pub fn is_news(bound: &Bound, known: Option<u64>, found: u64) -> bool {
    let Some(known) = known else { return true };
    if known == found {
        return false;
    }
    let Some(limit) = bound.limit.amount else { return known.abs_diff(found) >= GRAIN.max(known / 100) };
    let is_other_side = |mark: u64| (known >= mark) != (found >= mark);
    let crosses = is_other_side(bound.warn_at.of(limit).max(1)) || is_other_side(limit.saturating_add(1));
    crosses || known.abs_diff(found) >= GRAIN.max(limit / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn small_moves_are_no_news_and_marks_are() {
        let bound = Bound::hard("100Mi".parse().unwrap());
        let is_told = |known: u64, found: u64| is_news(&bound, Some(known), found);
        assert!(is_news(&bound, None, 0));
        assert!(!is_told(MIB, MIB) && !is_told(10 * MIB, 10 * MIB + MIB - 1) && is_told(10 * MIB, 11 * MIB));
        // One byte over the warning mark, over the limit, and back.
        for mark in [80 * MIB, 100 * MIB + 1] {
            assert!(is_told(mark - 1, mark) && is_told(mark, mark - 1) && !is_told(mark, mark + 1));
        }
        // A limit of a few pages does not make an entry of each of them.
        let tiny = Bound::hard("1Mi".parse().unwrap());
        assert!(!is_news(&tiny, Some(8192), 16384) && is_news(&tiny, Some(0), GRAIN));
        let none = Bound::OBSERVED;
        assert!(!is_news(&none, Some(1000 * MIB), 1009 * MIB) && is_news(&none, Some(1000 * MIB), 1010 * MIB));
    }
}
