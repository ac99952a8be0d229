//! Demonstration: two gateways in network namespaces of this machine, with the files of `conf`.

use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::control::protocol::{self, Reply, Request};

/// Files of each gateway by its letter.
const FILES: [(&str, [(&str, &str); 3]); 2] = [
    (
        "a",
        [
            ("gateway.conf", include_str!("../conf/a/gateway.conf")),
            ("setkey.conf", include_str!("../conf/a/setkey.conf")),
            ("psk.txt", include_str!("../conf/a/psk.txt")),
        ],
    ),
    (
        "b",
        [
            ("gateway.conf", include_str!("../conf/b/gateway.conf")),
            ("setkey.conf", include_str!("../conf/b/setkey.conf")),
            ("psk.txt", include_str!("../conf/b/psk.txt")),
        ],
    ),
];
/// Addresses of the gateways on the unprotected side.
const OUTER: [&str; 2] = ["192.0.2.1/24", "192.0.2.2/24"];
/// Address of the second network, which the first one pings.
const INNER_B: &str = "10.2.0.1";
/// Attempts, ten in a second, until a daemon answers.
const ATTEMPTS: u32 = 100;

/// Creates two namespaces, runs a gateway in each, pings through the tunnel, shows the SAs of the first gateway, and
/// removes everything.
///
/// # Errors
/// The message of the step that failed.
pub fn run() -> Result<(), String> {
    // The signals end the commands and daemons; this process then removes the namespaces.
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::default())
            .map_err(|e| format!("handler of signal {signal} was not installed: {e}"))?;
    }
    let demo = Demo::start()?;
    say(&format!("Files and logs of the gateways: {}", demo.folder.display()));
    say(&format!("Ping from network a (10.1.0.0/24) to network b (10.2.0.0/24): {INNER_B}"));
    let ping = demo.within("a").args(["ping", "-c", "3", "-i", "0.3", "-W", "2", INNER_B]).status();
    let is_answered = ping.map_err(|e| format!("command `ping`: {e}"))?.success();
    say("SAs of gateway a, as `ipsec-gatewayctl dump -D` shows them:");
    let reply = demo.ask("a", &Request::Sas { from: 0, keys: false })?;
    if let Reply::Sas(page) = reply {
        page.entries.iter().for_each(|sa| say(&sa.text));
    }
    say("Log of gateway a:");
    let log = fs::read_to_string(demo.log("a")).unwrap_or_default();
    log.lines().filter(|line| line.contains("phase 1 with") || line.contains("SA established")).for_each(say);
    drop(demo);
    if is_answered { Ok(()) } else { Err("no ping was answered".to_owned()) }
}

fn say(text: &str) {
    // A reader that has ended is not a reason to leave the namespaces.
    let _ = writeln!(io::stdout(), "{text}");
}

/// Namespaces and daemons, which are removed on drop.
struct Demo {
    folder: PathBuf,
    /// Namespaces that were created.
    namespaces: Vec<String>,
    daemons: Vec<Child>,
}

impl Demo {
    fn start() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("ipsec-gateway-demo-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut demo = Self { folder, namespaces: Vec::new(), daemons: Vec::new() };
        for (name, files) in FILES {
            demo.write_files(name, &files).map_err(|e| format!("{}: {e}", demo.folder.display()))?;
            let namespace = namespace(name);
            ip(&["netns", "add", &namespace])?;
            demo.namespaces.push(namespace);
        }
        let [a, b] = ["a", "b"].map(namespace);
        ip(&["link", "add", "name", "wan", "netns", &a, "type", "veth", "peer", "name", "wan", "netns", &b])?;
        for (namespace, address) in [&a, &b].into_iter().zip(OUTER) {
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
            ip(&["-n", namespace, "address", "add", address, "dev", "wan"])?;
            ip(&["-n", namespace, "link", "set", "wan", "up"])?;
        }
        for (name, _) in FILES {
            let daemon = demo.start_daemon(name).map_err(|e| format!("gateway {name}: {e}"))?;
            demo.daemons.push(daemon);
        }
        for (name, _) in FILES {
            demo.wait_for(name)?;
        }
        Ok(demo)
    }

    fn write_files(&self, name: &str, files: &[(&str, &str)]) -> io::Result<()> {
        let folder = self.folder.join(name);
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        for (file, text) in files {
            fs::write(folder.join(file), text)?;
            fs::set_permissions(folder.join(file), Permissions::from_mode(0o600))?;
        }
        Ok(())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join(name).join("log")
    }

    /// Returns a command that runs in the namespace of a gateway; the program is its first argument.
    fn within(&self, name: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace(name)]);
        command
    }

    fn start_daemon(&self, name: &str) -> io::Result<Child> {
        let (program, log) = (std::env::current_exe()?, File::create(self.log(name))?);
        let config = self.folder.join(name).join("gateway.conf");
        let mut command = self.within(name);
        command.arg(program).arg("-F").arg("-f").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn()
    }

    /// Waits until the daemon of a gateway answers.
    fn wait_for(&self, name: &str) -> Result<(), String> {
        for _ in 0..ATTEMPTS {
            if self.ask(name, &Request::Status).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(100));
        }
        let log = fs::read_to_string(self.log(name)).unwrap_or_default();
        Err(format!("gateway {name} does not answer: {}", log.lines().last().unwrap_or("it has written no log")))
    }

    fn ask(&self, name: &str, request: &Request) -> Result<Reply, String> {
        ask(&self.folder.join(name).join("control.sock"), request).map_err(|e| format!("gateway {name}: {e}"))
    }
}

fn ask(socket: &Path, request: &Request) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(&protocol::write(request))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

impl Drop for Demo {
    fn drop(&mut self) {
        // `ip netns exec` has become the daemon: the process is the same.
        for daemon in &mut self.daemons {
            if let Some(process) = i32::try_from(daemon.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(process, Signal::TERM);
            }
        }
        for daemon in &mut self.daemons {
            let _ = daemon.wait();
        }
        for namespace in &self.namespaces {
            let _ = ip(&["netns", "delete", namespace]);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn namespace(name: &str) -> String {
    format!("ipsec-demo-{}-{name}", std::process::id())
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().map_err(|e| format!("command `ip`: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {}: {}", arguments.join(" "), message.lines().next().unwrap_or("no message")))
}
