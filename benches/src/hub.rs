//! Time per packet, and time of loading, of a security gateway with many tunnels, each to a peer of its own.
//!
//! Each pattern takes turns with an engine of one tunnel, so that other load on the machine changes the ratios less
//! than the times. SAs are those of AES-128-CBC with HMAC-SHA1-96, and packets have 64 octets before they are sealed.

mod gateway;
mod traffic;

use std::hint::black_box;
use std::slice::ChunksExact;
use std::time::{Duration, Instant};

use gateway::{Databases, Gateway, MAX_TUNNELS, NOW};
use ipsec_engine::{Direction, InboundAction, InboundSlot, OutboundAction, OutboundSlot};
use ipsec_packet::{PacketBuf, Seq};
use traffic::{Pattern, Traffic};

/// Numbers of tunnels that are measured unless the command line names others.
const TUNNELS: [usize; 5] = [1, 64, 512, 4000, 10_000];

const ROUNDS: usize = 31;

/// Largest number of packets of a round, a multiple of [`BATCH`].
const PACKETS: usize = 16_384;

/// Time after which a round ends although packets are left.
const ROUND_LIMIT: Duration = Duration::from_millis(100);

/// Longest warm-up: the rounds are measured after this time even if not every flow was passed.
const WARM_UP_LIMIT: Duration = Duration::from_secs(2);

/// Number of packets that are passed to the engine of a column at a time.
const BATCH: usize = 32;

/// Headroom in the buffer of a packet.
const HEADROOM: usize = 64;

/// Stack of the thread that measures: an engine is created there before it is moved to the heap.
const STACK: usize = 1 << 28;

/// Buffers of the packets of a batch, with space for the headers and trailers of a tunnel.
type Frames = [[u8; 256]; BATCH];

/// Method of passing packets to an engine: a column of the table.
struct Column {
    name: &'static str,
    direction: Direction,
    /// Copies [`BATCH`] packets to the buffers and passes them to the engine.
    pass: fn(&mut Databases, &mut Frames, ChunksExact<'_, u8>),
}

const COLUMNS: [Column; 4] = [
    Column { name: "out", direction: Direction::Outbound, pass: outbound },
    Column { name: "in", direction: Direction::Inbound, pass: inbound },
    Column { name: "out, 32", direction: Direction::Outbound, pass: outbound_batch },
    Column { name: "in, 32", direction: Direction::Inbound, pass: inbound_batch },
];

/// Medians of one pattern in one column.
#[derive(Clone, Copy, Debug)]
struct Cell {
    nanoseconds: f64,
    /// Time relative to that of one flow of the engine with one tunnel in the same round.
    ratio: f64,
}

/// Results of one number of tunnels, with a value per column.
struct Results {
    tunnels: usize,
    /// Time of loading the engine of the column, in seconds.
    loading: Vec<f64>,
    patterns: Vec<(Pattern, Vec<Cell>)>,
}

/// Runs the measurement and prints medians. The arguments are numbers of tunnels.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let named: Vec<usize> = arguments.map(|argument| tunnels(&argument)).collect::<Result<_, _>>()?;
    let all = if named.is_empty() { TUNNELS.to_vec() } else { named };
    let measuring = std::thread::Builder::new().stack_size(STACK).spawn(move || measure_all(&all));
    measuring.expect("memory for the stack").join().map_err(|_| "the measurement has failed".to_owned())
}

fn tunnels(argument: &str) -> Result<usize, String> {
    let number = argument.parse().ok().filter(|number| (1..=MAX_TUNNELS).contains(number));
    number.ok_or_else(|| format!("number of tunnels: got {argument}, expected 1 to {MAX_TUNNELS}"))
}

fn measure_all(all: &[usize]) {
    print!("{:<42}", "packets of 64 octets, one or 32 at a time");
    COLUMNS.iter().for_each(|column| print!(" {:>10} {:>7}", format!("{}, ns", column.name), "ratio"));
    println!();
    let mut small = gateways(1);
    let results: Vec<Results> = all.iter().map(|&tunnels| measure(&mut small, tunnels)).collect();
    print_targets(&results);
}

/// Loads an engine for each direction.
fn gateways(tunnels: usize) -> [Gateway; 2] {
    [Direction::Outbound, Direction::Inbound].map(|direction| Gateway::new(direction, tunnels))
}

