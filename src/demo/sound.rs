//! The sound of a demonstration phone: plays samples as G.711 over RTP in real time and records what arrives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use audio_codec_algorithms::{decode_ulaw, encode_ulaw};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::TELEPHONE_RATE;
use crate::media::recording::to_i16;

/// Samples of one 20 ms packet.
const PACKET: usize = 160;
/// Payload type of µ-law (RFC 3551).
const PCMU: u8 = 0;
/// Longest recording kept: an hour.
const MAX_HEARD: usize = 3600 * TELEPHONE_RATE as usize;

/// What a phone has heard so far, on the time line that began with the call.
#[derive(Clone)]
pub struct Heard {
    began: Instant,
    samples: Arc<Mutex<Vec<i16>>>,
}

impl Heard {
    fn new() -> Heard {
        Heard { began: Instant::now(), samples: Arc::default() }
    }

    /// The samples.
    pub fn samples(&self) -> Vec<i16> {
        self.samples.lock().clone()
    }

    fn put(&self, at: usize, payload: &[u8]) {
        let end = at + payload.len();
        if end > MAX_HEARD {
            return;
        }
        let mut samples = self.samples.lock();
        if samples.len() < end {
            samples.resize(end, 0);
        }
        for (slot, &byte) in samples[at..end].iter_mut().zip(payload) {
            *slot = decode_ulaw(byte);
        }
    }
}

/// A phone's RTP socket at work.
pub struct Player {
    /// What arrives.
    pub heard: Heard,
    done: watch::Receiver<bool>,
    stop: CancellationToken,
}

impl Player {
    /// Begins to play and to listen. After the last sample silence is sent until the player is dropped.
    pub fn start(socket: Arc<UdpSocket>, peer: SocketAddr, samples: Vec<f32>) -> Player {
        let (finished, done) = watch::channel(false);
        let (heard, stop) = (Heard::new(), CancellationToken::new());
        let (ear, mouth) = (listen(socket.clone(), heard.clone()), play(socket, peer, samples, finished));
        for task in [tokio::spawn(until(stop.clone(), ear)), tokio::spawn(until(stop.clone(), mouth))] {
            drop(task);
        }
        Player { heard, done, stop }
    }

    /// Waits until the last sample was played.
    pub async fn played(&mut self) {
        let _ = self.done.wait_for(|done| *done).await;
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    stop.run_until_cancelled(work).await;
}

async fn play(socket: Arc<UdpSocket>, peer: SocketAddr, samples: Vec<f32>, finished: watch::Sender<bool>) {
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let (ssrc, first): (u32, u16) = (rand::random(), rand::random());
    let mut packets = samples.chunks(PACKET);
    for count in 0u32.. {
        clock.tick().await;
        let speech = packets.next();
        if speech.is_none() {
            finished.send_replace(true);
        }
        let mut payload = [0xff; PACKET];
        for (byte, &sample) in payload.iter_mut().zip(speech.unwrap_or_default()) {
            *byte = encode_ulaw(to_i16(sample));
        }
        let marker = if count == 0 { 0x80 } else { 0 };
        let mut packet = vec![0x80, marker | PCMU];
        packet.extend(first.wrapping_add(count as u16).to_be_bytes());
        packet.extend((count.wrapping_mul(PACKET as u32)).to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend(payload);
        let _ = socket.send_to(&packet, peer).await;
    }
}

/// Places each packet by its RTP timestamp, the first by its arrival.
async fn listen(socket: Arc<UdpSocket>, heard: Heard) {
    let mut buffer = [0; 2048];
    let mut origin: Option<(u32, u32, usize)> = None;
    while let Ok((length, _)) = socket.recv_from(&mut buffer).await {
        if length < 12 || buffer[0] >> 6 != 2 || buffer[1] & 0x7f != PCMU {
            continue;
        }
        let word = |at: usize| u32::from_be_bytes([buffer[at], buffer[at + 1], buffer[at + 2], buffer[at + 3]]);
        let (timestamp, ssrc) = (word(4), word(8));
        let now = heard.began.elapsed().as_millis() as usize * TELEPHONE_RATE as usize / 1000;
        let (known, first, at) = *origin.get_or_insert((ssrc, timestamp, now));
        if known != ssrc {
            origin = Some((ssrc, timestamp, now));
            heard.put(now, &buffer[12..length]);
            continue;
        }
        let offset = timestamp.wrapping_sub(first);
        if offset < u32::MAX / 2 {
            heard.put(at + offset as usize, &buffer[12..length]);
        }
    }
}
