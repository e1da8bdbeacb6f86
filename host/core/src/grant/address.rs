//! Which addresses are public, and which hide another one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The networks that `address` needs a grant for, each with what it is; none for a public address.
///
/// An address of a transition mechanism stands for the one it carries: a gateway would hand the packet on
/// to that.
pub fn guarded(address: IpAddr) -> impl Iterator<Item = (IpAddr, &'static str)> {
    reach(address).into_iter().flatten().filter_map(|end| class(end).map(|class| (end, class)))
}

/// Whether one of `networks` holds every end of `address` that is not public.
pub fn admitted(address: IpAddr, networks: &[IpNet]) -> bool {
    guarded(address).all(|(end, _)| networks.iter().any(|network| network.contains(&end)))
}

/// Where a packet to `address` may end up: the address itself, or what is embedded in it.
fn reach(address: IpAddr) -> [Option<IpAddr>; 2] {
    let IpAddr::V6(v6) = address.to_canonical() else {
        return [Some(address.to_canonical()), None];
    };
    let low = v6.to_bits() as u32;
    let embedded = |bits: u32| Some(IpAddr::V4(Ipv4Addr::from_bits(bits)));
    if NAT64.contains(&v6) {
        return [embedded(low), None];
    }
    if SIX_TO_FOUR.contains(&v6) {
        return [embedded((v6.to_bits() >> 80) as u32), None];
    }
    if TEREDO.contains(&v6) {
        // The relay server, and the client with its bits turned.
        return [embedded((v6.to_bits() >> 64) as u32), embedded(!low)];
    }
    let interface = (v6.to_bits() >> 32) as u32;
    if interface & !ISATAP_UNIVERSAL_BIT == ISATAP {
        return [Some(address), embedded(low)];
    }
    [Some(address), None]
}

fn class(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => SPECIAL_V4.iter().find(|(net, _)| net.contains(&v4)).map(|(_, class)| *class),
        IpAddr::V6(v6) => SPECIAL_V6
            .iter()
            .find(|(net, _)| net.contains(&v6))
            .map(|(_, class)| *class)
            .or((!GLOBAL_V6.contains(&v6)).then_some("a reserved address")),
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(head: [u16; 4], prefix: u8) -> Ipv6Net {
    let [a, b, c, d] = head;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

/// RFC 6052. The local-use prefix beside it (RFC 8215) is not here: where its IPv4 part lies depends on the
/// network, so it is refused as it is.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0], 96);
/// RFC 3056.
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0], 16);
/// RFC 4380.
const TEREDO: Ipv6Net = v6([0x2001, 0, 0, 0], 32);
/// RFC 5214: the interface identifier's upper half, under any prefix.
const ISATAP: u32 = 0x0000_5efe;
const ISATAP_UNIVERSAL_BIT: u32 = 0x0200_0000;
/// All that is given out for the public IPv6 internet; what lies outside is refused even before it has a name.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0], 3);

/// The IANA special-purpose registry, what is not globally reachable, and what clouds use for their own ends.
const SPECIAL_V4: &[(Ipv4Net, &str)] = &[
    (v4(127, 0, 0, 0, 8), "a loopback address"),
    (v4(10, 0, 0, 0, 8), "a private address"),
    (v4(172, 16, 0, 0, 12), "a private address"),
    (v4(192, 168, 0, 0, 16), "a private address"),
    (v4(169, 254, 0, 0, 16), "a link-local address, where clouds serve their metadata"),
    (v4(168, 63, 129, 16, 32), "a cloud metadata address"),
    (v4(100, 64, 0, 0, 10), "a carrier's shared address"),
    (v4(0, 0, 0, 0, 8), "an address of this host"),
    (v4(192, 0, 0, 0, 24), "a protocol assignment"),
    (v4(192, 0, 2, 0, 24), "a documentation address"),
    (v4(198, 51, 100, 0, 24), "a documentation address"),
    (v4(203, 0, 113, 0, 24), "a documentation address"),
    (v4(192, 88, 99, 0, 24), "a 6to4 relay address"),
    (v4(198, 18, 0, 0, 15), "a benchmarking address"),
    (v4(224, 0, 0, 0, 4), "a multicast address"),
    (v4(255, 255, 255, 255, 32), "the broadcast address"),
    (v4(240, 0, 0, 0, 4), "a reserved address"),
];

const SPECIAL_V6: &[(Ipv6Net, &str)] = &[
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "a loopback address"),
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), "an address of this host"),
    (v6([0xfc00, 0, 0, 0], 7), "a private address"),
    (v6([0xfe80, 0, 0, 0], 10), "a link-local address"),
    (v6([0xfec0, 0, 0, 0], 10), "a site-local address"),
    (v6([0xff00, 0, 0, 0], 8), "a multicast address"),
    (v6([0x64, 0xff9b, 1, 0], 48), "a local translation address"),
    (v6([0x2001, 0xdb8, 0, 0], 32), "a documentation address"),
    (v6([0x3fff, 0, 0, 0], 20), "a documentation address"),
    // Teredo lies in here too, but `reach` has taken it out before.
    (v6([0x2001, 0, 0, 0], 23), "a protocol assignment"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, ends: &[&str]) {
        let found: Vec<String> = guarded(address.parse().unwrap()).map(|(end, _)| end.to_string()).collect();
        assert_eq!(found, ends, "{address}");
    }

    #[test]
    fn public_addresses_need_no_network() {
        for address in [
            "1.1.1.1",
            "93.184.216.34",
            "172.15.255.255",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "2606:2800:220:1::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            check(address, &[]);
        }
    }

    #[test]
    fn special_addresses_need_their_network() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "127.255.255.254",
            "100.64.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.0.1",
            "198.19.255.255",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:0:7f00:1",
            "64:ff9b:1::808:808",
            "100::1",
            "2001:db8::1",
            "2001:2::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            check(address, &[&address.parse::<IpAddr>().unwrap().to_string()]);
        }
    }

    #[test]
    fn embedded_addresses_count() {
        check("::ffff:127.0.0.1", &["127.0.0.1"]);
        check("64:ff9b::a9fe:a9fe", &["169.254.169.254"]);
        check("2002:7f00:1::", &["127.0.0.1"]);
        check("2002:a00:1::1", &["10.0.0.1"]);
        // Server 10.0.0.1, client 127.0.0.1 turned.
        check("2001:0:a00:1::80ff:fffe", &["10.0.0.1", "127.0.0.1"]);
        check("2606:4700::5efe:7f00:1", &["127.0.0.1"]);
        check("2606:4700::200:5efe:a00:1", &["10.0.0.1"]);
        check("fe80::5efe:a00:1", &["fe80::5efe:a00:1", "10.0.0.1"]);
    }

    #[test]
    fn a_network_admits_what_lies_in_it() {
        let private: IpNet = "10.0.0.0/8".parse().unwrap();
        let admits = |address: &str| admitted(address.parse().unwrap(), &[private]);
        assert!(admits("10.9.9.9") && admits("1.1.1.1") && admits("::ffff:10.0.0.1"));
        assert!(admits("64:ff9b::a00:1"));
        assert!(!admits("192.168.0.1") && !admits("::1") && !admits("2001:0:a00:1::80ff:fffe"));
    }
}
