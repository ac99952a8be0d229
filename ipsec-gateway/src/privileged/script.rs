//! Scripts of the configuration, which the privileged process runs without a shell and without waiting for their end.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ipsec_config::racoon::ScriptEvent;

use crate::hooks::Environment;
use crate::log;

/// Largest number of scripts that run at a time.
pub const MAX_SCRIPTS: usize = 32;
/// Search path of commands in scripts.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Scripts that have not ended yet.
#[derive(Default)]
pub struct Scripts(Vec<(PathBuf, Child)>);

impl Scripts {
    /// Returns the number of scripts that run.
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// Starts a script, whose argument is the name of the event. Its environment has no other variables but `PATH`.
    ///
    /// # Errors
    /// The message with the path of the script.
    pub fn start(&mut self, path: &Path, event: &str, environment: &Environment) -> Result<(), String> {
        let problem = |e: String| format!("script {}: {e}", path.display());
        check(path, rustix::process::geteuid().as_raw()).map_err(problem)?;
        let mut command = Command::new(path);
        command.arg(event).env_clear().env("PATH", PATH);
        command.envs(environment.iter().map(|(variable, value)| (variable.name(), value)));
        // Signals of a terminal are for the daemon.
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        let child = command.spawn().map_err(|e| problem(e.to_string()))?;
        self.0.push((path.to_owned(), child));
        Ok(())
    }

    /// Reaps the processes of scripts that have ended, and logs a warning for each that has failed.
    pub fn reap(&mut self) {
        self.0.retain_mut(|(path, child)| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                if !status.success() {
                    log::warning(format_args!("script {} has failed: {status}", path.display()));
                }
                false
            }
            Err(_) => false,
        });
    }
}

/// Returns the name of an event in racoon.conf(5).
pub const fn name(event: ScriptEvent) -> &'static str {
    match event {
        ScriptEvent::Phase1Up => "phase1_up",
        ScriptEvent::Phase1Down => "phase1_down",
        ScriptEvent::Phase1Dead => "phase1_dead",
    }
}

/// Refuses a script, or a directory of one, that other users can change.
fn check(path: &Path, user: u32) -> Result<(), String> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let directory = directory.ok_or("expected a path with a directory")?;
    for path in [directory, path] {
        let metadata = fs::metadata(path).map_err(|e: io::Error| e.to_string())?;
        let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
        let shown = path.display();
        if owner != user && owner != 0 {
            return Err(format!("owner mismatch: got user {owner}, expected {user}; run `chown {user} {shown}`"));
        }
        if mode & 0o022 != 0 {
            return Err(format!(
                "mode mismatch: got {mode:04o}, expected no write permission for group and others; \
                 run `chmod go-w {shown}`"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::hooks::Variable;

    /// Returns a script in a directory of its own.
    fn script(name: &str, text: &str) -> (PathBuf, PathBuf) {
        let folder = std::env::temp_dir().join(format!("ipsec-gateway-{}-script-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
        let path = folder.join("run.sh");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        (folder, path)
    }

    #[test]
    fn scripts_receive_only_the_event_and_the_environment() {
        let (folder, path) = script("environment", "#!/bin/sh\n{ echo \"$0 $*\"; /usr/bin/env; } >\"${0%.sh}.out\"\n");
        let mut scripts = Scripts::default();
        let value = "a \"banner\"; $(id) `id`".to_owned();
        scripts.start(&path, "phase1_up", &vec![(Variable::Banner, value)]).unwrap();
        assert_eq!(scripts.count(), 1);
        let (_, child) = &mut scripts.0[0];
        assert!(child.wait().unwrap().success());
        scripts.reap();
        let written = fs::read_to_string(folder.join("run.out")).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        // The shell of the script sets three of its own.
        let of_shell = ["PWD=", "SHLVL=", "_="];
        let lines: Vec<_> = written.lines().filter(|line| !of_shell.iter().any(|own| line.starts_with(own))).collect();
        let mut expected = [
            format!("{} phase1_up", path.display()),
            format!("PATH={PATH}"),
            "BANNER=a \"banner\"; $(id) `id`".to_owned(),
        ];
        let mut lines: Vec<_> = lines.into_iter().map(str::to_owned).collect();
        lines.sort();
        expected.sort();
        assert_eq!((lines, scripts.count()), (expected.to_vec(), 0));
    }

    #[test]
    fn scripts_that_others_can_change_are_refused() {
        let (folder, path) = script("mode", "#!/bin/sh\n");
        let user = rustix::process::geteuid().as_raw();
        assert_eq!(check(&path, user), Ok(()));
        for (of, mode) in [(&path, 0o775), (&path, 0o757), (&folder, 0o777)] {
            let former = fs::metadata(of).unwrap().permissions();
            fs::set_permissions(of, PermissionsExt::from_mode(mode)).unwrap();
            let error = check(&path, user).unwrap_err();
            let expected = "expected no write permission for group and others; run `chmod go-w ";
            assert!(error.contains(&format!("got {mode:04o}, {expected}")), "{error}");
            fs::set_permissions(of, former).unwrap();
        }
        fs::remove_dir_all(&folder).unwrap();
        assert!(check(&path, user).is_err_and(|e| e.contains("No such file")));
        assert!(check(Path::new("run.sh"), user).is_err_and(|e| e.contains("expected a path with a directory")));
    }
}
