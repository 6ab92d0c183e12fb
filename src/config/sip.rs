//! Section `[sip]`: sockets, names and trust.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ValueError;
use crate::sip::digest::HashAlgorithm;
use crate::sip::rsip::Transport;

/// Signalling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sip {
    /// Sockets, as `udp://0.0.0.0:5060` or `tcp://[::]:5060`. Port 0 takes any free one.
    pub listen: Vec<ListenAddr>,
    /// Our address as peers outside the local network see it.
    pub advertise: Option<IpAddr>,
    /// Our domain: the realm that phones authenticate in, and the host of From towards them.
    pub domain: Option<String>,
    /// Hash algorithms that phones may authenticate with, the preferred first. Add `sha-256` when all of yours know it:
    /// older phones give up on a challenge with an algorithm they do not know.
    pub digest: Vec<HashAlgorithm>,
    /// What we call ourselves in the User-Agent and Server headers.
    pub user_agent: String,
    /// Addresses and networks whose P-Asserted-Identity is believed (RFC 3325): the provider's, never the whole world.
    pub trusted: Vec<Network>,
    /// Session timers (RFC 4028).
    pub session_timer: SessionTimer,
}

impl Default for Sip {
    fn default() -> Self {
        let listen = |transport| ListenAddr { transport, address: SocketAddr::from(([0, 0, 0, 0], 5060)) };
        Sip {
            listen: vec![listen(ListenTransport::Udp), listen(ListenTransport::Tcp)],
            advertise: None,
            domain: None,
            digest: vec![HashAlgorithm::Md5],
            user_agent: concat!("callward/", env!("CARGO_PKG_VERSION")).to_string(),
            trusted: Vec::new(),
            session_timer: SessionTimer::default(),
        }
    }
}

impl Sip {
    /// Whether a peer's asserted identity is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        // A dual-stack socket shows an IPv4 peer as ::ffff:a.b.c.d.
        let peer = peer.to_canonical();
        self.trusted.iter().any(|network| network.0.contains(&peer))
    }
}

/// Session timers (RFC 4028): how a call whose other end died is noticed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SessionTimer {
    /// Whether to ask for them.
    pub enabled: bool,
    /// The interval in seconds, at least 90.
    pub expires_s: u32,
}

impl Default for SessionTimer {
    fn default() -> Self {
        SessionTimer { enabled: true, expires_s: 1800 }
    }
}

/// A transport to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenTransport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl std::fmt::Display for ListenTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == ListenTransport::Udp { "udp" } else { "tcp" })
    }
}

impl From<ListenTransport> for Transport {
    fn from(transport: ListenTransport) -> Transport {
        match transport {
            ListenTransport::Udp => Transport::Udp,
            ListenTransport::Tcp => Transport::Tcp,
        }
    }
}

/// A socket to listen on, written `udp://ADDRESS:PORT` or `tcp://ADDRESS:PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ListenAddr {
    /// UDP or TCP.
    pub transport: ListenTransport,
    /// Where.
    pub address: SocketAddr,
}

impl FromStr for ListenAddr {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = |problem: &str| {
            ValueError::new(
                format!("{text:?} {problem}"),
                "write udp://ADDRESS:PORT or tcp://ADDRESS:PORT, as \"udp://0.0.0.0:5060\"",
            )
        };
        let (scheme, address) = text.split_once("://").ok_or_else(|| wrong("has no transport"))?;
        let transport = match scheme {
            "udp" => ListenTransport::Udp,
            "tcp" => ListenTransport::Tcp,
            _ => return Err(wrong("has a transport that is not supported yet")),
        };
        match address.parse() {
            Ok(address) => Ok(ListenAddr { transport, address }),
            Err(_) if address.parse::<IpAddr>().is_ok() => Err(wrong("has no port")),
            Err(_) => Err(wrong("has no IP address and port")),
        }
    }
}

impl TryFrom<String> for ListenAddr {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<ListenAddr> for String {
    fn from(ListenAddr { transport, address }: ListenAddr) -> String {
        format!("{transport}://{address}")
    }
}

/// An address or a network, written `192.0.2.1` or `192.0.2.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Network(pub IpNet);

impl TryFrom<String> for Network {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let remedy = "write an IP address or a network, as \"192.0.2.1\" or \"192.0.2.0/24\"";
        network.map(Network).map_err(|_| ValueError::new(format!("{text:?} is no address"), remedy))
    }
}

impl From<Network> for String {
    fn from(Network(network): Network) -> String {
        network.to_string()
    }
}
