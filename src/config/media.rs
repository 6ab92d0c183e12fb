//! Section `[media]`: RTP ports and threads.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ValueError;
use crate::server::media::MediaSettings;

/// RTP and RTCP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Media {
    /// Address to bind; without it all.
    pub bind: Option<IpAddr>,
    /// First and last UDP port, as `10000-19999`; a call takes four or more.
    pub ports: PortRange,
    /// Threads that relay packets.
    pub threads: usize,
    /// A call ends when a side that should send has sent nothing for so many seconds.
    pub silence_timeout_s: u64,
}

impl Default for Media {
    fn default() -> Self {
        Media { bind: None, ports: PortRange { first: 10_000, last: 19_999 }, threads: 1, silence_timeout_s: 300 }
    }
}

impl Media {
    /// For the media engine.
    pub fn settings(&self) -> MediaSettings {
        MediaSettings {
            ports: (self.ports.first, self.ports.last),
            threads: self.threads,
            silent_after: Duration::from_secs(self.silence_timeout_s),
        }
    }
}

/// UDP ports from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct PortRange {
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

impl PortRange {
    /// Two legs of one call, each with RTP and RTCP.
    const SMALLEST: u16 = 4;
    /// Ports below belong to the system.
    const LOWEST: u16 = 1024;
}

impl FromStr for PortRange {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let example = "write FIRST-LAST, as \"10000-19999\"";
        let bounds =
            text.split_once('-').and_then(|(a, b)| Some((a.trim().parse::<u16>().ok()?, b.trim().parse().ok()?)));
        match bounds {
            None => Err(ValueError::new(format!("{text:?} is no range of ports"), example)),
            Some((first, last)) if last < first => Err(ValueError::new(
                format!("{text:?} is upside down"),
                format!("write the lower port first: \"{last}-{first}\""),
            )),
            Some((first, _)) if first < Self::LOWEST => {
                Err(ValueError::new(format!("{text:?} holds ports of the system"), "begin at 1024 or above"))
            }
            Some((first, last)) if last - first < Self::SMALLEST - 1 => Err(ValueError::new(
                format!("{text:?} has no room for a call"),
                "give it at least four ports, better thousands",
            )),
            Some((first, last)) => Ok(PortRange { first, last }),
        }
    }
}

impl TryFrom<String> for PortRange {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<PortRange> for String {
    fn from(PortRange { first, last }: PortRange) -> String {
        format!("{first}-{last}")
    }
}
