//! A call as a person reads it while it happens: transcript, stages, risk. Readable without colour; every mark has
//! words.

use crate::events::CallEvent;
use crate::screening::{Level, Speaker, Verdict};

/// A stage is named when it is at least this probable.
const NAMED_FROM: f32 = 0.5;
/// Width of the risk bar in characters.
const BAR: usize = 10;

/// Renders events one by one.
pub(super) struct Live {
    colour: bool,
}

impl Live {
    pub(super) fn new(colour: bool) -> Live {
        Live { colour }
    }

    /// The text for one event, with its line end.
    pub(super) fn show(&mut self, event: &CallEvent) -> String {
        match event {
            CallEvent::CallStarted { from, to, reputation, .. } => {
                let from = from.as_deref().unwrap_or("withheld");
                let known = match reputation {
                    Some(r) if r.scam_verdicts + r.scam_reports > 0 => {
                        format!("{} scam verdicts, {} scam reports", r.scam_verdicts, r.scam_reports)
                    }
                    Some(r) if r.calls > 0 => format!("{} calls before, nothing against it", r.calls),
                    _ => "not known".to_string(),
                };
                format!("call from {from} to {to}; number: {known}\n\n   time  risk               who: what\n")
            }
            CallEvent::Utterance { speaker, start_ms, text, stages, risk, .. } => {
                let who = match speaker {
                    Speaker::Caller => "caller",
                    Speaker::Callee => "callee",
                    Speaker::Unknown => "someone",
                };
                let mut named: Vec<_> = stages.iter().filter(|(_, p)| **p >= NAMED_FROM).collect();
                named.sort_by(|a, b| b.1.total_cmp(a.1));
                let named: Vec<String> =
                    named.iter().map(|(stage, p)| format!("{} {:.0}%", name(stage), **p * 100.0)).collect();
                let stages = if named.is_empty() { String::new() } else { format!("   [{}]", named.join(", ")) };
                let stages = self.paint(&stages, "33");
                format!("{} {} {who}: {text}{stages}\n", clock(*start_ms), self.bar(*risk))
            }
            CallEvent::Warning { level, at_ms, stages, words, heard_at_ms, .. } => {
                let because: Vec<String> = stages.iter().map(name).collect();
                let heard = match heard_at_ms {
                    Some(ms) => format!("heard by the callee at {}", clock(*ms).trim_start()),
                    None => "not spoken".to_string(),
                };
                let because = because.join(", ");
                let line = format!("{} >>> {}: {because}; {heard}", clock(*at_ms), level_name(*level));
                let strongest = stages.first().and_then(|stage| Some((stage, words.get(stage)?)));
                let quoted = strongest
                    .map_or(String::new(), |(s, said)| format!("{:16}{}: \u{201c}{said}\u{201d}\n", "", name(s)));
                self.paint(&line, if *level == Level::Alarm { "1;31" } else { "33" }) + "\n" + &quoted
            }
            CallEvent::CallEnded { verdict, risk, duration_ms, language, .. } => {
                let (verdict, why) = (verdict_name(*verdict), not_judged(language.as_deref()));
                let (length, risk) = (clock(*duration_ms), risk * 100.0);
                format!("\ncall ended after {}: {verdict}{why}, highest risk {risk:.0}%\n", length.trim_start())
            }
            CallEvent::Summary { file, verdict, risk, warned_at_utterance, language, .. } => {
                let warned = match warned_at_utterance {
                    Some(n) => format!("alarm at utterance {n}"),
                    None => "no alarm".to_string(),
                };
                let why = not_judged(language.as_deref());
                format!("{file}: {}{why}, highest risk {:.0}%, {warned}\n", verdict_name(*verdict), risk * 100.0)
            }
        }
    }

    fn bar(&self, risk: f32) -> String {
        let full = ((risk.clamp(0.0, 1.0) * BAR as f32).round()) as usize;
        let bar = format!("{}{}", "#".repeat(full), ".".repeat(BAR - full));
        let colour = match risk {
            r if r >= 0.8 => "31",
            r if r >= 0.4 => "33",
            _ => "32",
        };
        format!("{:3.0}% {}", risk * 100.0, self.paint(&bar, colour))
    }

    fn paint(&self, text: &str, code: &str) -> String {
        match self.colour && !text.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_string(),
        }
    }
}

fn name(stage: &crate::screening::Stage) -> String {
    let json = serde_json::to_string(stage).unwrap_or_default();
    json.trim_matches('"').replace('_', " ")
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Notice => "NOTICE",
        Level::Caution => "CAUTION",
        Level::Alarm => "ALARM",
    }
}

/// Why a call in another language was not judged.
fn not_judged(language: Option<&str>) -> String {
    language.map_or(String::new(), |code| format!(" (the caller spoke a language that cannot be judged: {code})"))
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Scam => "SCAM",
        Verdict::Suspicious => "suspicious",
        Verdict::Clean => "clean",
        Verdict::Unscreened => "not screened",
    }
}

fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{:4}:{:02}.{}", seconds / 60, seconds % 60, ms % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screening::Stage;

    #[test]
    fn a_call_reads_well_without_colour() {
        let mut live = Live::new(false);
        let id = || "1".to_string();
        let events = [
            CallEvent::CallStarted {
                call_id: id(),
                at: chrono::DateTime::UNIX_EPOCH,
                from: Some("+15550100".into()),
                to: "line".into(),
                attestation: "none".into(),
                reputation: None,
            },
            CallEvent::Utterance {
                call_id: id(),
                speaker: Speaker::Caller,
                start_ms: 61_500,
                end_ms: 64_000,
                text: "Press the Windows key and R.".into(),
                stages: [(Stage::ProofTheatre, 0.91), (Stage::Payment, 0.02)].into(),
                risk: 0.62,
                language: None,
            },
            CallEvent::Warning {
                call_id: id(),
                level: Level::Alarm,
                at_ms: 64_400,
                risk: 0.93,
                stages: vec![Stage::RemoteAccess],
                words: [(Stage::RemoteAccess, "Read me the number.".into())].into(),
                heard_at_ms: Some(64_420),
            },
            CallEvent::CallEnded {
                call_id: id(),
                verdict: Verdict::Scam,
                risk: 0.97,
                duration_ms: 95_000,
                language: None,
            },
        ];
        let text: String = events.iter().map(|e| live.show(e)).collect();
        insta::assert_snapshot!(text);
    }
}
