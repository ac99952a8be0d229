//! Table of bounds in `bounds.txt`.

use std::error::Error;
use std::fs;
use std::path::Path;

/// Row of the table: a step on one input.
#[derive(Clone, Debug)]
pub struct Row {
    /// Name of the step.
    pub step: String,
    /// Description of the input.
    pub input: String,
    /// Genome that the input is generated from.
    pub genome: String,
    /// Instructions per octet, as measured when the row was written.
    pub measured: f64,
    /// Ratio of instructions per octet to those of a normal input of the same length.
    pub ratio: f64,
    /// Maximum of instructions per octet.
    pub bound: f64,
    /// Maximum of the ratio.
    pub ratio_bound: f64,
}

/// Reads the table. Lines that begin with `#` are comments.
pub fn read(path: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let rows = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    rows.map(|(number, line)| {
        parse(line).ok_or_else(|| format!("{}:{}: malformed row", path.display(), number + 1).into())
    })
    .collect()
}

fn parse(line: &str) -> Option<Row> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [step, input, genome, measured, ratio, bound, ratio_bound] = fields[..] else { return None };
    Some(Row {
        step: step.to_owned(),
        input: input.to_owned(),
        genome: genome.to_owned(),
        measured: measured.parse().ok()?,
        ratio: ratio.parse().ok()?,
        bound: bound.parse().ok()?,
        ratio_bound: ratio_bound.parse().ok()?,
    })
}

/// Writes the rows after the comments at the beginning of the file.
pub fn write(path: &Path, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let before = fs::read_to_string(path)?;
    let mut text: String = before.lines().take_while(|l| l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    for Row { step, input, genome, measured, ratio, bound, ratio_bound } in rows {
        text += &format!("{step:17} {input:22} {genome:38} {measured:9.2} {ratio:8.2} {bound:7} {ratio_bound:7}\n");
    }
    Ok(fs::write(path, text)?)
}
