//! SIPp scenarios told in steps, and SIPp run on them. SIPp fails a scenario when anything else than told arrives.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A scenario under construction.
pub struct Scenario {
    xml: String,
    caller: bool,
    /// The port its descriptions name; SIPp's own without one.
    sound: Option<u16>,
}

const SDP: &str = "v=0\no=- 1 {version} IN IP[local_ip_type] [local_ip]\ns=-\nc=IN IP[media_ip_type] [media_ip]\nt=0 0\n\
    m=audio [rtpstream_audio_port] RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na={direction}\n";

fn sdp(version: u32, direction: &str) -> String {
    SDP.replace("{version}", &version.to_string()).replace("{direction}", direction)
}

impl Scenario {
    /// The side that calls.
    pub fn caller() -> Scenario {
        Scenario { xml: String::new(), caller: true, sound: None }
    }

    /// The side that is called; begins with its INVITE.
    pub fn phone() -> Scenario {
        let mut phone = Scenario { xml: String::new(), caller: false, sound: None };
        phone.xml.push_str("<recv request=\"INVITE\" crlf=\"true\" rrs=\"true\"/>\n");
        phone
    }

    fn send(mut self, retrans: bool, message: &str) -> Scenario {
        let retrans = if retrans { " retrans=\"500\"" } else { "" };
        let _ = write!(self.xml, "<send{retrans}><![CDATA[\n{message}\n]]></send>\n");
        self
    }

    fn body(sdp: Option<String>) -> String {
        match sdp {
            Some(sdp) => format!("Content-Type: application/sdp\nContent-Length: [len]\n\n{sdp}"),
            None => "Content-Length: 0\n\n".to_string(),
        }
    }

    /// INVITE with an offer; `extra` are more header lines.
    pub fn invite_with(self, extra: &str, sdp: Option<String>) -> Scenario {
        let body = Self::body(sdp);
        self.send(
            true,
            &format!(
                "INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0\n\
                 Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\nMax-Forwards: 70\n\
                 From: \"Test\" <sip:+15550100@[local_ip]:[local_port]>;tag=[call_number]a\n\
                 To: <sip:[service]@[remote_ip]:[remote_port]>\nCall-ID: [call_id]\nCSeq: 1 INVITE\n\
                 Contact: <sip:test@[local_ip]:[local_port];transport=[transport]>\n{extra}{body}"
            ),
        )
    }

    /// INVITE with an offer.
    pub fn invite(self) -> Scenario {
        self.invite_with("", Some(sdp(1, "sendrecv")))
    }

    /// INVITE with an offer and more header lines.
    pub fn invite_with_offer(self, extra: &str) -> Scenario {
        self.invite_with(extra, Some(sdp(1, "sendrecv")))
    }

    /// INVITE of a caller that takes reliable provisional responses (RFC 3262).
    pub fn invite_reliably(self) -> Scenario {
        self.invite_with_offer("Supported: 100rel\n")
    }

    /// INVITE that may go so many hops on.
    pub fn invite_hopping(mut self, hops: u32) -> Scenario {
        self = self.invite();
        self.xml = self.xml.replace("Max-Forwards: 70", &format!("Max-Forwards: {hops}"));
        self
    }

    /// PRACK of the last response, which must have been matched by its RSeq.
    pub fn prack(self, cseq: u32) -> Scenario {
        self.request("PRACK", cseq, "RAck: [$rseq] 1 INVITE\n", None)
    }

    /// UPDATE with this direction and A-law only.
    pub fn update(self, cseq: u32, direction: &str) -> Scenario {
        let offer = sdp(cseq, direction).replace("RTP/AVP 0 101\na=rtpmap:0 PCMU", "RTP/AVP 8 101\na=rtpmap:8 PCMA");
        self.request("UPDATE", cseq, "", Some(offer))
    }

    /// Within the call: a request of the caller with its sequence number.
    pub fn request(self, method: &str, cseq: u32, extra: &str, sdp: Option<String>) -> Scenario {
        let body = Self::body(sdp);
        let target = if self.caller { "[next_url]" } else { "sip:x@[remote_ip]:[remote_port]" };
        self.send(
            method != "ACK",
            &format!(
                "{method} {target} SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n\
                 Max-Forwards: 70\nFrom: \"Test\" <sip:+15550100@[local_ip]:[local_port]>;tag=[call_number]a\n\
                 To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]\nCall-ID: [call_id]\nCSeq: {cseq} {method}\n\
                 Contact: <sip:test@[local_ip]:[local_port];transport=[transport]>\n{extra}{body}"
            ),
        )
    }

