//! Shell: one thread that listens to all calls. It drains their taps, puts the sound in order, finds the speech and
//! hands segments to the recogniser pool; text comes out. It touches no call: what it cannot keep up with is lost and
//! said to be.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tracing::warn;

use crate::media::TapPacket;
use crate::media::listening::{Listening, Sound};
use crate::screening::Speaker;
use crate::screening::segmenter::{Segment, Segmenter};
use crate::speech::engines::Engines;
use crate::speech::pool::{Job, Outcome, Pool};
use crate::speech::{SpeechError, VAD_FRAME, VoiceActivity};

/// How often taps are drained.
const TICK: Duration = Duration::from_millis(20);
/// When a segment's text should be there, after its end.
const DUE: Duration = Duration::from_millis(1_000);
/// The callee's words matter less and may come later.
const DUE_CALLEE: Duration = Duration::from_millis(4_000);
/// Packets of a codec we cannot hear before the call counts as not listened to: about two seconds.
const UNHEARD_PACKETS: u64 = 100;

/// What one side said.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Which call.
    pub call: u64,
    /// Which side.
    pub speaker: Speaker,
    /// Beginning, in milliseconds since the call was answered.
    pub start_ms: u64,
    /// End.
    pub end_ms: u64,
    /// The words.
    pub text: String,
}

/// What the listener tells.
#[derive(Debug, Clone, PartialEq)]
pub enum ListeningEvent {
    /// Something was said.
    Heard(Heard),
    /// A segment was given up.
    Missed {
        /// Which call.
        call: u64,
        /// Where it began.
        start_ms: u64,
        /// Where it ended.
        end_ms: u64,
    },
    /// A side cannot be listened to.
    Lost {
        /// Which call.
        call: u64,
        /// Which side.
        speaker: Speaker,
        /// Why.
        reason: String,
    },
    /// The call is over and all of it was told.
    Finished {
        /// Which call.
        call: u64,
    },
}

enum Order {
    Listen { call: u64, speaker: Speaker, answered: Instant, tap: rtrb::Consumer<TapPacket> },
    Stop { call: u64 },
    Quit,
}

/// A segment on its way through the pool.
#[derive(Debug)]
struct Ticket {
    call: u64,
    speaker: Speaker,
    start_ms: u64,
    end_ms: u64,
}

/// How many segments of each call are on their way, and whether the call is over.
#[derive(Default)]
struct Outstanding {
    calls: HashMap<u64, (usize, bool)>,
}

impl Outstanding {
    /// A segment came back; true when it was the last of a call that is over.
    fn returned(&mut self, call: u64) -> bool {
        let Some((count, over)) = self.calls.get_mut(&call) else { return false };
        *count = count.saturating_sub(1);
        let finished = *count == 0 && *over;
        if finished {
            self.calls.remove(&call);
        }
        finished
    }
}

type Events = mpsc::UnboundedSender<ListeningEvent>;

/// The listening thread; it ends when this is dropped.
pub struct Listener {
    handle: ListenerHandle,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// The way to the listening thread.
#[derive(Clone)]
pub struct ListenerHandle(std_mpsc::Sender<Order>);

impl Listener {
    /// Starts the thread and the recogniser pool.
    pub fn start(engines: Engines, events: Events) -> Result<Listener, SpeechError> {
        let outstanding: Arc<Mutex<Outstanding>> = Arc::default();
        let (for_report, told) = (outstanding.clone(), events.clone());
        let settings = engines.settings().clone();
        let report = move |ticket: Ticket, outcome| {
            let Ticket { call, speaker, start_ms, end_ms } = ticket;
            // Nobody listens any more only when the service is stopping.
            let _ = match outcome {
                Outcome::Text(text) if text.is_empty() => Ok(()),
                Outcome::Text(text) => {
                    told.send(ListeningEvent::Heard(Heard { call, speaker, start_ms, end_ms, text }))
                }
                Outcome::Lost(_) => told.send(ListeningEvent::Missed { call, start_ms, end_ms }),
            };
            if for_report.lock().returned(call) {
                let _ = told.send(ListeningEvent::Finished { call });
            }
        };
        let pool = Pool::start(settings.workers, settings.queue, engines.factory(), report)?;
        // The first voice activity is made here, so that a missing model is an error at the start.
        drop(engines.voice_activity()?);
        let (orders, inbox) = std_mpsc::channel();
        let room = Room { engines, pool, events, outstanding, streams: Vec::new() };
        let thread = std::thread::Builder::new().name("listening".into()).spawn(move || room.work(&inbox));
        let thread = Some(thread.map_err(|e| SpeechError::System(e.to_string()))?);
        Ok(Listener { handle: ListenerHandle(orders), thread })
    }

