//! The address of a client behind proxies. Pure.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::http::request::Request;

/// The field to which each proxy appends the address of its own client.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The most proxies on the way of one request: a client can claim any number, and each costs a check.
const PROXIES_MAX: usize = 16;

/// The most networks that may be trusted.
const NETWORKS_MAX: usize = 100;

/// The proxies that are believed when they name their clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    /// Peers on a Unix socket are trusted.
    unix: bool,
}

/// All addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    /// IPv4 is mapped to IPv6, with zeros after the prefix.
    prefix: u128,
    mask: u128,
}

impl TrustedProxies {
    /// The client of a request that has come from this peer. The peer wrote the last address, and each address before
    /// was written by the one to its right. So they are read from right to left, for as long as the writer is trusted
    /// and the address is valid.
    pub(super) fn client(&self, peer: &str, request: &Request) -> String {
        let mut client = peer.to_owned();
        let mut before = forwarded_for(request).take(PROXIES_MAX);
        while self.trusts(&client)
            && let Some(address) = before.next().and_then(written_plainly)
        {
            client = address;
        }
        client
    }

    fn trusts(&self, client: &str) -> bool {
        match address_of(client) {
            Some((address, _)) => self.networks.iter().any(|network| network.contains(address)),
            None => self.unix,
        }
    }
}

impl FromStr for TrustedProxies {
    type Err = ();

    /// Parses networks such as `10.0.0.0/8`, addresses, and `unix`, separated by commas.
    fn from_str(text: &str) -> Result<TrustedProxies, ()> {
        let mut proxies = TrustedProxies::default();
        for word in text.split(',').map(str::trim) {
            match word {
                "unix" => proxies.unix = true,
                network => proxies.networks.push(network.parse()?),
            }
        }
        if proxies.networks.len() <= NETWORKS_MAX { Ok(proxies) } else { Err(()) }
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.prefix
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Network, ()> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(drop)?;
        let bits_max = if address.is_ipv4() { u32::BITS } else { Ipv6Addr::BITS };
        let length = length.map_or(Ok(bits_max), |length| length.parse().map_err(drop))?;
        let free = bits_max.checked_sub(length).ok_or(())?;
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        Ok(Network { prefix: bits(address) & mask, mask })
    }
}

/// The bits of an address; IPv4 is mapped to IPv6.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The addresses that the proxies wrote, the nearest proxy's first.
fn forwarded_for(request: &Request) -> impl Iterator<Item = &str> {
    let lines = request.headers.iter().rev().filter(|(name, _)| *name == FORWARDED_FOR);
    let addresses = lines.flat_map(|(_, value)| value.rsplit(|byte| *byte == b','));
    // A value that is not text is not an address either.
    addresses.map(|address| std::str::from_utf8(address).unwrap_or_default().trim())
}

/// The same address as it would be without a proxy.
fn written_plainly(text: &str) -> Option<String> {
    Some(match address_of(text)? {
        (address, Some(port)) => SocketAddr::new(address, port).to_string(),
        (address, None) => address.to_string(),
    })
}

