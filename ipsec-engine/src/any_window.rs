use ipsec_packet::{AntiReplay, NoReplay, ReplayError, ReplayWindow, Seq, WindowSize};

/// Window of more than 256 packets, on the heap if there is one: most SAs have a smaller one.
#[cfg(feature = "alloc")]
type Large<W> = alloc::boxed::Box<W>;
#[cfg(not(feature = "alloc"))]
type Large<W> = W;

/// Anti-replay window whose size is chosen at run time: the sizes of setkey's `-r` and of PF_KEY, rounded up to a
/// power of two, up to the largest of iproute2 (RFC 4303 section 3.4.3).
//= RFC 4303 3.4.3/1
//# MUST: anti-replay is supported, to be enabled for each SA
#[derive(Debug)]
#[allow(missing_docs, clippy::large_enum_variant)] // the names say it; firmware has no heap
#[non_exhaustive]
pub enum AnyWindow {
    Off(NoReplay),
    Of32(ReplayWindow<1>),
    Of64(ReplayWindow<2>),
    Of128(ReplayWindow<4>),
    Of256(ReplayWindow<8>),
    Of512(Large<ReplayWindow<16>>),
    Of1024(Large<ReplayWindow<32>>),
    Of2048(Large<ReplayWindow<64>>),
    Of4096(Large<ReplayWindow<128>>),
}

macro_rules! each {
    ($self:expr, $window:ident => $result:expr) => {
        match $self {
            Self::Off($window) => $result,
            Self::Of32($window) => $result,
            Self::Of64($window) => $result,
            Self::Of128($window) => $result,
            Self::Of256($window) => $result,
            Self::Of512($window) => $result,
            Self::Of1024($window) => $result,
            Self::Of2048($window) => $result,
            Self::Of4096($window) => $result,
        }
    };
}

impl crate::SizedWindow for AnyWindow {
    fn with_size(size: WindowSize) -> Option<Self> {
        Self::new(size)
    }
}

impl AnyWindow {
    /// Creates a window of at least this size. Size 0 disables anti-replay ([`NoReplay`]; RFC 4303 section 3.4.3).
    /// Returns `None` above 4096 packets.
    pub fn new(size: WindowSize) -> Option<Self> {
        Some(match size.in_packets() {
            //= RFC 4303 3.3.3/3
            //# SHOULD NOT: anti-replay is provided for manually distributed keys
            0 => Self::Off(NoReplay::new()),
            1..=32 => Self::Of32(ReplayWindow::new()),
            33..=64 => Self::Of64(ReplayWindow::new()),
            65..=128 => Self::Of128(ReplayWindow::new()),
            129..=256 => Self::Of256(ReplayWindow::new()),
            257..=512 => Self::Of512(Large::from(ReplayWindow::new())),
            513..=1024 => Self::Of1024(Large::from(ReplayWindow::new())),
            1025..=2048 => Self::Of2048(Large::from(ReplayWindow::new())),
            2049..=4096 => Self::Of4096(Large::from(ReplayWindow::new())),
            _ => return None,
        })
    }
}

impl AntiReplay for AnyWindow {
    fn check(&self, seq: Seq) -> Result<(), ReplayError> {
        each!(self, window => window.check(seq))
    }

    fn record(&mut self, seq: Seq) {
        each!(self, window => window.record(seq))
    }

    fn top(&self) -> Seq {
        each!(self, window => window.top())
    }

    fn bottom(&self) -> Seq {
        each!(self, window => window.bottom())
    }

    fn packets(&self) -> u32 {
        each!(self, window => window.packets())
    }
}
