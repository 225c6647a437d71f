//! Just enough of a Rust source file: which lines are tests, which are comments.
//!
//! Relies on rustfmt's layout, which the stage before `tidy` has checked: the item behind
//! `#[cfg(test)]` ends at the first line that is a closing brace at the same indentation.

/// What a line of a source file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Part of the product.
    Code,
    /// A comment or a doc comment that stands alone.
    Comment,
    /// Part of a test, comments included.
    Test,
}

/// Whether the whole file is tests: below a `tests` folder, or named `tests.rs`.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The lines of a file, numbered from 1.
pub(crate) fn lines<'a>(path: &str, text: &'a str) -> Vec<(usize, Part, &'a str)> {
    let whole = is_test_file(path);
    // The indentation at which a test item opened, until it closes.
    let mut inside: Option<usize> = None;
    let mut pending = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let indentation = line.len().saturating_sub(trimmed.len());
        let mut part = match inside {
            _ if whole => Part::Test,
            Some(_) => Part::Test,
            None if trimmed.starts_with("//") => Part::Comment,
            None => Part::Code,
        };
        if let Some(opened) = inside {
            if indentation == opened && trimmed.starts_with('}') {
                inside = None;
            }
        } else if trimmed.starts_with("#[cfg(test)]") {
            part = Part::Test;
            pending = true;
        } else if pending {
            part = Part::Test;
            if trimmed.ends_with('{') {
                inside = Some(indentation);
                pending = false;
            } else if trimmed.ends_with([';', ',', '}']) {
                pending = false;
            }
        }
        found.push((index + 1, part, line));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
//! Header.
fn code() {}
#[cfg(test)]
use foo::Bar;
fn more() {}
#[cfg(test)]
mod tests {
    // A comment.
    fn inner() {
    }
}
fn last() {}
";

    fn parts(path: &str) -> Vec<Part> {
        lines(path, SOURCE).into_iter().map(|(_, part, _)| part).collect()
    }

    #[test]
    fn a_test_item_ends_at_its_closing_brace() {
        use Part::{Code, Comment, Test};
        let expected = [Comment, Code, Test, Test, Code, Test, Test, Test, Test, Test, Test, Code];
        assert_eq!(parts("core/x/src/lib.rs"), expected);
    }

    #[test]
    fn everything_below_a_tests_folder_is_a_test() {
        assert!(parts("core/x/tests/it.rs").iter().all(|part| *part == Part::Test));
        assert!(parts("core/x/src/tests.rs").iter().all(|part| *part == Part::Test));
    }
}
