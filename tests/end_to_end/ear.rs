//! A phone's RTP socket in the hands of the test: what it says is known to the byte, and what it hears is kept.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use audio_codec_algorithms::encode_ulaw;

/// Bytes of 20 ms of G.711.
const FRAME: usize = 160;
const PCMU: u8 = 0;
/// What [`crate::sipp`]'s descriptions name for telephone events.
const EVENTS: u8 = 101;

/// Real speech as µ-law: a sample call's left or right side without its pauses.
pub fn speech(sample: &str, side: usize) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(sample);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let call = callward::media::recording::Recording::read(bytes).expect("a sample call");
    let side = if side == 0 { call.caller() } else { call.callee().expect("two sides") };
    let samples = callward::media::recording::resample(side, call.rate, 8_000);
    let spoken = samples.chunks_exact(FRAME).filter(|frame| frame.iter().any(|sample| sample.abs() > 0.02));
    spoken.flatten().map(|s| encode_ulaw((s * 32_767.0) as i16)).collect()
}

struct Shared {
    socket: UdpSocket,
    heard: Mutex<Vec<u8>>,
    strangers: Mutex<Vec<SocketAddr>>,
    stop: AtomicBool,
}

/// An open RTP socket.
pub struct Ear {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    sent: Arc<Mutex<u16>>,
}

impl Ear {
    /// Opens one and listens.
    pub fn open(ip: IpAddr) -> Ear {
        let socket = UdpSocket::bind((ip, 0)).expect("a socket for sound");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let shared = Arc::new(Shared {
            socket,
            heard: Mutex::default(),
            strangers: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let listening = shared.clone();
        let threads = vec![std::thread::spawn(move || listen(&listening))];
        Ear { shared, threads, sent: Arc::default() }
    }

    /// Its port, for a session description.
    pub fn port(&self) -> u16 {
        self.shared.socket.local_addr().expect("bound").port()
    }

    /// Says this in real time to that port, again and again until the ear is dropped.
    pub fn speak(&mut self, to: SocketAddr, speech: Vec<u8>) {
        let (shared, sent) = (self.shared.clone(), self.sent.clone());
        self.threads.push(std::thread::spawn(move || {
            let mut next = Instant::now();
            for frame in speech.chunks_exact(FRAME).cycle() {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                let number = {
                    let mut sent = sent.lock().expect("lock");
                    *sent = sent.wrapping_add(1);
                    *sent
                };
                let packet = rtp(PCMU, number, u32::from(number) * FRAME as u32, frame);
                let _ = shared.socket.send_to(&packet, to);
                next += Duration::from_millis(20);
                std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
            }
        }));
    }

    /// Presses a key: three packets of the event and three of its end (RFC 4733).
    pub fn press(&self, to: SocketAddr, key: char) {
        let code = match key {
            '*' => 10,
            '#' => 11,
            digit => digit as u8 - b'0',
        };
        let began = u32::from(*self.sent.lock().expect("lock")) * FRAME as u32;
        for step in 1..=6u16 {
            let number = {
                let mut sent = self.sent.lock().expect("lock");
                *sent = sent.wrapping_add(1);
                *sent
            };
            let end = if step > 3 { 0x80 } else { 0 };
            let duration = (step.min(4) * 160).to_be_bytes();
            let packet = rtp(EVENTS, number, began, &[code, end | 10, duration[0], duration[1]]);
            let _ = self.shared.socket.send_to(&packet, to);
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until it has heard so much since `from` bytes and returns that; panics after ten seconds.
    pub fn hears(&self, from: usize, seconds: f32) -> Vec<u8> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let wanted = (seconds * 8_000.0) as usize;
        loop {
            let heard = self.shared.heard.lock().expect("lock").clone();
            if heard.len() >= from + wanted {
                return heard[from..].to_vec();
            }
            assert!(Instant::now() < deadline, "heard {} of {wanted} bytes", heard.len().saturating_sub(from));
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Bytes of sound heard so far.
    pub fn heard(&self) -> usize {
        self.shared.heard.lock().expect("lock").len()
    }

    /// Everyone who sent sound.
    pub fn heard_from(&self) -> Vec<SocketAddr> {
        self.shared.strangers.lock().expect("lock").clone()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn rtp(payload_type: u8, number: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(number.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(0x1234_5678u32.to_be_bytes());
    packet.extend(payload);
    packet
}

fn listen(shared: &Shared) {
    let mut buffer = [0; 2048];
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = shared.socket.recv_from(&mut buffer) else { continue };
        if length > 12 && buffer[1] & 0x7f == PCMU {
            shared.heard.lock().expect("lock").extend(&buffer[12..length]);
            let mut strangers = shared.strangers.lock().expect("lock");
            if !strangers.contains(&from) {
                strangers.push(from);
            }
        }
    }
}

/// Asserts that what was heard is a stretch of what was said, byte for byte and without a gap; what is said begins
/// anew when it is through.
pub fn assert_heard(heard: &[u8], said: &[u8]) {
    let frames: Vec<&[u8]> = said.chunks_exact(FRAME).collect();
    let first = &heard[..FRAME];
    let start = frames.iter().position(|frame| *frame == first).expect("what was heard was said");
    for (n, frame) in heard.chunks_exact(FRAME).enumerate() {
        assert_eq!(&frame, &frames[(start + n) % frames.len()], "frame {n} is another");
    }
}
