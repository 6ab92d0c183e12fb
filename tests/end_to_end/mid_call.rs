//! Requests within a call, and the limits of calls, as SIPp sees them.

use crate::service::{Service, free_port};
use crate::signalling::{QUIET, bench};
use crate::sipp::Scenario;

/// A caller up to its ACK.
fn talking() -> Scenario {
    Scenario::caller().invite().may(100).may(180).expect(200).ack(1).pause(300)
}

/// A phone that has answered.
fn answered() -> Scenario {
    Scenario::phone().respond(200, "", Some("sendrecv")).receive("ACK")
}

fn hangs_up(caller: Scenario, cseq: u32) -> Scenario {
    caller.request("BYE", cseq, "", None).expect(200)
}

fn hung_up(phone: Scenario) -> Scenario {
    phone.receive("BYE").respond_in_call(200, None)
}

#[test]
fn an_update_holds_and_changes_the_codec() {
    let caller = talking().update(2, "sendonly").expect_matching(200, "a=recvonly").pause(200);
    let phone = Scenario::phone().respond(200, "Allow: INVITE, ACK, BYE, UPDATE\n", Some("sendrecv")).receive("ACK");
    let phone = phone.receive_matching("UPDATE", "RTP/AVP 8 101.*a=sendonly").respond_in_call(200, Some("recvonly"));
    bench(1, "udp").play("u1", &hangs_up(caller, 3), &[hung_up(phone)]);
}

#[test]
fn an_update_reaches_a_phone_that_knows_none_as_a_reinvite() {
    let caller = talking().update(2, "sendonly").expect_matching(200, "a=recvonly").pause(200);
    let phone = answered().receive_matching("INVITE", "a=sendonly").respond_in_call(200, Some("recvonly"));
    bench(1, "udp").play("u1", &hangs_up(caller, 3), &[hung_up(phone.receive("ACK"))]);
}

#[test]
fn a_reinvite_that_is_refused_leaves_the_call_as_it_was() {
    let caller = talking().reinvite(2, "sendonly").may(100).expect(488).ack_refusal_of(2).pause(200);
    let phone = answered().receive("INVITE").respond_in_call(488, None).receive("ACK");
    bench(1, "udp").play("u1", &hangs_up(caller, 3), &[hung_up(phone)]);
}

#[test]
fn info_message_and_options_are_answered_by_whom_they_concern() {
    let caller = talking()
        .request("INFO", 2, "X-Not: for-you\n", None)
        .expect(200)
        .request("OPTIONS", 3, "", None)
        .expect_matching(200, "Allow: ");
    let phone = answered().receive("INFO").respond_in_call(200, None);
    bench(1, "udp").play("u1", &hangs_up(caller, 4), &[hung_up(phone)]);
}

#[test]
fn a_transfer_is_passed_on_and_one_that_names_a_dialog_is_declined() {
    let blind = "Refer-To: <sip:+15550123@192.0.2.7>\n";
    let attended = "Refer-To: <sip:+15550123@192.0.2.7?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>\n";
    let caller = talking().request("REFER", 2, blind, None).expect(202).request("REFER", 3, attended, None).expect(603);
    let phone = answered().receive_matching("REFER", "Refer-To: .sip:.15550123@192.0.2.7").respond_in_call(202, None);
    bench(1, "udp").play("u1", &hangs_up(caller, 4), &[hung_up(phone)]);
}

#[test]
fn a_reliable_answer_is_acknowledged_on_both_sides() {
    let caller = Scenario::caller()
        .invite_reliably()
        .may(100)
        .expect_reliable(183)
        .prack(2)
        .expect(200)
        .expect(200)
        .ack(1)
        .pause(200);
    let phone = Scenario::phone()
        .respond(183, "Require: 100rel\nRSeq: 7\n", Some("sendrecv"))
        .receive_matching("PRACK", "RAck: 7 ")
        .respond_in_call(200, None)
        .respond_to_invite(200)
        .receive("ACK");
    bench(1, "udp").play("u1", &hangs_up(caller, 3), &[hung_up(phone)]);
}

#[test]
fn a_session_timer_is_agreed_with_each_side() {
    let caller = Scenario::caller()
        .invite_with_offer("Supported: timer\nSession-Expires: 600\n")
        .may(100)
        .expect_matching(200, "Session-Expires: 600")
        .ack(1)
        .pause(200);
    let phone = Scenario::phone_seeing("Session-Expires: ", "Session-Expires: 30;").respond(200, "", Some("sendrecv"));
    bench(1, "udp").play("u1", &hangs_up(caller, 2), &[hung_up(phone.receive("ACK"))]);
}

#[test]
fn loops_and_calls_from_too_far_are_refused() {
    let bench = bench(1, "udp");
    let caller = Scenario::caller().invite_hopping(0).may(100).expect(483).ack_refusal();
    bench.play("u1", &caller, &[]);
    // Its own contact is a line that it answers for: the call comes back to us.
    let itself = Service::start_to_itself(QUIET);
    let caller = Scenario::caller().invite().may(100).may(180).expect(482).ack_refusal();
    let port = free_port(itself.address.ip());
    caller.run(itself.path(), "caller", &itself.address.to_string(), port, "u1").succeeds();
}

#[test]
fn a_line_that_is_not_ours_is_not_found() {
    let bench = bench(1, "udp");
    let caller = Scenario::caller().invite().may(100).expect(404).ack_refusal();
    let (at, port) = (bench.service.address, free_port(bench.service.address.ip()));
    caller.run_to("nobody", bench.service.path(), "caller", &at.to_string(), port, "u1").succeeds();
}
