#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use super::load::Source;
use super::*;

fn assemble(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let source = Source { path: PathBuf::from("callward.toml"), text: text.to_string() };
    Config::assemble(Some(&source), environment.iter().map(|(k, v)| (k.to_string(), v.to_string())))
}

fn error(text: &str) -> String {
    assemble(text, &[]).unwrap_err().to_string()
}

fn error_of_environment(variable: &str, value: &str) -> String {
    assemble("", &[(variable, value)]).unwrap_err().to_string()
}

#[test]
fn an_empty_file_works() {
    let config = assemble("", &[]).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.line_for("anything").unwrap().ring_timeout_s, 60);
    assert!(config.database.url().starts_with("sqlite:///"));
    assert_eq!(Config::assemble(None, [].into_iter()).unwrap(), config);
}

#[test]
fn the_example_for_a_home_is_valid_and_complete() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/home/callward.example.toml");
    let config = Config::load(Some(&path)).unwrap();
    assert_eq!(config.users.len(), 2);
    let line = config.line_for("+15550100").unwrap();
    assert_eq!(line.users, ["kitchen", "study"]);
    assert_eq!(config.notes().len(), 2, "the placeholder passwords are pointed out");
}

#[test]
fn a_line_is_found_by_name_by_number_and_else_the_one_for_all() {
    let text = "region = \"GB\"\n[[lines]]\nnumber = \"office\"\n[[lines]]\nnumber = [\"+442071838750\", \"fax\"]\n\
                [[lines]]\nnumber = \"*\"\n";
    let config = assemble(text, &[]).unwrap();
    let number = |called: &str| config.line_for(called).unwrap().number[0].clone();
    assert_eq!(number("office"), "office");
    assert_eq!(number("FAX"), "+442071838750");
    for spelling in ["+442071838750", "442071838750", "02071838750", "02071838750;phone-context=+44"] {
        assert_eq!(number(spelling), "+442071838750");
    }
    for other in ["anonymous", "", "+442071838751", "020"] {
        assert_eq!(number(other), "*");
    }
    let only_one = assemble("[[lines]]\nnumber = \"office\"\n", &[]).unwrap();
    assert_eq!(only_one.line_for("+442071838750"), None);
}

#[test]
fn a_line_without_phones_rings_them_all() {
    let users = "[[users]]\nname = \"kitchen\"\npassword = \"p\"\n[[users]]\nname = \"study\"\npassword = \"q\"\n";
    assert_eq!(assemble(users, &[]).unwrap().lines[0].users, ["kitchen", "study"]);
    let narrowed = format!("[[lines]]\nnumber = \"1\"\nusers = [\"study\"]\n{users}");
    assert_eq!(assemble(&narrowed, &[]).unwrap().lines[0].users, ["study"]);
}

#[test]
fn the_environment_stands_over_the_file() {
    let environment = [
        ("CALLWARD_DATABASE__URL", "sqlite:///var/lib/callward/callward.db"),
        ("CALLWARD_SIP__LISTEN", "[\"udp://127.0.0.1:5070\"]"),
        ("CALLWARD_SIP__SESSION_TIMER__EXPIRES_S", "600"),
        ("CALLWARD_SCREENING__THRESHOLDS__ALARM", "0.8"),
        ("CALLWARD_SPEECH__BOTH_SIDES", "false"),
        ("CALLWARD_MEDIA__PORTS", "20000-20999"),
        ("CALLWARD_REGION", "GB"),
        // What a container platform sets for a service of our name.
        ("CALLWARD_PORT", "tcp://10.0.0.1:5060"),
        ("CALLWARD_SERVICE_HOST", "10.0.0.1"),
        ("CALLWARD_PORT_5060_UDP_ADDR", "10.0.0.1"),
        ("PATH", "/bin"),
    ];
    let config = assemble("[sip]\nlisten = [\"tcp://[::1]:5060\"]\ndomain = \"home.example\"\n", &environment).unwrap();
    assert_eq!(config.database.url(), "sqlite:///var/lib/callward/callward.db");
    assert_eq!(config.sip.listen, ["udp://127.0.0.1:5070".parse().unwrap()]);
    assert_eq!(config.sip.domain.as_deref(), Some("home.example"));
    assert_eq!(config.sip.session_timer.expires_s, 600);
    assert_eq!(config.screening.policy().alarm, 0.8);
    assert_eq!((config.media.ports.first, config.media.ports.last), (20_000, 20_999));
    assert!(!config.speech.both_sides);
    assert_eq!(config.region, "GB");
}

