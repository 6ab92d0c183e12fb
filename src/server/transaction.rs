//! Shell: drives rsipstack's transactions, one task each, and reports what becomes of them.

use rsipstack::transaction::endpoint::EndpointInnerRef;
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::transaction::{Transaction, TransactionEvent, TransactionEventSender};
use tracing::debug;

use super::ServerError;
use super::transport::Flow;
use crate::sip::rsip::{Header, Method, Param, Request, Response, SipMessage, StatusCode, headers};

/// What becomes of a server transaction after it was handed to its user.
#[derive(Debug)]
pub enum ServerEvent {
    /// The peer cancelled it; rsipstack has answered the CANCEL itself.
    Cancelled,
    /// The ACK of our 2xx.
    Acked(Box<Request>),
    /// It is over, and our 2xx was never acknowledged.
    NotAcked,
}

/// A request of a peer that waits for our response.
#[derive(Clone)]
pub struct ServerTransaction {
    /// The request.
    pub request: std::sync::Arc<Request>,
    /// The way back.
    pub flow: Flow,
    respond: TransactionEventSender,
    endpoint: EndpointInnerRef,
}

impl ServerTransaction {
    /// Takes over a transaction; `report` hears of CANCEL, ACK and the end.
    pub fn drive(
        mut transaction: Transaction,
        flow: Flow,
        report: impl Fn(ServerEvent) + Send + 'static,
    ) -> ServerTransaction {
        let server = ServerTransaction {
            request: std::sync::Arc::new(transaction.original.clone()),
            flow,
            respond: transaction.tu_sender.clone(),
            endpoint: transaction.endpoint_inner.clone(),
        };
        tokio::spawn(async move {
            let mut acked = false;
            while let Some(message) = transaction.receive().await {
                match message {
                    SipMessage::Request(request) if request.method == Method::Ack => {
                        acked = true;
                        report(ServerEvent::Acked(Box::new(request)));
                    }
                    SipMessage::Request(request) if request.method == Method::Cancel => report(ServerEvent::Cancelled),
                    _ => {}
                }
            }
            let accepted =
                transaction.last_response.as_ref().is_some_and(|r| (200..300).contains(&r.status_code.code()));
            if accepted && !acked && transaction.original.method == Method::Invite {
                report(ServerEvent::NotAcked);
            }
        });
        server
    }

    /// A response to it with the mirrored headers; `to_tag` is added where the request had none.
    pub fn response(&self, status: u16, to_tag: Option<&str>) -> Response {
        let mut response = self.endpoint.make_response(&self.request, status_code(status), None);
        if let Some(tag) = to_tag {
            for header in response.headers.iter_mut() {
                if let Header::To(to) = header
                    && !matches!(to.tag(), Ok(Some(_)))
                {
                    *to = to.with_tag(tag.to_string().into());
                }
            }
        }
        response
    }

    /// Sends a response.
    pub fn respond(&self, response: Response) {
        if self.respond.send(TransactionEvent::Respond(response)).is_err() {
            debug!("response to a transaction that is over");
        }
    }
}

/// Sends a request in a client transaction of its own. The Via is added here; `report` gets every response, and a 408
/// of our own if there is none.
pub fn send(
    endpoint: EndpointInnerRef,
    mut request: Request,
    flow: Flow,
    report: impl Fn(Response) + Send + 'static,
) -> Result<Request, ServerError> {
    if !request.headers.iter().any(|h| matches!(h, Header::Via(_))) {
        request.headers.push_front(Header::Via(via(&flow)));
    }
    let key = TransactionKey::from_request(&request, TransactionRole::Client)?;
    let sent = request.clone();
    let mut transaction = Transaction::new_client(key, request, endpoint.clone(), Some(flow.connection.clone()));
    transaction.destination = Some(flow.destination());
    tokio::spawn(async move {
        let mut finished = false;
        if transaction.send().await.is_ok() {
            while let Some(message) = transaction.receive().await {
                if let SipMessage::Response(response) = message {
                    finished |= response.status_code.code() >= 200;
                    report(response);
                }
            }
        }
        if !finished {
            report(endpoint.make_response(&transaction.original, StatusCode::RequestTimeout, None));
        }
    });
    Ok(sent)
}

/// A new Via of ours for a flow, asking for the source port back (RFC 3581).
pub fn via(flow: &Flow) -> headers::Via {
    let Param::Branch(branch) = rsipstack::transaction::make_via_branch() else { return headers::Via::new("") };
    headers::Via::new(format!("SIP/2.0/{} {};rport;branch={}", flow.transport, flow.local, branch.value()))
}

/// The status code of a number; numbers outside 100..=699 become 500.
pub fn status_code(status: u16) -> StatusCode {
    match status {
        100..=699 => StatusCode::from(status),
        _ => StatusCode::ServerInternalError,
    }
}
