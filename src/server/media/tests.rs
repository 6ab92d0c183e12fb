//! The engine on loopback sockets.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::UdpSocket;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::media::Codec;
use crate::media::rtp::{Packet, Patch};

const A: LegId = LegId::CALLER;
const B: LegId = LegId(1);
const CALL: CallKey = CallKey(3);

struct Bench {
    _engine: MediaEngine,
    media: MediaHandle,
    events: UnboundedReceiver<MediaEvent>,
    caller: UdpSocket,
    callee: UdpSocket,
    at_a: SocketAddr,
    at_b: SocketAddr,
}

fn phone() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn negotiated() -> LegMedia {
    LegMedia { payloads: vec![(0, Codec::Pcmu)], telephone_event: Some(101), sends: true, receives: true }
}

fn bench() -> Bench {
    let (sender, events) = unbounded_channel();
    let settings = MediaSettings { ports: (23_000, 24_999), threads: 2, silent_after: Duration::from_millis(600) };
    let engine = MediaEngine::start(settings, sender).unwrap();
    let (media, caller, callee) = (engine.handle(), phone(), phone());
    let ip = "127.0.0.1".parse().unwrap();
    let at_a = media.open_leg(CALL, A, ip).unwrap().rtp;
    let at_b = media.open_leg(CALL, B, ip).unwrap().rtp;
    for (leg, phone) in [(A, &caller), (B, &callee)] {
        let rtp = phone.local_addr().unwrap();
        media.send(CALL, MediaCommand::Remote { leg, rtp, rtcp: None, media: negotiated() });
    }
    media.send(CALL, MediaCommand::Bridge { a: A, b: B });
    Bench { _engine: engine, media, events, caller, callee, at_a, at_b }
}

fn packet(sequence: u16) -> Vec<u8> {
    Patch { payload_type: 0, sequence, timestamp: u32::from(sequence) * 160, ssrc: 5 }.packet(false, &[0xff; 160])
}