#[test]
fn trust_is_by_address_or_network_in_either_family() {
    let config = assemble("[sip]\ntrusted = [\"192.0.2.0/24\", \"198.51.100.7\", \"2001:db8::/32\"]\n", &[]).unwrap();
    for peer in ["192.0.2.200", "198.51.100.7", "2001:db8::9", "::ffff:192.0.2.1"] {
        assert!(config.sip.trusts(peer.parse().unwrap()), "{peer}");
    }
    for peer in ["192.0.3.1", "198.51.100.8", "2001:db9::1"] {
        assert!(!config.sip.trusts(peer.parse().unwrap()), "{peer}");
    }
}

#[test]
fn the_demonstration_keeps_to_loopback_and_memory() {
    let text = "[sip]\nadvertise = \"192.0.2.1\"\n[[users]]\nname = \"kitchen\"\npassword = \"p\"\n";
    let config = assemble(text, &[]).unwrap().for_demo("sip:callee@127.0.0.1:5062".to_string());
    assert!(config.sip.listen.iter().all(|socket| socket.address.ip().is_loopback()));
    assert_eq!(config.database.url(), "sqlite::memory:");
    assert_eq!(config.line_for("line").unwrap().contacts, ["sip:callee@127.0.0.1:5062"]);
}

#[test]
fn no_error_or_debug_output_shows_a_password() {
    let text = "[[users]]\nname = \"kitchen\"\npassword = \"hunter2\"\n";
    assert!(!format!("{:?}", assemble(text, &[]).unwrap()).contains("hunter2"));
    for text in ["[[users]]\nname = \"k\"\npassword = 77777\n", "users = [\"k:77777\"]\n", "users = \"77777\"\n"] {
        assert!(!error(text).contains("77777"), "{}", error(text));
    }
}

