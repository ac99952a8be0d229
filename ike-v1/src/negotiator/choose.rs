use ike_codec::{
    Doi, EncapsulationMode, Group, IpsecAttributes, Lifetimes, NatTraversal, Proposal, ProtocolId, SecurityAssociation,
    Situation, Transform,
};
use ipsec_sa::Mode;

use super::refusal::{Difference, Mismatch, Parameter, Refusal};
use super::{IpsecPolicy, IpsecTemplate, MAX_BUNDLE, NatSituation, Peer, ProposalCheck, Role};
use crate::proposal::{Phase2Suite, auth_numbers, encryption_number, hash_number};
use crate::{PeerDefaults, Phase1Choice, Phase2Choice};

/// Lifetime in seconds when a transform has none (RFC 2407 section 4.5). Peers assume it in phase 1 as well.
pub(crate) const DEFAULT_SECONDS: u64 = 28_800;

/// Transform that was chosen from an SA payload, with its algorithms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen<'m, C> {
    pub proposal: Proposal<'m>,
    pub transform: Transform<'m>,
    pub choice: C,
}

impl Chosen<'_, Phase2Choice> {
    /// Returns whether the SA has shorter lifetimes than the offer, of which the initiator is to be notified.
    pub fn is_shortened(&self) -> bool {
        let Ok(offered) = IpsecAttributes::read(&self.transform.attributes) else { return false };
        let seconds = offered.lifetimes.seconds.filter(|&seconds| seconds > 0).unwrap_or(DEFAULT_SECONDS);
        let kilobytes = offered.lifetimes.kilobytes.filter(|&kilobytes| kilobytes > 0);
        let chosen = self.choice.lifetimes;
        chosen.seconds.is_some_and(|chosen| chosen < seconds)
            || chosen.kilobytes.is_some_and(|chosen| kilobytes.is_none_or(|offered| chosen < offered))
    }
}

/// Kind of comparison between a transform of the peer and a configured one.
#[derive(Clone, Copy, Debug)]
enum Compared {
    /// Offer of an initiator, under the rules of the responder.
    Offer(ProposalCheck),
    /// Answer of a responder, which may change the lifetime only.
    Answer,
}

/// Chooses the first acceptable transform of an offer of phase 1 (RFC 2408 section 5.6).
pub(crate) fn phase_1<'m>(sa: &SecurityAssociation<'m>, peer: &Peer<'_>) -> Result<Chosen<'m, Phase1Choice>, Refusal> {
    check_situation(sa)?;
    find_phase_1(sa, peer, Compared::Offer(peer.check)).map_err(Refusal::NoProposal)
}

/// Finds the transform of an answer of phase 1 among those offered (RFC 2409 section 5).
pub(crate) fn answered_phase_1<'m>(
    sa: &SecurityAssociation<'m>,
    peer: &Peer<'_>,
) -> Result<Chosen<'m, Phase1Choice>, Refusal> {
    check_situation(sa)?;
    check_single(sa)?;
    //= RFC 2409 5/14
    //# MUST: an initiator rejects a reply whose attributes are not those of an offer
    find_phase_1(sa, peer, Compared::Answer).map_err(Refusal::ModifiedAnswer)
}

//= RFC 2409 5/11
//# MUST NOT: an SA payload of phase 1 has no second proposal
fn find_phase_1<'m>(
    sa: &SecurityAssociation<'m>,
    peer: &Peer<'_>,
    compared: Compared,
) -> Result<Chosen<'m, Phase1Choice>, Mismatch> {
    let role = match compared {
        Compared::Offer(_) => Role::Responder,
        Compared::Answer => Role::Initiator,
    };
    let mut nearest = Nearest::default();
    for proposal in sa.proposals().filter(|proposal| proposal.protocol == ProtocolId::ISAKMP) {
        for transform in proposal.transforms() {
            let theirs = match Phase1Choice::read(&transform.attributes, &peer.defaults) {
                Ok(theirs) => theirs,
                Err(why) => {
                    nearest.unusable(transform.number, why);
                    continue;
                }
            };
            let method = theirs.auth_method;
            if let Err(given) = peer.check_xauth_role(method, role) {
                nearest.differs(transform.number, Difference::XauthRole { method, given, configured: peer.xauth });
                continue;
            }
            for ours in peer.proposals {
                match compare_phase_1(&theirs, ours, compared) {
                    Ok(choice) => return Ok(Chosen { proposal, transform, choice }),
                    Err(difference) => nearest.differs(transform.number, difference),
                }
            }
        }
    }
    Err(nearest.mismatch)
}

