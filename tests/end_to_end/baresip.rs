//! Calls between two baresip phones through Callward, with sound both ways checked by frequency.

use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::service::{Service, free_port};
use crate::sound::{read, share, write_tone};

const CALLER_TONE: f32 = 440.0;
const CALLEE_TONE: f32 = 1_000.0;

/// A phone in a folder of its own.
struct Phone {
    child: Child,
    folder: PathBuf,
    control: u16,
}

impl Phone {
    /// `account` is the line of its accounts file after the address; `dial` is called at the start.
    fn start(folder: &Path, name: &str, port: u16, tone: f32, account: &str, dial: Option<&str>) -> Phone {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let wav = folder.join("tone.wav");
        write_tone(&wav, tone, 30.0);
        let control = free_port([127, 0, 0, 1].into());
        let config = format!(
            "module_path /usr/lib/baresip/modules\nmodule g711.so\nmodule g722.so\nmodule aufile.so\n\
             module sndfile.so\nmodule_app account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{control}\n\
             net_interface 127.0.0.1\nsip_listen 127.0.0.1:{port}\naudio_source aufile,{}\naudio_player aufile,/dev/null\n\
             audio_alert aufile,/dev/null\nsnd_path {}\nausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\n",
            wav.display(),
            folder.display()
        );
        std::fs::write(folder.join("config"), config).unwrap();
        std::fs::write(folder.join("accounts"), format!("<{account}\n")).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new("baresip");
        command.args(["-f", &folder.to_string_lossy(), "-t", "60"]).stdin(Stdio::null());
        if let Some(dial) = dial {
            command.args(["-e", &format!("/dial {dial}")]);
        }
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn();
        Phone { child: child.expect("baresip runs; `make testers` installs it"), folder, control }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn wait_for(&self, words: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.log().contains(words) {
            assert!(Instant::now() < deadline, "baresip never said {words:?}: {}", self.log());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Sends a menu command over the control socket.
    fn command(&self, command: &str) {
        let message = format!("{{\"command\":\"{command}\",\"params\":\"\",\"token\":\"t\"}}");
        let mut socket = TcpStream::connect(("127.0.0.1", self.control)).expect("baresip takes commands");
        write!(socket, "{}:{message},", message.len()).expect("the command is sent");
        // The phone reads it before it sees the close.
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let _ = std::io::Read::read(&mut socket, &mut [0; 256]);
    }

    /// Waits until it has heard so many seconds.
    fn hears(&self, seconds: f32) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(path) = self.recording() {
                // baresip writes as it goes; sixteen bits at 8 kHz.
                let size = std::fs::metadata(&path).map(|m| m.len()).unwrap_or_default();
                if size as f32 > seconds * 16_000.0 {
                    return;
                }
            }
            assert!(Instant::now() < deadline, "baresip heard nothing: {}", self.log());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// All that it heard, once its call is over: baresip completes the file then.
    fn heard(&self) -> (Vec<f32>, u32) {
        self.wait_for("terminated");
        read(&self.recording().expect("baresip recorded what it heard"))
    }

    fn recording(&self) -> Option<PathBuf> {
        let files = std::fs::read_dir(&self.folder).ok()?.filter_map(Result::ok).map(|f| f.path());
        files.filter(|f| f.to_string_lossy().ends_with("-dec.wav")).max()
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const QUIET: &str = "[screening]\nenabled = false\n";

fn call_with(codec: &str, transport: &str, registered: bool) {
    let (caller_port, callee_port) = (free_port([127, 0, 0, 1].into()), free_port([127, 0, 0, 1].into()));
    let contact = format!("sip:b@127.0.0.1:{callee_port};transport={transport}");
    let service = Service::start(if registered { &[] } else { std::slice::from_ref(&contact) }, QUIET);
    let at = service.address;
    let account = match registered {
        true => format!(
            "sip:kitchen@{at};transport={transport}>;auth_pass=pepper;regint=60;audio_codecs={codec};answermode=auto"
        ),
        false => format!("sip:b@127.0.0.1:{callee_port}>;regint=0;audio_codecs={codec};answermode=auto"),
    };
    let callee = Phone::start(service.path(), "callee", callee_port, CALLEE_TONE, &account, None);
    match registered {
        true => callee.wait_for("200 OK"),
        false => callee.wait_for("baresip is ready"),
    }
    let account = format!("sip:+15550100@127.0.0.1:{caller_port}>;regint=0;audio_codecs={codec}");
    let dial = format!("sip:line@{at};transport={transport}");
    let caller = Phone::start(service.path(), "caller", caller_port, CALLER_TONE, &account, Some(&dial));
    caller.wait_for("Call established");
    callee.hears(3.0);
    caller.hears(3.0);
    caller.command("hangup");
    for (phone, wanted, own) in [(&callee, CALLER_TONE, CALLEE_TONE), (&caller, CALLEE_TONE, CALLER_TONE)] {
        let (samples, rate) = phone.heard();
        let settled = &samples[samples.len() / 2..];
        assert!(share(settled, rate, wanted) > 0.8, "heard {}", share(settled, rate, wanted));
        assert!(share(settled, rate, own) < 0.05, "an echo of its own voice");
    }
    let ended = service.wait_for("call_ended");
    assert_eq!(ended["verdict"], "unscreened");
}

#[test]
fn sound_passes_both_ways_in_mu_law() {
    call_with("pcmu", "udp", false);
}

#[test]
fn sound_passes_both_ways_in_a_law_over_tcp() {
    call_with("pcma", "tcp", false);
}

#[test]
fn sound_passes_both_ways_to_a_registered_phone() {
    call_with("pcmu", "udp", true);
}

#[test]
fn a_phone_registered_over_tcp_is_called_over_its_connection() {
    call_with("pcma", "tcp", true);
}