    /// ACK of the INVITE with this sequence number.
    pub fn ack(self, cseq: u32) -> Scenario {
        self.request("ACK", cseq, "", None)
    }

    /// A re-INVITE with this direction.
    pub fn reinvite(self, cseq: u32, direction: &str) -> Scenario {
        self.request("INVITE", cseq, "", Some(sdp(cseq, direction)))
    }

    /// CANCEL of the first INVITE.
    pub fn cancel(self) -> Scenario {
        // It has the branch of the INVITE, told as the number of steps back to it.
        let back = self.xml.matches("<send").count() + self.xml.matches("<recv").count();
        let cancel = "CANCEL sip:[service]@[remote_ip]:[remote_port] SIP/2.0\n\
             Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch-{back}]\nMax-Forwards: 70\n\
             From: \"Test\" <sip:+15550100@[local_ip]:[local_port]>;tag=[call_number]a\n\
             To: <sip:[service]@[remote_ip]:[remote_port]>\nCall-ID: [call_id]\nCSeq: 1 CANCEL\nContent-Length: 0\n\n";
        self.send(true, &cancel.replace("{back}", &back.to_string()))
    }

    /// ACK of a refusal, in the INVITE's own transaction.
    pub fn ack_refusal(self) -> Scenario {
        self.ack_refusal_of(1)
    }

    /// ACK of the refusal of the INVITE with this sequence number.
    pub fn ack_refusal_of(self, cseq: u32) -> Scenario {
        let ack = "ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0\n[last_Via:]\nMax-Forwards: 70\n[last_From:]\n[last_To:]\n\
             [last_Call-ID:]\nCSeq: {cseq} ACK\nContent-Length: 0\n\n";
        self.send(false, &ack.replace("{cseq}", &cseq.to_string()))
    }

    /// A response must come.
    pub fn expect(mut self, status: u16) -> Scenario {
        let _ = writeln!(self.xml, "<recv response=\"{status}\" rrs=\"true\"/>");
        self
    }

    /// A response may come.
    pub fn may(mut self, status: u16) -> Scenario {
        // 100 is hop by hop and names no contact to remember.
        let rrs = if status > 100 { " rrs=\"true\"" } else { "" };
        let _ = writeln!(self.xml, "<recv response=\"{status}\" optional=\"true\"{rrs}/>");
        self
    }

    /// A reliable provisional response must come; remembers its number for [`Scenario::prack`].
    pub fn expect_reliable(mut self, status: u16) -> Scenario {
        let _ = writeln!(
            self.xml,
            "<recv response=\"{status}\" rrs=\"true\"><action><ereg regexp=\"[0-9]+\" search_in=\"hdr\" header=\"RSeq:\" \
             check_it=\"true\" assign_to=\"rseq\"/></action></recv>"
        );
        self
    }

    /// A response must come whose text matches a regular expression.
    pub fn expect_matching(mut self, status: u16, pattern: &str) -> Scenario {
        let _ = writeln!(
            self.xml,
            "<recv response=\"{status}\" rrs=\"true\"><action><ereg regexp=\"{pattern}\" search_in=\"msg\" \
             check_it=\"true\" assign_to=\"seen\"/><log message=\"[$seen]\"/></action></recv>"
        );
        self
    }

    /// A request must come.
    pub fn receive(mut self, method: &str) -> Scenario {
        let _ = writeln!(self.xml, "<recv request=\"{method}\" rrs=\"true\"/>");
        self
    }

    /// A request must come whose text matches a regular expression.
    pub fn receive_matching(mut self, method: &str, pattern: &str) -> Scenario {
        let _ = writeln!(
            self.xml,
            "<recv request=\"{method}\" rrs=\"true\"><action><ereg regexp=\"{pattern}\" search_in=\"msg\" \
             check_it=\"true\" assign_to=\"seen\"/><log message=\"[$seen]\"/></action></recv>"
        );
        self
    }

