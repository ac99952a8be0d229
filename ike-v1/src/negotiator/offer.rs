use ike_codec::{
    BodyWriter, NatTraversal, NoSpace, Proposal, ProposalHead, ProtocolId, Situation, Transform, TransformHead,
    TransformId,
};

use super::IpsecPolicy;
use super::choose::{DEFAULT_SECONDS, encapsulation};
use super::spi::Spi;
use crate::{Phase1Choice, Phase2Choice};

/// Writes the body of an SA payload that offers these transforms of phase 1, in one proposal.
//= RFC 2408 5.4/1, 5.5/1, 5.6/1
//# MUST: sending: domain of interpretation, situation and proposals are determined
//# MUST: sending: protocol and number of proposals and transforms are determined
//# MUST: sending: number of the transform and of all transforms are determined
pub(crate) fn phase_1(
    body: &mut BodyWriter<'_>,
    offers: impl Iterator<Item = Phase1Choice> + Clone,
) -> Result<(), NoSpace> {
    //= RFC 2409 5/10
    //# MUST: several offers of phase 1 are several transforms of one proposal
    body.sa(Situation::IDENTITY_ONLY, &[], |sa| {
        sa.proposal(&ProposalHead::new(1, ProtocolId::ISAKMP, &[]), |proposal| {
            for (number, offer) in (1..).zip(offers.clone()) {
                let lifetimes = with_seconds(&offer.lifetimes);
                let offer = offer.with_lifetimes(lifetimes);
                proposal.transform(&TransformHead::new(number, TransformId::KEY_IKE), |list| offer.write(list))?;
            }
            Ok(())
        })
    })
}

/// Writes the body of an SA payload that offers the transforms of a policy, in one proposal for each protocol with its
/// SPI. All have the number 1. Only transforms of one group are offered (RFC 2409 section 5.5).
//= RFC 2409 5.5/7
//# MUST: the offers of a quick mode are consistent
//= RFC 2408 4.2/1, 4.2/3
//# MUST: several protocols of one suite are proposals of the same number
//# MUST NOT: proposals of the same number are not separated by others
pub(crate) fn phase_2(
    body: &mut BodyWriter<'_>,
    policy: &IpsecPolicy<'_>,
    in_udp: Option<NatTraversal>,
    spis: &[Spi],
) -> Result<(), NoSpace> {
    //= RFC 2407 4.2.1/1
    //# MUST: sit_identity_only is supported, by an identification payload in phase 1
    let group = policy.group();
    body.sa(Situation::IDENTITY_ONLY, &[], |sa| {
        for (template, spi) in policy.templates().zip(spis) {
            sa.proposal(&ProposalHead::new(1, template.protocol, spi.octets()), |proposal| {
                //= RFC 2409 5.5/8
                //# MUST: with a key exchange payload every transform has the group
                let of_group = |offer: &&Phase2Choice| offer.group == group || template.protocol == ProtocolId::IPCOMP;
                //= RFC 2408 4.2/6
                //# MUST: transforms have increasing numbers, in the initiator's order of preference
                for (number, offer) in (1..).zip(template.proposals.iter().filter(of_group)) {
                    let lifetimes = with_seconds(&offer.lifetimes);
                    let encapsulation = Some(encapsulation(template.mode, in_udp));
                    let offer = Phase2Choice { encapsulation, group, ..offer.with_lifetimes(lifetimes) };
                    let id = offer.transform_id().ok_or(NoSpace)?;
                    proposal.transform(&TransformHead::new(number, id), |list| offer.write(list))?;
                }
                Ok(())
            })?;
        }
        Ok(())
    })
}

/// Writes the body of an SA payload that answers with one transform for each of these proposals, whose attributes and
/// numbers are unchanged. The SPIs are those of this host, empty in phase 1.
//= RFC 2408 4.1.1/1, 4.2/7
//# MUST: a responder replies with one proposal only
//# MUST: one transform is selected for each protocol, or the whole proposal rejected
pub(crate) fn answer<'m>(
    body: &mut BodyWriter<'_>,
    chosen: impl Iterator<Item = (Proposal<'m>, Transform<'m>, Spi)>,
) -> Result<(), NoSpace> {
    //= RFC 2408 4.2/8
    //# MUST: the responder sends an SA payload with the proposal it selected
    body.sa(Situation::IDENTITY_ONLY, &[], |sa| {
        for (proposal, transform, spi) in chosen {
            //= RFC 2408 4.2/10
            //# SHOULD: the reply keeps the numbers of proposal and transform
            sa.proposal(&ProposalHead::new(proposal.number, proposal.protocol, spi.octets()), |writer| {
                //= RFC 2409 5/13
                //# MUST NOT: a responder does not change the attributes of an offer, but for their encoding
                let head = TransformHead::new(transform.number, transform.id);
                writer.transform(&head, |list| transform.attributes.iter().try_for_each(|a| list.attribute(&a)))
            })?;
        }
        Ok(())
    })
}

/// Adds a lifetime in seconds, if there is none: some peers refuse a transform without it.
fn with_seconds(lifetimes: &ike_codec::Lifetimes) -> ike_codec::Lifetimes {
    ike_codec::Lifetimes { seconds: Some(lifetimes.seconds.unwrap_or(DEFAULT_SECONDS)), ..*lifetimes }
}
