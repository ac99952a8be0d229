//! TUN interface: packets of the protected side.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tun_rs::DeviceBuilder;

use crate::plane::PacketSink;

/// TUN interface to which this process is attached. The interface remains when the process ends.
pub struct Tun(OwnedFd);

impl Tun {
    /// Attaches to a persistent interface. Reading from it does not block.
    ///
    /// # Errors
    /// The message of the system, for example if another process is attached.
    pub fn open(name: &str) -> Result<OwnedFd, String> {
        let open = || {
            let device = DeviceBuilder::new().name(name).build_sync()?;
            device.set_nonblocking(true)?;
            device.as_fd().try_clone_to_owned()
        };
        open().map_err(|e: io::Error| match e.raw_os_error() {
            Some(code) if code == rustix::io::Errno::BUSY.raw_os_error() => {
                format!("TUN interface {name}: another process is attached")
            }
            _ => format!("TUN interface {name}: {e}"),
        })
    }

    /// Reads a packet and returns its length.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is none, and those of the system.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        rustix::io::read(&self.0, buffer).map_err(io::Error::from)
    }
}

impl From<OwnedFd> for Tun {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl PacketSink for Tun {
    fn send(&self, packet: &[u8]) -> io::Result<()> {
        rustix::io::write(&self.0, packet).map(|_| ()).map_err(io::Error::from)
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
