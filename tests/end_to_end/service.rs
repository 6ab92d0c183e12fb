//! The binary under test, with a configuration and a folder of its own.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running `callward serve`.
pub struct Service {
    child: Child,
    /// Its folder; scenarios and recordings go there too.
    pub folder: tempfile::TempDir,
    /// Its SIP address.
    pub address: SocketAddr,
}

/// A free UDP and TCP port with room for the media ports tests derive from it.
pub fn free_port(ip: IpAddr) -> u16 {
    loop {
        let port = UdpSocket::bind((ip, 0)).and_then(|s| s.local_addr()).expect("a port is free").port();
        let fits = (20_000..60_000).contains(&port) && port.is_multiple_of(2);
        if fits && std::net::TcpListener::bind((ip, port)).is_ok() {
            return port;
        }
    }
}

impl Service {
    /// Starts it with static contacts for `line` and more configuration.
    pub fn start(contacts: &[String], more: &str) -> Service {
        Service::start_on(IpAddr::from([127, 0, 0, 1]), contacts, more)
    }

    /// The same on another loopback address.
    pub fn start_on(ip: IpAddr, contacts: &[String], more: &str) -> Service {
        Service::start_at(SocketAddr::new(ip, free_port(ip)), contacts, more)
    }

    /// Its line's only phone is the service itself.
    pub fn start_to_itself(more: &str) -> Service {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let address = SocketAddr::new(ip, free_port(ip));
        Service::start_at(address, &[format!("sip:line@{address}")], more)
    }

    fn start_at(address: SocketAddr, contacts: &[String], more: &str) -> Service {
        let folder = tempfile::tempdir().expect("a folder");
        let first_media = 2 * rand::random_range(5_000u16..9_000);
        let contacts = contacts.iter().map(|c| format!("{c:?}")).collect::<Vec<_>>().join(", ");
        let config = format!(
            "[sip]\nlisten = [\"udp://{address}\", \"tcp://{address}\"]\n[media]\nports = \"{first_media}-{}\"\n\
             [database]\nurl = \"sqlite://{}\"\n[events]\nfile = {:?}\n{more}\n\
             [[lines]]\nnumber = \"line\"\ncontacts = [{contacts}]\nusers = [\"kitchen\"]\nring_timeout_s = 3\n\
             [[users]]\nname = \"kitchen\"\npassword = \"pepper\"\n",
            first_media + 400,
            folder.path().join("callward.db").display(),
            folder.path().join("events.jsonl"),
        );
        let file = folder.path().join("callward.toml");
        std::fs::write(&file, config).expect("configuration is written");
        let child = spawn(&file, folder.path());
        let mut service = Service { child, folder, address };
        service.wait_until_it_answers();
        service
    }

    /// Ends it the hard way and starts it again on the same files.
    pub fn kill_and_restart(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.child = spawn(&self.folder.path().join("callward.toml"), self.folder.path());
        self.wait_until_it_answers();
    }

    /// The folder as a path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a datagram from a fresh socket and returns the first answer within two seconds that is not provisional.
    pub fn ask(&self, bytes: &[u8]) -> Option<String> {
        let socket = UdpSocket::bind((self.address.ip(), 0)).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        socket.send_to(bytes, self.address).ok()?;
        let mut buffer = vec![0; 65_535];
        loop {
            let length = socket.recv(&mut buffer).ok()?;
            let answer = String::from_utf8_lossy(&buffer[..length]);
            if !answer.starts_with("SIP/2.0 1") {
                return Some(answer.into_owned());
            }
        }
    }

    /// An OPTIONS request to it.
    pub fn options(&self) -> String {
        let (to, id) = (self.address, rand::random::<u32>());
        format!(
            "OPTIONS sip:line@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {to};rport;branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\n\
             From: <sip:t@{to}>;tag=1\r\nTo: <sip:line@{to}>\r\nCall-ID: {id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
    }

    fn wait_until_it_answers(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            assert!(self.is_alive(), "callward ended: {}", self.log());
            if self.ask(self.options().as_bytes()).is_some_and(|answer| answer.starts_with("SIP/2.0 200")) {
                return;
            }
        }
        panic!("callward does not answer: {}", self.log());
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    /// Runs another command on the same configuration and returns what it prints as JSON.
    pub fn command(&self, arguments: &[&str]) -> serde_json::Value {
        let output = Command::new(env!("CARGO_BIN_EXE_callward"))
            .args(arguments)
            .args(["--json", "--config"])
            .arg(self.path().join("callward.toml"))
            .output()
            .expect("callward runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON is printed")
    }

    /// Its events so far.
    pub fn events(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.path().join("events.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for the first event of this name.
    pub fn wait_for(&self, name: &str) -> serde_json::Value {
        self.wait_for_nth(name, 0)
    }

    /// Waits for the nth event of this name, counted from 0.
    pub fn wait_for_nth(&self, name: &str, nth: usize) -> serde_json::Value {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(event) = self.events().into_iter().filter(|e| e["event"] == name).nth(nth) {
                return event;
            }
            assert!(Instant::now() < deadline, "no {name}: {:?}\n{}", self.events(), self.log());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

fn spawn(config: &Path, folder: &Path) -> Child {
    let log: PathBuf = folder.join("log");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("log is opened");
    Command::new(env!("CARGO_BIN_EXE_callward"))
        .args(["serve", "--config"])
        .arg(config)
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .spawn()
        .expect("callward starts")
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
