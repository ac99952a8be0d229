//! Counters and output of the demonstration.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::attacker::Attacker;
use super::gateway::{Gateway, Received};
use super::networks::Networks;
use crate::capture::Frame;
use crate::tcpdump::line;
use crate::wireshark;

/// Number of events by reason.
#[derive(Default)]
pub struct Counters(BTreeMap<&'static str, u64>);

impl Counters {
    /// Counts one event by its reason.
    pub fn count(&mut self, reason: &'static str) {
        *self.0.entry(reason).or_default() += 1;
    }

    /// Returns the sum over all reasons.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    fn print(&self, what: &str) {
        for (reason, count) in &self.0 {
            sayln!("    {count:5} {what}: {reason}");
        }
    }
}

/// Prints in three lines the purpose of the run and its files.
pub fn print_explanation(networks: &Networks, a: &Gateway, b: &Gateway, out: &Path) {
    let (ends, protection) = (a.ends(), a.protection());
    let [a_end, b_end] = [ends.map(|ends| ends.0), ends.map(|ends| ends.1)]
        .map(|end| end.map_or_else(String::new, |end| format!(" ({end})")));
    sayln!(
        "Gateway {}{a_end} protects packets of {} to {}, gateway {}{b_end} the others: {protection}.",
        a.name,
        networks.a,
        networks.b,
        b.name
    );
    sayln!(
        "Every packet enters a gateway (lan-a.pcap), crosses the wire (wan.pcap) and leaves the other one (lan-b.pcap)."
    );
    sayln!(
        "An attacker on the wire injects others (attack.pcap), which have to be refused. Files are in {}.\n",
        out.display()
    );
}

/// Events of a run and the first lines of traffic.
#[derive(Default)]
pub struct Report {
    /// Packets that do not go from one network to the other.
    pub not_ours: u64,
    /// Packets that a gateway did not protect.
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

/// Number of lines of traffic that are shown for each place.
const SHOWN: usize = 6;

impl Report {
    /// Records a packet from its network.
    pub fn entered(&mut self, seen: &Frame) {
        self.entered = (self.entered.0 + 1, self.entered.1 + seen.packet.len() as u64);
        self.show(0, seen);
    }

    /// Records a packet on the wire.
    pub fn on_the_wire(&mut self, seen: &Frame) {
        self.on_wire = (self.on_wire.0 + 1, self.on_wire.1 + seen.packet.len() as u64);
        self.show(1, seen);
    }

    /// Records the result of a packet at the other gateway.
    pub fn received(&mut self, time: Duration, received: Received, expected: &[u8]) {
        match received {
            Received::Packet(packet) => {
                self.delivered += 1;
                self.altered += u64::from(packet != expected);
                self.show(2, &Frame::new(time, packet));
            }
            Received::Refused(reason) => self.not_received.count(reason),
        }
    }

    /// Records the result of an injected packet.
    pub fn attacked(&mut self, received: &Received) {
        match received {
            Received::Packet(_) => self.attacks_delivered += 1,
            Received::Refused(reason) => self.attacks.count(reason),
        }
    }

    /// Returns whether exactly the packets that entered were delivered, unchanged.
    pub fn is_successful(&self) -> bool {
        self.entered.0 > 0 && self.delivered == self.entered.0 && self.altered == 0 && self.attacks_delivered == 0
    }

    fn show(&mut self, place: usize, seen: &Frame) {
        if self.lines[place].len() < SHOWN {
            self.lines[place].push(line(seen));
        }
    }

    /// Prints the first packets at each place.
    pub fn print_traffic(&self) {
        let titles = ["Packets that entered the gateways", "Packets on the wire", "Delivered packets"];
        for (title, lines) in titles.iter().zip(&self.lines) {
            sayln!("{title}:");
            for line in lines {
                sayln!("  {line}");
            }
            sayln!("  ..\n");
        }
    }

    /// Prints the totals of the run.
    pub fn print_totals(&self, attacker: Option<&Attacker>, gateways: &[&Gateway], out: &Path) {
        let (packets, octets) = self.entered;
        let overhead = self.on_wire.1 as i64 - octets as i64;
        sayln!("Totals:");
        sayln!("    {packets:5} packets entered, {octets} bytes");
        sayln!("    {:5} packets on the wire, {} bytes", self.on_wire.0, self.on_wire.1);
        if let Some(each) = overhead.checked_div(self.on_wire.0 as i64) {
            let percent = overhead as f64 * 100.0 / octets as f64;
            sayln!("          overhead {overhead} bytes: {each} a packet, {percent:.1} %");
        }
        let saved: Vec<u64> = gateways.iter().filter_map(|g| g.saved()).collect();
        if !saved.is_empty() {
            sayln!("          IPComp saved {} bytes", saved.iter().sum::<u64>());
        }
        sayln!("    {:5} packets delivered, {} of them modified", self.delivered, self.altered);
        if self.not_ours > 0 {
            sayln!("    {:5} packets between other networks, ignored", self.not_ours);
        }
        self.not_sent.print("not sent");
        self.not_received.print("lost");
        if let Some(attacker) = attacker {
            sayln!(
                "    {:5} packets injected by the attacker: {} replayed, {} altered, {} truncated",
                attacker.sent(),
                attacker.replayed,
                attacker.altered,
                attacker.cut
            );
            self.attacks.print("refused");
            sayln!("    {:5} of them delivered", self.attacks_delivered);
        }
        let sealed: u64 = gateways.iter().map(|g| g.sealed()).sum();
        sayln!("    {sealed:5} sequence numbers used, {} packets refused in total", self.attacks.total());
        sayln!("\nWritten to {}: lan-a.pcap wan.pcap lan-b.pcap attack.pcap esp_sa", out.display());
        wireshark::print_command(out, "wan.pcap");
    }

    /// Prints a warning if the capture has no traffic between the networks.
    pub fn print_no_traffic(&self, networks: &Networks) {
        if self.entered.0 == 0 {
            noteln!(
                "ipsec-lab: warning: no packet goes from {} to {} or back: name the networks of the capture with --net",
                networks.a,
                networks.b
            );
        }
    }
}
