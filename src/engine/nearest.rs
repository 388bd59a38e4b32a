//! Which name may have been meant: of a key, a class, a column, a symbol. The same rule for all of them.

/// Names that are shown.
const SHOWN: usize = 3;

/// The candidates close enough to `word` to be what a slip of the pen made of it, the closest first: at most a third of
/// its letters differ (edits and transpositions, without regard to case).
fn slips<'w>(word: &str, candidates: impl IntoIterator<Item = &'w str>) -> Vec<(usize, &'w str)> {
    let word = word.to_lowercase();
    let limit = (word.chars().count() / 3).max(1);
    let distance = |candidate: &'w str| (strsim::osa_distance(&word, &candidate.to_lowercase()), candidate);
    let mut near: Vec<_> =
        candidates.into_iter().map(distance).filter(|(edits, _)| *edits <= limit).collect();
    near.sort_unstable();
    near
}

/// The candidate closest to `word`, if one is close enough.
pub(crate) fn nearest<'w>(word: &str, candidates: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    slips(word, candidates).first().map(|(_, candidate)| *candidate)
}

/// `; did you mean close or closed?`, or nothing.
pub(crate) fn did_you_mean<'w>(word: &str, candidates: impl IntoIterator<Item = &'w str>) -> String {
    let near = slips(word, candidates);
    let names: Vec<&str> = near.iter().take(SHOWN).map(|(_, candidate)| *candidate).collect();
    match names.split_last() {
        None => String::new(),
        Some((only, [])) => format!("; did you mean {only}?"),
        Some((last, others)) => format!("; did you mean {} or {last}?", others.join(", ")),
    }
}