    /// The way to it.
    pub fn handle(&self) -> ListenerHandle {
        self.handle.clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.handle.0.send(Order::Quit);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl ListenerHandle {
    /// Begins to listen to one side of a call; `answered` is its time zero.
    pub fn listen(&self, call: u64, speaker: Speaker, answered: Instant, tap: rtrb::Consumer<TapPacket>) {
        let _ = self.0.send(Order::Listen { call, speaker, answered, tap });
    }

    /// The call is over; [`ListeningEvent::Finished`] comes once all was told.
    pub fn stop(&self, call: u64) {
        let _ = self.0.send(Order::Stop { call });
    }
}

/// One side of a call.
struct Stream {
    call: u64,
    speaker: Speaker,
    tap: rtrb::Consumer<TapPacket>,
    listening: Listening,
    activity: Box<dyn VoiceActivity>,
    segmenter: Segmenter,
    /// Samples that do not fill a frame yet, and where they begin.
    rest: Vec<f32>,
    rest_ms: u64,
    lost: bool,
}

struct Room {
    engines: Engines,
    pool: Pool<Ticket>,
    events: Events,
    outstanding: Arc<Mutex<Outstanding>>,
    streams: Vec<Stream>,
}

impl Room {
    fn work(mut self, orders: &std_mpsc::Receiver<Order>) {
        let mut next = Instant::now() + TICK;
        loop {
            let patience = next.saturating_duration_since(Instant::now());
            match orders.recv_timeout(patience) {
                Ok(Order::Listen { call, speaker, answered, tap }) => self.listen(call, speaker, answered, tap),
                Ok(Order::Stop { call }) => self.stop(call),
                Ok(Order::Quit) | Err(std_mpsc::RecvTimeoutError::Disconnected) => return,
                Err(std_mpsc::RecvTimeoutError::Timeout) => {
                    let now = Instant::now();
                    next = now + TICK;
                    for index in 0..self.streams.len() {
                        self.hear_guarded(index, now);
                    }
                }
            }
        }
    }

    fn listen(&mut self, call: u64, speaker: Speaker, answered: Instant, tap: rtrb::Consumer<TapPacket>) {
        self.outstanding.lock().calls.entry(call).or_default();
        let activity = match self.engines.voice_activity() {
            Ok(activity) => activity,
            Err(error) => return self.lose(call, speaker, error.to_string()),
        };
        self.streams.push(Stream {
            call,
            speaker,
            tap,
            listening: Listening::new(answered),
            activity,
            segmenter: Segmenter::default(),
            rest: Vec::new(),
            rest_ms: 0,
            lost: false,
        });
    }

    fn lose(&self, call: u64, speaker: Speaker, reason: String) {
        warn!(call, ?speaker, reason, "a side of a call is not listened to");
        let _ = self.events.send(ListeningEvent::Lost { call, speaker, reason });
    }

    /// A defect that one side's packets bring out must cost that side, not the thread that hears every call.
    fn hear_guarded(&mut self, index: usize, now: Instant) {
        if catch_unwind(AssertUnwindSafe(|| self.hear(index, now))).is_ok() {
            return;
        }
        let stream = &mut self.streams[index];
        // What half-happened is thrown away; the tap fills and the loss is told.
        (stream.segmenter, stream.lost) = (Segmenter::default(), true);
        let (call, speaker) = (stream.call, stream.speaker);
        self.lose(call, speaker, "defect".to_string());
    }

    fn hear(&mut self, index: usize, now: Instant) {
        if self.streams[index].lost {
            return;
        }
        let stream = &mut self.streams[index];
        while let Ok(packet) = stream.tap.pop() {
            stream.listening.push(packet);
        }
        if stream.listening.unheard() > UNHEARD_PACKETS && !stream.lost {
            stream.lost = true;
            let (call, speaker) = (stream.call, stream.speaker);
            return self.lose(call, speaker, "codec".to_string());
        }
        let mut segments = Vec::new();
        while let Some(sound) = stream.listening.pull(now) {
            if let Err(error) = stream.take(sound, &mut segments) {
                if !std::mem::replace(&mut stream.lost, true) {
                    let (call, speaker) = (stream.call, stream.speaker);
                    self.lose(call, speaker, error.to_string());
                }
                return;
            }
        }
        let (call, speaker) = (stream.call, stream.speaker);
        segments.into_iter().for_each(|segment| self.submit(call, speaker, segment, now));
    }

    fn submit(&self, call: u64, speaker: Speaker, segment: Segment, now: Instant) {
        self.outstanding.lock().calls.entry(call).or_default().0 += 1;
        let Segment { start_ms, end_ms, samples } = segment;
        let callee = speaker == Speaker::Callee;
        let deadline = now + if callee { DUE_CALLEE } else { DUE };
        self.pool.submit(Job {
            ticket: Ticket { call, speaker, start_ms, end_ms },
            samples,
            rank: u8::from(callee),
            deadline,
        });
    }

    fn stop(&mut self, call: u64) {
        let now = Instant::now();
        // What still waits for late packets is heard as if they were lost.
        let over = now + Duration::from_secs(1);
        for index in 0..self.streams.len() {
            if self.streams[index].call == call {
                self.hear_guarded(index, over);
                let speaker = self.streams[index].speaker;
                if let Some(segment) = self.streams[index].segmenter.flush() {
                    self.submit(call, speaker, segment, now);
                }
            }
        }
        self.streams.retain(|stream| stream.call != call);
        let mut outstanding = self.outstanding.lock();
        let (count, is_over) = outstanding.calls.entry(call).or_default();
        *is_over = true;
        if *count == 0 {
            outstanding.calls.remove(&call);
            let _ = self.events.send(ListeningEvent::Finished { call });
        }
    }
}

impl Stream {
    fn take(&mut self, sound: Sound, segments: &mut Vec<Segment>) -> Result<(), SpeechError> {
        let rest_length_ms = self.rest.len() as u64 / 16;
        if self.rest.is_empty() || (self.rest_ms + rest_length_ms).abs_diff(sound.start_ms) > 100 {
            self.rest.clear();
            self.rest_ms = sound.start_ms;
        }
        self.rest.extend(sound.samples);
        let mut used = 0;
        while self.rest.len() - used >= VAD_FRAME {
            let frame = &self.rest[used..used + VAD_FRAME];
            let probability = self.activity.probability(frame)?;
            segments.extend(self.segmenter.push(frame, probability, self.rest_ms));
            self.rest_ms += VAD_FRAME as u64 / 16;
            used += VAD_FRAME;
        }
        self.rest.drain(..used);
        Ok(())
    }
}
