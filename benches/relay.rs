//! Added delay of relayed packets: calls with 50 packets a second each way through the media engine on loopback, beside
//! the same packets over a plain socket pair in the same run. The difference is what Callward adds.
//!
//! `cargo bench --bench relay`; `CALLS=100 SECONDS=30 cargo bench --bench relay` for another load. Ends with status 1
//! when the target (median under 1 ms, 99th percentile under 5 ms) is missed.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use callward::media::rtp::Patch;
use callward::media::{Codec, LegId, LegMedia};
use callward::server::media::{CallKey, MediaCommand, MediaEngine, MediaSettings};
use mio::{Events, Interest, Poll, Token};

/// Time between packets of one direction.
const PACKET: Duration = Duration::from_millis(20);
const PAYLOAD: usize = 160;
/// Where in the payload the sender's clock stands.
const STAMP: std::ops::Range<usize> = 12..20;
const TARGET: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(5));

/// One direction of a call, or of the baseline: where to send from and to.
struct Stream {
    socket: usize,
    to: SocketAddr,
    direct: bool,
    due: Duration,
    sequence: u16,
}

struct Load {
    sockets: Vec<mio::net::UdpSocket>,
    streams: Vec<Stream>,
}

impl Load {
    /// A phone's socket, and its index.
    fn phone(&mut self) -> Result<(usize, SocketAddr), Box<dyn Error>> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        self.sockets.push(mio::net::UdpSocket::from_std(socket));
        Ok((self.sockets.len() - 1, address))
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let number = |name: &str, otherwise| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(otherwise);
    let (calls, seconds, threads) = (number("CALLS", 20), number("SECONDS", 10), number("THREADS", 1));
    let (sender, _events) = tokio::sync::mpsc::unbounded_channel();
    let settings =
        MediaSettings { ports: (30_000, 39_999), threads: threads as usize, silent_after: Duration::from_secs(30) };
    let engine = MediaEngine::start(settings, sender)?;
    let mut load = Load { sockets: Vec::new(), streams: Vec::new() };
    for call in 0..calls {
        add_call(&engine, &mut load, call, calls)?;
    }
    let (mut direct, mut relayed) = measure(&mut load, Duration::from_secs(seconds))?;
    let per_path = seconds * 50 * calls * 2;
    println!("{calls} calls, both directions, 50 packets/s, {seconds} s, {threads} media thread(s)\n");
    println!("| path | packets | lost | median | p99 | max |\n|---|---|---|---|---|---|");
    let baseline = row("direct socket", &mut direct, per_path);
    let through = row("through the engine", &mut relayed, per_path);
    let added = [0, 1].map(|i| through[i].saturating_sub(baseline[i]));
    println!("| added | | | {:.3} ms | {:.3} ms | |", millis(added[0]), millis(added[1]));
    let met = added[0] < TARGET.0 && added[1] < TARGET.1;
    println!("\ntarget: median < 1 ms, p99 < 5 ms: {}", if met { "met" } else { "MISSED" });
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sets up one call, and as many streams beside it that go straight from phone to phone.
fn add_call(engine: &MediaEngine, load: &mut Load, call: u64, calls: u64) -> Result<(), Box<dyn Error>> {
    let (handle, key) = (engine.handle(), CallKey(call));
    let (a, b) = (LegId::CALLER, LegId(1));
    for (leg, other) in [(a, b), (b, a)] {
        let (socket, address) = load.phone()?;
        let to = handle.open_leg(key, leg, Ipv4Addr::LOCALHOST.into())?.rtp;
        let media = LegMedia { payloads: vec![(0, Codec::Pcmu)], telephone_event: None, sends: true, receives: true };
        handle.send(key, MediaCommand::Remote { leg, rtp: address, rtcp: None, media });
        handle.send(key, MediaCommand::Bridge { a: leg, b: other });
        let (from, _) = load.phone()?;
        let (_, straight) = load.phone()?;
        // Calls are not in step with each other.
        let due = PACKET * (2 * call as u32 + u32::from(leg.0)) / (2 * calls as u32);
        let straight_due = due + PACKET / 400;
        load.streams.push(Stream { socket, to, direct: false, due, sequence: 0 });
        load.streams.push(Stream { socket: from, to: straight, direct: true, due: straight_due, sequence: 0 });
    }
    Ok(())
}

/// Sends and receives on one thread, so that one clock stamps both ends. Delays in nanoseconds: direct, relayed.
fn measure(load: &mut Load, length: Duration) -> Result<(Vec<u64>, Vec<u64>), Box<dyn Error>> {
    let mut poll = Poll::new()?;
    for (index, socket) in load.sockets.iter_mut().enumerate() {
        poll.registry().register(socket, Token(index), Interest::READABLE)?;
    }
    let mut events = Events::with_capacity(1024);
    let began = Instant::now();
    let mut schedule: BTreeSet<_> = load.streams.iter().enumerate().map(|(n, stream)| (stream.due, n)).collect();
    let (mut direct, mut relayed) = (Vec::new(), Vec::new());
    let over = length + Duration::from_millis(500);
    while began.elapsed() < over {
        while let Some(&(due, n)) = schedule.first().filter(|(due, _)| *due <= began.elapsed()) {
            schedule.remove(&(due, n));
            send(&load.sockets, &mut load.streams[n], began)?;
            if due + PACKET < length {
                schedule.insert((due + PACKET, n));
            }
        }
        let next = schedule.first().map_or(over, |(due, _)| *due);
        poll.poll(&mut events, Some(next.saturating_sub(began.elapsed())))?;
        for event in &events {
            receive(&load.sockets[event.token().0], began, &mut direct, &mut relayed);
        }
    }
    Ok((direct, relayed))
}

fn send(sockets: &[mio::net::UdpSocket], stream: &mut Stream, began: Instant) -> Result<(), Box<dyn Error>> {
    stream.sequence += 1;
    let timestamp = u32::from(stream.sequence) * PAYLOAD as u32;
    let header = Patch { payload_type: 0, sequence: stream.sequence, timestamp, ssrc: u32::from(stream.direct) };
    let mut packet = header.packet(false, &[0xff; PAYLOAD]);
    packet[STAMP].copy_from_slice(&(began.elapsed().as_nanos() as u64).to_be_bytes());
    sockets[stream.socket].send_to(&packet, stream.to)?;
    Ok(())
}

fn receive(socket: &mio::net::UdpSocket, began: Instant, direct: &mut Vec<u64>, relayed: &mut Vec<u64>) {
    let mut buffer = [0; 2048];
    while let Ok((length, _)) = socket.recv_from(&mut buffer) {
        let now = began.elapsed().as_nanos() as u64;
        let stamp = buffer[..length].get(STAMP).and_then(|bytes| bytes.try_into().ok()).map_or(now, u64::from_be_bytes);
        let delays = if buffer[11] == 1 { &mut *direct } else { &mut *relayed };
        delays.push(now.saturating_sub(stamp));
    }
}

/// Prints a line of the table; median and 99th percentile.
fn row(path: &str, delays: &mut [u64], sent: u64) -> [Duration; 2] {
    delays.sort_unstable();
    let at = |share: f64| {
        let index = (delays.len() as f64 * share) as usize;
        Duration::from_nanos(delays.get(index.min(delays.len().saturating_sub(1))).copied().unwrap_or(u64::MAX))
    };
    let [median, p99, max] = [0.5, 0.99, 1.0].map(at);
    let lost = sent.saturating_sub(delays.len() as u64);
    let times = [median, p99, max].map(|t| format!("{:.3} ms", millis(t))).join(" | ");
    println!("| {path} | {} | {lost} | {times} |", delays.len());
    [median, p99]
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