fn compare_phase_1(theirs: &Phase1Choice, ours: &Phase1Choice, compared: Compared) -> Result<Phase1Choice, Difference> {
    let encryption = |choice: &Phase1Choice| encryption_number(choice.cipher).map_or(0, |number| number.0);
    let hash = |choice: &Phase1Choice| hash_number(choice.hash).map_or(0, |number| number.0);
    equal(Parameter::Encryption, encryption(theirs), encryption(ours))?;
    equal(Parameter::Hash, hash(theirs), hash(ours))?;
    equal(Parameter::Method, theirs.auth_method.0, ours.auth_method.0)?;
    equal(Parameter::Group, theirs.group.0, ours.group.0)?;
    check_key_length(theirs.cipher_key, ours.cipher_key, compared)?;
    // Phase 1 has no message that could notify the initiator of a shorter lifetime.
    let compared = match compared {
        Compared::Offer(ProposalCheck::Claim) => Compared::Offer(ProposalCheck::Strict),
        other => other,
    };
    let lifetimes = lifetimes(&theirs.lifetimes, &ours.lifetimes, compared)?;
    Ok(ours.with_cipher_key(theirs.cipher_key).with_lifetimes(lifetimes))
}

/// Transforms that were chosen for the templates of a policy, in the order of the proposals.
pub(crate) type ChosenBundle<'m> = [Option<ChosenMember<'m>>; MAX_BUNDLE];

/// Transform that was chosen for one template of a policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChosenMember<'m> {
    /// Position of the template in the policy.
    pub template: usize,
    pub chosen: Chosen<'m, Phase2Choice>,
}

/// Chooses the first acceptable proposal of an offer of quick mode (RFC 2408 sections 4.2 and 5.6): it has the
/// protocols of the policy, and an acceptable transform of each.
pub(crate) fn phase_2<'m>(
    sa: &SecurityAssociation<'m>,
    policy: &IpsecPolicy<'_>,
    peer: &Peer<'_>,
    nat: &NatSituation,
) -> Result<ChosenBundle<'m>, Refusal> {
    check_situation(sa)?;
    find_bundle(sa, policy, (&peer.defaults, nat), Compared::Offer(peer.check)).map_err(Refusal::NoProposal)
}

/// Finds the transforms of an answer of quick mode among those offered (RFC 2408 section 4.2).
pub(crate) fn answered_phase_2<'m>(
    sa: &SecurityAssociation<'m>,
    policy: &IpsecPolicy<'_>,
    peer: &Peer<'_>,
    nat: &NatSituation,
) -> Result<ChosenBundle<'m>, Refusal> {
    check_situation(sa)?;
    //= RFC 2408 4.2/9
    //# MUST: each proposal of the reply has one transform
    let number = sa.proposals().next().map(|proposal| proposal.number);
    let is_chosen = |proposal: &Proposal<'_>| Some(proposal.number) == number;
    // strongSwan answers an offer with IPComp by the bundle, followed by its ESP or AH alone with the same SPI.
    let is_repeated = |other: &Proposal<'_>| {
        let mut chosen = sa.proposals().filter(is_chosen);
        chosen.any(|own| (own.protocol, own.spi) == (other.protocol, other.spi))
    };
    let is_single = |proposal: &Proposal<'_>| proposal.transforms().count() == 1;
    if !sa.proposals().all(|proposal| is_single(&proposal) && (is_chosen(&proposal) || is_repeated(&proposal))) {
        return Err(Refusal::ModifiedAnswer(Mismatch::NONE));
    }
    //= RFC 2408 4.2/11
    //# MUST: the initiator verifies that the reply is one of its offers
    find_bundle(sa, policy, (&peer.defaults, nat), Compared::Answer).map_err(Refusal::ModifiedAnswer)
}

