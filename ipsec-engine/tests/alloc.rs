//! Parsing setkey(8) statements and processing packets allocate no memory on the heap.

mod gateway;

use gateway::{Gateway, NOW, udp};
use ipsec_config::setkey::Statements;
use ipsec_engine::{InboundAction, OutboundAction};
use ipsec_packet::{PacketBuf, Seq};
use test_vectors::support::allocation::{CountingAllocator, assert_operations_are_counted, without_allocation};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn allocator_counts_heap_operations() {
    assert_operations_are_counted();
}

#[test]
fn packet_processing_does_not_allocate() {
    let text = "add 192.0.2.1 198.51.100.1 ipcomp 0x1000 -m tunnel -C deflate;
        add 192.0.2.1 198.51.100.1 esp 0x1001 -r 8 -E aes-cbc 0x000102030405060708090a0b0c0d0e0f -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213;
        add 192.0.2.1 198.51.100.1 ah 0x1002 -r 8 -A hmac-md5 0x000102030405060708090a0b0c0d0e0f;";
    let policy = "10.1.0.0/16 10.2.0.0/16 any -P";
    let bundle = "ipsec ipcomp/tunnel/192.0.2.1-198.51.100.1/use esp/transport//require ah/transport//require;";
    let without_sa = "spdadd 10.3.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.9-198.51.100.1/require;";
    let mut from = Gateway::new(&format!("{text} spdadd {policy} out {bundle} {without_sa}"), "192.0.2.1");
    let mut to = Gateway::new(&format!("{text} spdadd {policy} in {bundle}"), "198.51.100.1");
    let packets = [udp("10.1.0.1", "10.2.0.1", 1, 2, &[b'a'; 1000]), udp("10.3.0.1", "10.2.0.1", 1, 2, b"b")];
    let mut bytes = [0; 8192];
    let (mut opened, mut refused) = (0, 0);
    without_allocation("packet processing", || {
        for round in 0..100 {
            for packet in &packets {
                bytes[512..512 + packet.len()].copy_from_slice(packet);
                let mut buffer = PacketBuf::with_headroom(&mut bytes, 512, packet.len()).unwrap();
                let mut iv = |_: Seq, iv: &mut [u8]| iv.fill(round);
                match from.engine.outbound(&mut buffer, NOW, &mut iv) {
                    OutboundAction::Send => {
                        if round % 3 == 2 {
                            buffer.data_mut()[60] ^= 1;
                        }
                        match to.engine.inbound(&mut buffer, NOW) {
                            InboundAction::Deliver { .. } => opened += 1,
                            _ => refused += 1,
                        }
                    }
                    _ => refused += 1,
                }
                while from.engine.poll_event().is_some() || to.engine.poll_audit().is_some() {}
            }
        }
    });
    assert_eq!((opened, refused), (67, 133));
}

#[test]
fn setkey_statements_and_errors_do_not_allocate() {
    let text = "add 10.0.0.1 10.0.0.2 esp 0x1001 -m tunnel -E aes-cbc \"1234567890123456\" -A hmac-sha1 \"12345678901234567890\";
        spdadd 10.0.0.0/8[any] 10.1.0.0/16[80] tcp -P out prio high ipsec ipcomp/transport//use esp/tunnel/10.0.0.1-10.0.0.2/unique:5;
        frobnicate; add x; flush;";
    let (mut statements, mut good, mut wrong) = (Statements::of(text), 0, 0);
    without_allocation("parsing of statements", || {
        loop {
            match statements.next() {
                Ok(Some(_)) => good += 1,
                Ok(None) => break,
                Err(_) => wrong += 1,
            }
        }
    });
    assert_eq!((good, wrong), (3, 2));
}