fn heard(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

fn next(events: &mut UnboundedReceiver<MediaEvent>, wanted: impl Fn(&MediaEventKind) -> bool) -> MediaEvent {
    loop {
        let event = events.blocking_recv().unwrap();
        if wanted(&event.kind) {
            return event;
        }
    }
}

#[test]
fn packets_are_relayed_untouched_both_ways_and_strangers_are_not() {
    let bench = bench();
    bench.caller.send_to(&packet(1), bench.at_a).unwrap();
    assert_eq!(heard(&bench.callee), packet(1));
    let stranger = phone();
    stranger.send_to(&packet(99), bench.at_a).unwrap();
    stranger.send_to(b"garbage", bench.at_a).unwrap();
    bench.caller.send_to(&packet(2), bench.at_a).unwrap();
    assert_eq!(heard(&bench.callee), packet(2));
    bench.callee.send_to(&packet(7), bench.at_b).unwrap();
    assert_eq!(heard(&bench.caller), packet(7));
}

#[test]
fn a_prompt_is_heard_by_one_leg_only_even_when_the_caller_is_silent() {
    let mut bench = bench();
    let prompt = Prompt { id: 4, narrow: vec![9_000; 800].into(), wide: vec![9_000; 1600].into() };
    bench.media.send(CALL, MediaCommand::Play { leg: B, prompt, duck_db: 20.0 });
    for _ in 0..5 {
        let bytes = heard(&bench.callee);
        assert!(Packet::parse(&bytes).unwrap().payload().iter().any(|b| *b != 0xff));
    }
    next(&mut bench.events, |e| matches!(e, MediaEventKind::PromptHeard { leg: B, id: 4 }));
    next(&mut bench.events, |e| matches!(e, MediaEventKind::PromptEnded { leg: B, id: 4 }));
    bench.callee.send_to(&packet(1), bench.at_b).unwrap();
    assert_eq!(heard(&bench.caller), packet(1), "the caller hears the callee and nothing else");
}

#[test]
fn taps_get_copies_and_lose_what_does_not_fit() {
    let mut bench = bench();
    let (sink, mut tap) = rtrb::RingBuffer::new(2);
    bench.media.send(CALL, MediaCommand::Tap { leg: A, sink });
    for n in 0..4 {
        bench.caller.send_to(&packet(n), bench.at_a).unwrap();
        assert_eq!(heard(&bench.callee), packet(n), "forwarded whatever the tap does");
    }
    bench.media.send(CALL, MediaCommand::Close);
    let lost = next(&mut bench.events, |e| matches!(e, MediaEventKind::TapLost { .. }));
    assert!(matches!(lost.kind, MediaEventKind::TapLost { leg: A, .. }));
    let closed = next(&mut bench.events, |e| matches!(e, MediaEventKind::Closed { .. }));
    let MediaEventKind::Closed { legs } = closed.kind else { panic!() };
    assert_eq!((legs[0].1.received, legs[0].1.tap_lost, legs[1].1.sent), (4, 2, 4));
    assert_eq!((tap.pop().unwrap().sequence, tap.pop().unwrap().sequence), (0, 1));
}

#[test]
fn keys_and_silence_are_told() {
    let mut bench = bench();
    let key = |end: u8| Patch { payload_type: 101, sequence: 1, timestamp: 5, ssrc: 1 }.packet(true, &[10, end, 1, 64]);
    bench.callee.send_to(&key(0), bench.at_b).unwrap();
    bench.callee.send_to(&key(0x80), bench.at_b).unwrap();
    let told = next(&mut bench.events, |e| matches!(e, MediaEventKind::Dtmf { .. }));
    assert_eq!(told.kind, MediaEventKind::Dtmf { leg: B, digit: '*', duration_ms: 40 });
    next(&mut bench.events, |e| matches!(e, MediaEventKind::Silent { leg: A }));
}

#[test]
fn ports_of_a_closed_call_are_not_reused_at_once() {
    let bench = bench();
    bench.media.send(CALL, MediaCommand::Close);
    let ip = "127.0.0.1".parse().unwrap();
    let again = bench.media.open_leg(CallKey(4), A, ip).unwrap();
    assert!(again.rtp.port() != bench.at_a.port() && again.rtp.port().is_multiple_of(2));
}

#[test]
fn rtcp_is_relayed_until_numbers_differ_and_ipv6_works() {
    let (sender, mut events) = unbounded_channel();
    let settings = MediaSettings { ports: (25_000, 25_999), threads: 1, silent_after: Duration::from_secs(30) };
    let engine = MediaEngine::start(settings, sender).unwrap();
    let media = engine.handle();
    let phone = || {
        let socket = UdpSocket::bind("[::1]:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    };
    let (caller, callee, caller_control, callee_control) = (phone(), phone(), phone(), phone());
    let ip = "::1".parse().unwrap();
    let (a, b) = (media.open_leg(CALL, A, ip).unwrap(), media.open_leg(CALL, B, ip).unwrap());
    for (leg, rtp, rtcp) in [(A, &caller, &caller_control), (B, &callee, &callee_control)] {
        let (rtp, rtcp) = (rtp.local_addr().unwrap(), Some(rtcp.local_addr().unwrap()));
        media.send(CALL, MediaCommand::Remote { leg, rtp, rtcp, media: negotiated() });
    }
    media.send(CALL, MediaCommand::Bridge { a: A, b: B });
    let report = [0x80, 200, 0, 1, 0, 0, 0, 5];
    caller_control.send_to(&report, a.rtcp).unwrap();
    assert_eq!(heard(&callee_control), report);
    callee_control.send_to(&report, b.rtcp).unwrap();
    assert_eq!(heard(&caller_control), report);
    caller.send_to(&packet(1), a.rtp).unwrap();
    assert_eq!(heard(&callee), packet(1));
    // A prompt while the caller is silent puts frames of ours into its stream.
    let prompt = Prompt { id: 4, narrow: vec![9_000; 320].into(), wide: vec![].into() };
    media.send(CALL, MediaCommand::Play { leg: B, prompt, duck_db: 20.0 });
    next(&mut events, |e| matches!(e, MediaEventKind::PromptEnded { .. }));
    caller_control.send_to(&report, a.rtcp).unwrap();
    caller_control.send_to(b"junk", a.rtcp).unwrap();
    caller.send_to(&packet(1_000), a.rtp).unwrap();
    let sequences = [(); 3].map(|()| Packet::parse(&heard(&callee)).unwrap().sequence());
    assert_eq!(sequences, [2, 3, 4]);
    // Both sockets were read by now or will be before the next order is carried out.
    callee_control.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(callee_control.recv(&mut [0; 64]).is_err(), "a report about other numbers");
}

#[test]
fn a_prompt_without_a_leg_is_refused_and_a_closed_legs_prompt_ends() {
    let mut bench = bench();
    let prompt = |id| Prompt { id, narrow: vec![9_000; 80_000].into(), wide: vec![].into() };
    bench.media.send(CALL, MediaCommand::Play { leg: LegId(7), prompt: prompt(1), duck_db: 20.0 });
    let refused = next(&mut bench.events, |e| matches!(e, MediaEventKind::PromptRefused { .. }));
    assert_eq!(refused.kind, MediaEventKind::PromptRefused { leg: LegId(7), id: 1, reason: Refused::NoSuchLeg });
    bench.media.send(CALL, MediaCommand::Play { leg: B, prompt: prompt(2), duck_db: 20.0 });
    next(&mut bench.events, |e| matches!(e, MediaEventKind::PromptHeard { leg: B, id: 2 }));
    bench.media.send(CALL, MediaCommand::CloseLeg { leg: B });
    next(&mut bench.events, |e| matches!(e, MediaEventKind::PromptEnded { leg: B, id: 2 }));
    bench.media.send(CALL, MediaCommand::Close);
    let closed = next(&mut bench.events, |e| matches!(e, MediaEventKind::Closed { .. }));
    let MediaEventKind::Closed { legs } = closed.kind else { panic!() };
    assert_eq!(legs.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [B, A], "the leg closed first is counted too");
}

#[test]
fn another_branch_takes_over_and_the_first_is_not_heard_any_more() {
    let bench = bench();
    let (other, ip) = (phone(), "127.0.0.1".parse().unwrap());
    let at_other = bench.media.open_leg(CALL, LegId(2), ip).unwrap().rtp;
    let rtp = other.local_addr().unwrap();
    bench.media.send(CALL, MediaCommand::Remote { leg: LegId(2), rtp, rtcp: None, media: negotiated() });
    bench.callee.send_to(&packet(1), bench.at_b).unwrap();
    assert_eq!(heard(&bench.caller), packet(1));
    bench.media.send(CALL, MediaCommand::Bridge { a: A, b: LegId(2) });
    // Orders come after packets that are already there: the caller's own packet shows that the bridge is made.
    let mut sequence = 100;
    let mut buffer = [0; 2048];
    other.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    while other.recv(&mut buffer).is_err() {
        bench.caller.send_to(&packet(sequence), bench.at_a).unwrap();
        sequence += 1;
    }
    bench.callee.send_to(&packet(2), bench.at_b).unwrap();
    other.send_to(&packet(50), at_other).unwrap();
    assert_eq!(heard(&bench.caller), packet(50), "only the branch that answered");
}

#[test]
fn an_address_that_is_not_ours_and_a_full_range_are_told_apart() {
    let (sender, _events) = unbounded_channel();
    let settings = MediaSettings { ports: (26_000, 26_003), threads: 1, silent_after: Duration::from_secs(30) };
    let engine = MediaEngine::start(settings, sender).unwrap();
    let open = |ip: &str| engine.handle().open_leg(CALL, A, ip.parse().unwrap());
    assert!(matches!(open("192.0.2.77"), Err(MediaError::Bind { .. })));
    let engine_ports: Vec<u16> = [open("127.0.0.1"), open("127.0.0.1")].map(|p| p.unwrap().rtp.port()).into();
    assert!(engine_ports.iter().all(|p| p % 2 == 0));
    assert!(matches!(open("127.0.0.1"), Err(MediaError::NoPort { .. })));
}
