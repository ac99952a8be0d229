//! Unix socket on which the daemon accepts the clients that control it.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

/// Listening socket. Its file is removed when the daemon ends.
pub struct ControlSocket {
    path: PathBuf,
    listener: UnixListener,
    /// Device and inode of the file, which another daemon may have replaced.
    file: (u64, u64),
}

/// Reason why the socket was not opened.
#[derive(Debug)]
pub enum SocketError {
    /// Another daemon listens on the socket.
    InUse,
    /// A file with the path is not a socket.
    NotSocket,
    /// Error of the system.
    Io(io::Error),
}

impl std::fmt::Display for SocketError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InUse => f.write_str("another daemon listens on it"),
            Self::NotSocket => f.write_str("the file exists and is not a socket"),
            Self::Io(e) => e.fmt(f),
        }
    }
}

impl From<io::Error> for SocketError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl ControlSocket {
    /// Opens a socket that only the user of the daemon can use. One that a former daemon has left is replaced.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn open(path: &Path) -> Result<Self, SocketError> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => return Err(SocketError::NotSocket),
            Ok(_) => match UnixStream::connect(path) {
                Err(e) if e.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)?,
                Err(e) => return Err(e.into()),
                Ok(_) => return Err(SocketError::InUse),
            },
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e.into()),
        }
        // The mode is that of the file from the start: there is no other thread that could create one meanwhile.
        let former = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let bound = UnixListener::bind(path);
        rustix::process::umask(former);
        let listener = bound?;
        listener.set_nonblocking(true)?;
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), listener, file: (metadata.dev(), metadata.ino()) })
    }

    /// Returns a descriptor for the process that accepts the clients.
    ///
    /// # Errors
    /// The error of the system.
    pub fn listener(&self) -> io::Result<OwnedFd> {
        self.listener.as_fd().try_clone_to_owned()
    }
}

/// Listening socket in the process that accepts its clients.
pub struct Listener(UnixListener);

impl From<OwnedFd> for Listener {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }
}

impl Listener {
    /// Accepts a client, whose stream does not block.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if no client waits, and others of the system.
    pub fn accept(&self) -> io::Result<UnixStream> {
        let (stream, _) = self.0.accept()?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let file = fs::symlink_metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        if file.is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ipsec-gateway-{}-{name}.sock", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn socket_is_private_and_removed_at_the_end() {
        let path = path("private");
        let socket = ControlSocket::open(&path).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let listener = Listener::from(socket.listener().unwrap());
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let _client = UnixStream::connect(&path).unwrap();
        assert!(listener.accept().is_ok());
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn stale_socket_is_replaced_and_one_in_use_is_not() {
        let path = path("stale");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the file remains");
        let socket = ControlSocket::open(&path).unwrap();
        assert!(matches!(ControlSocket::open(&path), Err(SocketError::InUse)));
        // Another daemon has replaced the file: it is not removed.
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
        drop(other);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert!(matches!(ControlSocket::open(&path), Err(SocketError::NotSocket)));
        fs::remove_file(&path).unwrap();
    }
}
