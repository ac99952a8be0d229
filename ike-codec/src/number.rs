//! Numbers of the wire format. Each kind is a newtype with named constants; unknown values are preserved and displayed
//! as numbers.

mod config;
mod identity;
mod message;
mod phase1;
mod phase2;

pub use config::{ConfigAttribute, ConfigKind, XauthStatus, XauthType};
pub use identity::{CertificateEncoding, IdKind};
pub use message::{Doi, ExchangeKind, Flags, NotifyKind, PayloadKind, ProtocolId, Situation, Version};
pub use phase1::{AuthMethod, Encryption, Group, GroupType, Hash, LifeType, OakleyAttribute};
pub use phase2::{
    AhTransform, AuthAlgorithm, EcnTunnel, EncapsulationMode, EspTransform, IpcompTransform, IpsecAttribute,
    TransformId,
};

macro_rules! numbers {
    ($(#[$doc:meta])* $type:ident($repr:ty) { $($name:ident = $value:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub $repr);

        impl $type {
            $(#[doc = concat!("`", stringify!($value), "`: ", $text, ".")] pub const $name: Self = Self($value);)*

            /// Returns the name of the number, `None` for an unknown value.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($value => Some($text),)* _ => None }
            }
        }

        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => core::fmt::Display::fmt(&self.0, f),
                }
            }
        }

        impl core::fmt::Debug for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        }
    };
}
pub(crate) use numbers;
