#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn media() -> LegMedia {
    LegMedia { payloads: vec![(0, Codec::Pcmu)], telephone_event: Some(101), sends: true, receives: true }
}

fn relay() -> Relay {
    let mut relay = Relay::default();
    relay.sender_negotiated(media());
    relay.receiver_negotiated(media());
    relay
}

fn packet(sequence: u16, timestamp: u32, ssrc: u32) -> Vec<u8> {
    Patch { payload_type: 0, sequence, timestamp, ssrc }.packet(false, &[0xff; 160])
}

fn prompt(milliseconds: usize) -> Prompt {
    Prompt { id: 7, narrow: vec![8_000; milliseconds * 8].into(), wide: vec![8_000; milliseconds * 16].into() }
}

fn loudness(bytes: &[u8]) -> i32 {
    let samples = codec::decoder(Codec::Pcmu).unwrap().decode(&bytes[12..]);
    samples.iter().map(|s| i32::from(*s).abs()).max().unwrap()
}

#[test]
fn nothing_is_touched_while_nothing_is_mixed() {
    let (mut relay, now) = (relay(), Instant::now());
    let bytes = packet(5, 800, 1);
    let sent = relay.forward(&Packet::parse(&bytes).unwrap(), now).unwrap();
    assert!(matches!(sent, std::borrow::Cow::Borrowed(b) if b == bytes));
}

#[test]
fn a_prompt_replaces_payloads_and_keeps_headers() {
    let (mut relay, now) = (relay(), Instant::now());
    assert!(relay.play(prompt(100), 20.0, now));
    for n in 0..6u16 {
        let bytes = packet(n, u32::from(n) * 160, 1);
        let sent = relay.forward(&Packet::parse(&bytes).unwrap(), now).unwrap();
        assert_eq!(sent[..12], bytes[..12]);
        assert_eq!(loudness(&sent) > 4_000, n < 5, "packet {n}");
    }
    assert_eq!(relay.events(), [Event::PromptHeard(7), Event::PromptEnded(7)]);
}

#[test]
fn a_silent_caller_does_not_silence_the_warning() {
    let (mut relay, t0) = (relay(), Instant::now());
    assert!(relay.play(prompt(60), 20.0, t0));
    let mut frames = Vec::new();
    for ms in 0..200 {
        frames.extend(relay.tick(t0 + Duration::from_millis(ms), || (100, 5_000, 42)));
    }
    assert_eq!(frames.len(), 3);
    // The caller begins to speak, with numbers of its own.
    let bytes = packet(9_000, 77, 1);
    let sent = relay.forward(&Packet::parse(&bytes).unwrap(), t0 + Duration::from_millis(200)).unwrap().into_owned();
    let (last, next) = (Packet::parse(&frames[2]).unwrap(), Packet::parse(&sent).unwrap());
    assert_eq!(next.sequence(), last.sequence() + 1);
    assert_eq!(next.timestamp(), last.timestamp() + 160);
    assert_eq!(next.ssrc(), 42);
}

#[test]
fn keys_pass_during_a_prompt_and_a_held_leg_hears_nothing() {
    let (mut relay, now) = (relay(), Instant::now());
    relay.play(prompt(100), 20.0, now);
    let key = Patch { payload_type: 101, sequence: 1, timestamp: 0, ssrc: 1 }.packet(true, &[1, 10, 0, 160]);
    assert_eq!(relay.forward(&Packet::parse(&key).unwrap(), now).unwrap().into_owned(), key);
    relay.receiver_negotiated(LegMedia { receives: false, ..media() });
    assert!(relay.forward(&Packet::parse(&key).unwrap(), now).is_none());
}

#[test]
fn payload_types_are_translated_and_unknown_codecs_refuse_prompts() {
    let (mut relay, now) = (relay(), Instant::now());
    relay.receiver_negotiated(LegMedia { payloads: vec![(120, Codec::Pcmu)], ..media() });
    let bytes = packet(1, 0, 1);
    let sent = relay.forward(&Packet::parse(&bytes).unwrap(), now).unwrap();
    assert_eq!(Packet::parse(&sent).unwrap().payload_type(), 120);
    relay.receiver_negotiated(LegMedia { payloads: vec![(111, Codec::Opaque)], ..media() });
    assert!(!relay.play(prompt(100), 20.0, now));
}

proptest! {
    /// However the caller's packets come and go, the callee sees one stream: one SSRC, each number one above the last,
    /// time never standing still or running back.
    #[test]
    fn the_stream_stays_continuous(gaps in proptest::collection::vec(0u64..400, 1..40), begins_with_prompt: bool) {
        let mut relay = relay();
        let (mut now, t0) = (Instant::now(), Instant::now());
        let mut sent: Vec<Vec<u8>> = Vec::new();
        let mut speaks = 0u16;
        if begins_with_prompt {
            relay.play(prompt(1_000), 20.0, now);
        }
        for (n, gap) in gaps.iter().enumerate() {
            if n == 3 {
                relay.play(prompt(2_000), 20.0, now);
            }
            for _ in 0..*gap / 10 {
                now += Duration::from_millis(10);
                sent.extend(relay.tick(now, || (60_000, 9, 42)));
            }
            let since = now.duration_since(t0).as_millis() as u32;
            let bytes = packet(65_500u16.wrapping_add(speaks), since.wrapping_mul(8), 7);
            speaks += 1;
            sent.push(relay.forward(&Packet::parse(&bytes).unwrap(), now).unwrap().into_owned());
            now += Duration::from_millis(20);
        }
        let parsed: Vec<Packet> = sent.iter().map(|b| Packet::parse(b).unwrap()).collect();
        for pair in parsed.windows(2) {
            prop_assert_eq!(pair[1].ssrc(), pair[0].ssrc());
            prop_assert_eq!(pair[1].sequence(), pair[0].sequence().wrapping_add(1));
            let step = pair[1].timestamp().wrapping_sub(pair[0].timestamp());
            prop_assert!(step > 0 && step < 8 * 1_000, "{}", step);
        }
    }
}
