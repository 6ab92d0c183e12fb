//! What types cannot say: values that are well formed and still cannot work.

use std::collections::HashSet;
use std::hash::Hash;

use super::{Config, Line, Media, Sip, Speech, User};
use crate::reputation::number::is_region;
use crate::screening::policy::Policy;
use crate::sip::rsip::{Scheme, Uri};

/// RFC 4028 §5: a session interval below is refused by every peer.
const MIN_SESSION_S: u32 = 90;
/// An hour of ringing helps nobody.
const MAX_RING_S: u32 = 3600;
const DAY_S: u64 = 24 * 3600;
/// The caller cannot be turned down further than the media engine does.
const MAX_DUCK_DB: f32 = 90.0;
/// More threads than any machine this runs on has.
const MAX_THREADS: usize = 256;

/// Something wrong, at a key.
pub(super) struct Problem {
    pub path: Vec<String>,
    pub message: String,
}

/// Collects problems; keys are written with points, as in `lines.0.contacts`.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn unless(&mut self, fine: bool, key: impl AsRef<str>, message: impl Into<String>) {
        if !fine {
            let path = key.as_ref().split('.').map(str::to_string).collect();
            self.0.push(Problem { path, message: message.into() });
        }
    }
}

/// Everything that is wrong.
pub(super) fn check(config: &Config) -> Vec<Problem> {
    let mut found = Problems::default();
    let region =
        format!("cannot be {:?}; write the two capital letters of a country, as \"US\" or \"GB\"", config.region);
    found.unless(is_region(&config.region), "region", region);
    check_sip(&config.sip, &mut found);
    check_lines(&config.lines, &config.users, &mut found);
    check_users(&config.users, &mut found);
    check_media(&config.media, &mut found);
    check_speech(&config.speech, &mut found);
    check_screening(config, &mut found);
    if let Some(url) = &config.database.url {
        let message = format!("cannot be {url:?}; write sqlite:///PATH, the only database supported yet");
        found.unless(url.starts_with("sqlite:") && url.len() > "sqlite://".len(), "database.url", message);
    }
    if let Err(reason) = crate::telemetry::filter(&config.log) {
        found.unless(false, "log.level", reason.to_string());
    }
    found.0
}

fn first_repeated<T: Eq + Hash + Copy>(items: impl Iterator<Item = T>) -> Option<usize> {
    let mut seen = HashSet::new();
    items.enumerate().find(|(_, item)| !seen.insert(*item)).map(|(index, _)| index)
}

fn check_sip(sip: &Sip, found: &mut Problems) {
    found.unless(
        !sip.listen.is_empty(),
        "sip.listen",
        "is empty, so no call could come; name a socket, or remove the key",
    );
    found.unless(
        !sip.digest.is_empty(),
        "sip.digest",
        "is empty, so no phone could register; name \"md5\" or \"sha-256\", or remove the key",
    );
    // Port 0 is a different one each time.
    let fixed = sip.listen.iter().filter(|socket| socket.address.port() != 0);
    found.unless(first_repeated(fixed).is_none(), "sip.listen", "names a socket twice; name it once");
    let reachable = sip.advertise.is_none_or(|ip| !ip.is_unspecified() && !ip.is_multicast());
    found.unless(
        reachable,
        "sip.advertise",
        "is no address that peers could reach; write our public address, or remove the key",
    );
    let host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let named = sip.domain.as_ref().is_none_or(|domain| !domain.is_empty() && domain.chars().all(host));
    found.unless(named, "sip.domain", "is no host name; write for example \"home.example\"");
    let printable = !sip.user_agent.is_empty() && sip.user_agent.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    found.unless(printable, "sip.user_agent", "holds what a SIP header cannot; write plain ASCII text");
    for (index, network) in sip.trusted.iter().enumerate() {
        let world = network.0.prefix_len() == 0;
        found.unless(
            !world,
            format!("sip.trusted.{index}"),
            "would believe anybody; name the provider's own addresses",
        );
    }
    let interval =
        format!("is below {MIN_SESSION_S} seconds, which peers refuse (RFC 4028 section 5); write 1800, for example");
    found.unless(sip.session_timer.expires_s >= MIN_SESSION_S, "sip.session_timer.expires_s", interval);
}

