//! Configuration of the gateway: gateway.conf and the files that it names, read by `ipsec-config`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ike_codec::AuthMethod;
use ipsec_config::racoon::METHODS;
use ipsec_config::{Configuration, ConfiguredPeer, Files, Language, LoadSettings, Loaded, Severity, load};

use crate::gif;
use crate::log;
use crate::raw::RawLocal;

pub use ipsec_config::gateway::{Backend, ControlSocket, Limits, TunInterface};

/// UDP port of IKE (RFC 2408 section 2.5.1).
pub const IKE_PORT: u16 = 500;
/// UDP port of IKE and ESP with NAT traversal (RFC 3947 section 4).
pub const NAT_TRAVERSAL_PORT: u16 = 4500;
const LOOPBACK: &str = "lo";

/// Configuration of the gateway.
#[derive(Debug)]
pub struct Config {
    /// SAs, policies, peers and parameters of phase 2.
    pub configuration: Configuration,
    /// File of the pre-shared keys.
    pub keys: Option<PathBuf>,
    /// Local addresses with the UDP ports of IKE.
    pub locals: Vec<SocketAddr>,
    /// Interfaces on the unprotected side.
    pub wan: Vec<String>,
    /// Databases of SAs and policies.
    pub backend: Backend,
    /// TUN interface. With the back end `pfkey` it is the loopback interface, which has the addresses that servers
    /// assign to this host.
    pub tun: TunInterface,
    /// Firewall mark of the packets of the daemon.
    pub mark: u32,
    /// Number of the routing table of the protected destinations, and priority of the rule for it.
    pub table: u32,
    /// Limits of the databases and of key exchange.
    pub limits: Limits,
    /// Socket through which the running gateway is controlled.
    pub control: ControlSocket,
    /// Set if clients of the control socket may read the keys of SAs.
    pub exports_keys: bool,
    /// File of the sequence numbers and windows of SAs with manual keys.
    pub state: Option<PathBuf>,
    /// Set if SAs that statements of setkey(8) add to the running gateway are in that file, with their keys.
    pub stores_keys: bool,
    /// Set if the MSS of TCP connections through tunnels is lowered.
    pub clamps_mss: bool,
}

impl Config {
    /// Reads a file and those that it names. Warnings are logged.
    ///
    /// # Errors
    /// All errors with their positions, and the lines in which they are.
    pub fn read(files: &dyn Files, path: &Path) -> Result<Self, String> {
        Self::from_files(files, path).map(|(config, _)| config)
    }

    /// Reads files, and returns their texts as well. Warnings are logged.
    ///
    /// # Errors
    /// All errors with their positions, and the lines in which they are.
    pub fn from_files(files: &dyn Files, path: &Path) -> Result<(Self, Loaded), String> {
        let mut loaded = load(files, &[(path.to_owned(), Some(Language::Gateway))], &LoadSettings::default());
        for diagnostic in loaded.diagnostics.iter().filter(|own| own.severity == Severity::Warning) {
            log::warning(loaded.sources.show(diagnostic));
        }
        let errors = loaded.diagnostics.iter().filter(|own| own.severity == Severity::Error);
        let errors: Vec<_> = errors.map(|own| loaded.sources.show(own).to_string()).collect();
        if !errors.is_empty() {
            return Err(errors.join("\n"));
        }
        loaded.add_peers_of_policies();
        let configuration = std::mem::take(&mut loaded.configuration);
        let (Some(conf), true) = (&loaded.gateway, errors.is_empty()) else {
            return Err(format!("{}: expected a gateway.conf, found none of its statements", path.display()));
        };
        let tun = match conf.backend {
            Backend::Pfkey => TunInterface::new(LOOPBACK),
            _ => conf.tun.clone().ok_or_else(|| format!("{}: statement `tun` is missing", path.display()))?,
        };
        let config = Self {
            keys: configuration.key_file.as_ref().map(PathBuf::from),
            locals: conf.locals.clone(),
            wan: conf.wan.clone(),
            backend: conf.backend,
            tun,
            mark: conf.mark,
            table: conf.table,
            limits: conf.limits,
            control: conf.control.clone(),
            exports_keys: conf.exports_keys,
            state: conf.state.as_ref().map(PathBuf::from),
            stores_keys: conf.stores_keys,
            clamps_mss: conf.clamps_mss,
            configuration,
        };
        if config.backend == Backend::Pfkey && config.state.is_some() {
            return Err(format!("{}: statement `state` requires the back end `userspace`", path.display()));
        }
        if config.backend == Backend::Pfkey && !config.configuration.gifs.is_empty() {
            log::warning("gif interfaces of rc.conf are not created with the back end `pfkey`: create them with ip(8)");
        }
        Ok((config, loaded))
    }