fn find_bundle<'m>(
    sa: &SecurityAssociation<'m>,
    policy: &IpsecPolicy<'_>,
    terms: Terms<'_>,
    compared: Compared,
) -> Result<ChosenBundle<'m>, Mismatch> {
    let mut nearest = Nearest::default();
    //= RFC 2408 4.2/2
    //# MUST: proposals of the same number are considered as a unit
    let mut rest = sa.proposals();
    while let Some(first) = rest.clone().next() {
        let unit = rest.clone().take_while(|proposal| proposal.number == first.number);
        let count = unit.clone().count();
        if let Some(bundle) = choose_unit(unit, policy, terms, compared, &mut nearest) {
            return Ok(bundle);
        }
        rest.by_ref().take(count).for_each(drop);
    }
    Err(nearest.mismatch)
}

/// Chooses a transform of each proposal of a unit. The order of the protocols is ignored.
fn choose_unit<'m>(
    unit: impl Iterator<Item = Proposal<'m>> + Clone,
    policy: &IpsecPolicy<'_>,
    terms: Terms<'_>,
    compared: Compared,
    nearest: &mut Nearest,
) -> Option<ChosenBundle<'m>> {
    // A unit of other protocols, or of one protocol twice, is not a proposal for the policy.
    let is_of = |protocol| unit.clone().filter(|proposal| proposal.protocol == protocol).count() == 1;
    if unit.clone().count() != policy.templates().count() || !policy.templates().all(|own| is_of(own.protocol)) {
        return None;
    }
    let is_bundled_tunnel = policy.is_tunnel() && policy.templates().count() > 1;
    let mut bundle = [None; MAX_BUNDLE];
    for (slot, proposal) in bundle.iter_mut().zip(unit) {
        let mut templates = policy.templates().enumerate();
        let (template, own) = templates.find(|(_, own)| own.protocol == proposal.protocol)?;
        let chosen = choose_transform(proposal, own, is_bundled_tunnel, (terms, compared), nearest)?;
        *slot = Some(ChosenMember { template, chosen });
    }
    //= RFC 2409 5.5/8
    //# MUST: with a key exchange payload every transform has the group
    let mut groups =
        bundle.iter().flatten().filter(|member| has_group(member)).map(|member| member.chosen.choice.group);
    let group = groups.next();
    groups.all(|other| Some(other) == group).then_some(bundle)
}

/// Returns whether transforms of the member have a group: those of IPComp have none, as IPComp has no keys.
fn has_group(member: &ChosenMember<'_>) -> bool {
    member.chosen.proposal.protocol != ProtocolId::IPCOMP || member.chosen.choice.group.is_some()
}

fn choose_transform<'m>(
    proposal: Proposal<'m>,
    own: &IpsecTemplate<'_>,
    is_bundled_tunnel: bool,
    ((defaults, nat), compared): (Terms<'_>, Compared),
    nearest: &mut Nearest,
) -> Option<Chosen<'m, Phase2Choice>> {
    for transform in proposal.transforms() {
        let theirs = match Phase2Choice::read(proposal.protocol, transform.id, &transform.attributes, defaults) {
            Ok(theirs) => theirs,
            Err(why) => {
                nearest.unusable(transform.number, why);
                continue;
            }
        };
        for ours in own.proposals {
            match compare_phase_2(&theirs, ours, (own.mode, is_bundled_tunnel, nat), compared) {
                Ok(choice) => return Some(Chosen { proposal, transform, choice }),
                Err(difference) => nearest.differs(transform.number, difference),
            }
        }
    }
    None
}