    /// Answers the last request.
    pub fn respond(self, status: u16, extra: &str, direction: Option<&str>) -> Scenario {
        let body = Self::body(direction.map(|d| sdp(1, d)));
        let retrans = status >= 200 && direction.is_some();
        self.send(
            retrans,
            &format!(
                "SIP/2.0 {status} Told\n[last_Via:]\n[last_From:]\n[last_To:];tag=[call_number]b\n[last_Call-ID:]\n\
                 [last_CSeq:]\nContact: <sip:phone@[local_ip]:[local_port];transport=[transport]>\n{extra}{body}"
            ),
        )
    }

    /// Answers a request that has our tag already.
    pub fn respond_in_call(self, status: u16, direction: Option<&str>) -> Scenario {
        let body = Self::body(direction.map(|d| sdp(2, d)));
        self.send(
            false,
            &format!(
                "SIP/2.0 {status} Told\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n\
                 Contact: <sip:phone@[local_ip]:[local_port];transport=[transport]>\n{body}"
            ),
        )
    }

    /// Nothing happens for a while.
    pub fn pause(mut self, milliseconds: u32) -> Scenario {
        let _ = writeln!(self.xml, "<pause milliseconds=\"{milliseconds}\"/>");
        self
    }

    /// Its sound goes through this port, which the test holds.
    pub fn sound_at(mut self, port: u16) -> Scenario {
        self.sound = Some(port);
        self
    }

    fn xml(&self) -> String {
        let port = self.sound.map_or("[rtpstream_audio_port]".to_string(), |port| port.to_string());
        format!(
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<scenario name=\"told\">\n{}</scenario>\n",
            self.xml.replace("\n\n]]>", "\n]]>").replace("[rtpstream_audio_port]", &port)
        )
    }

    /// Runs it: a caller against `remote`, a phone waiting on `port`.
    pub fn run(&self, folder: &Path, name: &str, remote: &str, port: u16, transport: &str) -> Running {
        self.run_to("line", folder, name, remote, port, transport)
    }

    /// The same, calling another line than `line`.
    pub fn run_to(&self, line: &str, folder: &Path, name: &str, remote: &str, port: u16, transport: &str) -> Running {
        let file = folder.join(format!("{name}.xml"));
        std::fs::write(&file, self.xml()).expect("scenario is written");
        let ip = if remote.starts_with('[') { "[::1]" } else { "127.0.0.1" };
        let log = std::fs::File::create(folder.join(format!("{name}.log"))).expect("log is created");
        let child = Command::new("sipp")
            .current_dir(folder)
            .args(["-sf", &file.to_string_lossy(), "-m", "1", "-i", ip, "-p", &port.to_string(), "-t", transport])
            .args(["-s", line, "-timeout", "40s", "-timeout_error", "-nostdin", "-trace_err"])
            .args(["-trace_msg", "-message_file", &folder.join(format!("{name}.messages")).to_string_lossy()])
            .args(["-error_file", &folder.join(format!("{name}.err")).to_string_lossy()])
            .args(["-mi", ip])
            .args(if self.caller { vec![remote] } else { vec![] })
            .stdout(Stdio::from(log.try_clone().expect("log is shared")))
            .stderr(Stdio::from(log))
            .spawn()
            .expect("sipp runs; `make testers` installs it");
        Running {
            child,
            name: name.to_string(),
            error_file: folder.join(format!("{name}.err")),
            messages: folder.join(format!("{name}.messages")),
        }
    }
}

/// A SIPp at work.
pub struct Running {
    child: Child,
    name: String,
    error_file: std::path::PathBuf,
    messages: std::path::PathBuf,
}

