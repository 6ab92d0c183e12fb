//! A small SIP phone for demonstrations: one call, G.711, no tricks. It shares the service's transport and transaction
//! layers and nothing of its call logic.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rsipstack::EndpointBuilder;
use rsipstack::transaction::endpoint::{EndpointInnerRef, EndpointOption};
use rsipstack::transaction::{Transaction, TransactionReceiver};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::sound::{Heard, Player};
use crate::call::Outgoing;
use crate::server::leg::{self, Leg};
use crate::server::transaction::{self, ServerTransaction};
use crate::server::transport::{Flow, Transports};
use crate::server::{ServerError, leg::address_of};
use crate::sip::dialog::Dialog;
use crate::sip::rsip::{Header, Method, Response, Transport, Uri, headers};
use crate::sip::sdp::Sdp;

/// Why a phone could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    /// No socket, or the service could not be reached.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A socket for sound could not be opened.
    #[error("demonstration phone: {0}")]
    Io(#[from] std::io::Error),
    /// The call was refused.
    #[error("the call was refused with {0}")]
    Refused(u16),
    /// Nobody spoke SIP to it in time.
    #[error("the demonstration phone got no call; another service may hold its port")]
    NoCall,
    /// A message could not be used.
    #[error("the demonstration phone got a message it cannot use: {0}")]
    Unusable(&'static str),
    /// The phone was stopped.
    #[error("the demonstration phone was stopped")]
    Stopped,
}

/// A phone on a loopback socket.
pub struct Phone {
    endpoint: EndpointInnerRef,
    transports: Transports,
    incoming: TransactionReceiver,
    address: SocketAddr,
    stop: CancellationToken,
}

/// A call of the phone.
pub struct Talk {
    leg: Leg,
    phone: Phone,
    player: Player,
}

impl Phone {
    /// Opens a phone.
    pub async fn start() -> Result<Phone, PhoneError> {
        let stop = CancellationToken::new();
        let option = EndpointOption { auto_ack_2xx: false, ..Default::default() };
        let mut builder = EndpointBuilder::new();
        builder.with_user_agent("callward-demo").with_cancel_token(stop.clone()).with_option(option);
        let endpoint = builder.build();
        let incoming = endpoint.incoming_transactions().map_err(ServerError::from)?;
        let inner = endpoint.inner.clone();
        tokio::spawn(async move { endpoint.serve().await });
        let transports = Transports::new(inner.clone(), None, stop.clone());
        let address = transports.listen(Transport::Udp, SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        Ok(Phone { endpoint: inner, transports, incoming, address, stop })
    }

    /// Where it is reached.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls a SIP URI and plays `speech` once it is answered.
    pub async fn call(self, target: &str, from: &str, speech: Vec<f32>) -> Result<Talk, PhoneError> {
        let target = Uri::try_from(target).map_err(|_| PhoneError::Unusable("target"))?;
        let (transport, address) = address_of(&target).ok_or(PhoneError::Unusable("target"))?;
        let flow = self.transports.flow_to(transport, address).await?;
        let socket = Arc::new(UdpSocket::bind((self.address.ip(), 0)).await?);
        let (call_id, tag) = (rsipstack::transaction::random_text(20), rsipstack::transaction::random_text(8));
        let local = format!("<sip:{from}@{}>", self.address);
        let dialog = Dialog::outgoing(call_id, tag, local, format!("<{target}>"), target);
        let mut leg = Leg::new(dialog, flow.clone(), 70);
        let offer = Outgoing { sdp: Some(description(socket.local_addr()?)), ..Default::default() };
        let invite = leg.request(Method::Invite, &offer);
        let (sender, mut responses) = mpsc::unbounded_channel();
        let report = move |response| {
            let _ = sender.send(response);
        };
        transaction::send(self.endpoint.clone(), invite, flow.clone(), report)?;
        let answer = loop {
            let response: Response = responses.recv().await.ok_or(PhoneError::Stopped)?;
            match response.status_code.code() {
                ..200 => {}
                200..300 => break response,
                status => return Err(PhoneError::Refused(status)),
            }
        };
        leg.dialog.learn(&answer).map_err(|_| PhoneError::Unusable("answer"))?;
        flow.send(leg.ack(&Outgoing::default(), &flow).into()).await;
        let peer = Sdp::parse(&answer.body).ok().and_then(|s| s.rtp()).ok_or(PhoneError::Unusable("answer"))?;
        Ok(Talk { leg, player: Player::start(socket, peer, speech), phone: self })
    }

    /// Waits for a call, lets it ring for a moment and answers it, playing `speech`.
    pub async fn answer(mut self, speech: Vec<f32>) -> Result<Talk, PhoneError> {
        let waiting = tokio::time::timeout(Duration::from_secs(30), self.next_invite());
        let (invite, mut acks) = waiting.await.map_err(|_| PhoneError::NoCall)??;
        let tag = rsipstack::transaction::random_text(8);
        invite.respond(invite.response(180, Some(&tag)));
        tokio::time::sleep(Duration::from_millis(300)).await;
        let socket = Arc::new(UdpSocket::bind((self.address.ip(), 0)).await?);
        let mut response = invite.response(200, Some(&tag));
        let answer = Outgoing { sdp: Some(description(socket.local_addr()?)), ..Default::default() };
        leg::dress(&mut response, &invite.flow, &answer);
        let peer = Sdp::parse(&invite.request.body).ok().and_then(|s| s.rtp()).ok_or(PhoneError::Unusable("offer"))?;
        let dialog = Dialog::of_incoming(&invite.request, tag).map_err(|_| PhoneError::Unusable("INVITE"))?;
        let leg = Leg::new(dialog, invite.flow.clone(), 70);
        let player = Player::start(socket, peer, speech);
        invite.respond(response);
        let _ = tokio::time::timeout(Duration::from_secs(5), acks.recv()).await;
        Ok(Talk { leg, player, phone: self })
    }

    async fn next_invite(&mut self) -> Result<(ServerTransaction, mpsc::UnboundedReceiver<()>), PhoneError> {
        loop {
            let (transaction, flow) = self.next().await?;
            let invite = transaction.original.method == Method::Invite;
            let (sender, acks) = mpsc::unbounded_channel();
            let server = ServerTransaction::drive(transaction, flow, move |_| {
                let _ = sender.send(());
            });
            match invite {
                true => return Ok((server, acks)),
                false => server.respond(server.response(481, None)),
            }
        }
    }

    async fn next(&mut self) -> Result<(Transaction, Flow), PhoneError> {
        loop {
            let transaction = self.incoming.recv().await.ok_or(PhoneError::Stopped)?;
            let connection = transaction.connection.clone();
            let flow = connection.and_then(|c| self.transports.flow_of(&c, &transaction.original));
            if let Some(flow) = flow {
                return Ok((transaction, flow));
            }
        }
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Talk {
    /// Waits until all speech was played.
    pub async fn played(&mut self) {
        self.player.played().await;
    }

    /// Ends the call.
    pub async fn hang_up(&mut self) {
        let bye = self.leg.request(Method::Bye, &Outgoing::default());
        let (sender, mut answered) = mpsc::unbounded_channel();
        let report = move |_| {
            let _ = sender.send(());
        };
        if transaction::send(self.phone.endpoint.clone(), bye, self.leg.flow.clone(), report).is_ok() {
            let _ = tokio::time::timeout(Duration::from_secs(2), answered.recv()).await;
        }
    }

    /// Waits until the other side ends the call, answering what it sends meanwhile.
    pub async fn wait_for_bye(&mut self) {
        while let Ok((transaction, flow)) = self.phone.next().await {
            let bye = transaction.original.method == Method::Bye;
            let server = ServerTransaction::drive(transaction, flow, |_| {});
            let mut response = server.response(200, None);
            response.headers.unique_push(Header::Allow(headers::Allow::new(leg::ALLOW)));
            server.respond(response);
            if bye {
                tokio::time::sleep(Duration::from_millis(100)).await;
                return;
            }
        }
    }

    /// What it has heard so far, µ-law decoded at 8 kHz.
    pub fn heard(&self) -> Vec<i16> {
        let heard: &Heard = &self.player.heard;
        heard.samples()
    }
}

fn description(at: SocketAddr) -> String {
    let (ip, port) = (at.ip(), at.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n"
    )
}
