//! Counts of instructions from `valgrind --tool=callgrind`.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::scratch::Scratch;

/// What one request took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Instructions of the step.
    pub instructions: u64,
    /// Octets of its input.
    pub input: usize,
    /// Octets of its output.
    pub output: usize,
}

impl Count {
    /// Instructions for each octet that goes in or comes out.
    pub fn per_octet(&self) -> f64 {
        self.instructions as f64 / (self.input + self.output).max(1) as f64
    }
}

/// This program under callgrind, which answers requests: see [`serve`](crate::serve).
pub struct Counter {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    scratch: Scratch,
    dumps: u32,
}

impl Counter {
    /// Starts it.
    pub fn start() -> Result<Self, Box<dyn Error>> {
        let scratch = Scratch::new()?;
        let mut child = Command::new("valgrind")
            .args(["-q", "--tool=callgrind"])
            .args(["--toggle-collect=cost::measure::measured", "--dump-after=cost::measure::measured"])
            .arg(format!("--callgrind-out-file={}", scratch.file("counts").display()))
            .arg(std::env::current_exe()?)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (requests, answers) = (child.stdin.take(), child.stdout.take().ok_or("no output of valgrind")?);
        Ok(Self { child, requests, answers: BufReader::new(answers), scratch, dumps: 0 })
    }

    /// Has one request counted.
    pub fn count(&mut self, request: &str) -> Result<Count, Box<dyn Error>> {
        let requests = self.requests.as_mut().ok_or("valgrind has ended")?;
        writeln!(requests, "{request}")?;
        requests.flush()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let failed = || format!("`{request}` was answered by `{}`", answer.trim());
        let (input, output) = answer.trim().split_once(' ').ok_or_else(failed)?;
        self.dumps += 1;
        let dump = self.scratch.file(&format!("counts.{}", self.dumps));
        let instructions = total(&dump).map_err(|e| format!("{}: {e}", failed()))?;
        fs::remove_file(dump)?;
        Ok(Count { instructions, input: input.parse()?, output: output.parse()? })
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.requests = None; // the end of the requests ends the program
        let _ = self.child.wait();
    }
}

/// Instructions of a whole run of another program; its output is left out, its exit status must be one of `allowed`.
pub fn whole_program(program: &Path, arguments: &[String], allowed: &[i32]) -> Result<u64, Box<dyn Error>> {
    let scratch = Scratch::new()?;
    let counts: PathBuf = scratch.file("counts");
    let output = Command::new("valgrind")
        .args(["-q", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(program)
        .args(arguments)
        .output()?;
    if !output.status.code().is_some_and(|code| allowed.contains(&code)) {
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{} {}: {}: {problem}", program.display(), arguments.join(" "), output.status).into());
    }
    total(&counts)
}

/// The sum in a file of callgrind.
fn total(path: &Path) -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let of = |name| text.lines().rev().find_map(|line: &str| line.strip_prefix(name));
    let sum = of("totals:").or_else(|| of("summary:")).ok_or("no totals in the file of callgrind")?;
    Ok(sum.split_whitespace().next().ok_or("empty totals")?.parse()?)
}