fn compare_phase_2(
    theirs: &Phase2Choice,
    ours: &Phase2Choice,
    (mode, is_bundled_tunnel, nat): (Mode, bool, &NatSituation),
    compared: Compared,
) -> Result<Phase2Choice, Difference> {
    let transform = |choice: &Phase2Choice| choice.transform_id().map_or(0, |id| id.0);
    equal(Parameter::Transform, transform(theirs), transform(ours))?;
    let (their_keys, our_keys) = (Keys::of(theirs), Keys::of(ours));
    equal(Parameter::Authentication, their_keys.authentication, our_keys.authentication)?;
    let encapsulation = choose_encapsulation(theirs.encapsulation, (mode, is_bundled_tunnel, nat), compared)?;
    // IPComp has no keys: its group, if it has one, is compared with that of the other protocols.
    let is_ipcomp = ours.protocol == ProtocolId::IPCOMP;
    let group = if is_ipcomp { theirs.group } else { choose_group(theirs.group, ours.group, compared)? };
    equal(Parameter::ExtendedSequence, u16::from(theirs.extended_sequence), u16::from(ours.extended_sequence))?;
    check_key_length(their_keys.cipher_key, our_keys.cipher_key, compared)?;
    let lifetimes = lifetimes(&theirs.lifetimes, &ours.lifetimes, compared)?;
    let suite = match ours.suite {
        Phase2Suite::Keyed { cipher, integrity, integrity_key, .. } => {
            Phase2Suite::Keyed { cipher, cipher_key: their_keys.cipher_key, integrity, integrity_key }
        }
        compression @ Phase2Suite::Compression(_) => compression,
    };
    Ok(Phase2Choice { suite, encapsulation: Some(encapsulation), group, lifetimes, ..*ours })
}

/// Defaults of the peer, and NAT traversal with it.
type Terms<'a> = (&'a PeerDefaults, &'a NatSituation);

/// Returns the encapsulation mode attribute of a mode: that of the document for NAT traversal if ESP is sent in UDP
/// (RFC 2407 section 4.5, RFC 3947 section 5.1).
pub(crate) fn encapsulation(mode: Mode, in_udp: Option<NatTraversal>) -> EncapsulationMode {
    match (mode, in_udp) {
        (Mode::Transport, None) => EncapsulationMode::TRANSPORT,
        (Mode::Transport, Some(document)) => document.transport(),
        (Mode::Any | Mode::Tunnel | Mode::Beet, None) => EncapsulationMode::TUNNEL,
        (Mode::Any | Mode::Tunnel | Mode::Beet, Some(document)) => document.tunnel(),
    }
}

/// Returns whether ESP is sent in UDP in an encapsulation mode, by the RFC or by its drafts.
pub(crate) const fn is_in_udp(mode: EncapsulationMode) -> bool {
    is_udp_transport(mode) || matches!(mode, EncapsulationMode::UDP_TUNNEL | EncapsulationMode::UDP_TUNNEL_DRAFT)
}

/// Returns whether a mode is transport mode in UDP, by the RFC or by its drafts.
pub(crate) const fn is_udp_transport(mode: EncapsulationMode) -> bool {
    matches!(mode, EncapsulationMode::UDP_TRANSPORT | EncapsulationMode::UDP_TRANSPORT_DRAFT)
}

/// Returns the encapsulation mode of an SA. Behind a NAT it is one in UDP. Without a NAT both are accepted if both ends
/// support NAT traversal: the peer may have seen NAT-D payloads that do not match.
fn choose_encapsulation(
    theirs: Option<EncapsulationMode>,
    (mode, is_bundled_tunnel, nat): (Mode, bool, &NatSituation),
    compared: Compared,
) -> Result<EncapsulationMode, Difference> {
    let ours = encapsulation(mode, nat.in_udp());
    //= RFC 2407 4.5/4
    //# MUST: without an encapsulation mode the host decides
    let Some(theirs) = theirs else { return Ok(ours) };
    let is_offer = matches!(compared, Compared::Offer(_));
    let ours = match nat.document.filter(|_| is_offer && is_in_udp(theirs)) {
        Some(document) => encapsulation(mode, Some(document)),
        None => ours,
    };
    // In a bundle with a tunnel some peers write tunnel mode for every protocol, and others for the outermost only.
    // Some write the numbers of another document.
    let is_tunnel = |mode| matches!(mode, EncapsulationMode::TUNNEL) || (is_in_udp(mode) && !is_udp_transport(mode));
    let is_known = is_in_udp(theirs) || matches!(theirs, EncapsulationMode::TUNNEL | EncapsulationMode::TRANSPORT);
    let is_alike =
        is_known && is_in_udp(theirs) == is_in_udp(ours) && (is_bundled_tunnel || is_tunnel(theirs) == is_tunnel(ours));
    if is_alike {
        return Ok(ours);
    }
    Err(Difference::Value { parameter: Parameter::Encapsulation, theirs: theirs.0.into(), ours: ours.0.into() })
}

