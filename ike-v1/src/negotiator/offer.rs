use ike_codec::{
    BodyWriter, NoSpace, Proposal, ProposalHead, ProtocolId, Situation, Transform, TransformHead, TransformId,
};
use ipsec_sa::Mode;

use super::choose::{DEFAULT_SECONDS, encapsulation};
use crate::{Phase1Choice, Phase2Choice};

/// Writes the body of an SA payload that offers these transforms of phase 1, in one proposal.
//= RFC 2408 5.4/1, 5.5/1, 5.6/1
//# MUST: sending: domain of interpretation, situation and proposals are determined
//# MUST: sending: protocol and number of proposals and transforms are determined
//# MUST: sending: number of the transform and of all transforms are determined
pub(crate) fn phase_1(body: &mut BodyWriter<'_>, offers: &[Phase1Choice]) -> Result<(), NoSpace> {
    //= RFC 2409 5/10
    //# MUST: several offers of phase 1 are several transforms of one proposal
    body.sa(Situation::IDENTITY_ONLY, &[], |sa| {
        sa.proposal(&ProposalHead::new(1, ProtocolId::ISAKMP, &[]), |proposal| {
            for (number, offer) in (1..).zip(offers) {
                let lifetimes = with_seconds(&offer.lifetimes);
                let offer = offer.with_lifetimes(lifetimes);
                proposal.transform(&TransformHead::new(number, TransformId::KEY_IKE), |list| offer.write(list))?;
            }
            Ok(())
        })
    })
}

/// Returns the transforms of one quick mode: those with the group of the first one (RFC 2409 section 5.5).
pub(crate) fn of_one_group(offers: &[Phase2Choice]) -> impl Iterator<Item = &Phase2Choice> {
    let group = offers.first().and_then(|first| first.group);
    offers.iter().filter(move |offer| offer.group == group)
}

/// Writes the body of an SA payload that offers these transforms of ESP, in one proposal with this SPI.
//= RFC 2409 5.5/7
//# MUST: the offers of a quick mode are consistent
pub(crate) fn phase_2(body: &mut BodyWriter<'_>, offers: &[Phase2Choice], mode: Mode, spi: u32) -> Result<(), NoSpace> {
    //= RFC 2407 4.2.1/1
    //# MUST: sit_identity_only is supported, by an identification payload in phase 1
    body.sa(Situation::IDENTITY_ONLY, &[], |sa| {
        sa.proposal(&ProposalHead::new(1, ProtocolId::ESP, &spi.to_be_bytes()), |proposal| {
            //= RFC 2408 4.2/6
            //# MUST: transforms have increasing numbers, in the initiator's order of preference
            //= RFC 2409 5.5/8
            //# MUST: with a key exchange payload every transform has the group
            for (number, offer) in (1..).zip(of_one_group(offers)) {
                let lifetimes = with_seconds(&offer.lifetimes);
                let offer =
                    Phase2Choice { encapsulation: Some(encapsulation(mode)), ..offer.with_lifetimes(lifetimes) };
                let id = offer.transform_id().ok_or(NoSpace)?;
                proposal.transform(&TransformHead::new(number, id), |list| offer.write(list))?;
            }
            Ok(())
        })
    })
}

/// Writes the body of an SA payload that answers with one transform, whose attributes and numbers are unchanged. `spi`
/// is that of this host, empty in phase 1.
//= RFC 2408 4.1.1/1, 4.2/7
//# MUST: a responder replies with one proposal only
//# MUST: one transform is selected for each protocol, or the whole proposal rejected
pub(crate) fn answer(
    body: &mut BodyWriter<'_>,
    proposal: &Proposal<'_>,
    transform: &Transform<'_>,
    spi: &[u8],
) -> Result<(), NoSpace> {
    //= RFC 2408 4.2/8
    //# MUST: the responder sends an SA payload with the proposal it selected
    body.sa(Situation::IDENTITY_ONLY, &[], |sa| {
        //= RFC 2408 4.2/10
        //# SHOULD: the reply keeps the numbers of proposal and transform
        sa.proposal(&ProposalHead::new(proposal.number, proposal.protocol, spi), |writer| {
            //= RFC 2409 5/13
            //# MUST NOT: a responder does not change the attributes of an offer, but for their encoding
            let head = TransformHead::new(transform.number, transform.id);
            writer.transform(&head, |list| transform.attributes.iter().try_for_each(|a| list.attribute(&a)))
        })
    })
}

/// Seconds are always offered: some peers refuse a transform without them.
fn with_seconds(lifetimes: &ike_codec::Lifetimes) -> ike_codec::Lifetimes {
    ike_codec::Lifetimes { seconds: Some(lifetimes.seconds.unwrap_or(DEFAULT_SECONDS)), ..*lifetimes }
}
