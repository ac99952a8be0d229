//! Values of a key exchange in the buffer of an exchange, for both phases (RFC 2409 section 5).

use ike_codec::{Group, NoSpace};

use super::exchange::Spans;
use super::scratch::{Scratch, Span};
use super::suspend::{Stop, answered};
use super::{Host, Refusal};
use crate::{DhError, GroupLengths};

/// Length of the nonces of this host in octets.
pub(crate) const NONCE: usize = 32;

/// Number of attempts to draw a private value. One of a curve is out of range with a probability of 2^-32 or less.
const ATTEMPTS: u8 = 4;

/// Draws a private value and computes the public one, unless this was done before the step had to wait.
//= RFC 2408 5.7/1
//# MUST: sending: key exchange and use of its data are determined
pub(crate) fn draw_key_pair(
    scratch: &mut Scratch<'_>,
    host: &mut dyn Host,
    group: Group,
    spans: &mut Spans,
) -> Result<(), Stop> {
    let lengths = lengths(group)?;
    for _ in 0..ATTEMPTS {
        if spans.private.is_empty() {
            //= RFC 2409 10/2
            //# MUST NOT: private values are not derived from long-lived secrets
            spans.private = scratch.store_with(|free, _| {
                let target = free.get_mut(..lengths.private).ok_or(NoSpace)?;
                host.random(target);
                // The order of this curve has 521 bits in 66 octets.
                if let (Group::ECP_521, Some(first)) = (group, target.first_mut()) {
                    *first &= 1;
                }
                Ok::<usize, NoSpace>(lengths.private)
            })?;
            scratch.keep();
        }
        if !spans.own_public.is_empty() {
            return Ok(());
        }
        let public = scratch.store_with(|free, stored| {
            let target = free.get_mut(..lengths.public).ok_or(NoSpace)?;
            answered(host.public(group, stored.get(spans.private), target))??;
            Ok::<usize, Stop>(lengths.public)
        });
        match public {
            Ok(public) => {
                spans.own_public = public;
                scratch.keep();
                return Ok(());
            }
            Err(Stop::Refused(Refusal::KeyExchange(DhError::InvalidPrivateValue))) => {
                scratch.remove(spans.private);
                spans.private = Span::NONE;
            }
            Err(stop) => return Err(stop),
        }
    }
    Err(DhError::InvalidPrivateValue.into())
}

/// Draws a nonce with a length, unless this was done before the step had to wait.
pub(crate) fn draw_nonce(
    scratch: &mut Scratch<'_>,
    host: &mut dyn Host,
    spans: &mut Spans,
    length: usize,
) -> Result<(), NoSpace> {
    if !spans.own_nonce.is_empty() {
        return Ok(());
    }
    //= RFC 2408 5.13/1
    //# MUST: sending: a unique random nonce is created
    spans.own_nonce = scratch.store_with(|free, _| {
        host.random(free.get_mut(..length).ok_or(NoSpace)?);
        Ok::<usize, NoSpace>(length)
    })?;
    scratch.keep();
    Ok(())
}

/// Stores the public value of the peer. The value itself is checked when the shared secret is computed.
pub(crate) fn store_public(scratch: &mut Scratch<'_>, group: Group, public: &[u8]) -> Result<Span, Refusal> {
    check_public(group, public)?;
    Ok(scratch.store(public)?)
}

/// Checks the length of a public value of the peer.
pub(crate) fn check_public(group: Group, public: &[u8]) -> Result<(), Refusal> {
    let expected = lengths(group)?.public;
    //= RFC 2409 5/7
    //# MUST: a public value has the length of its group, with zeros in front
    if public.len() == expected { Ok(()) } else { Err(DhError::Length { expected, actual: public.len() }.into()) }
}

/// Computes the shared secret. The caller wipes it with [`Scratch::truncate`].
pub(crate) fn shared_secret(
    scratch: &mut Scratch<'_>,
    host: &mut dyn Host,
    group: Group,
    (private, peer_public): (Span, Span),
) -> Result<Span, Stop> {
    let len = lengths(group)?.shared;
    scratch.store_with(|free, stored| {
        let target = free.get_mut(..len).ok_or(NoSpace)?;
        answered(host.shared(group, stored.get(private), stored.get(peer_public), target))??;
        Ok::<usize, Stop>(len)
    })
}

fn lengths(group: Group) -> Result<GroupLengths, Refusal> {
    GroupLengths::of(group).ok_or(Refusal::KeyExchange(DhError::Unsupported(group)))
}
