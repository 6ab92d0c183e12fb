//! Calls as SIPp sees them.

use std::net::IpAddr;

use crate::service::{Service, free_port};
use crate::sipp::{Running, Scenario};

/// No speech is listened to.
pub const QUIET: &str = "[screening]\nenabled = false\n";

/// A service with phones on its line.
pub struct Bench {
    /// The service.
    pub service: Service,
    phones: Vec<u16>,
}

/// With so many phones over this transport.
pub fn bench(phones: usize, transport: &str) -> Bench {
    bench_with("127.0.0.1", phones, transport, QUIET)
}

/// The same on another loopback address and with more configuration.
pub fn bench_with(ip: &str, phones: usize, transport: &str, more: &str) -> Bench {
    let address: IpAddr = ip.parse().unwrap();
    let host = if address.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    let phones: Vec<u16> = (0..phones).map(|_| free_port(address)).collect();
    let contacts: Vec<String> =
        phones.iter().map(|port| format!("sip:phone@{host}:{port};transport={transport}")).collect();
    Bench { service: Service::start_on(address, &contacts, more), phones }
}

impl Bench {
    /// Plays a caller against phones; each must see exactly its scenario.
    pub fn play(&self, transport: &str, caller: &Scenario, phones: &[Scenario]) {
        let (caller, phones) = self.begin(transport, caller, phones);
        caller.succeeds();
        phones.into_iter().for_each(|phone| phone.succeeds());
    }

    /// Begins to play: the caller and the phones at work.
    pub fn begin(&self, transport: &str, caller: &Scenario, phones: &[Scenario]) -> (Running, Vec<Running>) {
        let (remote, folder) = (self.service.address.to_string(), self.service.path());
        let ip = self.service.address.ip();
        let mut waiting = Vec::new();
        for (n, (phone, port)) in phones.iter().zip(&self.phones).enumerate() {
            let mut phone = phone.run(folder, &format!("phone{n}"), &remote, *port, transport);
            phone.listens(ip, *port, transport);
            waiting.push(phone);
        }
        (caller.run(folder, "caller", &remote, free_port(ip), transport), waiting)
    }
}

fn plain_caller() -> Scenario {
    Scenario::caller().invite().may(100).may(180).expect(200).ack(1).pause(300).request("BYE", 2, "", None).expect(200)
}

fn plain_phone() -> Scenario {
    Scenario::phone()
        .respond(180, "", None)
        .respond(200, "", Some("sendrecv"))
        .receive("ACK")
        .receive("BYE")
        .respond_in_call(200, None)
}

#[test]
fn a_call_over_udp() {
    bench(1, "udp").play("u1", &plain_caller(), &[plain_phone()]);
}

#[test]
fn a_call_over_tcp() {
    bench(1, "tcp").play("t1", &plain_caller(), &[plain_phone()]);
}

#[test]
fn a_call_over_ipv6() {
    bench_with("::1", 1, "udp", QUIET).play("u1", &plain_caller(), &[plain_phone()]);
}

#[test]
fn the_phone_hangs_up() {
    let caller =
        Scenario::caller().invite().may(100).may(180).expect(200).ack(1).receive("BYE").respond_in_call(200, None);
    let phone = Scenario::phone().respond(200, "", Some("sendrecv")).receive("ACK").pause(200);
    // SIPp's callee has no dialog of its own to BYE in; the message repeats what it knows.
    let phone = phone.bye_from_phone();
    bench(1, "udp").play("u1", &caller, &[phone]);
}

/// A caller that holds and resumes, up to its last ACK, and its phone.
pub fn holding() -> (Scenario, Scenario) {
    let caller = Scenario::caller()
        .invite()
        .may(100)
        .may(180)
        .expect(200)
        .ack(1)
        .pause(300)
        .reinvite(2, "sendonly")
        .may(100)
        .expect_matching(200, "a=recvonly")
        .ack(2)
        .pause(300)
        .reinvite(3, "sendrecv")
        .may(100)
        .expect_matching(200, "a=sendrecv")
        .ack(3);
    let phone = Scenario::phone()
        .respond(200, "", Some("sendrecv"))
        .receive("ACK")
        .receive_matching("INVITE", "a=sendonly")
        .respond_in_call(200, Some("recvonly"))
        .receive("ACK")
        .receive_matching("INVITE", "a=sendrecv")
        .respond_in_call(200, Some("sendrecv"))
        .receive("ACK")
        .receive("BYE")
        .respond_in_call(200, None);
    (caller, phone)
}

