//! Hosts with a TCP socket and IPsec, configured by setkey statements.

use esp_core::RngIv;
use ipsec_config::setkey::{LoadOptions, Statement, Statements};
use ipsec_engine::{AnyAlgorithms, Direction, Engine, SaBackend, Settings};
use ipsec_smoltcp::Protected;
use rand::rngs::ThreadRng;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use crate::wire::End;

pub type Secured = Protected<End, Engine<AnyAlgorithms, 4, 8>, RngIv<ThreadRng>, 2048>;

/// Returns a device with the SAs and policies of a configuration. An SA is outbound on the host of its source address.
pub fn secured(end: End, address: &str, configuration: &str) -> Secured {
    let mut engine = Engine::new(Settings::STRICT, None, None);
    let mut statements = Statements::of(configuration);
    while let Some(statement) = statements.next().expect("valid configuration") {
        match statement {
            Statement::Add(add) => {
                let is_outbound = add.id.source.0.to_string() == address;
                let direction = if is_outbound { Direction::Outbound } else { Direction::Inbound };
                let sa = add.params(direction, None, &LoadOptions::RFC).expect("valid SA");
                SaBackend::add(&mut engine, &sa, ipsec_packet::Instant::ZERO).expect("space in the SAD");
            }
            Statement::SpdAdd(policy) => {
                let mut policy = policy.policy().expect("valid policy");
                if policy.selector.source.first().to_string() != address {
                    policy.direction = ipsec_engine::PolicyDirection::In;
                }
                engine.add_policy(policy).expect("space in the SPD");
            }
            _ => {}
        }
    }
    Protected::new(end, engine, RngIv(rand::rng())).expect("known medium")
}

/// Host with one TCP socket.
pub struct Host<D> {
    pub device: D,
    pub interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl<D: Device> Host<D> {
    pub fn new(mut device: D, address: [u8; 4]) -> Self {
        let hardware = match device.capabilities().medium {
            Medium::Ethernet => HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, address[3]])),
            _ => HardwareAddress::Ip,
        };
        let mut interface = Interface::new(Config::new(hardware), &mut device, Instant::ZERO);
        let [a, b, c, d] = address;
        interface
            .update_ip_addrs(|all| all.push(IpCidr::new(IpAddress::v4(a, b, c, d), 24)).expect("space for an address"));
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(tcp::Socket::new(buffer(), buffer()));
        Self { device, interface, sockets, socket }
    }

    pub fn listen(&mut self, port: u16) {
        self.sockets.get_mut::<tcp::Socket<'_>>(self.socket).listen(port).expect("free port");
    }

    pub fn connect(&mut self, to: [u8; 4], port: u16) {
        let [a, b, c, d] = to;
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.socket);
        socket.connect(self.interface.context(), (IpAddress::v4(a, b, c, d), port), 49152).expect("valid address");
    }

    #[allow(dead_code)] // for the tests of neighbour discovery
    pub fn connect6(&mut self, to: [u16; 8], port: u16) {
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.socket);
        let [a, b, c, d, e, f, g, h] = to;
        let address = IpAddress::v6(a, b, c, d, e, f, g, h);
        socket.connect(self.interface.context(), (address, port), 49152).expect("valid address");
    }

    pub fn poll(&mut self, now: Instant) -> &mut tcp::Socket<'static> {
        self.interface.poll(now, &mut self.device, &mut self.sockets);
        self.sockets.get_mut::<tcp::Socket<'_>>(self.socket)
    }
}

/// Sends a text to the server, which echoes it, and returns the octets received within `milliseconds` of simulated
/// time.
pub fn echo<D: Device>(client: &mut Host<D>, server: &mut Host<D>, text: &[u8], milliseconds: i64) -> Vec<u8> {
    server.listen(7);
    client.connect([192, 0, 2, 2], 7);
    let (mut sent, mut received) = (0, Vec::new());
    for now in (0..milliseconds).map(Instant::from_millis) {
        let socket = client.poll(now);
        if socket.can_send() && sent < text.len() {
            sent += socket.send_slice(&text[sent..]).expect("open socket");
        }
        if socket.can_recv() {
            socket.recv(|octets| (octets.len(), received.extend_from_slice(octets))).expect("open socket");
        }
        let socket = server.poll(now);
        if socket.can_recv() && socket.can_send() {
            let octets = socket.recv(|octets| (octets.len(), octets.to_vec())).expect("open socket");
            socket.send_slice(&octets).expect("open socket");
        }
        if received.len() == text.len() {
            break;
        }
    }
    received
}
