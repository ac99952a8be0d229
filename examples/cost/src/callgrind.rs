//! Instruction counts of `valgrind --tool=callgrind`.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::scratch::Scratch;

/// Cost of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Number of instructions of the step.
    pub instructions: u64,
    /// Length of the input in octets.
    pub input: usize,
    /// Length of the output in octets.
    pub output: usize,
}

impl Count {
    /// Returns the instructions per octet of input and output.
    pub fn per_octet(&self) -> f64 {
        self.instructions as f64 / (self.input + self.output).max(1) as f64
    }
}

/// Process of this program under callgrind that answers requests (see [`serve`](crate::serve)).
pub struct Counter {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    scratch: Scratch,
    dumps: u32,
}

impl Counter {
    /// Starts valgrind with this program.
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

    /// Sends one request and returns its cost.
    pub fn count(&mut self, request: &str) -> Result<Count, Box<dyn Error>> {
        let requests = self.requests.as_mut().ok_or("valgrind has exited")?;
        writeln!(requests, "{request}")?;
        requests.flush()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let failed = || format!("unexpected answer to `{request}`: `{}`", answer.trim());
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
        self.requests = None; // closing the input ends the process
        let _ = self.child.wait();
    }
}

/// Counts the instructions of a complete run of another program, whose exit status must be one of `allowed`.
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

/// Returns the total in a file of callgrind.
fn total(path: &Path) -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let of = |name| text.lines().rev().find_map(|line: &str| line.strip_prefix(name));
    let sum = of("totals:").or_else(|| of("summary:")).ok_or("no totals in the file of callgrind")?;
    Ok(sum.split_whitespace().next().ok_or("empty totals")?.parse()?)
}
