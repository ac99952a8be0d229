//! Statements of authentication: methods, users, and the configuration of clients.

use std::net::{IpAddr, Ipv4Addr};

use ike_v1::{ClientConfig, ClientNetwork, MAX_CREDENTIAL, ShortText};

use super::super::access::{METHOD_NAMES, METHODS, ModeConfigUse, PoolConfig, XauthPart};
use super::{AuthMethod, ConfigError, Location, Parser, PeerConfig, TokenKind};

/// Number of addresses in a pool, if the configuration specifies none.
const POOL_SIZE: u16 = 255;

const POOL_STATEMENTS: &str =
    "network4, pool_size, netmask4, dns4, wins4, default_domain, split_network, banner or `}`";

impl Parser<'_> {
    /// Parses an optional authentication method. All proposals of a peer have the same part in XAUTH: a client could
    /// otherwise choose the one without a user.
    pub(super) fn method(&mut self, peer: &mut PeerConfig) -> Result<AuthMethod, ConfigError> {
        let at = self.next.at;
        let name = match self.next.kind {
            TokenKind::Word(word) if word != "lifetime" => self.word(METHOD_NAMES)?.0,
            _ => "psk",
        };
        let row = METHODS.iter().find(|row| row.name == name);
        let row = row.ok_or_else(|| ConfigError::expected(at, name, METHOD_NAMES))?;
        if !peer.proposals.is_empty() && peer.xauth != row.part {
            let expected = "the part of this host in XAUTH that the first proposal has";
            return Err(ConfigError::expected(at, name, expected));
        }
        peer.xauth = row.part;
        peer.signs |= row.signs;
        peer.verifies |= row.verifies;
        Ok(row.method)
    }

    /// Parses `users`, `xauth_login` or `mode_cfg`.
    pub(super) fn access(&mut self, word: &str, at: Location, peer: &mut PeerConfig) -> Result<(), ConfigError> {
        let is_set = match word {
            "users" => peer.users.is_some(),
            "xauth_login" => peer.login.is_some(),
            _ => peer.mode_config != ModeConfigUse::Off,
        };
        if is_set {
            return Err(ConfigError::duplicate(at, word));
        }
        match word {
            "users" => peer.users = Some(self.text("the name of a file")?.0.into()),
            "xauth_login" => peer.login = Some(self.short_text(MAX_CREDENTIAL)?.to_owned()),
            _ if self.accept("on")? => peer.mode_config = ModeConfigUse::Request,
            _ if self.accept("off")? => {}
            _ => peer.mode_config = ModeConfigUse::Pool(Box::new(self.pool()?)),
        }
        Ok(())
    }

    /// Checks at the end of a block that what the authentication methods need is there, and nothing that is not used.
    pub(super) fn check_authentication(&self, peer: &PeerConfig) -> Result<(), ConfigError> {
        let (at, files) = (self.next.at, &peer.certificates);
        let is_client = peer.xauth == Some(XauthPart::Client);
        let rows = [
            (peer.signs && files.own.is_none(), "certificate"),
            (peer.verifies && files.authorities.is_empty() && files.peers.is_empty(), "ca"),
            (peer.xauth == Some(XauthPart::Server) && peer.users.is_none(), "users"),
            (is_client && peer.login.is_none(), "xauth_login"),
        ];
        if let Some((_, statement)) = rows.into_iter().find(|(is_missing, _)| *is_missing) {
            return Err(ConfigError::missing(at, statement));
        }
        if peer.users.is_some() && peer.xauth != Some(XauthPart::Server) {
            return Err(ConfigError::expected(at, "users", "a proposal of a server of XAUTH with `users`"));
        }
        if peer.login.is_some() && !is_client {
            return Err(ConfigError::expected(at, "xauth_login", "a proposal of a client of XAUTH with `xauth_login`"));
        }
        Ok(())
    }

    fn pool(&mut self) -> Result<PoolConfig, ConfigError> {
        if self.next.kind != TokenKind::Sign('{') {
            return Err(self.unexpected("on, off or `{`"));
        }
        self.advance()?;
        let (mut first, mut size, mut values) = (None, POOL_SIZE, ClientConfig::default());
        while self.next.kind != TokenKind::Sign('}') {
            let (word, at) = self.word(POOL_STATEMENTS)?;
            match word {
                "network4" => first = Some(self.value::<Ipv4Addr>("an IPv4 address")?),
                "pool_size" => size = self.number(1..=65_535, "a number of addresses from 1 to 65535")?,
                "netmask4" => values.netmask = Some(self.value("an IPv4 mask")?),
                "dns4" => self.add(&mut values.dns, |own| own.value("an IPv4 address"))?,
                "wins4" => self.add(&mut values.nbns, |own| own.value("an IPv4 address"))?,
                "default_domain" => values.domain = ShortText::new(self.short_text(64)?.as_bytes()),
                "banner" => values.banner = ShortText::new(self.short_text(128)?.as_bytes()),
                "split_network" => {
                    self.keyword("include")?;
                    while self.next.kind != TokenKind::Sign(';') {
                        self.add(&mut values.split_include, Self::network)?;
                    }
                }
                _ => return Err(ConfigError::expected(at, word, POOL_STATEMENTS)),
            }
            self.sign(';')?;
        }
        let first = first.ok_or(ConfigError::missing(self.next.at, "network4"))?;
        if u32::from(first).checked_add(u32::from(size) - 1).is_none() {
            return Err(ConfigError::expected(self.next.at, &first.to_string(), "a pool below 255.255.255.255"));
        }
        self.sign('}')?;
        Ok(PoolConfig { first, size, values })
    }

    /// Parses a value into the first free place of a list.
    fn add<T, const N: usize>(
        &mut self,
        list: &mut [Option<T>; N],
        parse: impl FnOnce(&mut Self) -> Result<T, ConfigError>,
    ) -> Result<(), ConfigError> {
        let slot = list.iter_mut().find(|slot| slot.is_none());
        *slot.ok_or_else(|| self.unexpected(format!("at most {N} values")))? = Some(parse(self)?);
        Ok(())
    }

    fn network(&mut self) -> Result<ClientNetwork, ConfigError> {
        let at = self.next.at;
        let (address, length) = self.prefix()?;
        let IpAddr::V4(address) = address else {
            return Err(ConfigError::expected(
                at,
                &address.to_string(),
                "an IPv4 address with the length of its prefix",
            ));
        };
        let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0));
        Ok(ClientNetwork { address, mask })
    }

    fn short_text(&mut self, max: usize) -> Result<&str, ConfigError> {
        let expected = format!("a text of 1 to {max} octets");
        let (text, at) = self.text(&expected)?;
        if (1..=max).contains(&text.len()) { Ok(text) } else { Err(ConfigError::expected(at, text, expected)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::config::Config;

    const POOL: &str = "network4 10.99.0.10; pool_size 9; netmask4 255.255.255.0; dns4 10.1.0.1; dns4 10.1.0.2; \
                        wins4 10.1.0.3; default_domain \"example.net\"; banner \"authorised users only\"; \
                        split_network include 10.1.0.0/16 10.2.3.4/32;";

    /// Parses a configuration with one peer that has these proposals and statements.
    fn peer(statements: &str) -> Result<PeerConfig, ConfigError> {
        let block = format!("peer road address any {{ esp aes128-sha1; {statements} }}");
        let config = parse(&format!("{block} policies \"a\"; keys \"b\"; local 192.0.2.1; tun ipsec0;"));
        config.map(|Config { mut peers, .. }| peers.remove(0))
    }

    #[test]
    fn a_server_has_users_and_a_pool() {
        let server =
            peer(&format!("proposal aes sha1 2 xauth_psk_server; users \"u\"; mode_cfg {{ {POOL} }};")).unwrap();
        assert_eq!((server.xauth, server.can_initiate(), server.needs_key()), (Some(XauthPart::Server), false, true));
        assert_eq!(server.proposals[0].auth_method, AuthMethod::XAUTH_INIT_PRE_SHARED);
        let ModeConfigUse::Pool(pool) = server.mode_config else { panic!("a pool") };
        assert_eq!((pool.first, pool.size), (Ipv4Addr::new(10, 99, 0, 10), 9));
        let values = &pool.values;
        assert_eq!((values.address, values.netmask), (None, Some(Ipv4Addr::new(255, 255, 255, 0))));
        let dns = [1, 2].map(|last| Some(Ipv4Addr::new(10, 1, 0, last)));
        assert_eq!((values.dns, values.nbns[0]), ([dns[0], dns[1], None, None], Some(Ipv4Addr::new(10, 1, 0, 3))));
        assert_eq!(
            (values.domain.octets(), values.banner.octets()),
            (&b"example.net"[..], &b"authorised users only"[..])
        );
        let networks: Vec<_> = values.split_include.iter().flatten().map(|own| (own.address, own.mask)).collect();
        let expected = [
            (Ipv4Addr::new(10, 1, 0, 0), Ipv4Addr::new(255, 255, 0, 0)),
            (Ipv4Addr::new(10, 2, 3, 4), Ipv4Addr::BROADCAST),
        ];
        assert_eq!(networks, expected);
    }

    #[test]
    fn a_client_has_a_user() {
        let text = "proposal aes sha1 2 hybrid_rsa_client lifetime 60; ca \"c\"; xauth_login \"alice\"; mode_cfg on;";
        let client = peer(text).unwrap();
        assert_eq!((client.xauth, client.login.as_deref()), (Some(XauthPart::Client), Some("alice")));
        assert_eq!((client.signs, client.verifies, client.needs_key()), (false, true, false));
        assert_eq!((client.mode_config, client.proposals[0].lifetimes.seconds), (ModeConfigUse::Request, Some(60)));
    }

    #[test]
    fn methods_need_their_statements() {
        let table = [
            ("proposal aes sha1 2 rsasig;", "statement `certificate` is missing"),
            ("proposal aes sha1 2 rsasig; certificate \"c\" \"k\";", "statement `ca` is missing"),
            ("proposal aes sha1 2 hybrid_rsa_server; users \"u\";", "statement `certificate` is missing"),
            ("proposal aes sha1 2 hybrid_rsa_client; xauth_login a;", "statement `ca` is missing"),
            ("proposal aes sha1 2 xauth_psk_server;", "statement `users` is missing"),
            ("proposal aes sha1 2 xauth_psk_client;", "statement `xauth_login` is missing"),
            (
                "proposal aes sha1 2; users \"u\";",
                "found `users`, expected a proposal of a server of XAUTH with `users`",
            ),
            (
                "proposal aes sha1 2; xauth_login a;",
                "found `xauth_login`, expected a proposal of a client of XAUTH with `xauth_login`",
            ),
            (
                "proposal aes sha1 2 xauth_psk_server; users \"u\"; proposal aes sha1 2;",
                "found `psk`, expected the part of this host in XAUTH that the first proposal has",
            ),
            ("proposal aes sha1 2 dsssig;", "found `dsssig`, expected an authentication method: psk, rsasig, or"),
            ("users \"u\"; users \"v\";", "duplicate `users`"),
            ("xauth_login \"\";", "expected a text of 1 to 64 octets"),
        ];
        for (text, message) in table {
            let error = peer(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn values_of_a_pool_are_checked() {
        let table = [
            ("maybe;", "found `maybe`, expected on, off or `{`"),
            ("{ };", "statement `network4` is missing"),
            ("{ network4 fd00::1; };", "found `fd00::1`, expected an IPv4 address"),
            ("{ network4 255.255.255.250; pool_size 7; };", "expected a pool below 255.255.255.255"),
            ("{ pool_size 0; };", "found `0`, expected a number of addresses from 1 to 65535"),
            ("{ dns4 1.1.1.1; dns4 1.1.1.1; dns4 1.1.1.1; dns4 1.1.1.1; dns4 1.1.1.2; };", "expected at most 4 values"),
            ("{ split_network exclude 10.0.0.0/8; };", "found `exclude`, expected `include`"),
            ("{ split_network include fd00::/8; };", "expected an IPv4 address with the length of its prefix"),
            ("{ auth_source radius; };", "found `auth_source`, expected network4, pool_size,"),
        ];
        for (text, message) in table {
            let error = peer(&format!("proposal aes sha1 2; mode_cfg {text}")).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
        assert!(peer("proposal aes sha1 2; mode_cfg { network4 255.255.255.249; pool_size 7; };").is_ok());
        let zero =
            peer("proposal aes sha1 2; mode_cfg { network4 10.0.0.1; split_network include 0.0.0.0/0; };").unwrap();
        let ModeConfigUse::Pool(pool) = zero.mode_config else { panic!("a pool") };
        assert_eq!(pool.values.split_include[0].map(|network| network.mask), Some(Ipv4Addr::UNSPECIFIED));
    }
}