/// Measures and prints all patterns with this number of tunnels. `small` are the engines with one tunnel.
fn measure(small: &mut [Gateway; 2], tunnels: usize) -> Results {
    let mut large = gateways(tunnels);
    let seconds = |column: &Column| of(&mut large, column.direction).loading.as_secs_f64();
    let loading: Vec<f64> = COLUMNS.iter().map(seconds).collect();
    print!("{:<42}", format!("{tunnels:>5} tunnels, loading, seconds"));
    loading.iter().for_each(|seconds| print!(" {seconds:>10.4} {:>7}", ""));
    println!();
    let patterns = Pattern::ALL.map(|pattern| {
        let cells: Vec<Cell> = (0..)
            .zip(&COLUMNS)
            .map(|(seed, column)| {
                let engines = [of(small, column.direction), of(&mut large, column.direction)];
                cell(column, pattern, engines, seed)
            })
            .collect();
        print!("{:<42}", format!("{tunnels:>5} tunnels, {}", pattern.name()));
        cells.iter().for_each(|cell| print!(" {:>10.1} {:>7.2}", cell.nanoseconds, cell.ratio));
        println!();
        (pattern, cells)
    });
    Results { tunnels, loading, patterns: patterns.into() }
}

/// Returns the engine of a direction.
fn of(gateways: &mut [Gateway; 2], direction: Direction) -> &mut Gateway {
    let [outbound, inbound] = gateways;
    if direction == Direction::Outbound { outbound } else { inbound }
}

/// Measures a pattern in turns with one flow of the smaller engine.
fn cell(column: &Column, pattern: Pattern, [small, large]: [&mut Gateway; 2], seed: u64) -> Cell {
    let mut reference = Traffic::new(pattern.reference(), small.tunnels, seed);
    let mut traffic = Traffic::new(pattern, large.tunnels, seed);
    let mut pool = Pool::default();
    let (start, mut packets) = (Instant::now(), 0);
    while packets < traffic.warm_up() && start.elapsed() < WARM_UP_LIMIT {
        packets += pool.round(column, large, &mut traffic).1;
    }
    let rounds: [[f64; 2]; ROUNDS] = std::array::from_fn(|_| {
        [pool.round(column, small, &mut reference).0, pool.round(column, large, &mut traffic).0]
    });
    Cell {
        nanoseconds: median(rounds.map(|[_, time]| time)),
        ratio: median(rounds.map(|[reference, time]| time / reference)),
    }
}

fn median(mut values: [f64; ROUNDS]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[ROUNDS / 2]
}

/// Packets of a round, all of one length, and the buffers that they are copied to.
struct Pool {
    octets: Vec<u8>,
    frames: Box<Frames>,
}

impl Default for Pool {
    fn default() -> Self {
        Self { octets: Vec::new(), frames: Box::new([[0; 256]; BATCH]) }
    }
}

impl Pool {
    /// Prepares packets, passes them to the engine until the time is over, and returns the nanoseconds per packet and
    /// the number of packets. The next round begins with the flow of the first packet that was not passed.
    ///
    /// The slowest sixteenth of the batches does not count: the thread was interrupted in them.
    fn round(&mut self, column: &Column, gateway: &mut Gateway, traffic: &mut Traffic) -> (f64, usize) {
        let first = traffic.position;
        self.octets.clear();
        (0..PACKETS).for_each(|_| gateway.append(&traffic.advance(), &mut self.octets));
        let length = self.octets.len() / PACKETS;
        let counter = |gateway: &Gateway| gateway.databases.counters().get(gateway.direction, traffic.counter());
        let before = counter(gateway);
        let mut times = Vec::with_capacity(PACKETS / BATCH);
        let start = Instant::now();
        let mut elapsed = Duration::ZERO;
        for batch in self.octets.chunks_exact(BATCH * length) {
            (column.pass)(&mut gateway.databases, &mut self.frames, batch.chunks_exact(length));
            let now = start.elapsed();
            times.push((now - elapsed).as_nanos() as f64);
            elapsed = now;
            if elapsed >= ROUND_LIMIT {
                break;
            }
        }
        let passed = times.len() * BATCH;
        assert_eq!(counter(gateway) - before, passed as u64, "packets were discarded");
        traffic.position = first + passed;
        times.sort_by(f64::total_cmp);
        times.truncate(times.len() - times.len() / 16);
        (times.iter().sum::<f64>() / (times.len() * BATCH) as f64, passed)
    }
}

