//! Sections of `PERFORMANCE.md` that a report writes, between two comments for each class of processors.

const BEGIN: &str = "<!-- report: ";
const END: &str = "<!-- end of report: ";

/// Returns the document with the section of a class of processors replaced. If there is none, it is added after the
/// last section of the others, which remain as they are.
///
/// # Errors
///
/// If the document has no section, or one whose end is missing.
pub fn replace(document: &str, class: &str, section: &str) -> Result<String, String> {
    let (begin, end) = (format!("{BEGIN}{class} -->\n"), format!("{END}{class} -->\n"));
    let new = format!("{begin}{section}{end}");
    if let Some((before, rest)) = document.split_once(&begin) {
        let (_, after) = rest.split_once(&end).ok_or_else(|| format!("the line \"{}\" is missing", end.trim_end()))?;
        return Ok(format!("{before}{new}{after}"));
    }
    let last = document.rfind(END).ok_or_else(|| format!("no line begins with \"{}\"", END.trim_end()))?;
    let at = document[last..].find('\n').map_or(document.len(), |line| last + line + 1);
    let (before, after) = document.split_at(at);
    Ok(format!("{before}\n{new}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "text\n<!-- report: A -->\nold\n<!-- end of report: A -->\nmore\n";

    #[test]
    fn the_section_of_the_class_is_replaced() {
        let expected = "text\n<!-- report: A -->\nnew\n<!-- end of report: A -->\nmore\n";
        assert_eq!(replace(DOCUMENT, "A", "new\n").as_deref(), Ok(expected));
    }

    #[test]
    fn the_section_of_another_class_remains() {
        let document = replace(DOCUMENT, "B", "new\n").expect("a section is added");
        let added = "<!-- end of report: A -->\n\n<!-- report: B -->\nnew\n<!-- end of report: B -->\nmore\n";
        assert_eq!(document, format!("text\n<!-- report: A -->\nold\n{added}"));
        let document = replace(&document, "B", "newer\n").expect("the section is replaced");
        assert!(document.contains("\nold\n") && document.contains("\nnewer\n") && !document.contains("\nnew\n"));
    }

    #[test]
    fn a_document_without_sections_is_an_error() {
        assert!(replace("text\n", "A", "new\n").is_err());
        assert!(replace("<!-- report: A -->\nold\n", "A", "new\n").is_err());
    }
}