impl Running {
    /// Waits until it listens for SIP.
    pub fn listens(&mut self, ip: IpAddr, port: u16, transport: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let free = || match transport {
            "t1" => std::net::TcpListener::bind((ip, port)).is_ok(),
            _ => std::net::UdpSocket::bind((ip, port)).is_ok(),
        };
        while free() {
            assert!(matches!(self.child.try_wait(), Ok(None)), "sipp {} did not start: {}", self.name, self.words());
            assert!(Instant::now() < deadline, "sipp {} does not listen", self.name);
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Where the service wants this side's sound: waits for the session description that says so.
    pub fn sound_port(&mut self) -> u16 {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let messages = std::fs::read_to_string(&self.messages).unwrap_or_default();
            let received = messages.split("message received").skip(1);
            // What follows within the same part may be a message that was sent.
            let own = received.filter_map(|part| part.split("message sent").next()?.split("m=audio ").nth(1));
            if let Some(port) = own.filter_map(|rest| rest.split(' ').next()?.parse().ok()).next() {
                return port;
            }
            assert!(Instant::now() < deadline, "sipp {} was told no port: {}\n{messages}", self.name, self.words());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    fn words(&self) -> String {
        std::fs::read_to_string(&self.error_file).unwrap_or_default()
    }

    /// Waits for the end; panics with SIPp's own words if the scenario failed.
    pub fn succeeds(mut self) {
        let status = self.child.wait().expect("sipp ends");
        assert!(status.success(), "sipp {} ended with {status}: {}", self.name, self.words());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Scenario {
    /// The called side, whose INVITE must show one pattern and not another.
    pub fn phone_seeing(shown: &str, hidden: &str) -> Scenario {
        let xml = format!(
            "<recv request=\"INVITE\" crlf=\"true\" rrs=\"true\"><action>\
             <ereg regexp=\"{shown}\" search_in=\"msg\" check_it=\"true\" assign_to=\"shown\"/>\
             <ereg regexp=\"{hidden}\" search_in=\"msg\" check_it_inverse=\"true\" assign_to=\"hidden\"/>\
             <log message=\"[$shown][$hidden]\"/></action></recv>\n"
        );
        Scenario { xml, caller: false, sound: None }
    }

    /// BYE by the called side: its From is the To of the INVITE and the other way round.
    pub fn bye_from_phone(self) -> Scenario {
        self.send(
            true,
            "BYE [next_url] SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\nMax-Forwards: 70\n\
             From[$theirs]\nTo[$ours]\n[last_Call-ID:]\nCSeq: 1 BYE\nContent-Length: 0\n\n",
        )
        .expect(200)
        .keep_names()
    }

    /// Remembers From and To of the INVITE for [`Scenario::bye_from_phone`].
    fn keep_names(mut self) -> Scenario {
        let keep = "<recv request=\"INVITE\" crlf=\"true\" rrs=\"true\"><action>\
            <ereg regexp=\":.*\" search_in=\"hdr\" header=\"From\" assign_to=\"caller\"/>\
            <ereg regexp=\".*\" search_in=\"hdr\" header=\"From:\" assign_to=\"ours_value\"/>\
            <ereg regexp=\".*\" search_in=\"hdr\" header=\"To:\" assign_to=\"theirs_value\"/>\
            <assignstr assign_to=\"ours\" value=\": [$ours_value]\"/>\
            <assignstr assign_to=\"theirs\" value=\": [$theirs_value];tag=[call_number]b\"/>\
            <log message=\"[$caller]\"/></action></recv>";
        self.xml = self.xml.replacen("<recv request=\"INVITE\" crlf=\"true\" rrs=\"true\"/>", keep, 1);
        self
    }

    /// The 487 of the INVITE after its CANCEL was answered.
    pub fn respond_to_cancelled_invite(self) -> Scenario {
        self.respond_to_invite(487)
    }

    /// Answers the INVITE after another request was answered within its dialog.
    pub fn respond_to_invite(mut self, status: u16) -> Scenario {
        let keep = "<recv request=\"INVITE\" crlf=\"true\" rrs=\"true\"><action>\
            <ereg regexp=\".*\" search_in=\"hdr\" header=\"Via:\" assign_to=\"via\"/></action></recv>";
        self.xml = self.xml.replacen("<recv request=\"INVITE\" crlf=\"true\" rrs=\"true\"/>", keep, 1);
        self.send(
            true,
            &format!(
                "SIP/2.0 {status} Told\nVia: [$via]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\nCSeq: 1 INVITE\n\
                 Contact: <sip:phone@[local_ip]:[local_port];transport=[transport]>\nContent-Length: 0\n\n"
            ),
        )
    }

    /// ACK that answers an offer.
    pub fn ack_with_answer(self, cseq: u32) -> Scenario {
        self.request("ACK", cseq, "", Some(sdp(1, "sendrecv")))
    }
}