/// A phone that rings until the call is taken from it.
pub fn losing_phone() -> Scenario {
    Scenario::phone()
        .respond(180, "", None)
        .receive("CANCEL")
        .respond_in_call(200, None)
        .respond_to_cancelled_invite()
        .receive("ACK")
}

#[test]
fn hold_and_resume() {
    let (caller, phone) = holding();
    bench(1, "udp").play("u1", &caller.request("BYE", 4, "", None).expect(200), &[phone]);
}

#[test]
fn the_caller_gives_up() {
    let caller = Scenario::caller().invite().may(100).expect(180).cancel().expect(200).expect(487).ack_refusal();
    let phone = losing_phone();
    bench(1, "udp").play("u1", &caller, &[phone]);
}

#[test]
fn a_busy_phone() {
    let caller = Scenario::caller().invite().may(100).expect(486).ack_refusal();
    let phone = Scenario::phone().respond(486, "Retry-After: 60\n", None).receive("ACK");
    bench(1, "udp").play("u1", &caller, &[phone]);
}

#[test]
fn nobody_answers() {
    let caller = Scenario::caller().invite().may(100).expect(180).expect(480).ack_refusal();
    let phone = losing_phone();
    bench(1, "udp").play("u1", &caller, &[phone]);
}

#[test]
fn early_media_reaches_the_caller() {
    let caller = Scenario::caller()
        .invite()
        .may(100)
        .expect_matching(183, "m=audio [0-9]+ RTP/AVP 0")
        .expect(200)
        .ack(1)
        .request("BYE", 2, "", None)
        .expect(200);
    let phone = Scenario::phone()
        .respond(183, "", Some("sendrecv"))
        .pause(300)
        .respond(200, "", Some("sendrecv"))
        .receive("ACK")
        .receive("BYE")
        .respond_in_call(200, None);
    bench(1, "udp").play("u1", &caller, &[phone]);
}

#[test]
fn two_phones_ring_and_the_first_to_answer_wins() {
    let loser = losing_phone();
    let winner = Scenario::phone()
        .respond(180, "", None)
        .pause(300)
        .respond(200, "", Some("sendrecv"))
        .receive("ACK")
        .receive("BYE")
        .respond_in_call(200, None);
    let caller = Scenario::caller()
        .invite()
        .may(100)
        .may(180)
        .may(180)
        .expect(200)
        .ack(1)
        .pause(500)
        .request("BYE", 2, "", None)
        .expect(200);
    bench(2, "udp").play("u1", &caller, &[loser, winner]);
}

#[test]
fn an_offer_in_the_answer() {
    let caller = Scenario::caller()
        .invite_with("", None)
        .may(100)
        .may(180)
        .expect_matching(200, "m=audio [0-9]+")
        .ack_with_answer(1)
        .request("BYE", 2, "", None)
        .expect(200);
    let phone = Scenario::phone()
        .respond(200, "", Some("sendrecv"))
        .receive_matching("ACK", "m=audio [0-9]+")
        .receive("BYE")
        .respond_in_call(200, None);
    bench(1, "udp").play("u1", &caller, &[phone]);
}

#[test]
fn refusals_before_anything_rings() {
    let bench = bench(1, "udp");
    let refused = |extra: &str, status: u16| {
        let caller =
            Scenario::caller().invite_with(extra, Some(String::from("v=0\n"))).may(100).expect(status).ack_refusal();
        bench.play("u1", &caller, &[]);
    };
    refused("", 400);
    refused("Require: nothing-we-know\n", 420);
    refused("Session-Expires: 30\n", 422);
}

#[test]
fn nothing_of_one_side_leaks_to_the_other() {
    let caller = Scenario::caller()
        .invite_with("User-Agent: secret/1.0\nX-Internal: hidden\nSubject: hello\n", None)
        .may(100)
        .may(180)
        .expect(200)
        .ack_with_answer(1)
        .request("BYE", 2, "", None)
        .expect(200);
    let phone = Scenario::phone_seeing("Subject: hello", "secret|hidden|X-Internal")
        .respond(200, "", Some("sendrecv"))
        .receive("ACK")
        .receive("BYE")
        .respond_in_call(200, None);
    bench(1, "udp").play("u1", &caller, &[phone]);
}
