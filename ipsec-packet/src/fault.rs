/// Cause of an error: received octets, the arguments of the caller, or the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The packet is malformed, forged, repeated, or not permitted: the error is to be counted and the packet dropped.
    Peer,
    /// An argument or the configuration does not permit the operation: a buffer is too small, an SA is exhausted.
    Caller,
    /// An error that cannot occur; it is a fault of the library.
    Internal,
}
