//! C functions of IKEv1 messages (RFC 2408).

use core::ffi::c_void;

use ike_codec::Message;

use crate::IpsecStatus;
use crate::memory::{octets, one, status};

/// ISAKMP header of a message (RFC 2408 section 3.1).
#[repr(C)]
pub struct IpsecIkeHeader {
    /// Cookie of the initiator.
    pub initiator_cookie: [u8; 8],
    /// Cookie of the responder; zero in the first message of an exchange of phase 1.
    pub responder_cookie: [u8; 8],
    /// Exchange type (RFC 2408 section 3.1).
    pub exchange: u8,
    /// Encryption flag: the payloads are encrypted.
    pub encrypted: bool,
    /// Message ID, which identifies an exchange of phase 2; zero in phase 1.
    pub message_id: u32,
}

/// Payload of a message. It points into the message.
#[repr(C)]
pub struct IpsecIkePayload {
    /// Payload type (next payload numbers of RFC 2408 section 3.1).
    pub kind: u8,
    /// Pointer to the body, after the generic payload header.
    pub body: *const u8,
    /// Length of the body in octets.
    pub len: usize,
}

/// Parses a complete message, stores its header and then calls `visitor` for each payload until it returns false. The
/// payloads of an encrypted message are not visited. `visitor` may be null.
///
/// # Safety
/// `message` is null or valid for reads of `len` octets, `header` is null or valid for writes, and `visitor` accepts
/// `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ike_parse(
    message: *const u8,
    len: usize,
    header: *mut IpsecIkeHeader,
    visitor: Option<extern "C" fn(context: *mut c_void, payload: *const IpsecIkePayload) -> bool>,
    context: *mut c_void,
) -> IpsecStatus {
    status(|| {
        // SAFETY: guaranteed by the caller.
        let (octets, header) = unsafe { (octets(message, len)?, one(header)?) };
        let message = Message::parse(octets).map_err(|_| IpsecStatus::Malformed)?;
        let found = message.header();
        *header = IpsecIkeHeader {
            initiator_cookie: found.initiator_cookie,
            responder_cookie: found.responder_cookie,
            exchange: found.exchange.0,
            encrypted: found.is_encrypted(),
            message_id: found.message_id,
        };
        let Some(visitor) = visitor else { return Ok(()) };
        for payload in message.chain().payloads() {
            let visited =
                IpsecIkePayload { kind: payload.kind.0, body: payload.body.as_ptr(), len: payload.body.len() };
            if !visitor(context, &raw const visited) {
                break;
            }
        }
        Ok(())
    })
}
