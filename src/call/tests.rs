//! Calls told as inputs and actions, in virtual time.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

const A: LegId = LegId::CALLER;
const B: LegId = LegId(1);
const C: LegId = LegId(2);

fn sdp(port: u16, extra: &str) -> Sdp {
    let text = format!(
        "v=0\r\no=- 1 {port} IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n{extra}"
    );
    Sdp::parse(text.as_bytes()).unwrap()
}

fn anchor(port: u16) -> Anchor {
    let at = |p: u16| format!("198.51.100.1:{p}").parse().unwrap();
    Anchor { rtp: at(port), rtcp: at(port + 1), session_id: 1, version: 0 }
}

fn ringing(offer: Option<Sdp>, phones: u8, now: Instant) -> (Call, Vec<Action>) {
    Call::new(
        Setup {
            offer,
            caller: anchor(10_000),
            phones: (1..=phones).map(|i| (LegId(i), anchor(10_000 + 2 * u16::from(i)))).collect(),
            ring_timeout: Duration::from_secs(60),
            timer: Proposal::default(),
            session_expires: None,
            caller_allows_update: false,
        },
        now,
    )
}

fn reply(status: u16, sdp: Option<Sdp>) -> Reply {
    Reply { status, sdp, ..Default::default() }
}

fn mid(method: Method, sdp: Option<Sdp>) -> MidCall {
    MidCall { method, sdp, body: None, headers: vec![], timer: Proposal::default() }
}

/// The actions in short: what an observer of the wire would note down.
fn story(actions: &[Action]) -> Vec<String> {
    let with = |out: &Outgoing| if out.sdp.is_some() { " +sdp" } else { "" };
    let told = |action: &Action| match action {
        Action::Invite(l, o) => format!("invite {}{}", l.0, with(o)),
        Action::CancelInvite(l) => format!("cancel {}", l.0),
        Action::Progress(l, s, o) => format!("progress {} {s}{}", l.0, with(o)),
        Action::Final(l, s, o) => format!("final {} {s}{}", l.0, with(o)),
        Action::Ack(l, o) => format!("ack {}{}", l.0, with(o)),
        Action::Request(l, _, m, o) => format!("request {} {m}{}", l.0, with(o)),
        Action::Respond(l, _, s, o) => format!("respond {} {s}{}", l.0, with(o)),
        Action::Bye(l, _) => format!("bye {}", l.0),
        Action::Media(l, m) => format!("media {} {}", l.0, m.rtp.port()),
        Action::Bridge(a, b) => format!("bridge {} {}", a.0, b.0),
        Action::Connected(l) => format!("connected {}", l.0),
        Action::Ended(cause) => format!("ended {cause:?}"),
    };
    actions.iter().map(told).collect()
}

fn established(now: Instant) -> Call {
    let (mut call, _) = ringing(Some(sdp(4000, "")), 1, now);
    call.handle(now, Input::Answered(B, reply(200, Some(sdp(5000, "")))));
    call.handle(now, Input::Acked(A, None));
    call
}

#[test]
fn a_plain_call_from_invite_to_bye() {
    let now = Instant::now();
    let (mut call, first) = ringing(Some(sdp(4000, "")), 1, now);
    assert_eq!(story(&first), ["media 0 4000", "invite 1 +sdp"]);
    assert_eq!(story(&call.handle(now, Input::Progress(B, reply(180, None)))), ["progress 1 180"]);
    let answered = call.handle(now, Input::Answered(B, reply(200, Some(sdp(5000, "")))));
    assert_eq!(story(&answered), ["ack 1", "media 1 5000", "bridge 0 1", "final 1 200 +sdp", "connected 1"]);
    assert_eq!(story(&call.handle(now, Input::Acked(A, None))), Vec::<String>::new());
    let bye = call.handle(now, Input::Request(B, ExchangeId(9), mid(Method::Bye, None)));
    assert_eq!(story(&bye), ["respond 1 200", "bye 0", "ended HungUp(LegId(1))"]);
    assert!(call.is_finished());
}

#[test]
fn the_first_of_two_phones_wins_and_the_other_is_cancelled() {
    let now = Instant::now();
    let (mut call, _) = ringing(Some(sdp(4000, "")), 2, now);
    call.handle(now, Input::Progress(B, reply(180, None)));
    let won = story(&call.handle(now, Input::Answered(C, reply(200, Some(sdp(5000, ""))))));
    assert_eq!(won[..2], ["cancel 1", "ack 2"]);
    // The loser answered in the same instant.
    let late = call.handle(now, Input::Answered(B, reply(200, Some(sdp(6000, "")))));
    assert_eq!(story(&late), ["ack 1", "bye 1"]);
}

