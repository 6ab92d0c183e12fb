//! Speech through calls that SIPp signals, checked byte for byte: a relayed packet is forwarded untouched.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::ear::{Ear, assert_heard, speech};
use crate::signalling::{bench, holding, losing_phone};
use crate::sipp::Scenario;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The two ends of a call and what each says.
struct Ears {
    caller: Ear,
    callee: Ear,
    caller_says: Vec<u8>,
    callee_says: Vec<u8>,
}

impl Ears {
    fn open() -> Ears {
        let (caller_says, callee_says) = (speech("everyday.wav", 0), speech("everyday.wav", 1));
        Ears { caller: Ear::open(HOME), callee: Ear::open(HOME), caller_says, callee_says }
    }

    fn speak(&mut self, caller_port: u16, callee_port: u16) {
        self.caller.speak(SocketAddr::new(HOME, caller_port), self.caller_says.clone());
        self.callee.speak(SocketAddr::new(HOME, callee_port), self.callee_says.clone());
    }

    /// Each hears what the other says from now on.
    fn hear_each_other(&self) {
        let (caller_from, callee_from) = (self.caller.heard(), self.callee.heard());
        assert_heard(&self.callee.hears(callee_from, 2.0), &self.caller_says);
        assert_heard(&self.caller.hears(caller_from, 2.0), &self.callee_says);
    }
}

fn talk_over(transport: &str, mode: &str) {
    let mut ears = Ears::open();
    let bench = bench(1, transport);
    let caller =
        Scenario::caller().invite().may(100).may(180).expect(200).ack(1).receive("BYE").respond_in_call(200, None);
    let phone = Scenario::phone().respond(180, "", None).respond(200, "", Some("sendrecv")).receive("ACK");
    let phone = phone.pause(4_000).bye_from_phone();
    let (caller, phone) = (caller.sound_at(ears.caller.port()), phone.sound_at(ears.callee.port()));
    let (mut caller, mut phones) = bench.begin(mode, &caller, &[phone]);
    ears.speak(caller.sound_port(), phones[0].sound_port());
    ears.hear_each_other();
    caller.succeeds();
    phones.remove(0).succeeds();
}

#[test]
fn speech_passes_untouched_both_ways_over_udp() {
    talk_over("udp", "u1");
}

#[test]
fn speech_passes_untouched_both_ways_with_signalling_over_tcp() {
    talk_over("tcp", "t1");
}

#[test]
fn ringing_is_heard_before_the_answer() {
    let mut ears = Ears::open();
    let bench = bench(1, "udp");
    let caller =
        Scenario::caller().invite().may(100).expect(183).expect(200).ack(1).request("BYE", 2, "", None).expect(200);
    let phone = Scenario::phone().respond(183, "", Some("sendrecv")).pause(2_500).respond(200, "", Some("sendrecv"));
    let phone = phone.receive("ACK").receive("BYE").respond_in_call(200, None);
    let (caller, phone) = (caller.sound_at(ears.caller.port()), phone.sound_at(ears.callee.port()));
    let (mut caller, mut phones) = bench.begin("u1", &caller, &[phone]);
    ears.speak(caller.sound_port(), phones[0].sound_port());
    // Two seconds of it come before the phone answers.
    assert_heard(&ears.caller.hears(0, 2.0), &ears.callee_says);
    caller.succeeds();
    phones.remove(0).succeeds();
}

#[test]
fn after_hold_and_resume_both_are_heard_again() {
    let mut ears = Ears::open();
    let bench = bench(1, "udp");
    let (caller, phone) = holding();
    let caller = caller.pause(4_000).request("BYE", 4, "", None).expect(200);
    let (caller, phone) = (caller.sound_at(ears.caller.port()), phone.sound_at(ears.callee.port()));
    let (mut caller, mut phones) = bench.begin("u1", &caller, &[phone]);
    ears.speak(caller.sound_port(), phones[0].sound_port());
    std::thread::park_timeout(Duration::from_millis(1_200));
    ears.hear_each_other();
    caller.succeeds();
    phones.remove(0).succeeds();
}

#[test]
fn the_phone_that_answered_is_the_one_that_is_heard() {
    let (mut ears, loser_ear) = (Ears::open(), Ear::open(HOME));
    let bench = bench(2, "udp");
    let loser = losing_phone();
    let winner = Scenario::phone().respond(180, "", None).pause(200).respond(200, "", Some("sendrecv")).receive("ACK");
    let winner = winner.receive("BYE").respond_in_call(200, None);
    let caller = Scenario::caller().invite().may(100).may(180).may(180).expect(200).ack(1).pause(4_000);
    let caller = caller.request("BYE", 2, "", None).expect(200).sound_at(ears.caller.port());
    let phones = [loser.sound_at(loser_ear.port()), winner.sound_at(ears.callee.port())];
    let (mut caller, mut phones) = bench.begin("u1", &caller, &phones);
    ears.speak(caller.sound_port(), phones[1].sound_port());
    ears.hear_each_other();
    assert_eq!(loser_ear.heard(), 0, "the phone that lost hears nothing");
    caller.succeeds();
    phones.drain(..).for_each(|phone| phone.succeeds());
}

#[test]
fn a_stranger_is_not_heard_and_silence_does_not_end_the_call() {
    let mut ears = Ears::open();
    let bench = bench(1, "udp");
    let caller = Scenario::caller().invite().may(100).may(180).expect(200).ack(1).pause(4_500);
    let caller = caller.request("BYE", 2, "", None).expect(200).sound_at(ears.caller.port());
    let phone =
        Scenario::phone().respond(200, "", Some("sendrecv")).receive("ACK").receive("BYE").respond_in_call(200, None);
    let (mut caller, mut phones) = bench.begin("u1", &caller, &[phone.sound_at(ears.callee.port())]);
    let (caller_port, callee_port) = (caller.sound_port(), phones[0].sound_port());
    ears.caller.speak(SocketAddr::new(HOME, caller_port), ears.caller_says.clone());
    ears.callee.hears(0, 0.2);
    // The caller is known now; the callee never says a word. Someone else sends to the caller's port.
    let stranger = UdpSocket::bind((HOME, 0)).unwrap();
    let noise = [vec![0x80, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9], vec![0x55; 160]].concat();
    for _ in 0..50 {
        stranger.send_to(&noise, (HOME, caller_port)).unwrap();
        stranger.send_to(b"not RTP at all", (HOME, callee_port)).unwrap();
    }
    let from = ears.callee.heard();
    assert_heard(&ears.callee.hears(from, 2.0), &ears.caller_says);
    assert_eq!(ears.callee.heard_from(), [SocketAddr::new(HOME, callee_port)], "sound comes from the service only");
    caller.succeeds();
    phones.remove(0).succeeds();
}