/// Key length and authentication algorithm of a transform of phase 2.
struct Keys {
    cipher_key: usize,
    authentication: u16,
}

impl Keys {
    fn of(choice: &Phase2Choice) -> Self {
        match choice.suite {
            Phase2Suite::Keyed { cipher_key, integrity, integrity_key, .. } => Self {
                cipher_key,
                authentication: auth_numbers(integrity, integrity_key).map_or(0, |(number, _)| number.0),
            },
            Phase2Suite::Compression(_) => Self { cipher_key: 0, authentication: 0 },
        }
    }
}

fn equal(parameter: Parameter, theirs: impl Into<u32>, ours: impl Into<u32>) -> Result<(), Difference> {
    let (theirs, ours) = (theirs.into(), ours.into());
    if theirs == ours { Ok(()) } else { Err(Difference::Value { parameter, theirs, ours }) }
}

/// Returns the mismatch of an answer whose group is not that of the quick mode.
pub(crate) fn group_mismatch(theirs: Option<Group>, ours: Option<Group>) -> Mismatch {
    let number = |group: Option<Group>| group.map_or(0, |group| group.0.into());
    let difference = Difference::Value { parameter: Parameter::Group, theirs: number(theirs), ours: number(ours) };
    Mismatch { transform: 1, difference }
}

/// Compares the groups of perfect forward secrecy. A responder that requires none accepts one, unless the comparison is
/// exact.
fn choose_group(theirs: Option<Group>, ours: Option<Group>, compared: Compared) -> Result<Option<Group>, Difference> {
    let is_acceptable = match compared {
        Compared::Offer(ProposalCheck::Obey) => true,
        Compared::Offer(ProposalCheck::Strict | ProposalCheck::Claim) => ours.is_none() || theirs == ours,
        Compared::Offer(ProposalCheck::Exact) | Compared::Answer => theirs == ours,
    };
    let number = |group: Option<Group>| group.map_or(0, |group| group.0.into());
    let (parameter, their_number, our_number) = (Parameter::Group, number(theirs), number(ours));
    let different = Difference::Value { parameter, theirs: their_number, ours: our_number };
    if is_acceptable { Ok(theirs) } else { Err(different) }
}

/// Compares the lengths of cipher keys in octets.
fn check_key_length(theirs: usize, ours: usize, compared: Compared) -> Result<(), Difference> {
    let is_acceptable = match compared {
        Compared::Offer(ProposalCheck::Obey) => true,
        Compared::Offer(ProposalCheck::Strict | ProposalCheck::Claim) => theirs >= ours,
        Compared::Offer(ProposalCheck::Exact) | Compared::Answer => theirs == ours,
    };
    let bits = |octets: usize| u32::try_from(octets).unwrap_or(u32::MAX).saturating_mul(8);
    let different = Difference::Value { parameter: Parameter::KeyLength, theirs: bits(theirs), ours: bits(ours) };
    if is_acceptable { Ok(()) } else { Err(different) }
}

/// Compares lifetimes, and returns those of the SA.
fn lifetimes(theirs: &Lifetimes, ours: &Lifetimes, compared: Compared) -> Result<Lifetimes, Difference> {
    //= RFC 2407 4.5/2
    //# MUST: without a lifetime 28800 seconds are assumed
    let seconds = |lifetimes: &Lifetimes| lifetimes.seconds.filter(|&seconds| seconds > 0).unwrap_or(DEFAULT_SECONDS);
    let seconds = lifetime(Parameter::Seconds, seconds(theirs), seconds(ours), compared)?;
    let kilobytes = |lifetimes: &Lifetimes| lifetimes.kilobytes.filter(|&kilobytes| kilobytes > 0).unwrap_or(u64::MAX);
    let kilobytes = lifetime(Parameter::Kilobytes, kilobytes(theirs), kilobytes(ours), compared)?;
    let kilobytes = Some(kilobytes).filter(|&kilobytes| kilobytes != u64::MAX);
    Ok(Lifetimes { seconds: Some(seconds), kilobytes, other: None })
}

