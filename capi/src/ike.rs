//! IKEv1 messages (RFC 2408).

use core::ffi::c_void;

use ike_codec::Message;

use crate::IpsecStatus;
use crate::memory::{octets, one, status};

/// The header of a message (RFC 2408 3.1).
#[repr(C)]
pub struct IpsecIkeHeader {
    /// The cookie of who began.
    pub initiator_cookie: [u8; 8],
    /// The cookie of who answers, or zeros.
    pub responder_cookie: [u8; 8],
    /// The exchange.
    pub exchange: u8,
    /// Whether what follows is encrypted.
    pub encrypted: bool,
    /// The exchange of phase 2 that it belongs to, or 0.
    pub message_id: u32,
}

/// A payload of a message, which it points into.
#[repr(C)]
pub struct IpsecIkePayload {
    /// What it is (RFC 2408 3.1, the numbers of next payloads).
    pub kind: u8,
    /// Its body, behind the generic header.
    pub body: *const u8,
    /// Octets of the body.
    pub len: usize,
}

/// Parses a message, all of it, before `visitor` is given its payloads one after the other and says whether to go on; those of an
/// encrypted message are not seen. `visitor` may be null.
///
/// # Safety
/// `message` is good for `len` octets, `header` may be written, and `visitor` takes `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ike_parse(
    message: *const u8,
    len: usize,
    header: *mut IpsecIkeHeader,
    visitor: Option<extern "C" fn(context: *mut c_void, payload: *const IpsecIkePayload) -> bool>,
    context: *mut c_void,
) -> IpsecStatus {
    status(|| {
        // SAFETY: the caller's promise.
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
            let seen = IpsecIkePayload { kind: payload.kind.0, body: payload.body.as_ptr(), len: payload.body.len() };
            if !visitor(context, &raw const seen) {
                break;
            }
        }
        Ok(())
    })
}
