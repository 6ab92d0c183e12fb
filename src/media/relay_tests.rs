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
    relay.play(prompt(100), 20.0, now).unwrap();
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
    relay.play(prompt(60), 20.0, t0).unwrap();
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
    assert_eq!(next.timestamp(), last.timestamp() + 160 * 8, "160 ms later, as on the clock");
    assert_eq!(next.ssrc(), 42);
}

#[test]
fn keys_pass_during_a_prompt_and_a_held_leg_hears_nothing() {
    let (mut relay, now) = (relay(), Instant::now());
    relay.play(prompt(100), 20.0, now).unwrap();
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
    assert_eq!(relay.play(prompt(100), 20.0, now), Err(Refused::Codec));
}

/// A call in virtual time: what the callee's socket would see.
struct Line {
    relay: Relay,
    now: Instant,
    began: Instant,
    heard: Vec<Vec<u8>>,
}

impl Line {
    fn new() -> Line {
        let now = Instant::now();
        Line { relay: relay(), now, began: now, heard: Vec::new() }
    }

    /// Lets time pass in the engine's ticks.
    fn wait(&mut self, milliseconds: u64) {
        let until = self.now + Duration::from_millis(milliseconds);
        while self.now + Duration::from_millis(10) <= until {
            self.now += Duration::from_millis(10);
            self.heard.extend(self.relay.tick(self.now, || (60_000, 9, 42)));
        }
        self.now = until;
    }

    fn clock(&self) -> u32 {
        self.now.duration_since(self.began).as_millis() as u32 * 8
    }

    fn says(&mut self, bytes: &[u8]) -> bool {
        let sent = self.relay.forward(&Packet::parse(bytes).unwrap(), self.now).map(Outgoing::into_owned);
        let passed = sent.is_some();
        self.heard.extend(sent);
        passed
    }

    fn packets(&self) -> Vec<Packet<'_>> {
        self.heard.iter().map(|b| Packet::parse(b).unwrap()).collect()
    }

    fn is_continuous(&self) -> bool {
        self.packets().windows(2).all(|pair| {
            let step = pair[1].timestamp().wrapping_sub(pair[0].timestamp());
            pair[1].ssrc() == pair[0].ssrc()
                && pair[1].sequence() == pair[0].sequence().wrapping_add(1)
                && (1..8_000).contains(&step)
        })
    }
}

#[test]
fn a_pause_does_not_delay_the_rest_of_the_call() {
    let mut line = Line::new();
    line.says(&packet(10, 0, 7));
    line.relay.play(prompt(600), 20.0, line.now).unwrap();
    line.wait(1_000);
    let after = line.clock();
    assert!(line.says(&packet(11, after, 7)));
    let last = line.packets().pop().unwrap().timestamp();
    assert_eq!(last, after, "the sender's clock ran on and is kept");
    assert_eq!(line.packets().len(), 1 + 30 + 1);
    assert!(line.is_continuous());
}

#[test]
fn a_sender_whose_clock_stood_still_goes_on_with_ours() {
    let mut line = Line::new();
    line.says(&packet(10, 0, 7));
    line.relay.play(prompt(2_000), 20.0, line.now).unwrap();
    line.wait(1_000);
    assert!(line.says(&packet(11, 160, 7)));
    line.wait(20);
    assert!(line.says(&packet(12, 320, 7)));
    assert!(line.is_continuous());
}

#[test]
fn a_burst_after_a_stall_is_not_played_after_the_prompt() {
    let mut line = Line::new();
    line.says(&packet(0, 0, 7));
    line.relay.play(prompt(2_000), 20.0, line.now).unwrap();
    line.wait(160);
    let passed: Vec<bool> = (1..=8).map(|n| line.says(&packet(n, u32::from(n) * 160, 7))).collect();
    assert_eq!(passed, [false; 8], "their time is filled");
    line.wait(20);
    assert!(line.says(&packet(9, 9 * 160, 7)));
    assert_eq!(line.packets().pop().unwrap().timestamp(), 9 * 160);
    assert!(line.is_continuous());
    line.relay.cut();
    // One that was overtaken before the join has no place between our frames.
    assert!(!line.says(&packet(1, 160, 7)));
}

#[test]
fn a_prompt_is_whole_at_any_packet_time() {
    for milliseconds in [10u16, 20, 30, 40, 60] {
        let mut line = Line::new();
        line.relay.play(prompt(1_200), 20.0, line.now).unwrap();
        let bytes = usize::from(milliseconds) * 8;
        for n in 0..1_300 / milliseconds {
            let header = Patch { payload_type: 0, sequence: n, timestamp: u32::from(n) * bytes as u32, ssrc: 7 };
            assert!(line.says(&header.packet(n == 0, &vec![0xff; bytes])));
            line.wait(u64::from(milliseconds));
        }
        let loud = line.heard.iter().filter(|b| loudness(b) > 4_000).count();
        assert_eq!(loud, 1_200 / usize::from(milliseconds), "{milliseconds} ms");
        assert!(line.heard.iter().all(|b| b.len() == 12 + bytes), "no frame of ours between");
        assert!(line.is_continuous());
    }
}

