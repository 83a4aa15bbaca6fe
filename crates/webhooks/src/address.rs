//! Which addresses a delivery may be sent to: those of the public internet.
//!
//! INVARIANT: a [`PublicAddr`] is made by [`Egress::vet`] alone, and the connector takes nothing else. For IPv6 the rule is
//! the other way round than for IPv4: only global unicast (2000::/3) is allowed, and parts of it are taken out, so that ranges
//! which carry an IPv4 address inside, or will be given a meaning later, are refused without being listed.
//!
//! The ranges are those of IANA's registries of special-purpose addresses (RFC 6890 and what came after it).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Which part of the world may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Egress {
    /// The public internet, by TLS.
    #[default]
    Public,
    /// For tests and development: this machine as well (loopback), and there without TLS, on any port.
    Lab,
}

/// An address that may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicAddr(IpAddr);

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{ip} is not on the public internet ({class})")]
pub struct Forbidden {
    /// The address.
    pub ip: IpAddr,
    /// What it is.
    pub class: &'static str,
}

impl PublicAddr {
    /// The address with a port, for the connector.
    #[must_use]
    pub(crate) const fn socket(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.0, port)
    }

    /// The address.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for PublicAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Egress {
    /// Lets an address through or says what it is.
    ///
    /// # Errors
    /// It is not of the public internet.
    pub fn vet(self, ip: IpAddr) -> Result<PublicAddr, Forbidden> {
        if self == Self::Lab && ip.is_loopback() {
            return Ok(PublicAddr(ip));
        }
        let class = match ip {
            IpAddr::V4(ip) => class_v4(ip),
            IpAddr::V6(ip) => class_v6(ip),
        };
        class.map_or(Ok(PublicAddr(ip)), |class| Err(Forbidden { ip, class }))
    }
}

/// Network, bits of its prefix, what it is.
type Range4 = ([u8; 4], u32, &'static str);

const FORBIDDEN_V4: &[Range4] = &[
    ([0, 0, 0, 0], 8, "this network"),
    ([10, 0, 0, 0], 8, "private"),
    ([100, 64, 0, 0], 10, "shared by a provider"),
    ([127, 0, 0, 0], 8, "loopback"),
    ([169, 254, 0, 0], 16, "link-local"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 0, 0, 0], 24, "protocol assignments"),
    ([192, 0, 2, 0], 24, "documentation"),
    ([192, 31, 196, 0], 24, "AS112"),
    ([192, 52, 193, 0], 24, "multicast relay"),
    ([192, 88, 99, 0], 24, "6to4 relay"),
    ([192, 168, 0, 0], 16, "private"),
    ([192, 175, 48, 0], 24, "AS112"),
    ([198, 18, 0, 0], 15, "benchmarking"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([240, 0, 0, 0], 4, "reserved"),
];

/// Network, bits of its prefix, what it is.
type Range6 = ([u16; 8], u32, &'static str);

/// Outside of global unicast; only for saying what an address is.
const NAMED_V6: &[Range6] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback"),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "IPv4 inside"),
    ([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, "IPv4 inside"),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4 inside"),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "NAT64"),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "NAT64"),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard"),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment routing"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique local"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
];

/// Taken out of global unicast.
const FORBIDDEN_V6: &[Range6] = &[
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo"),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "benchmarking"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignments"),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation"),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4"),
    ([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "AS112"),
    ([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16, "6bone"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation"),
];

fn class_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let bits = u32::from(ip);
    let is_in = |(network, prefix, _): &&Range4| {
        let mask = u32::MAX << (32 - prefix);
        bits & mask == u32::from(Ipv4Addr::from(*network))
    };
    FORBIDDEN_V4.iter().find(is_in).map(|(_, _, class)| *class)
}

fn class_v6(ip: Ipv6Addr) -> Option<&'static str> {
    let bits = u128::from(ip);
    let is_in = |(network, prefix, _): &&Range6| {
        let mask = u128::MAX << (128 - prefix);
        bits & mask == u128::from(Ipv6Addr::from(*network))
    };
    let name = |ranges: &'static [Range6]| ranges.iter().find(is_in).map(|(_, _, class)| *class);
    if bits >> 125 != 1 {
        return Some(name(NAMED_V6).unwrap_or("not global unicast"));
    }
    name(FORBIDDEN_V6)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use super::*;

    fn class(text: &str) -> Option<&'static str> {
        Egress::Public.vet(text.parse().unwrap()).err().map(|forbidden| forbidden.class)
    }

    #[test]
    fn the_first_and_the_last_address_of_every_range_is_refused_and_its_neighbours_are_not() {
        for (network, prefix, _) in FORBIDDEN_V4 {
            let first = u32::from(Ipv4Addr::from(*network));
            let last = first | !(u32::MAX << (32 - prefix));
            for ip in [first, last, first + (last - first) / 2] {
                assert!(class_v4(Ipv4Addr::from(ip)).is_some(), "{}", Ipv4Addr::from(ip));
            }
        }
        for (network, prefix, _) in FORBIDDEN_V6.iter().chain(NAMED_V6) {
            let first = u128::from(Ipv6Addr::from(*network));
            let last = if *prefix == 128 { first } else { first | !(u128::MAX << (128 - prefix)) };
            for ip in [first, last] {
                assert!(class_v6(Ipv6Addr::from(ip)).is_some(), "{}", Ipv6Addr::from(ip));
            }
        }
        for open in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2000::",
            "2001:200::",
            "2001:db7:ffff::",
            "2001:db9::",
            "2003::",
            "2620:4f:8001::",
            "3ffd::",
            "2606:4700:4700::1111",
        ] {
            assert_eq!(class(open), None, "{open}");
        }
    }

    #[test]
    fn addresses_that_carry_another_one_are_refused_whatever_they_carry() {
        for inside in
            ["::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::808:808", "64:ff9b:1::1", "2002:808:808::", "2001:0:1::"]
        {
            assert!(class(inside).is_some(), "{inside}");
        }
        assert_eq!(class("5f00::1"), Some("segment routing"));
        assert_eq!(class("4000::1"), Some("not global unicast"));
        assert_eq!(class("3fff:1::"), Some("documentation"));
    }

    #[test]
    fn the_lab_adds_loopback_and_nothing_else() {
        for own in ["127.0.0.1", "127.8.9.1", "::1"] {
            assert!(Egress::Lab.vet(own.parse().unwrap()).is_ok() && class(own).is_some(), "{own}");
        }
        for other in ["10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fd00::1", "0.0.0.0", "::"] {
            assert!(Egress::Lab.vet(other.parse().unwrap()).is_err(), "{other}");
        }
    }
}