#[test]
fn a_cancel_waits_for_the_first_response_of_a_silent_phone() {
    let now = Instant::now();
    let (mut call, _) = ringing(Some(sdp(4000, "")), 1, now);
    assert_eq!(story(&call.handle(now, Input::Cancelled)), ["final 1 487", "ended Cancelled"]);
    assert!(!call.is_finished());
    assert_eq!(story(&call.handle(now, Input::Progress(B, reply(180, None)))), ["cancel 1"]);
    call.handle(now, Input::Refused(B, reply(487, None)));
    assert!(call.is_finished());
}

#[test]
fn refusals_keep_their_codes_and_the_best_one_wins() {
    let now = Instant::now();
    let (mut call, _) = ringing(Some(sdp(4000, "")), 2, now);
    assert!(call.handle(now, Input::Refused(B, reply(408, None))).is_empty());
    let end = call.handle(now, Input::Refused(C, reply(486, None)));
    assert_eq!(story(&end), ["final 2 486", "ended Refused(486)"]);
    let (mut call, _) = ringing(Some(sdp(4000, "")), 2, now);
    call.handle(now, Input::Progress(C, reply(180, None)));
    let end = call.handle(now, Input::Refused(B, reply(603, None)));
    assert_eq!(story(&end), ["cancel 2", "final 1 603", "ended Refused(603)"]);
}

#[test]
fn nobody_answers() {
    let now = Instant::now();
    let (mut call, _) = ringing(Some(sdp(4000, "")), 1, now);
    call.handle(now, Input::Progress(B, reply(180, None)));
    let later = now + Duration::from_secs(60);
    assert_eq!(call.deadline(), Some(later));
    assert_eq!(story(&call.handle(later, Input::Tick)), ["cancel 1", "final 1 480", "ended Refused(480)"]);
}

#[test]
fn early_media_of_one_phone_only_is_bridged() {
    let now = Instant::now();
    let (mut call, _) = ringing(Some(sdp(4000, "")), 2, now);
    let early = call.handle(now, Input::Progress(B, reply(183, Some(sdp(5000, "")))));
    assert_eq!(story(&early), ["media 1 5000", "bridge 0 1", "progress 1 183 +sdp"]);
    let second = call.handle(now, Input::Progress(C, reply(183, Some(sdp(6000, "")))));
    assert_eq!(story(&second), ["progress 2 183"]);
    // The answer came in the 183 already; the 200 need not repeat it.
    let answered = story(&call.handle(now, Input::Answered(B, reply(200, None))));
    assert!(answered.contains(&"final 1 200 +sdp".to_string()), "{answered:?}");
}

#[test]
fn an_offer_in_the_answer_is_answered_in_the_ack() {
    let now = Instant::now();
    let (mut call, first) = ringing(None, 1, now);
    assert_eq!(story(&first), ["invite 1"]);
    let answered = story(&call.handle(now, Input::Answered(B, reply(200, Some(sdp(5000, ""))))));
    assert_eq!(answered, ["media 1 5000", "bridge 0 1", "final 1 200 +sdp", "connected 1"]);
    let acked = call.handle(now, Input::Acked(A, Some(sdp(4000, ""))));
    assert_eq!(story(&acked), ["media 0 4000", "ack 1 +sdp"]);
}

#[test]
fn hold_and_resume_reach_the_other_leg() {
    let now = Instant::now();
    let mut call = established(now);
    let hold =
        call.handle(now, Input::Request(A, ExchangeId(5), mid(Method::Invite, Some(sdp(4001, "a=sendonly\r\n")))));
    assert_eq!(story(&hold), ["request 1 INVITE +sdp"]);
    let Action::Request(_, id, ..) = hold[0].clone() else { panic!() };
    let held = call.handle(now, Input::Response(B, id, reply(200, Some(sdp(5001, "a=recvonly\r\n")))));
    assert_eq!(story(&held), ["ack 1", "media 0 4001", "media 1 5001", "respond 0 200 +sdp"]);
}

#[test]
fn two_offers_at_once_glare() {
    let now = Instant::now();
    let mut call = established(now);
    call.handle(now, Input::Request(A, ExchangeId(5), mid(Method::Invite, Some(sdp(4001, "")))));
    let other = call.handle(now, Input::Request(B, ExchangeId(6), mid(Method::Invite, Some(sdp(5001, "")))));
    assert_eq!(story(&other), ["respond 1 491"]);
    let same = call.handle(now, Input::Request(A, ExchangeId(7), mid(Method::Invite, Some(sdp(4002, "")))));
    assert_eq!(story(&same), ["respond 0 500"]);
}