fn lifetime(parameter: Parameter, theirs: u64, ours: u64, compared: Compared) -> Result<u64, Difference> {
    let is_acceptable = match compared {
        Compared::Offer(ProposalCheck::Obey) => true,
        Compared::Offer(ProposalCheck::Strict) => theirs <= ours,
        Compared::Offer(ProposalCheck::Exact) => theirs == ours,
        Compared::Offer(ProposalCheck::Claim) | Compared::Answer => return Ok(theirs.min(ours)),
    };
    let shown = |value| u32::try_from(value).unwrap_or(u32::MAX);
    let different = Difference::Value { parameter, theirs: shown(theirs), ours: shown(ours) };
    if is_acceptable { Ok(theirs) } else { Err(different) }
}

/// Refuses SA payloads of another DOI or situation (RFC 2407 section 4.2).
fn check_situation(sa: &SecurityAssociation<'_>) -> Result<(), Refusal> {
    //= RFC 2408 5.4/4
    //# MUST: receiving: a message of a situation that cannot be protected is discarded
    //= RFC 2408 5.4/3
    //# MUST: receiving: a message of a domain that is not supported is discarded
    //= RFC 2407 4.2.2/3, 4.2.3/3
    //# MUST: and aborts the association
    //# MUST: and aborts the association
    match (sa.doi, sa.situation) {
        (Doi::IPSEC, Situation::IDENTITY_ONLY) => Ok(()),
        (Doi::IPSEC, situation) => Err(Refusal::Situation(situation)),
        (doi, _) => Err(Refusal::Doi(doi)),
    }
}

/// Refuses an answer with more than one transform.
fn check_single(sa: &SecurityAssociation<'_>) -> Result<(), Refusal> {
    let mut proposals = sa.proposals();
    match (proposals.next(), proposals.next()) {
        //= RFC 2408 4.2/9
        //# MUST: each proposal of the reply has one transform
        (Some(proposal), None) if proposal.transforms().count() == 1 => Ok(()),
        _ => Err(Refusal::ModifiedAnswer(Mismatch::NONE)),
    }
}

/// Transform that is nearest to a configured one: its first difference is the last in the order of comparison.
struct Nearest {
    mismatch: Mismatch,
    rank: u8,
}

impl Default for Nearest {
    fn default() -> Self {
        Self { mismatch: Mismatch::NONE, rank: 0 }
    }
}

impl Nearest {
    fn unusable(&mut self, transform: u8, why: crate::ProposalError) {
        self.offer(1, Mismatch { transform, difference: Difference::Unusable(why) });
    }

    fn differs(&mut self, transform: u8, difference: Difference) {
        let rank = match difference {
            Difference::Value { parameter, .. } => parameter.rank(),
            // It has the method of this host, in the other direction.
            Difference::XauthRole { .. } => Parameter::Method.rank(),
            Difference::Protocol | Difference::Unusable(_) => 0,
        };
        self.offer(rank, Mismatch { transform, difference });
    }

    fn offer(&mut self, rank: u8, mismatch: Mismatch) {
        if rank > self.rank {
            *self = Self { mismatch, rank };
        }
    }
}

impl Parameter {
    /// Returns the position in the order of comparison: the later the first difference, the nearer the transform.
    const fn rank(self) -> u8 {
        match self {
            Self::Encryption | Self::Transform => 2,
            Self::Hash | Self::Authentication => 3,
            Self::Method | Self::Encapsulation => 4,
            Self::Group => 5,
            Self::ExtendedSequence => 6,
            Self::KeyLength => 7,
            Self::Seconds => 8,
            Self::Kilobytes => 9,
        }
    }
}
