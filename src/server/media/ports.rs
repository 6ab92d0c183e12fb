//! Pairs of UDP ports from a range, each used as late as possible after it was last used, so that packets of a call that
//! is over do not reach the next.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::MediaError;

/// Receive buffer of an RTP socket: enough for a burst while the thread is busy.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// The range and where in it the next pair is looked for.
pub(super) struct Ports {
    first: u16,
    last: u16,
    next: u16,
}

impl Ports {
    pub(super) fn new((first, last): (u16, u16)) -> Ports {
        let first = first.saturating_add(first % 2);
        Ports { first, last: last.max(first), next: first }
    }

    /// The next free pair. Ports of legs that were just closed are still bound by the engine and are passed over.
    pub(super) fn bind_pair(&mut self, ip: IpAddr) -> Result<(UdpSocket, UdpSocket), MediaError> {
        let pairs = (self.last - self.first).div_ceil(2).max(1);
        for _ in 0..pairs {
            let port = self.next;
            self.next = match port.checked_add(2) {
                Some(next) if next < self.last => next,
                _ => self.first,
            };
            let Some(upper) = port.checked_add(1) else { continue };
            match bind(ip, port).and_then(|rtp| Ok((rtp, bind(ip, upper)?))) {
                Ok(pair) => return Ok(pair),
                Err(taken) if matches!(taken.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied) => {}
                Err(reason) if reason.kind() == ErrorKind::AddrNotAvailable => {
                    return Err(MediaError::Bind { address: ip, reason });
                }
                Err(reason) => return Err(MediaError::System(reason)),
            }
        }
        Err(MediaError::NoPort { first: self.first, last: self.last })
    }
}

fn bind(ip: IpAddr, port: u16) -> std::io::Result<UdpSocket> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if ip.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // The kernel may grant less; that is no reason to refuse a call.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.bind(&address.into())?;
    Ok(socket.into())
}