/// An address, and the port that some proxies add to it.
fn address_of(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let with_port =
        || text.parse::<SocketAddr>().ok().map(|address| (address.ip().to_canonical(), Some(address.port())));
    let alone = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    alone.parse::<IpAddr>().ok().map(|address| (address.to_canonical(), None)).or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &str, peer: &str, lines: &[&[u8]]) -> String {
        let headers = lines.iter().map(|line| (FORWARDED_FOR, line.to_vec())).collect();
        trusted.parse::<TrustedProxies>().unwrap().client(peer, &Request { headers, ..Request::default() })
    }

    #[test]
    fn the_client_is_the_right_most_address_that_is_not_trusted() {
        for (peer, lines, expected) in [
            ("10.0.0.1:5", &[][..], "10.0.0.1:5"),
            ("10.0.0.1:5", &[&b"203.0.113.7"[..]], "203.0.113.7"),
            ("10.0.0.1:5", &[b"198.51.100.1, 203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1:5", &[b"203.0.113.7,10.9.9.9 , 192.0.2.1"], "203.0.113.7"),
            ("10.0.0.1:5", &[b"198.51.100.1", b"203.0.113.7", b"10.1.1.1"], "203.0.113.7"),
            ("10.0.0.1:5", &[b"203.0.113.7:4711"], "203.0.113.7:4711"),
            ("10.0.0.1:5", &[b"[2001:DB8::1]:4711"], "[2001:db8::1]:4711"),
            ("10.0.0.1:5", &[b"[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1:5", &[b"2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1:5", &[b"::ffff:203.0.113.7, ::ffff:10.0.0.2"], "203.0.113.7"),
            ("[fd00::1]:5", &[b"203.0.113.7"], "203.0.113.7"),
            // All proxies on the way are trusted.
            ("10.0.0.1:5", &[b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // Other peers are not believed.
            ("203.0.113.7:5", &[b"10.0.0.1"], "203.0.113.7:5"),
            ("192.0.2.2:5", &[b"198.51.100.1"], "192.0.2.2:5"),
            ("[fd01::1]:5", &[b"198.51.100.1"], "[fd01::1]:5"),
            ("unix", &[b"198.51.100.1"], "unix"),
        ] {
            let got = client("10.0.0.0/8, 192.0.2.1, fd00::/16", peer, lines);
            assert_eq!(got, expected, "{peer}: {lines:?}");
        }
        assert_eq!(client("unix", "unix", &[b"203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("unix", "10.0.0.1:5", &[b"203.0.113.7"]), "10.0.0.1:5");
        assert_eq!(client("0.0.0.0/0", "10.0.0.1:5", &[b"203.0.113.7"]), "203.0.113.7");
        assert_eq!(TrustedProxies::default().client("10.0.0.1:5", &Request::default()), "10.0.0.1:5");
    }

    #[test]
    fn what_cannot_be_read_ends_the_chain() {
        for garbage in
            [&b"unknown"[..], b"_hidden", b"", b",", b"203.0.113.7 10.0.0.2", b"\xff\xfe", b"unix", b"a=b\";"]
        {
            let line = [b"198.51.100.1, ", garbage].concat();
            assert_eq!(client("10.0.0.0/8, unix", "10.0.0.1:5", &[&line]), "10.0.0.1:5", "{garbage:?}");
            assert_eq!(
                client("10.0.0.0/8, unix", "10.0.0.1:5", &[b"198.51.100.1", garbage]),
                "10.0.0.1:5",
                "{garbage:?}"
            );
            let behind = [&line, &b", 10.0.0.2"[..]].concat();
            assert_eq!(client("10.0.0.0/8, unix", "10.0.0.1:5", &[&behind]), "10.0.0.2", "{garbage:?}");
        }
        let long = format!("203.0.113.7{}", ", 10.0.0.2".repeat(PROXIES_MAX));
        assert_eq!(client("10.0.0.0/8", "10.0.0.1:5", &[long.as_bytes()]), "10.0.0.2");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1:5", &[&long.as_bytes()[..long.len() - 10]]), "203.0.113.7");
    }

    #[test]
    fn networks_are_read_exactly() {
        let many = vec!["10.0.0.1"; NETWORKS_MAX + 1].join(",");
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0/8",
            "::/129",
            "fd00::/8/8",
            "localhost",
            "10.0.0.1,",
            "Unix",
            &many,
        ] {
            assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
        }
        assert_eq!("10.1.2.3/8".parse::<Network>(), "10.0.0.0/8".parse());
        let network: Network = "2001:db8::/127".parse().unwrap();
        assert!(network.contains("2001:db8::1".parse().unwrap()) && !network.contains("2001:db8::2".parse().unwrap()));
        let network: Network = "192.0.2.0/25".parse().unwrap();
        assert!(network.contains([192, 0, 2, 127].into()) && !network.contains([192, 0, 2, 128].into()));
        assert!("::/0".parse::<Network>().unwrap().contains([192, 0, 2, 1].into()));
        assert!(!"0.0.0.0/0".parse::<Network>().unwrap().contains("2001:db8::1".parse().unwrap()));
    }
}
