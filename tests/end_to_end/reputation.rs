//! What a call leaves behind, and what survives when the process does not.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::ear::{Ear, speech};
use crate::signalling::{Bench, bench, bench_with};
use crate::sipp::Scenario;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[test]
fn the_callee_ends_and_reports_with_a_key_and_the_next_call_shows_it() {
    let bench = bench_with("127.0.0.1", 1, "udp", "[screening]\nenabled = true\n");
    let (mut ear, mut caller_ear) = (Ear::open(HOME), Ear::open(HOME));
    let caller =
        Scenario::caller().invite().may(100).may(180).expect(200).ack(1).receive("BYE").respond_in_call(200, None);
    let phone =
        Scenario::phone().respond(200, "", Some("sendrecv")).receive("ACK").receive("BYE").respond_in_call(200, None);
    let (caller, phone) = (caller.sound_at(caller_ear.port()), phone.sound_at(ear.port()));
    let (mut caller, mut phones) = bench.begin("u1", &caller, &[phone]);
    let (from_caller, from_callee) =
        (SocketAddr::new(HOME, caller.sound_port()), SocketAddr::new(HOME, phones[0].sound_port()));
    caller_ear.speak(from_caller, speech("everyday.wav", 0));
    ear.speak(from_callee, speech("everyday.wav", 1));
    ear.hears(0, 0.5);
    ear.press(from_callee, '*');
    ear.press(from_callee, '7');
    caller.succeeds();
    phones.remove(0).succeeds();
    bench.service.wait_for("call_ended");
    short_call(&bench);
    let next = bench.service.wait_for_nth("call_started", 1);
    assert_eq!(next["reputation"]["scam_reports"], 1, "{next}");
    assert_eq!(next["reputation"]["calls"], 1, "{next}");
    let standing = bench.service.command(&["reputation", "lookup", "+15550100"]);
    assert_eq!(standing["standing"]["scam_reports"], 1);
}

#[test]
fn a_killed_process_leaves_a_database_that_opens() {
    let mut bench = bench(1, "udp");
    short_call(&bench);
    bench.service.wait_for("call_ended");
    // The record is written behind the event; only then is there something to lose.
    while bench.service.command(&["reputation", "stats"])["calls"] != 1 {}
    let caller = Scenario::caller().invite().may(100).may(180).expect(200).ack(1).pause(60_000);
    let phone = Scenario::phone().respond(200, "", Some("sendrecv")).receive("ACK").pause(60_000);
    let (mut caller, _phones) = bench.begin("u1", &caller, &[phone]);
    caller.sound_port();
    bench.service.kill_and_restart();
    assert_eq!(bench.service.command(&["reputation", "lookup", "+15550100"])["standing"]["calls"], 1);
    drop((caller, _phones));
    short_call(&bench);
    bench.service.wait_for_nth("call_ended", 1);
}

fn short_call(bench: &Bench) {
    let caller =
        Scenario::caller().invite().may(100).may(180).expect(200).ack(1).request("BYE", 2, "", None).expect(200);
    let phone =
        Scenario::phone().respond(200, "", Some("sendrecv")).receive("ACK").receive("BYE").respond_in_call(200, None);
    bench.play("u1", &caller, &[phone]);
}
