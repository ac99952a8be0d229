//! What happened, and how it is told on the screen.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::attacker::Attacker;
use super::gateway::{Gateway, Received};
use super::tcpdump::line;
use crate::capture::Captured;

/// Events by reason.
#[derive(Default)]
pub struct Counters(BTreeMap<&'static str, u64>);

impl Counters {
    /// One more.
    pub fn count(&mut self, reason: &'static str) {
        *self.0.entry(reason).or_default() += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    fn print(&self, what: &str) {
        for (reason, count) in &self.0 {
            println!("    {count:5} {what}: {reason}");
        }
    }
}

/// What happened.
#[derive(Default)]
pub struct Story {
    /// Packets that do not go from one network to the other.
    pub not_ours: u64,
    /// Packets that a gateway could not protect.
    pub not_sent: Counters,
    lines: [Vec<String>; 3],
    entered: (u64, u64),
    on_wire: (u64, u64),
    delivered: u64,
    altered: u64,
    not_received: Counters,
    attacks: Counters,
    attacks_delivered: u64,
}

/// Lines of traffic that are shown of each place.
const SHOWN: usize = 6;

impl Story {
    /// A packet came from its network.
    pub fn entered(&mut self, seen: &Captured) {
        self.entered = (self.entered.0 + 1, self.entered.1 + seen.packet.len() as u64);
        self.show(0, seen);
    }

    /// It is between the gateways.
    pub fn on_the_wire(&mut self, seen: &Captured) {
        self.on_wire = (self.on_wire.0 + 1, self.on_wire.1 + seen.packet.len() as u64);
        self.show(1, seen);
    }

    /// It came through the other gateway, or not.
    pub fn received(&mut self, time: Duration, received: Received, expected: &[u8]) {
        match received {
            Received::Packet(packet) => {
                self.delivered += 1;
                self.altered += u64::from(packet != expected);
                self.show(2, &Captured { time, packet });
            }
            Received::Refused(reason) => self.not_received.count(reason),
        }
    }

    /// Somebody sent a packet of his own.
    pub fn attacked(&mut self, received: &Received) {
        match received {
            Received::Packet(_) => self.attacks_delivered += 1,
            Received::Refused(reason) => self.attacks.count(reason),
        }
    }

    /// Whether everything that entered was delivered unchanged, and nothing else.
    pub fn all_is_well(&self) -> bool {
        self.entered.0 > 0 && self.delivered == self.entered.0 && self.altered == 0 && self.attacks_delivered == 0
    }

    fn show(&mut self, place: usize, seen: &Captured) {
        if self.lines[place].len() < SHOWN {
            self.lines[place].push(line(seen));
        }
    }

    /// The first packets at each place.
    pub fn print_traffic(&self) {
        let titles = ["What entered the gateways", "What is on the wire", "What was delivered"];
        for (title, lines) in titles.iter().zip(&self.lines) {
            println!("{title}:");
            for line in lines {
                println!("  {line}");
            }
            println!("  ..\n");
        }
    }

    /// The totals.
    pub fn print_totals(&self, attacker: Option<&Attacker>, gateways: &[&Gateway], out: &Path) {
        let (packets, octets) = self.entered;
        let overhead = self.on_wire.1 as i64 - octets as i64;
        println!("Totals:");
        println!("    {packets:5} packets entered, {octets} bytes");
        println!("    {:5} packets on the wire, {} bytes", self.on_wire.0, self.on_wire.1);
        if let Some(each) = overhead.checked_div(self.on_wire.0 as i64) {
            let percent = overhead as f64 * 100.0 / octets as f64;
            println!("          overhead {overhead} bytes: {each} a packet, {percent:.1} %");
        }
        let saved: Vec<u64> = gateways.iter().filter_map(|g| g.saved()).collect();
        if !saved.is_empty() {
            println!("          ipcomp saved {} bytes", saved.iter().sum::<u64>());
        }
        println!("    {:5} packets delivered, {} of them not as they entered", self.delivered, self.altered);
        if self.not_ours > 0 {
            println!("    {:5} packets between other networks, left alone", self.not_ours);
        }
        self.not_sent.print("not sent");
        self.not_received.print("lost");
        if let Some(attacker) = attacker {
            println!(
                "    {:5} packets injected by the attacker: {} replayed, {} altered, {} cut short",
                attacker.sent(),
                attacker.replayed,
                attacker.altered,
                attacker.cut
            );
            self.attacks.print("refused");
            println!("    {:5} of them delivered", self.attacks_delivered);
        }
        let sealed: u64 = gateways.iter().map(|g| g.sealed()).sum();
        println!("    {sealed:5} sequence numbers used, {} packets refused in all", self.attacks.total());
        println!("\nWritten to {}: lan-a.pcap wan.pcap lan-b.pcap attack.pcap esp_sa", out.display());
    }
}
