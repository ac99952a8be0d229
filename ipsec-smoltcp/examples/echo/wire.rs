//! Point-to-point link in memory that records the packets sent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use smoltcp::phy::{Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

type Queue = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end of the link.
pub struct End {
    inbox: Queue,
    outbox: Queue,
    medium: Medium,
    /// Frames that this end sent, in order.
    pub sent: Vec<Vec<u8>>,
}

/// Returns the two ends of a new link of medium IP.
#[allow(dead_code)] // each test has a medium
pub fn wire() -> (End, End) {
    wire_of(Medium::Ip)
}

/// Returns the two ends of a new link.
pub fn wire_of(medium: Medium) -> (End, End) {
    let (one, other) = (Queue::default(), Queue::default());
    let end = |inbox: &Queue, outbox: &Queue| {
        let (inbox, outbox) = (inbox.clone(), outbox.clone());
        End { inbox, outbox, medium, sent: Vec::new() }
    };
    (end(&one, &other), end(&other, &one))
}

pub struct Rx(Vec<u8>);

pub struct Tx<'a>(&'a mut End);

impl Device for End {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Rx, Tx<'_>)> {
        let packet = self.inbox.borrow_mut().pop_front()?;
        Some((Rx(packet), Tx(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        Some(Tx(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = (self.medium, 1500);
        capabilities
    }
}

impl smoltcp::phy::RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl smoltcp::phy::TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.sent.push(packet.clone());
        self.0.outbox.borrow_mut().push_back(packet);
        result
    }
}