#[test]
fn duplicates_and_comfort_noise_cost_no_prompt() {
    let mut line = Line::new();
    line.relay.play(prompt(200), 20.0, line.now).unwrap();
    assert!(line.says(&packet(1, 160, 7)) && !line.says(&packet(1, 160, 7)));
    let noise = Patch { payload_type: 13, sequence: 2, timestamp: 320, ssrc: 7 }.packet(false, &[40]);
    assert!(!line.says(&noise));
    assert!(line.says(&packet(3, 480, 7)));
    assert!(line.is_continuous());
    line.relay.cut();
    let noise = Patch { payload_type: 13, sequence: 4, timestamp: 640, ssrc: 7 }.packet(false, &[40]);
    assert!(line.says(&noise), "passes when nothing is mixed");
}

#[test]
fn a_key_between_our_frames_keeps_one_timestamp() {
    let mut line = Line::new();
    line.says(&packet(1, 0, 7));
    line.relay.play(prompt(2_000), 20.0, line.now).unwrap();
    let key =
        |n: u16| Patch { payload_type: 101, sequence: n, timestamp: 400, ssrc: 7 }.packet(n == 2, &[1, 10, 0, 160]);
    for n in 2..5 {
        line.wait(100);
        assert!(line.says(&key(n)));
    }
    let packets = line.packets();
    let keys: Vec<u32> = packets.iter().filter(|p| p.payload_type() == 101).map(|p| p.timestamp()).collect();
    assert_eq!(keys, [400, 400, 400]);
    assert!(packets.windows(2).all(|p| p[1].sequence() == p[0].sequence() + 1));
    let sound: Vec<u32> = packets.iter().filter(|p| p.payload_type() == 0).map(|p| p.timestamp()).collect();
    assert!(sound.len() > 5 && sound.windows(2).all(|t| t[1] > t[0]), "{sound:?}");
}

#[test]
fn after_a_hold_the_prompt_goes_on_at_its_own_pace() {
    let mut line = Line::new();
    line.relay.play(prompt(1_000), 20.0, line.now).unwrap();
    line.wait(200);
    let before = line.heard.len();
    line.relay.receiver_negotiated(LegMedia { receives: false, ..media() });
    line.wait(5_000);
    assert_eq!(line.heard.len(), before);
    line.relay.receiver_negotiated(media());
    line.wait(200);
    assert_eq!(line.heard.len(), before + 10);
}

#[test]
fn a_change_to_a_relayed_codec_ends_the_prompt_and_stopping_fades() {
    let mut line = Line::new();
    let both = LegMedia { payloads: vec![(0, Codec::Pcmu), (111, Codec::Opaque)], ..media() };
    line.relay.sender_negotiated(both.clone());
    line.relay.receiver_negotiated(both);
    line.relay.play(prompt(1_000), 20.0, line.now).unwrap();
    line.says(&packet(1, 0, 7));
    let opus = Patch { payload_type: 111, sequence: 2, timestamp: 960, ssrc: 7 }.packet(false, &[1, 2, 3]);
    assert!(line.says(&opus));
    assert_eq!(line.heard[1], opus);
    assert_eq!(line.relay.events(), [Event::PromptHeard(7), Event::PromptEnded(7)]);
    assert_eq!(line.relay.play(prompt(100), 20.0, line.now), Err(Refused::Codec));
    line.says(&packet(3, 1_120, 7));
    line.relay.play(prompt(1_000), 20.0, line.now).unwrap();
    line.wait(100);
    line.relay.stop();
    assert!(line.relay.is_playing());
    line.wait(60);
    assert!(!line.relay.is_playing());
}

