//! Whether a page is one.

/// Fails unless every tag is closed by its own, and no text or attribute holds a bare `<`.
pub(crate) fn assert_well_formed(page: &str) {
    const NEVER_CLOSED: [&str; 1] = ["meta"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>").unwrap();
    while let Some(start) = rest.find('<') {
        let tag = &rest[start + 1..];
        let mut quoted = false;
        let is_end = |c: char| {
            quoted ^= c == '"';
            c == '>' && !quoted
        };
        let end = tag.find(is_end).unwrap_or_else(|| panic!("a tag without an end: {:.80}", &rest[start..]));
        let (tag, after) = (&tag[..end], &tag[end + 1..]);
        assert!(!tag.contains('<'), "a tag within a tag: {tag:.80}");
        let name = tag.split_whitespace().next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "closed out of turn, before {after:.80}"),
            None if NEVER_CLOSED.contains(&name) => {}
            None => {
                assert!(name.starts_with(|c: char| c.is_ascii_alphabetic()), "no tag: <{tag:.80}");
                open.push(name);
            }
        }
        rest = after;
    }
    assert!(open.is_empty(), "left open: {open:?}");
}
