use std::cell::RefCell;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use ipsec_crypto::{CipherAlgorithm, SuiteKeys};
use ipsec_packet::{AddressRange, IpProto, Marker, Ports, Selector, Upper};
use ipsec_pfkey::{Dialect, MessageKind, MessageWriter, Order, SaType, read_policy, read_sa};
use ipsec_sa::{Direction, Priority, TunnelEndpoints, UdpEncap};

use super::*;

mod bsd;

const LINUX: Wire = Dialect::Linux.with(Order::Little);
/// Request ID that the kernel gives to a policy of level `unique`, less the number of the policy.
const FIRST_REQID: u32 = 0x4000;

/// Number of the first policy: that of its message, which three registrations precede.
const FIRST_POLICY: u32 = 4;

/// Kernel that accepts every message and gives numbers to policies.
pub(crate) struct Model {
    wire: Wire,
    requests: RefCell<Vec<Vec<u8>>>,
    replies: RefCell<VecDeque<Vec<u8>>>,
    /// Error numbers of the next replies; 0 for none.
    pub errors: RefCell<VecDeque<u8>>,
    descriptor: UnixStream,
}

struct Handle(Rc<Model>);

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.descriptor.as_fd()
    }
}

impl Channel for Handle {
    fn send(&self, request: &[u8]) -> io::Result<()> {
        let mut count = self.0.requests.borrow_mut();
        count.push(request.to_vec());
        let number = u32::try_from(count.len()).unwrap();
        let mut reply = with_numbers(request, self.0.wire, number);
        reply[2] = self.0.errors.borrow_mut().pop_front().unwrap_or_default();
        self.0.replies.borrow_mut().push_back(reply);
        Ok(())
    }

    fn receive(&self, buffer: &mut [u8], _: Duration) -> io::Result<usize> {
        let reply = self.0.replies.borrow_mut().pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        buffer[..reply.len()].copy_from_slice(&reply);
        Ok(reply.len())
    }
}

/// Returns a message whose policy, if it has one, has the number and request IDs of the kernel.
fn with_numbers(request: &[u8], wire: Wire, number: u32) -> Vec<u8> {
    let message = Message::parse(request, wire).unwrap();
    let header = *message.header();
    let Ok(policy) = read_policy(&message) else { return request.to_vec() };
    let mut buffer = [0; 1024];
    let mut writer =
        MessageWriter::new(&mut buffer, wire, header.kind, header.sa_type, header.sequence, header.pid).unwrap();
    for extension in message.extensions().filter(|extension| matches!(extension, Extension::Address { .. })) {
        writer.push(&extension).unwrap();
    }
    let action = match policy.action {
        Action::Protect(bundle) => Action::Protect(
            bundle
                .iter()
                .try_fold(Bundle::default(), |all, template| {
                    let level = match template.level {
                        Level::Unique => Level::UniqueId(FIRST_REQID + number),
                        level => level,
                    };
                    all.with(Template { level, ..*template })
                })
                .unwrap(),
        ),
        other => other,
    };
    writer.push_policy(&action, policy.direction, number, policy.priority).unwrap();
    writer.finish().unwrap().to_vec()
}

/// Returns a kernel for the address 192.0.2.1, and its model.
pub(crate) fn kernel() -> (Kernel, Rc<Model>) {
    kernel_of(LINUX)
}

