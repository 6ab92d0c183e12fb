//! Shell: the SIP sockets. Bytes come in through the guard ([`crate::sip::wire`]) before any parser sees them.
//!
//! rsipstack runs the transactions; its own receive loops are not used, because nothing could stand before its parser
//! there. A TCP connection is handed to it as an in-memory channel whose other end is written out here.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use rsipstack::transaction::endpoint::EndpointInnerRef;
use rsipstack::transport::channel::ChannelConnection;
use rsipstack::transport::udp::UdpConnection;
use rsipstack::transport::{SipAddr, SipConnection, TransportEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::ServerError;
use crate::sip::rsip::prelude::{HeadersExt, ToTypedHeader};
use crate::sip::rsip::{Method, Response, SipMessage, Transport};
use crate::sip::wire::{self, Frame, Refusal};

/// A TCP peer that says nothing for so long is gone; shorter than NAT tables that matter, longer than any registration
/// we grant.
const TCP_IDLE: Duration = Duration::from_secs(2 * 3600);
/// TCP connections at once; each costs a task and up to one message of memory.
const MAX_TCP: usize = 2_000;

/// One way to a peer: a socket of ours, its address as the peer shall use it, and the peer's address.
#[derive(Debug, Clone)]
pub struct Flow {
    /// UDP or TCP.
    pub transport: Transport,
    /// Our address towards this peer, for Via and Contact.
    pub local: SocketAddr,
    /// The peer.
    pub remote: SocketAddr,
    /// rsipstack's handle.
    pub connection: SipConnection,
}

impl Flow {
    /// Where rsipstack is to send on this flow.
    pub fn destination(&self) -> SipAddr {
        SipAddr { r#type: Some(self.transport), addr: self.remote.into() }
    }

    /// Sends a message outside any transaction: an ACK, or a repeated one.
    pub async fn send(&self, message: SipMessage) {
        if let Err(error) = self.connection.send(message, Some(&self.destination())).await {
            debug!(%error, "message not sent");
        }
    }

    /// Our Contact on this flow.
    pub fn contact(&self) -> String {
        let transport = if self.transport == Transport::Tcp { ";transport=tcp" } else { "" };
        format!("<sip:callward@{}{transport}>", self.local)
    }
}

struct Listener {
    transport: Transport,
    bound: SocketAddr,
    udp: Option<SipConnection>,
}

/// A 2xx that no transaction waits for: repeated (our ACK was lost) or from a second branch further down.
pub type StrayAnswer = Box<dyn Fn(Response, SocketAddr) + Send + Sync>;

struct Inner {
    endpoint: EndpointInnerRef,
    listeners: Mutex<Vec<Listener>>,
    streams: Mutex<HashMap<SocketAddr, Flow>>,
    advertise: Option<IpAddr>,
    stray: OnceLock<StrayAnswer>,
    stop: CancellationToken,
}

/// All SIP sockets.
#[derive(Clone)]
pub struct Transports(Arc<Inner>);

impl Transports {
    /// No sockets yet. `advertise` replaces our address towards peers outside the local network.
    pub fn new(endpoint: EndpointInnerRef, advertise: Option<IpAddr>, stop: CancellationToken) -> Transports {
        Transports(Arc::new(Inner {
            endpoint,
            listeners: Mutex::default(),
            streams: Mutex::default(),
            advertise,
            stray: OnceLock::new(),
            stop,
        }))
    }

    /// Who is told of a 2xx that no transaction waits for.
    pub fn on_stray_answer(&self, stray: StrayAnswer) {
        let _ = self.0.stray.set(stray);
    }

    /// Binds a socket and begins to receive; returns the address bound.
    pub async fn listen(&self, transport: Transport, address: SocketAddr) -> Result<SocketAddr, ServerError> {
        let failed = |reason: std::io::Error| ServerError::Bind { what: "SIP", address, reason };
        if transport == Transport::Tcp {
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            self.0.listeners.lock().push(Listener { transport, bound, udp: None });
            tokio::spawn(self.clone().accept(listener));
            return Ok(bound);
        }
        let socket = Arc::new(UdpSocket::bind(address).await.map_err(failed)?);
        let bound = socket.local_addr().map_err(failed)?;
        let connection = UdpConnection::from_socket(socket.clone(), None, None).await?;
        let connection = SipConnection::Udp(connection);
        self.0.listeners.lock().push(Listener { transport: Transport::Udp, bound, udp: Some(connection.clone()) });
        tokio::spawn(self.clone().receive_datagrams(socket, connection));
        Ok(bound)
    }

    /// The way back to whoever sent this request.
    pub fn flow_of(&self, connection: &SipConnection, request: &crate::sip::rsip::Request) -> Option<Flow> {
        if let SipConnection::Udp(udp) = connection {
            let (_, target) = SipConnection::parse_target_from_via(request.via_header().ok()?).ok()?;
            let remote = SocketAddr::try_from(target).ok()?;
            let bound = udp.get_addr().get_socketaddr().ok()?;
            return Some(self.udp_flow(connection.clone(), bound, remote));
        }
        let remote = connection.get_remote_addr()?.get_socketaddr().ok()?;
        self.0.streams.lock().get(&remote).cloned()
    }

    /// A way to an address: an open TCP connection or a new one, or the UDP socket of the right family.
    pub async fn flow_to(&self, transport: Transport, remote: SocketAddr) -> Result<Flow, ServerError> {
        if transport == Transport::Tcp {
            let open = self.0.streams.lock().get(&remote).cloned();
            if let Some(flow) = open {
                return Ok(flow);
            }
            let connecting = tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(remote));
            let stream = connecting.await.map_err(|_| ServerError::Unreachable(remote))?;
            return self.adopt(stream.map_err(|_| ServerError::Unreachable(remote))?, remote).await;
        }
        let found = {
            let listeners = self.0.listeners.lock();
            let udp = listeners.iter().filter(|l| l.transport == Transport::Udp);
            let fitting =
                udp.clone().find(|l| l.bound.is_ipv4() == remote.is_ipv4() && reaches(l.bound.ip(), remote.ip()));
            fitting
                .or_else(|| udp.clone().find(|l| l.bound.is_ipv4() == remote.is_ipv4()))
                .and_then(|l| Some((l.udp.clone()?, l.bound)))
        };
        let (connection, bound) = found.ok_or(ServerError::Unreachable(remote))?;
        Ok(self.udp_flow(connection, bound, remote))
    }

    fn udp_flow(&self, connection: SipConnection, bound: SocketAddr, remote: SocketAddr) -> Flow {
        let local = SocketAddr::new(self.address_towards(bound.ip(), remote.ip()), bound.port());
        Flow { transport: Transport::Udp, local, remote, connection }
    }

    /// Our address as this peer shall use it. The advertised one is for the outside; on the local machine and network
    /// the interface's own address is right.
    pub fn address_towards(&self, bound: IpAddr, remote: IpAddr) -> IpAddr {
        let near = match remote {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        };
        match self.0.advertise {
            Some(advertised) if !near && advertised.is_ipv4() == remote.is_ipv4() => advertised,
            _ if bound.is_unspecified() => route_source(remote).unwrap_or(bound),
            _ => bound,
        }
    }

    async fn receive_datagrams(self, socket: Arc<UdpSocket>, connection: SipConnection) {
        let mut buffer = vec![0; wire::MAX_MESSAGE];
        loop {
            let received = tokio::select! {
                received = socket.recv_from(&mut buffer) => received,
                () = self.0.stop.cancelled() => return,
            };
            // An ICMP error of an earlier datagram surfaces here; the socket is fine.
            let Ok((length, from)) = received else { continue };
            let bytes = &buffer[..length];
            let answer = match wire::datagram(bytes) {
                Ok(message) => self.deliver(message, from, Transport::Udp, &connection).await,
                Err(Refusal::Malformed { status, reason }) => wire::refuse(bytes, status, reason),
                Err(Refusal::Garbage(_)) => None,
            };
            if let Some(answer) = answer {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    }

    async fn accept(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.0.stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, remote)) if self.0.streams.lock().len() < MAX_TCP => {
                    if let Err(error) = self.adopt(stream, remote).await {
                        debug!(%error, "TCP connection not taken");
                    }
                }
                Ok(_) => warn!(limit = MAX_TCP, "TCP connection refused: too many are open"),
                Err(error) => {
                    warn!(%error, "TCP accept failed; open files may be at their limit");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Makes a TCP connection, ours or theirs, a flow and serves it.
    async fn adopt(&self, stream: TcpStream, remote: SocketAddr) -> Result<Flow, ServerError> {
        stream.set_nodelay(true).map_err(|_| ServerError::Unreachable(remote))?;
        let own = stream.local_addr().map_err(|_| ServerError::Unreachable(remote))?;
        // Requests of the peer come to our listener, not to the port this connection happens to leave from.
        let port = {
            let listeners = self.0.listeners.lock();
            let tcp = listeners.iter().find(|l| l.transport == Transport::Tcp && l.bound.is_ipv4() == own.is_ipv4());
            tcp.map_or(own.port(), |l| l.bound.port())
        };
        let local = SocketAddr::new(self.address_towards(own.ip(), remote.ip()), port);
        let (_unused, incoming) = mpsc::unbounded_channel();
        let (outgoing, to_write) = mpsc::unbounded_channel();
        let address = SipAddr { r#type: Some(Transport::Tcp), addr: remote.into() };
        let channel = ChannelConnection::create_connection(incoming, outgoing, address, None).await?;
        let flow = Flow { transport: Transport::Tcp, local, remote, connection: SipConnection::Channel(channel) };
        self.0.streams.lock().insert(remote, flow.clone());
        tokio::spawn(self.clone().serve_stream(stream, flow.clone(), to_write));
        Ok(flow)
    }

    async fn serve_stream(self, stream: TcpStream, flow: Flow, mut to_write: mpsc::UnboundedReceiver<TransportEvent>) {
        let (mut reader, mut writer) = stream.into_split();
        let mut buffer = BytesMut::with_capacity(4096);
        'connection: loop {
            tokio::select! {
                read = tokio::time::timeout(TCP_IDLE, reader.read_buf(&mut buffer)) => {
                    if !matches!(read, Ok(Ok(n)) if n > 0) {
                        break;
                    }
                    loop {
                        match self.next_frame(&mut buffer, &flow).await {
                            Ok(None) => break,
                            Ok(Some(answer)) if answer.is_empty() => {}
                            Ok(Some(answer)) => {
                                if writer.write_all(&answer).await.is_err() {
                                    break 'connection;
                                }
                            }
                            Err(answer) => {
                                let _ = writer.write_all(&answer).await;
                                break 'connection;
                            }
                        }
                    }
                }
                event = to_write.recv() => {
                    let Some(TransportEvent::Incoming(message, ..)) = event else { break };
                    if writer.write_all(&message.to_bytes()).await.is_err() {
                        break;
                    }
                }
                () = self.0.stop.cancelled() => break,
            }
        }
        self.0.streams.lock().remove(&flow.remote);
    }

    /// Takes one frame from the buffer. `Ok(Some(bytes))` are to be written back (possibly none), `Ok(None)` means
    /// read more, `Err(bytes)` write these and close.
    async fn next_frame(&self, buffer: &mut BytesMut, flow: &Flow) -> Result<Option<Vec<u8>>, Vec<u8>> {
        match wire::stream(buffer) {
            Ok(Frame::Incomplete) => Ok(None),
            Ok(Frame::Ping(length)) => {
                buffer.advance(length);
                Ok(Some(b"\r\n".to_vec()))
            }
            Ok(Frame::Blank(length)) => {
                buffer.advance(length);
                Ok(Some(Vec::new()))
            }
            Ok(Frame::Message(range)) => {
                let whole = buffer.split_to(range.end);
                let answer = self.deliver(&whole[range], flow.remote, Transport::Tcp, &flow.connection).await;
                Ok(Some(answer.unwrap_or_default()))
            }
            Err(Refusal::Malformed { status, reason }) => Err(wire::refuse(buffer, status, reason).unwrap_or_default()),
            Err(Refusal::Garbage(_)) => Err(Vec::new()),
        }
    }

    /// Hands a well-framed message to the transactions; returns an answer for one that cannot be parsed.
    async fn deliver(
        &self,
        bytes: &[u8],
        from: SocketAddr,
        transport: Transport,
        on: &SipConnection,
    ) -> Option<Vec<u8>> {
        let message = match SipMessage::try_from(bytes) {
            Ok(message) => message,
            Err(_) if unknown_method(bytes) => return wire::refuse(bytes, 501, "Not Implemented"),
            Err(error) => {
                debug!(%error, "SIP message not parsed");
                return wire::refuse(bytes, 400, "Bad Request");
            }
        };
        if let Some(reason) = missing_header(&message) {
            return wire::refuse(bytes, 400, reason);
        }
        let message = SipConnection::update_msg_received(message, from, transport).ok()?;
        if let SipMessage::Response(response) = &message
            && self.is_stray_answer(response)
        {
            if let Some(stray) = self.0.stray.get() {
                stray(response.clone(), from);
            }
            return None;
        }
        let source = SipAddr { r#type: Some(transport), addr: from.into() };
        if let Err(error) = self.0.endpoint.on_received_message(message, on.clone(), &source).await {
            debug!(%error, "SIP message not delivered");
        }
        None
    }

    fn is_stray_answer(&self, response: &Response) -> bool {
        use rsipstack::transaction::key::{TransactionKey, TransactionRole};
        let invite = response.cseq_header().ok().and_then(|c| c.method().ok()) == Some(Method::Invite);
        let success = (200..300).contains(&response.status_code.code());
        let key = TransactionKey::from_response(response, TransactionRole::Client);
        invite && success && key.is_ok_and(|key| !self.0.endpoint.transactions.contains_key(&key))
    }
}

/// Whether a socket bound to `bound` can send to `remote`: a loopback socket reaches only the machine itself.
fn reaches(bound: IpAddr, remote: IpAddr) -> bool {
    !bound.is_loopback() || remote.is_loopback()
}

/// The source address the kernel would use towards a peer; nothing is sent.
fn route_source(remote: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = if remote.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = std::net::UdpSocket::bind(any).ok()?;
    socket.connect((remote, 9)).ok()?;
    socket.local_addr().ok().map(|a| a.ip())
}

fn unknown_method(bytes: &[u8]) -> bool {
    let method = bytes.split(|b| *b == b' ').next().and_then(|m| std::str::from_utf8(m).ok()).unwrap_or_default();
    !method.starts_with("SIP/") && Method::all().iter().all(|m| m.to_string() != method)
}

/// The headers every message must have (RFC 3261 §8.1.1), in a form that identifies its transaction.
fn missing_header(message: &SipMessage) -> Option<&'static str> {
    let checks: [(bool, &str); 5] = [
        (message.via_header().is_ok_and(|v| v.first_value().is_ok_and(|v| v.typed().is_ok())), "Missing or bad Via"),
        (message.from_header().is_ok_and(|f| matches!(f.tag(), Ok(Some(_)))), "Missing or bad From"),
        (message.to_header().is_ok_and(|t| t.uri().is_ok()), "Missing or bad To"),
        (message.call_id_header().is_ok_and(|c| !c.value().is_empty()), "Missing Call-ID"),
        (cseq_fits(message), "Missing or bad CSeq"),
    ];
    checks.iter().find(|(good, _)| !good).map(|(_, reason)| *reason)
}

fn cseq_fits(message: &SipMessage) -> bool {
    let Ok(cseq) = message.cseq_header() else { return false };
    match (message, cseq.seq(), cseq.method()) {
        (SipMessage::Request(request), Ok(_), Ok(method)) => method == request.method,
        (SipMessage::Response(_), Ok(_), Ok(_)) => true,
        _ => false,
    }
}
