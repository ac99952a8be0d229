//! Writes the seeds of every target into a folder, with one subfolder per target.

use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: fuzz-seeds FOLDER")?;
    for (name, ..) in fuzz_harness::TARGETS {
        let folder = Path::new(&folder).join(name);
        fs::create_dir_all(&folder)?;
        for (n, seed) in fuzz_harness::seeds::of(name).iter().enumerate() {
            fs::write(folder.join(format!("seed-{n:04}")), seed)?;
        }
    }
    Ok(())
}