/// Passes packets one by one to be protected.
fn outbound(databases: &mut Databases, frames: &mut Frames, packets: ChunksExact<'_, u8>) {
    for (n, octets) in packets.enumerate() {
        let mut packet = copied(&mut frames[0], octets);
        let mut iv = |_: Seq, iv: &mut [u8]| iv.fill(n as u8);
        let action = black_box(databases.outbound(&mut packet, NOW, &mut iv));
        assert!(matches!(action, OutboundAction::Send | OutboundAction::Bypass), "{action:?}");
    }
}

/// Passes packets one by one as they are received.
fn inbound(databases: &mut Databases, frames: &mut Frames, packets: ChunksExact<'_, u8>) {
    for octets in packets {
        let mut packet = copied(&mut frames[0], octets);
        let action = black_box(databases.inbound(&mut packet, NOW));
        assert!(matches!(action, InboundAction::Deliver { .. } | InboundAction::Bypass), "{action:?}");
    }
}

/// Passes packets as one batch to be protected.
fn outbound_batch(databases: &mut Databases, frames: &mut Frames, packets: ChunksExact<'_, u8>) {
    let slots = frames.iter_mut().zip(packets).map(|(frame, octets)| OutboundSlot::new(copied(frame, octets)));
    let mut slots: Vec<_> = slots.collect();
    databases.outbound_batch(&mut slots, NOW, &mut |seq: Seq, iv: &mut [u8]| iv.fill(seq.get() as u8));
    for slot in &slots {
        let action = black_box(&slot.action);
        assert!(matches!(action, Some(OutboundAction::Send | OutboundAction::Bypass)), "{action:?}");
    }
}

/// Passes packets as one batch as they are received.
fn inbound_batch(databases: &mut Databases, frames: &mut Frames, packets: ChunksExact<'_, u8>) {
    let slots = frames.iter_mut().zip(packets).map(|(frame, octets)| InboundSlot::new(copied(frame, octets)));
    let mut slots: Vec<_> = slots.collect();
    databases.inbound_batch(&mut slots, NOW);
    for slot in &slots {
        let action = black_box(&slot.action);
        assert!(matches!(action, Some(InboundAction::Deliver { .. } | InboundAction::Bypass)), "{action:?}");
    }
}

/// Copies a packet to a buffer.
fn copied<'f>(frame: &'f mut [u8; 256], octets: &[u8]) -> PacketBuf<'f> {
    frame[HEADROOM..HEADROOM + octets.len()].copy_from_slice(octets);
    PacketBuf::with_headroom(frame, HEADROOM, octets.len()).expect("buffer too small")
}

/// Prints the values that have a target, as far as they were measured.
fn print_targets(all: &[Results]) {
    println!();
    for (tunnels, target) in [(4000, 2.0), (10_000, 2.5)] {
        let name = format!("{tunnels} tunnels, 64 flows each / 1 tunnel, 1 flow");
        print_target(all, tunnels, (&name, target), |results, at| results.ratio(Pattern::ManyFlows, at));
    }
    print_target(all, 10_000, ("10000 tunnels, loading, seconds", 0.2), |results, at| results.loading[at]);
    print_target(all, 4000, ("4000 tunnels, bypass, new flows / one flow", 4.0), |results, at| {
        results.ratio(Pattern::BypassNewFlows, at) / results.ratio(Pattern::BypassOneFlow, at)
    });
}

fn print_target(all: &[Results], tunnels: usize, (name, target): (&str, f64), value: impl Fn(&Results, usize) -> f64) {
    print!("{name:<50}");
    match all.iter().find(|results| results.tunnels == tunnels) {
        Some(results) => COLUMNS.iter().enumerate().for_each(|(at, Column { name, .. })| {
            print!(" {name} {:.2},", value(results, at));
        }),
        None => print!(" not measured,"),
    }
    println!(" target {target:.1}");
}

impl Results {
    /// Returns the ratio of a pattern in a column.
    fn ratio(&self, pattern: Pattern, column: usize) -> f64 {
        let row = self.patterns.iter().find(|(of, _)| *of == pattern);
        row.and_then(|(_, cells)| cells.get(column)).map_or(f64::NAN, |cell| cell.ratio)
    }
}