fn check_lines(lines: &[Line], users: &[User], found: &mut Problems) {
    let mut numbers = HashSet::new();
    for (index, line) in lines.iter().enumerate() {
        let at = |key: &str| format!("lines.{index}.{key}");
        let named =
            !line.number.is_empty() && line.number.iter().all(|n| !n.is_empty() && !n.contains(char::is_whitespace));
        found.unless(
            named,
            at("number"),
            "names no number; write what callers dial, as \"+15550100\", or \"*\" for any",
        );
        for number in &line.number {
            let message = format!("repeats {number:?}, which another line has; a number reaches one line");
            found.unless(numbers.insert(number), at("number"), message);
        }
        for (position, name) in line.users.iter().enumerate() {
            let known = users.iter().any(|user| &user.name == name);
            let message = format!("names {name:?}, whom no [[users]] entry has; add one, or correct the name");
            found.unless(known, at(&format!("users.{position}")), message);
        }
        for (position, contact) in line.contacts.iter().enumerate() {
            let message = format!("cannot be {contact:?}; write sip:USER@HOST:PORT");
            found.unless(is_contact(contact), at(&format!("contacts.{position}")), message);
        }
        let ring = format!("must lie between 1 and {MAX_RING_S} seconds");
        found.unless((1..=MAX_RING_S).contains(&line.ring_timeout_s), at("ring_timeout_s"), ring);
    }
}

/// A plain SIP URI: phones are not called over TLS yet.
fn is_contact(text: &str) -> bool {
    let visible = text.chars().all(|c| c.is_ascii_graphic());
    let uri = Uri::try_from(text);
    visible && uri.is_ok_and(|uri| uri.scheme == Some(Scheme::Sip) && !uri.host_with_port.host.to_string().is_empty())
}

fn check_users(users: &[User], found: &mut Problems) {
    for (index, user) in users.iter().enumerate() {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
        let named = !user.name.is_empty() && user.name.chars().all(plain);
        found.unless(
            named,
            format!("users.{index}.name"),
            "is no user name; write letters, digits, `-`, `_`, `.` or `+`",
        );
        let message = "is empty, so anybody could take this phone's calls; write a long random one";
        found.unless(!user.password.is_empty(), format!("users.{index}.password"), message);
    }
    if let Some(index) = first_repeated(users.iter().map(|user| user.name.as_str())) {
        found.unless(false, format!("users.{index}.name"), "is another user's name too; a name belongs to one user");
    }
}

fn check_media(media: &Media, found: &mut Problems) {
    found.unless((1..=MAX_THREADS).contains(&media.threads), "media.threads", "must lie between 1 and 256");
    let silence = format!("must lie between 1 and {DAY_S} seconds");
    found.unless((1..=DAY_S).contains(&media.silence_timeout_s), "media.silence_timeout_s", silence);
}

fn check_speech(speech: &Speech, found: &mut Problems) {
    let off = "must lie between 1 and 256; to listen to no call set `screening.enabled` to false";
    found.unless((1..=MAX_THREADS).contains(&speech.workers), "speech.workers", off);
    found.unless((1..=MAX_THREADS).contains(&speech.threads), "speech.threads", "must lie between 1 and 256");
    found.unless((1..=100_000).contains(&speech.queue), "speech.queue", "must lie between 1 and 100000");
    // It becomes part of a file name.
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let model = !speech.whisper_model.is_empty() && speech.whisper_model.chars().all(named);
    found.unless(model, "speech.whisper_model", "is no model; take a name from `callward models list`");
}

fn check_screening(config: &Config, found: &mut Problems) {
    let screening = &config.screening;
    let duck = format!("must lie between 0 and {MAX_DUCK_DB}");
    found.unless((0.0..=MAX_DUCK_DB).contains(&screening.duck_db), "screening.duck_db", duck);
    let Policy { notice, caution, alarm, max_unheard } = screening.thresholds;
    let values = [("notice", notice), ("caution", caution), ("alarm", alarm), ("max_unheard", max_unheard)];
    for (key, value) in values {
        let key = format!("screening.thresholds.{key}");
        found.unless((0.0..=1.0).contains(&value), key, format!("is {value}; write a number between 0 and 1"));
    }
    let in_range = values.iter().all(|(_, value)| (0.0..=1.0).contains(value));
    let rising = !in_range || (0.0 < notice && notice <= caution && caution <= alarm);
    let message =
        format!("do not rise: notice {notice}, caution {caution}, alarm {alarm}; each must be at least the one before");
    found.unless(rising, "screening.thresholds", message);
    let languages = config
        .lines
        .iter()
        .enumerate()
        .filter_map(|(i, l)| Some((format!("lines.{i}.language"), l.language.as_ref()?)));
    for (key, language) in languages.chain([("screening.language".to_string(), &screening.language)]) {
        let tag = (2..=8).contains(&language.len()) && language.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        found.unless(tag, key, format!("cannot be {language:?}; write a language tag, as \"en\""));
    }
}