#[test]
fn everything_wrong_with_the_values_is_told_at_once() {
    let text = "region = \"XX\"\n[sip]\nlisten = []\n[speech]\nworkers = 0\n";
    insta::assert_snapshot!(error(text), @r#"
    callward.toml:1:1: `region` cannot be "XX"; write the two capital letters of a country, as "US" or "GB"
    callward.toml:3:1: `sip.listen` is empty, so no call could come; name a socket, or remove the key
    callward.toml:5:1: `speech.workers` must lie between 1 and 256; to listen to no call set `screening.enabled` to false
    "#);
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    insta::assert_snapshot!(error("[sip]\nlissten = []\n"), @r#"callward.toml:2:1: `sip.lissten` is no key of this section; did you mean `listen`?"#);
    insta::assert_snapshot!(error("[scremming]\n"), @r#"callward.toml:1:2: `scremming` is no key of this section; did you mean `screening`?"#);
    insta::assert_snapshot!(error("[sip]\nx = 1\n"), @r#"callward.toml:2:1: `sip.x` is no key of this section; it may hold `listen`, `advertise`, `domain`, `digest`, `user_agent`, `trusted`, `session_timer`"#);
    insta::assert_snapshot!(error("[[lines]]\nnumber = \"1\"\n[[lines]]\nring_timeout = 3\n"), @r#"callward.toml:4:1: `lines[1].ring_timeout` is no key of this section; did you mean `ring_timeout_s`?"#);
    insta::assert_snapshot!(error("[speech]\nengine = \"wisper\"\n"), @r#"callward.toml:2:1: `speech.engine` cannot be "wisper"; did you mean "whisper"?"#);
    insta::assert_snapshot!(error("[speech]\nengine = \"none\"\n"), @r#"callward.toml:2:1: `speech.engine` cannot be "none"; write one of `moonshine`, `whisper`"#);
}

#[test]
fn types_are_named_in_plain_words() {
    insta::assert_snapshot!(error("[media]\nports = 10000\n"), @r#"callward.toml:2:1: `media.ports` is a whole number; write text in quotes"#);
    insta::assert_snapshot!(error("[sip.session_timer]\nexpires_s = \"1800\"\n"), @r#"callward.toml:2:1: `sip.session_timer.expires_s` is text; write a whole number from 0 up, without quotes"#);
    insta::assert_snapshot!(error("[[lines]]\nring_timeout_s = -3\n"), @r#"callward.toml:2:1: `lines[0].ring_timeout_s` is a negative number; write a whole number from 0 up, without quotes"#);
    insta::assert_snapshot!(error("[sip]\nlisten = \"udp://0.0.0.0:5060\"\n"), @r#"callward.toml:2:1: `sip.listen` is text; write a list in brackets, as ["…"]"#);
    insta::assert_snapshot!(error("[screening]\nenabled = \"yes\"\n"), @r#"callward.toml:2:1: `screening.enabled` is text; write true or false, without quotes"#);
    insta::assert_snapshot!(error("[sip]\nadvertise = \"home\"\n"), @r#"callward.toml:2:1: `sip.advertise` is no IP address; write one in quotes, as "192.0.2.1" or "2001:db8::1""#);
    insta::assert_snapshot!(error("[[lines]]\nnumber = 5550100\n"), @r#"callward.toml:2:1: `lines[0].number` is a whole number; write text in quotes, or a list of such"#);
    insta::assert_snapshot!(error("[[users]]\nname = \"kitchen\"\n"), @r#"callward.toml:1:1: `users[0]` lacks `password`; add it"#);
    insta::assert_snapshot!(error("sip = 3\n"), @r#"callward.toml:1:1: `sip` is a whole number; write a section, as [NAME] or [[NAME]] on a line of its own"#);
    insta::assert_snapshot!(error("[media]\nthreads = 99999999999999999999\n"), @r#"callward.toml:2:11: this value cannot be read: invalid type: integer `99999999999999999999` as i128, expected any valid TOML value; https://toml.io shows how it is written"#);
}

#[test]
fn values_that_cannot_work_are_refused() {
    insta::assert_snapshot!(error("[media]\nthreads = 2\n  ports = \"19999-10000\"\n"), @r#"callward.toml:3:3: `media.ports` is wrong: "19999-10000" is upside down; write the lower port first: "10000-19999""#);
    insta::assert_snapshot!(error("[media]\nports = \"many\"\n"), @r#"callward.toml:2:1: `media.ports` is wrong: "many" is no range of ports; write FIRST-LAST, as "10000-19999""#);
    insta::assert_snapshot!(error("[media]\nports = \"80-90\"\n"), @r#"callward.toml:2:1: `media.ports` is wrong: "80-90" holds ports of the system; begin at 1024 or above"#);
    insta::assert_snapshot!(error("[media]\nports = \"10000-10001\"\n"), @r#"callward.toml:2:1: `media.ports` is wrong: "10000-10001" has no room for a call; give it at least four ports, better thousands"#);
    insta::assert_snapshot!(error("[sip]\nlisten = [\n  \"udp://0.0.0.0:5060\",\n  \"5060\",\n]\n"), @r#"callward.toml:4:3: `sip.listen[1]` is wrong: "5060" has no transport; write udp://ADDRESS:PORT or tcp://ADDRESS:PORT, as "udp://0.0.0.0:5060""#);
    insta::assert_snapshot!(error("[sip]\nlisten = [\"udp://0.0.0.0\"]\n"), @r#"callward.toml:2:11: `sip.listen[0]` is wrong: "udp://0.0.0.0" has no port; write udp://ADDRESS:PORT or tcp://ADDRESS:PORT, as "udp://0.0.0.0:5060""#);
    insta::assert_snapshot!(error("[sip]\nlisten = [\"tls://0.0.0.0:5061\"]\n"), @r#"callward.toml:2:11: `sip.listen[0]` is wrong: "tls://0.0.0.0:5061" has a transport that is not supported yet; write udp://ADDRESS:PORT or tcp://ADDRESS:PORT, as "udp://0.0.0.0:5060""#);
    insta::assert_snapshot!(error("[sip]\ntrusted = [\"0.0.0.0/0\"]\n"), @r#"callward.toml:2:12: `sip.trusted[0]` would believe anybody; name the provider's own addresses"#);
    insta::assert_snapshot!(error("[sip]\ntrusted = [\"provider.example\"]\n"), @r#"callward.toml:2:12: `sip.trusted[0]` is wrong: "provider.example" is no address; write an IP address or a network, as "192.0.2.1" or "192.0.2.0/24""#);
    insta::assert_snapshot!(error("[sip.session_timer]\nexpires_s = 30\n"), @r#"callward.toml:2:1: `sip.session_timer.expires_s` is below 90 seconds, which peers refuse (RFC 4028 section 5); write 1800, for example"#);
    insta::assert_snapshot!(error("[screening.thresholds]\ncaution = 0.9\n"), @r#"callward.toml:1:12: `screening.thresholds` do not rise: notice 0.3, caution 0.9, alarm 0.8; each must be at least the one before"#);
    insta::assert_snapshot!(error("[screening.thresholds]\nalarm = 1.5\n"), @r#"callward.toml:2:1: `screening.thresholds.alarm` is 1.5; write a number between 0 and 1"#);
    insta::assert_snapshot!(error("[screening.thresholds]\nalarm = nan\n"), @r#"callward.toml:2:1: `screening.thresholds.alarm` is NaN; write a number between 0 and 1"#);
    insta::assert_snapshot!(error("[database]\nurl = \"postgres://db/callward\"\n"), @r#"callward.toml:2:1: `database.url` cannot be "postgres://db/callward"; write sqlite:///PATH, the only database supported yet"#);
    insta::assert_snapshot!(error("[log]\nlevel = \"loud\"\n"), @r#"callward.toml:2:1: `log.level` "loud" is no log filter ("loud" is no level); write a level such as info, or a filter such as info,callward=debug"#);
}

#[test]
fn lines_and_users_must_fit_together() {
    insta::assert_snapshot!(error("[[lines]]\nnumber = \"1\"\nusers = [\"kitchn\"]\n"), @r#"callward.toml:3:10: `lines[0].users[0]` names "kitchn", whom no [[users]] entry has; add one, or correct the name"#);
    insta::assert_snapshot!(error("[[lines]]\ncontacts = [\"sip:a@192.0.2.1\", \"kitchen\"]\n"), @r#"callward.toml:2:32: `lines[0].contacts[1]` cannot be "kitchen"; write sip:USER@HOST:PORT"#);
    insta::assert_snapshot!(error("[[lines]]\nnumber = \"1\"\n\n[[lines]]\nnumber = \"1\"\n"), @r#"callward.toml:5:1: `lines[1].number` repeats "1", which another line has; a number reaches one line"#);
    let twice = "[[users]]\nname = \"k\"\npassword = \"p\"\n[[users]]\nname = \"k\"\npassword = \"q\"\n";
    insta::assert_snapshot!(error(twice), @r#"callward.toml:5:1: `users[1].name` is another user's name too; a name belongs to one user"#);
    insta::assert_snapshot!(error("[[users]]\nname = \"k\"\npassword = \"\"\n"), @r#"callward.toml:3:1: `users[0].password` is empty, so anybody could take this phone's calls; write a long random one"#);
}

#[test]
fn what_is_not_toml_is_named_with_its_place() {
    insta::assert_snapshot!(error("[sip]\nuser_agent = Callward\n"), @r#"callward.toml:2:14: this is not TOML: string values must be quoted, expected literal string; https://toml.io shows how it is written"#);
    insta::assert_snapshot!(error("[sip\n"), @r#"callward.toml:1:5: this is not TOML: unclosed table, expected `]`; https://toml.io shows how it is written"#);
    insta::assert_snapshot!(error("region = \"US\"\nregion = \"GB\"\n"), @r#"callward.toml:2:1: this is not TOML: duplicate key; https://toml.io shows how it is written"#);
}

#[test]
fn variables_are_named_where_they_are_wrong() {
    insta::assert_snapshot!(error_of_environment("CALLWARD_MEDIA__PORTS", "9-1"), @r#"CALLWARD_MEDIA__PORTS: `media.ports` is wrong: "9-1" is upside down; write the lower port first: "1-9""#);
    insta::assert_snapshot!(error_of_environment("CALLWARD_DATABSE__URL", "sqlite:///x"), @r#"CALLWARD_DATABSE__URL: `databse` is no key of this section; did you mean `database`?"#);
    insta::assert_snapshot!(error_of_environment("CALLWARD_DATABASE_URL", "sqlite:///x"), @r#"CALLWARD_DATABASE_URL: sets nothing; two underscores stand between section and key: CALLWARD_DATABASE__URL"#);
    insta::assert_snapshot!(error_of_environment("CALLWARD_SIP__LISTEN", "udp://0.0.0.0:5060"), @r#"CALLWARD_SIP__LISTEN: `sip.listen` is text; write a list in brackets, as ["…"]"#);
    insta::assert_snapshot!(error_of_environment("CALLWARD_MEDIA__THREADS", "0"), @r#"CALLWARD_MEDIA__THREADS: `media.threads` must lie between 1 and 256"#);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::load(Some(Path::new("/nowhere/callward.toml"))).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/callward.toml: cannot be read: No such file"), "{error}");
    assert!(error.ends_with("name an existing file with --config, or none for the defaults"), "{error}");
}

#[test]
fn the_schema_names_every_section() {
    let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
    let sections = schema["properties"].as_object().unwrap();
    for section in ["sip", "lines", "users", "media", "speech", "screening", "database", "models", "log", "events"] {
        assert!(sections.contains_key(section), "{section}");
    }
    assert_eq!(schema["additionalProperties"], false);
}