#[test]
fn a_prompt_is_written_in_every_codec_that_is_spoken() {
    for (pt, codec) in [(0, Codec::Pcmu), (8, Codec::Pcma), (9, Codec::G722)] {
        let mut line = Line::new();
        let media = LegMedia { payloads: vec![(pt, codec)], ..media() };
        line.relay.sender_negotiated(media.clone());
        line.relay.receiver_negotiated(media);
        let tone = |rate: usize| -> std::sync::Arc<[i16]> {
            let wave = |i: usize| (i as f32 * 500.0 * std::f32::consts::TAU / rate as f32).sin();
            (0..rate).map(|i| (9_000.0 * wave(i)) as i16).collect()
        };
        let prompt = Prompt { id: 1, narrow: tone(8_000), wide: tone(16_000) };
        line.relay.play(prompt, 20.0, line.now).unwrap();
        line.wait(1_010);
        let mut decoder = codec::decoder(codec).unwrap();
        let heard: Vec<i16> = line.packets().iter().flat_map(|p| decoder.decode(p.payload())).collect();
        let rate = codec::sample_rate(codec).unwrap() as usize;
        assert_eq!(heard.len(), rate);
        let rising = heard[rate / 4..].windows(2).filter(|w| w[0] <= 0 && w[1] > 0).count();
        assert!((373..=377).contains(&rising), "{codec:?} {rising}");
    }
}

#[test]
fn in_g722_a_prompt_begins_and_ends_without_a_burst() {
    let mut line = Line::new();
    let media = LegMedia { payloads: vec![(9, Codec::G722)], ..media() };
    line.relay.sender_negotiated(media.clone());
    line.relay.receiver_negotiated(media);
    let (mut encoder, mut decoder) = (codec::encoder(Codec::G722).unwrap(), codec::decoder(Codec::G722).unwrap());
    let mut levels = Vec::new();
    for n in 0..70u16 {
        if n == 25 {
            let prompt = Prompt { id: 1, narrow: vec![].into(), wide: vec![0; 6400].into() };
            line.relay.play(prompt, 20.0, line.now).unwrap();
        }
        let angle = |i: usize| (usize::from(n) * 320 + i) as f32 * 500.0 * std::f32::consts::TAU / 16_000.0;
        let voice: Vec<i16> = (0..320).map(|i| (20_000.0 * angle(i).sin()) as i16).collect();
        let payload = encoder.encode(&voice);
        let header = Patch { payload_type: 9, sequence: n, timestamp: u32::from(n) * 160, ssrc: 7 };
        line.says(&header.packet(false, &payload));
        let heard = decoder.decode(&line.heard[usize::from(n)][12..]);
        levels.push(heard.iter().map(|s| i32::from(*s).abs()).max().unwrap());
        line.wait(20);
    }
    // Encoder and decoder of the prompt start fresh while the callee's decoder has adapted to the caller's.
    assert!(levels.iter().all(|level| *level < 25_000), "{levels:?}");
    assert!(levels[30..42].iter().all(|level| *level < 3_000) && levels[50..].iter().all(|level| *level > 19_000));
}

proptest! {
    /// However the caller's packets come and go, the callee sees one stream: one SSRC, each number one above the last,
    /// time never standing still or running back, nor away from the clock.
    #[test]
    fn the_stream_stays_continuous(gaps in proptest::collection::vec(0u64..400, 1..40), begins_with_prompt: bool) {
        let mut line = Line::new();
        if begins_with_prompt {
            line.relay.play(prompt(1_000), 20.0, line.now).unwrap();
        }
        let mut origin = None;
        for (n, gap) in gaps.iter().enumerate() {
            if n == 3 {
                line.relay.play(prompt(2_000), 20.0, line.now).unwrap();
            }
            line.wait(*gap);
            let clock = line.clock();
            if line.says(&packet(65_500u16.wrapping_add(n as u16), clock, 7)) {
                let shift = line.packets().pop().unwrap().timestamp().wrapping_sub(clock) as i32;
                let drift = shift - *origin.get_or_insert(shift);
                prop_assert!(drift.abs() <= 1_600, "{drift}");
            }
            line.wait(20);
        }
        prop_assert!(line.is_continuous());
    }

    /// Loss, reordering, duplicates, other sources: never a number twice with other contents, never a panic.
    #[test]
    fn no_number_is_used_twice(
        steps in proptest::collection::vec((0u64..150, 0i32..12, 0u32..40), 1..120), at in 0usize..60
    ) {
        let (mut line, mut ssrc) = (Line::new(), 7);
        for (n, (gap, back, odd)) in steps.iter().enumerate() {
            if n == at {
                line.relay.play(prompt(1_500), 20.0, line.now).unwrap();
            }
            line.wait(*gap);
            let sequence = (n as i32 - if *back < 3 { *back } else { 0 }).max(0) as u16;
            ssrc += u32::from(*odd == 0);
            line.says(&packet(sequence, u32::from(sequence) * 160, ssrc));
        }
        let mut seen = std::collections::HashMap::new();
        for packet in line.packets() {
            let contents = (packet.timestamp(), packet.payload().to_vec());
            let first = seen.entry((packet.ssrc(), packet.sequence())).or_insert_with(|| contents.clone());
            prop_assert_eq!(&*first, &contents);
        }
    }
}
