//! Two hosts that speak TCP, configured by statements of setkey.

use esp_core::IvSource;
use ipsec_engine::setkey::{LoadOptions, Statement, Statements};
use ipsec_engine::{AnyAlgorithms, Direction, Engine, Settings};
use ipsec_packet::Seq;
use ipsec_smoltcp::Protected;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::Device;
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use crate::wire::End;

pub type Secured = Protected<End, AnyAlgorithms, Numbered, 4, 4, 64, 2048>;

/// IVs that count: for an example, and only for that.
pub struct Numbered;

impl IvSource for Numbered {
    fn fill(&mut self, seq: Seq, iv: &mut [u8]) {
        iv.iter_mut().zip(seq.get().to_be_bytes().iter().rev()).for_each(|(to, from)| *to = *from);
    }
}

/// A device with the SAs and policies of a configuration; an SA goes out where it begins.
pub fn secured(end: End, address: &str, configuration: &str) -> Secured {
    let mut engine = Engine::new(Settings::STRICT, None, None);
    let mut statements = Statements::of(configuration);
    while let Some(statement) = statements.next().expect("a configuration") {
        match statement {
            Statement::Add(add) => {
                let sa = add.sa(Direction::Outbound, None, &LoadOptions::RFC).expect("an SA");
                let direction =
                    if sa.source().to_string() == address { Direction::Outbound } else { Direction::Inbound };
                let sa = add.sa(direction, None, &LoadOptions::RFC).expect("an SA");
                engine.install(sa, std::time::Duration::ZERO).expect("room");
            }
            Statement::SpdAdd(policy) => {
                let mut policy = policy.policy().expect("a policy");
                if policy.selector.source.first().to_string() != address {
                    policy.direction = ipsec_engine::PolicyDirection::In;
                }
                engine.add_policy(policy).expect("room");
            }
            _ => {}
        }
    }
    Protected::new(end, engine, Numbered).expect("a device of IP packets")
}

/// A host with one TCP socket.
pub struct Host<D> {
    pub device: D,
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl<D: Device> Host<D> {
    pub fn new(mut device: D, address: [u8; 4]) -> Self {
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut device, Instant::ZERO);
        let [a, b, c, d] = address;
        interface.update_ip_addrs(|all| all.push(IpCidr::new(IpAddress::v4(a, b, c, d), 24)).expect("room"));
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(tcp::Socket::new(buffer(), buffer()));
        Self { device, interface, sockets, socket }
    }

    pub fn listen(&mut self, port: u16) {
        self.sockets.get_mut::<tcp::Socket<'_>>(self.socket).listen(port).expect("a free port");
    }

    pub fn connect(&mut self, to: [u8; 4], port: u16) {
        let [a, b, c, d] = to;
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.socket);
        socket.connect(self.interface.context(), (IpAddress::v4(a, b, c, d), port), 49152).expect("an address");
    }

    pub fn poll(&mut self, now: Instant) -> &mut tcp::Socket<'static> {
        self.interface.poll(now, &mut self.device, &mut self.sockets);
        self.sockets.get_mut::<tcp::Socket<'_>>(self.socket)
    }
}

/// What comes back of a text, within so many milliseconds.
pub fn echo<D: Device>(client: &mut Host<D>, server: &mut Host<D>, text: &[u8], milliseconds: i64) -> Vec<u8> {
    server.listen(7);
    client.connect([192, 0, 2, 2], 7);
    let (mut said, mut heard) = (0, Vec::new());
    for now in (0..milliseconds).map(Instant::from_millis) {
        let socket = client.poll(now);
        if socket.can_send() && said < text.len() {
            said += socket.send_slice(&text[said..]).expect("open");
        }
        if socket.can_recv() {
            socket.recv(|octets| (octets.len(), heard.extend_from_slice(octets))).expect("open");
        }
        let socket = server.poll(now);
        if socket.can_recv() && socket.can_send() {
            let octets = socket.recv(|octets| (octets.len(), octets.to_vec())).expect("open");
            socket.send_slice(&octets).expect("open");
        }
        if heard.len() == text.len() {
            break;
        }
    }
    heard
}