    /// Returns an error if a statement that takes effect only when the daemon starts has changed.
    ///
    /// # Errors
    /// The message with the names of the statements.
    pub fn check_changes(&self, next: &Self) -> Result<(), String> {
        let table = [
            (self.backend == next.backend, "backend"),
            (self.tun == next.tun, "tun"),
            (self.mark == next.mark, "mark"),
            (self.table == next.table, "table"),
            (self.limits == next.limits, "limit"),
            (self.control == next.control, "control"),
            ((&self.state, self.stores_keys) == (&next.state, next.stores_keys), "state"),
            (self.configuration.timing == next.configuration.timing, "timer"),
            (self.configuration.process_user == next.configuration.process_user, "user"),
        ];
        let changed = table.iter().filter(|(is_same, _)| !is_same).map(|(_, name)| format!("`{name}`"));
        let changed: Vec<_> = changed.collect();
        if changed.is_empty() {
            return Ok(());
        }
        Err(format!("changed statements: {}; a change of these requires a restart of the daemon", changed.join(", ")))
    }

    /// Returns the peers of the configuration.
    pub fn peers(&self) -> &[ConfiguredPeer] {
        &self.configuration.peers
    }

    /// Returns the local addresses without their ports.
    pub fn local_addresses(&self) -> Vec<IpAddr> {
        self.locals.iter().map(SocketAddr::ip).collect()
    }

    /// Returns the local address of raw sockets.
    pub fn raw_local(&self, address: IpAddr) -> RawLocal {
        RawLocal { address, is_tunnel_end: gif::is_end(&self.configuration, address) }
    }

    /// Returns whether an address is a local address or that of a peer.
    pub fn is_end(&self, address: IpAddr) -> bool {
        let mut peers = self.peers().iter().filter_map(|peer| peer.config.address);
        self.local_addresses().contains(&address) || peers.any(|peer| peer.ip() == address)
    }

    /// Returns the local address and port for a peer: the first of the same address family.
    pub fn local_for(&self, peer: IpAddr) -> Option<SocketAddr> {
        self.locals.iter().copied().find(|local| local.is_ipv4() == peer.is_ipv4())
    }
}

/// Returns whether the RSA signatures of a method are implemented.
pub fn has_rsa_signature(method: AuthMethod) -> bool {
    METHODS.iter().any(|row| row.number == Some(method) && (row.signs || row.verifies))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::io;
    use std::rc::Rc;

    use zeroize::Zeroizing;

    use super::*;
    use crate::files::{GatewayFiles, KeyChanges, KeyFile, NoChanges};

    /// Files in memory, by their names.
    pub struct Memory(pub BTreeMap<&'static str, String>);

    impl Files for Memory {
        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            let text = path.to_str().and_then(|name| self.0.get(name));
            text.map(|text| text.clone().into_bytes()).ok_or(io::ErrorKind::NotFound.into())
        }

        fn expand(&self, pattern: &Path) -> Vec<PathBuf> {
            vec![pattern.to_owned()]
        }

        fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    impl GatewayFiles for Memory {
        fn key_file(&self, path: &Path) -> KeyFile {
            let text = self.read(path).map(Zeroizing::new).map_err(|e| format!("{}: {e}", path.display()));
            KeyFile { version: None, text }
        }

        fn changes(&self) -> Rc<dyn KeyChanges> {
            Rc::new(NoChanges)
        }
    }

    /// Returns a configuration whose policies are those of a text of setkey(8), in the file `p`; `k` has the keys.
    pub fn config(gateway: &str, policies: &str) -> Result<Config, String> {
        let keys = "* a shared secret\n";
        let files =
            [("gateway.conf", gateway), ("p", policies), ("setkey.conf", policies), ("k", keys), ("psk.txt", keys)];
        let files = Memory(files.into_iter().map(|(name, text)| (name, text.to_owned())).collect());
        Config::from_files(&files, Path::new("gateway.conf")).map(|(config, _)| config)
    }
}
