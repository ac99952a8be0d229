//! Gives one setkey.conf to an engine and to a kernel. `cargo run -p ipsec-config --example two_back_ends`

use ipsec_packet::Instant;
use std::convert::Infallible;
use std::error::Error;

use ipsec_config::setkey;
use ipsec_engine::{AnyAlgorithms, Engine, SaBackend, Settings};
use ipsec_pfkey::{Dialect, Message, Order, PfkeyBackend};

const CONF: &str = r#"
    add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E aes-cbc "sixteen octets !" -A hmac-sha1 "twenty octets it has";
    add 198.51.100.1 192.0.2.1 esp 0x1002 -m tunnel -E aes-cbc "sixteen octets ?" -A hmac-sha1 "twenty octets, other";
    spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
    spdadd 10.2.0.0/16 10.1.0.0/16 any -P in ipsec esp/tunnel/198.51.100.1-192.0.2.1/require;
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let (local, now) = (["192.0.2.1".parse()?], Instant::ZERO);
    let mut engine = Box::new(Engine::<AnyAlgorithms, 4, 4>::new(Settings::STRICT, None, None));
    setkey::apply(&mut *engine, CONF.as_bytes(), &local, now)?;
    SaBackend::dump(&*engine, &mut |sa| println!("engine: {}, {}", sa.id, sa.state));

    let wire = Dialect::Linux.with(Order::NATIVE);
    let socket = |message: &[u8]| {
        // A program writes the message to a socket of the family PF_KEY.
        let kind = Message::parse(message, wire).map(|message| message.header().kind);
        println!("kernel: {} octets, {kind:?}", message.len());
        Ok::<(), Infallible>(())
    };
    setkey::apply(&mut PfkeyBackend::new(socket, wire, std::process::id()), CONF.as_bytes(), &local, now)?;
    Ok(())
}