fn kernel_of(wire: Wire) -> (Kernel, Rc<Model>) {
    let model = Rc::new(Model {
        wire,
        requests: RefCell::default(),
        replies: RefCell::default(),
        errors: RefCell::default(),
        descriptor: UnixStream::pair().unwrap().0,
    });
    let kernel = Kernel::new(Box::new(Handle(model.clone())), wire, &["192.0.2.1:500".parse().unwrap()]).unwrap();
    (kernel, model)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn tunnel(direction: PolicyDirection, level: Level) -> PolicyParams {
    let range = |text, bits| AddressRange::prefix(address(text), bits).unwrap();
    let (own, other) = (range("10.1.0.0", 16), range("10.2.0.0", 16));
    let (here, there) = ((Some(address("192.0.2.1")), None), (Some(address("192.0.2.2")), None));
    let ((source, destination), ends) = match direction {
        PolicyDirection::Out => ((own, other), (here, there)),
        _ => ((other, own), (there, here)),
    };
    let ends = TunnelEndpoints { source: ends.0, destination: ends.1 };
    let template = Template { protocol: Protocol::Esp, mode: Mode::Tunnel, ends: Some(ends), level };
    let action = Action::Protect(Bundle::default().with(template).unwrap());
    let selector = Selector { source, destination, upper: Upper::Any };
    PolicyParams { selector, direction, priority: Priority::DEFAULT, action }
}

fn sa(integrity: IntegrityAlgorithm, key: usize, reqid: u32) -> SaParams {
    let keys = SuiteKeys::new(CipherAlgorithm::AesCbc, &[7; 16], integrity, &[9; 64][..key]).unwrap();
    let id = SaId::outbound(address("192.0.2.2"), Protocol::Esp, 0x1234);
    let params = SaParams::new(id, address("192.0.2.1"), TransformParams::Esp(keys));
    SaParams { mode: Mode::Tunnel, reqid, ..params }
}

/// Returns kinds of messages that the kernel has received.
fn kinds(model: &Model) -> Vec<MessageKind> {
    let requests = model.requests.borrow();
    requests.iter().map(|request| Message::parse(request, model.wire).unwrap().header().kind).collect()
}

#[test]
fn the_daemon_registers_for_its_protocols() {
    let (_, model) = kernel();
    assert_eq!(kinds(&model), [MessageKind::REGISTER; 3]);
}

#[test]
fn an_sa_of_esp_in_udp_has_its_ports() {
    let (mut kernel, model) = kernel();
    let encap = UdpEncap { ports: Ports { source: 4500, destination: 34_500 }, marker: Marker::NonEsp };
    let params = SaParams { encap: Some(encap), ..sa(IntegrityAlgorithm::HmacSha1_96, 20, 0) };
    kernel.add(&params).unwrap();
    let request = model.requests.borrow().last().unwrap().clone();
    let added = read_sa(&Message::parse(&request, LINUX).unwrap(), Direction::Outbound).unwrap();
    assert_eq!((added.encap, added.id.peer_port), (Some(encap), Some(34_500)));
}

#[test]
fn an_sa_has_the_request_id_that_the_kernel_has_given_to_its_policy() {
    let (mut kernel, model) = kernel();
    let (id, policy) = (PolicyId::new(5), tunnel(PolicyDirection::Out, Level::Unique));
    kernel.add_policy(id, &policy).unwrap();
    let Action::Protect(bundle) = policy.action else { panic!("a bundle") };
    let own = id.reqid(bundle.iter().next().unwrap());
    kernel.add(&sa(IntegrityAlgorithm::HmacSha1_96, 20, own)).unwrap();
    let request = model.requests.borrow().last().unwrap().clone();
    let added = read_sa(&Message::parse(&request, LINUX).unwrap(), Direction::Outbound).unwrap();
    assert_eq!((added.reqid, added.id.spi), (FIRST_REQID + FIRST_POLICY, 0x1234));
    // A request ID of the configuration is the same in the kernel.
    kernel.add(&sa(IntegrityAlgorithm::HmacSha1_96, 20, 77)).unwrap();
    let request = model.requests.borrow().last().unwrap().clone();
    assert_eq!(read_sa(&Message::parse(&request, LINUX).unwrap(), Direction::Outbound).unwrap().reqid, 77);
}

#[test]
fn received_packets_that_are_forwarded_have_a_policy_of_their_own() {
    let (mut kernel, model) = kernel();
    let policy = tunnel(PolicyDirection::In, Level::Require);
    let directions = |model: &Model| -> Vec<_> {
        let requests = model.requests.borrow_mut().split_off(0);
        requests
            .iter()
            .map(|request| read_policy(&Message::parse(request, LINUX).unwrap()).unwrap().direction)
            .collect()
    };
    model.requests.borrow_mut().clear();
    kernel.add_policy(PolicyId::new(1), &policy).unwrap();
    assert_eq!(directions(&model), [PolicyDirection::In, PolicyDirection::Forward]);
    kernel.add_policy(PolicyId::new(2), &tunnel(PolicyDirection::Out, Level::Require)).unwrap();
    assert_eq!(directions(&model), [PolicyDirection::Out]);
    kernel.remove_policy(PolicyId::new(1), &policy, false).unwrap();
    assert_eq!(directions(&model), [PolicyDirection::In, PolicyDirection::Forward]);
}

#[test]
fn algorithms_that_the_kernel_uses_otherwise_than_the_peer_are_refused() {
    let (mut kernel, model) = kernel();
    let count = model.requests.borrow().len();
    let error = kernel.add(&sa(IntegrityAlgorithm::HmacSha2_256_128, 32, 0)).unwrap_err().to_string();
    assert!(error.contains("truncates HMAC-SHA2-256 to 96 bits"), "{error}");
    assert_eq!(model.requests.borrow().len(), count, "nothing was sent");
    kernel.add(&sa(IntegrityAlgorithm::HmacSha2_512_256, 64, 0)).unwrap();
}

#[test]
fn error_numbers_of_replies_are_errors_and_missing_entries_are_removed() {
    let (mut kernel, model) = kernel();
    model.errors.borrow_mut().push_back(17);
    let error = kernel.add(&sa(IntegrityAlgorithm::HmacSha1_96, 20, 0)).unwrap_err().to_string();
    assert!(error.contains("File exists"), "{error}");
    let (id, source) = (SaId::outbound(address("192.0.2.2"), Protocol::Esp, 0x1234), address("192.0.2.1"));
    model.errors.borrow_mut().push_back(3);
    kernel.remove(&id, source).unwrap();
    model.errors.borrow_mut().push_back(1);
    assert!(kernel.remove(&id, source).is_err());
    model.errors.borrow_mut().push_back(3);
    assert!(matches!(kernel.packets(&id, source), Ok(None)));
}

#[test]
fn events_name_the_policies_of_the_engine() {
    let (mut kernel, model) = kernel();
    kernel.add_policy(PolicyId::new(5), &tunnel(PolicyDirection::Out, Level::Require)).unwrap();
    let acquire = |number| {
        let mut buffer = [0; 512];
        let mut writer = MessageWriter::new(&mut buffer, LINUX, MessageKind::ACQUIRE, SaType::Esp, 1, 0).unwrap();
        for (role, end) in
            [(ipsec_pfkey::AddressRole::Source, "192.0.2.1"), (ipsec_pfkey::AddressRole::Destination, "192.0.2.2")]
        {
            let extension =
                Extension::Address { role, proto: IpProto(255), prefix: 32, address: address(end), port: 0 };
            writer.push(&extension).unwrap();
        }
        writer.push_policy(&Action::Discard, PolicyDirection::Out, number, Priority(0)).unwrap();
        writer.finish().unwrap().to_vec()
    };
    model.replies.borrow_mut().extend([acquire(99), acquire(FIRST_POLICY)]);
    // A reply that arrives after the events finds them kept.
    kernel.add(&sa(IntegrityAlgorithm::HmacSha1_96, 20, 0)).unwrap();
    match kernel.poll_event() {
        Some(SaEvent::Acquire(acquire)) => assert_eq!(acquire.policy, PolicyId::new(5)),
        other => panic!("{other:?}"),
    }
    assert_eq!(kernel.poll_event(), None, "the policy 99 is that of another program");
}

/// Returns the message about the end of a lifetime of an SA with a source and a destination.
fn expire(role: LifetimeRole, spi: u32, (source, destination): (&str, &str)) -> Vec<u8> {
    let mut buffer = [0; 512];
    let mut writer = MessageWriter::new(&mut buffer, LINUX, MessageKind::EXPIRE, SaType::Esp, 0, 0).unwrap();
    let flags = ipsec_pfkey::SaFlags::default();
    writer.push(&Extension::Sa { spi, replay: 0, state: 2, integrity: 3, cipher: 12, flags }).unwrap();
    let limit = ipsec_pfkey::Lifetime { allocations: 0, octets: 0, added: 60, used: 0 };
    writer.push(&Extension::Lifetime(role, limit)).unwrap();
    for (role, end) in
        [(ipsec_pfkey::AddressRole::Source, source), (ipsec_pfkey::AddressRole::Destination, destination)]
    {
        let extension = Extension::Address { role, proto: IpProto(0), prefix: 32, address: address(end), port: 0 };
        writer.push(&extension).unwrap();
    }
    writer.finish().unwrap().to_vec()
}

#[test]
fn an_expired_sa_is_reported_with_its_direction() {
    let (mut kernel, model) = kernel();
    model.replies.borrow_mut().push_back(expire(LifetimeRole::Soft, 0x99, ("192.0.2.2", "192.0.2.1")));
    let id = SaId::inbound(address("192.0.2.1"), Protocol::Esp, 0x99);
    assert_eq!(kernel.poll_event(), Some(SaEvent::Expire(id, Expiry::Soft)));
}

#[test]
fn entries_that_the_kernel_refuses_are_removed_from_the_engine() {
    use ipsec_packet::Instant;
    let (kernel, model) = kernel();
    let mut databases = crate::policy::new_engine();
    databases.attach(kernel);
    model.errors.borrow_mut().push_back(12);
    assert!(databases.add_policy(tunnel(PolicyDirection::Out, Level::Require)).is_err());
    assert_eq!(databases.policies().count(), 0);
    let id = databases.add_policy(tunnel(PolicyDirection::Out, Level::Require)).unwrap();
    let params = sa(IntegrityAlgorithm::HmacSha1_96, 20, 0);
    model.errors.borrow_mut().push_back(12);
    assert!(SaBackend::add(&mut *databases, &params, Instant::ZERO).is_err());
    assert_eq!(databases.sas().count(), 0);
    SaBackend::add(&mut *databases, &params, Instant::ZERO).unwrap();
    model.requests.borrow_mut().clear();
    databases.remove(&params.id, params.source);
    databases.remove_policy(id);
    assert_eq!(kinds(&model), [MessageKind::DELETE, MessageKind::SPDDELETE]);
    assert_eq!((databases.sas().count(), databases.policies().count()), (0, 0));
}

#[test]
fn an_sa_of_which_the_kernel_reports_the_end_no_longer_exists() {
    use ipsec_packet::Instant;
    let (kernel, model) = kernel();
    let mut databases = crate::policy::new_engine();
    databases.attach(kernel);
    let params = sa(IntegrityAlgorithm::HmacSha1_96, 20, 0);
    SaBackend::add(&mut *databases, &params, Instant::ZERO).unwrap();
    model.replies.borrow_mut().push_back(expire(LifetimeRole::Hard, params.id.spi, ("192.0.2.1", "192.0.2.2")));
    assert_eq!(databases.poll_event(), Some(SaEvent::Expire(params.id, Expiry::Hard)));
    assert_eq!(databases.sas().count(), 0);
    assert_eq!(databases.poll_event(), None);
}

/// Returns the kinds, directions and actions of the messages about policies since the last call.
fn policy_messages(model: &Model) -> Vec<String> {
    let requests = model.requests.borrow_mut().split_off(0);
    let show = |request: &Vec<u8>| {
        let message = Message::parse(request, model.wire).unwrap();
        let policy = read_policy(&message).unwrap();
        let action = match policy.action {
            Action::Discard => "discard",
            Action::Bypass => "none",
            Action::Protect(_) => "ipsec",
        };
        let kind = if message.header().kind == MessageKind::SPDDELETE { "delete" } else { "update" };
        format!("{kind} {} {action}", policy.direction)
    };
    requests.iter().map(show).collect()
}

/// Returns databases with a kernel and its model, whose messages up to now are removed.
fn databases(policies: &[PolicyParams]) -> (Box<crate::databases::Databases>, Rc<Model>) {
    let (kernel, model) = kernel();
    let mut databases = crate::policy::new_engine();
    databases.attach(kernel);
    policies.iter().for_each(|policy| _ = databases.add_policy(*policy).unwrap());
    model.requests.borrow_mut().clear();
    (databases, model)
}

#[test]
fn packets_of_a_replaced_policy_are_discarded_meanwhile() {
    let former = tunnel(PolicyDirection::In, Level::Require);
    for action in [tunnel(PolicyDirection::In, Level::Unique).action, Action::Bypass, Action::Discard] {
        let (mut databases, model) = databases(&[former]);
        let policy = PolicyParams { action, ..former };
        PolicyBackend::update_policy(&mut *databases, &policy).unwrap();
        let messages = policy_messages(&model);
        assert_eq!(messages[..2], ["update in discard", "update fwd discard"]);
        let name = messages[2].rsplit(' ').next().unwrap();
        assert_eq!(messages[2..], [format!("update in {name}"), format!("update fwd {name}")]);
        assert!(databases.policies().map(|(_, own)| *own).eq([policy]));
        let id = databases.policies().next().unwrap().0;
        assert_eq!(databases.remove_policy(id), Some(policy));
        assert_eq!(policy_messages(&model), ["delete in discard", "delete fwd discard"]);
    }
}

#[test]
fn a_policy_without_forwarded_packets_removes_that_of_the_former_one() {
    let former = tunnel(PolicyDirection::In, Level::Require);
    let template = Template { protocol: Protocol::Esp, mode: Mode::Transport, ends: None, level: Level::Require };
    let action = Action::Protect(Bundle::default().with(template).unwrap());
    let (mut databases, model) = databases(&[former]);
    PolicyBackend::update_policy(&mut *databases, &PolicyParams { action, ..former }).unwrap();
    let expected = ["update in discard", "update fwd discard", "update in ipsec", "delete fwd discard"];
    assert_eq!(policy_messages(&model), expected);
}

#[test]
fn a_refused_replacement_leaves_the_former_policy() {
    let former = tunnel(PolicyDirection::In, Level::Unique);
    let policy = PolicyParams { action: Action::Bypass, ..former };
    for position in 0..4 {
        let (mut databases, model) = databases(&[former]);
        model.errors.borrow_mut().extend([0, 0, 0].into_iter().take(position).chain([12]));
        assert!(PolicyBackend::update_policy(&mut *databases, &policy).is_err(), "{position}");
        let messages = policy_messages(&model);
        let restored = if position == 0 { &[][..] } else { &["update in ipsec", "update fwd ipsec"] };
        assert_eq!(messages[position + 1..], *restored, "{position}");
        assert!(databases.policies().map(|(_, own)| *own).eq([former]), "{position}");
        // A later one replaces it.
        PolicyBackend::update_policy(&mut *databases, &policy).unwrap();
        assert!(databases.policies().map(|(_, own)| *own).eq([policy]), "{position}");
    }
}

#[test]
fn a_policy_is_removed_if_that_of_forwarded_packets_is_refused() {
    let (mut databases, model) = databases(&[]);
    model.errors.borrow_mut().extend([0, 12]);
    assert!(databases.add_policy(tunnel(PolicyDirection::In, Level::Require)).is_err());
    assert_eq!(policy_messages(&model), ["update in ipsec", "update fwd ipsec", "delete in discard"]);
    assert_eq!(databases.policies().count(), 0);
    // One that is refused itself may be that of another program.
    model.errors.borrow_mut().push_back(12);
    assert!(databases.add_policy(tunnel(PolicyDirection::In, Level::Require)).is_err());
    assert_eq!(policy_messages(&model), ["update in ipsec"]);
}

#[test]
fn a_forward_policy_of_its_own_remains() {
    let (inward, forward) =
        (tunnel(PolicyDirection::In, Level::Require), tunnel(PolicyDirection::Forward, Level::Require));
    let (mut databases, model) = databases(&[inward]);
    let removed: Vec<_> = databases.policies().map(|(id, _)| id).collect();
    assert!(databases.replace_policies(removed, [forward]).is_empty());
    assert_eq!(policy_messages(&model), ["update fwd ipsec", "delete in discard"]);
}

#[test]
fn policies_without_a_successor_are_removed_last() {
    let (out, inward) = (tunnel(PolicyDirection::Out, Level::Require), tunnel(PolicyDirection::In, Level::Require));
    let (mut databases, model) = databases(&[out]);
    let removed: Vec<_> = databases.policies().map(|(id, _)| id).collect();
    assert!(databases.replace_policies(removed, [inward]).is_empty());
    assert_eq!(policy_messages(&model), ["update in ipsec", "update fwd ipsec", "delete out discard"]);
}

#[test]
fn policies_that_are_unloaded_are_removed() {
    let (kernel, model) = kernel();
    let mut databases = crate::policy::new_engine();
    databases.attach(kernel);
    databases.add_policy(tunnel(PolicyDirection::Out, Level::Require)).unwrap();
    model.requests.borrow_mut().clear();
    crate::policy::unload(&mut databases);
    assert_eq!(kinds(&model), [MessageKind::SPDDELETE]);
    assert_eq!(databases.policies().count(), 0);
}