#[test]
fn an_unchanged_offer_is_answered_here() {
    let now = Instant::now();
    let mut call = established(now);
    let refresh = call.handle(now, Input::Request(A, ExchangeId(5), mid(Method::Invite, Some(sdp(4000, "")))));
    assert_eq!(story(&refresh), ["respond 0 200 +sdp"]);
}

#[test]
fn an_attended_transfer_is_declined_and_a_blind_one_passed_on() {
    let now = Instant::now();
    let mut call = established(now);
    let refer = |to: &str| {
        let mut request = mid(Method::Refer, None);
        request.headers = vec![Header::ReferTo(to.to_string().into())];
        request
    };
    let blind = call.handle(now, Input::Request(B, ExchangeId(1), refer("<sip:x@192.0.2.3>")));
    assert_eq!(story(&blind), ["request 0 REFER"]);
    let attended = call.handle(now, Input::Request(B, ExchangeId(2), refer("<sip:x@192.0.2.3?Replaces=a%3B>")));
    assert_eq!(story(&attended), ["respond 1 603"]);
}

#[test]
fn a_vanished_peer_ends_the_call() {
    let now = Instant::now();
    let mut call = established(now);
    let info = call.handle(now, Input::Request(A, ExchangeId(1), mid(Method::Info, None)));
    let Action::Request(_, id, ..) = info[0].clone() else { panic!() };
    let gone = story(&call.handle(now, Input::Response(B, id, reply(481, None))));
    assert_eq!(gone, ["respond 0 481", "bye 0", "bye 1", "ended HungUp(LegId(1))"]);
}

fn any_input() -> impl Strategy<Value = Input> {
    let leg = (0u8..4).prop_map(LegId);
    let status = prop_oneof![Just(180u16), Just(183), Just(200), Just(302), Just(408), Just(481), Just(486), Just(603)];
    let described = proptest::option::of((4000u16..4004).prop_map(|p| sdp(p, "")));
    let method = prop_oneof![
        Just(Method::Bye),
        Just(Method::Invite),
        Just(Method::Update),
        Just(Method::Info),
        Just(Method::Refer),
        Just(Method::Options),
        Just(Method::PRack),
        Just(Method::Subscribe)
    ];
    (leg, status, described, method, 0u64..8, 0u8..9).prop_map(|(leg, status, sdp, method, id, kind)| match kind {
        0 => Input::Progress(leg, reply(status.min(199), sdp)),
        1 => Input::Answered(leg, reply(200, sdp)),
        2 => Input::Refused(leg, reply(status.max(300), sdp)),
        3 => Input::Cancelled,
        4 => Input::Acked(leg, sdp),
        5 => Input::AckMissing(leg),
        6 => Input::Request(leg, ExchangeId(id), mid(method, sdp)),
        7 => Input::Response(leg, ExchangeId(id), reply(status.max(200), sdp)),
        _ => Input::HangUp("test"),
    })
}

proptest! {
    /// Whatever peers do, a call ends once, gives the caller's INVITE at most one final response, never connects
    /// twice, and answers each request at most once.
    #[test]
    fn no_order_of_events_breaks_a_call(inputs in proptest::collection::vec(any_input(), 0..60), offer: bool) {
        let mut now = Instant::now();
        let (mut call, mut actions) = ringing(offer.then(|| sdp(4000, "")), 3, now);
        for (at, mut input) in inputs.into_iter().enumerate() {
            now += Duration::from_millis(300);
            if let Input::Request(_, exchange, _) = &mut input {
                *exchange = ExchangeId(1_000 + at as u64);
            }
            actions.extend(call.handle(now, input));
        }
        actions.extend(call.handle(now + Duration::from_secs(99), Input::HangUp("over")));
        let count = |f: &dyn Fn(&Action) -> bool| actions.iter().filter(|a| f(a)).count();
        prop_assert_eq!(count(&|a| matches!(a, Action::Ended(_))), 1);
        prop_assert_eq!(count(&|a| matches!(a, Action::Final(..))), 1);
        prop_assert!(count(&|a| matches!(a, Action::Connected(_))) <= 1);
        let mut answered: Vec<_> = actions.iter().filter_map(|a| match a {
            Action::Respond(_, exchange, ..) => Some(exchange.0),
            _ => None,
        }).collect();
        let total = answered.len();
        answered.sort_unstable();
        answered.dedup();
        prop_assert_eq!(answered.len(), total);
    }
}
