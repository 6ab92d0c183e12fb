//! Bad input: an answer in SIP's own words or none, and the calls of others go on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::signalling::{bench, bench_with};
use crate::sipp::Scenario;

/// Messages that are no messages. None may be answered with anything but a 400, and most deserve nothing.
fn rubbish() -> Vec<Vec<u8>> {
    let start = b"INVITE sip:line@127.0.0.1 SIP/2.0\r\n".to_vec();
    let with = |tail: &[u8]| [start.clone(), tail.to_vec()].concat();
    vec![
        vec![],
        b"\r\n\r\n".to_vec(),
        vec![0; 1_400],
        vec![0xff; 60_000],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        start.clone(),
        with(b"\r\n"),
        with(b"Via\r\n\r\n"),
        with(b"Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\r\nContent-Length: 99999999999999999999\r\n\r\n"),
        with(b"Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        with(b"Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\r\nFrom: \xff\xfe <sip:a@b>;tag=1\r\n\r\n"),
        with(&b"X: y\r\n".repeat(9_000)),
        with(&[b"Subject: ".to_vec(), vec![b'a'; 50_000], b"\r\n\r\n".to_vec()].concat()),
        b"SIP/2.0 200 OK\r\n\r\n".to_vec(),
        b"SIP/2.0 99999 What\r\nVia: SIP/2.0/UDP 127.0.0.1\r\n\r\n".to_vec(),
    ]
}

#[test]
fn rubbish_over_udp_and_tcp_disturbs_nobody() {
    let mut bench = bench(1, "udp");
    let caller = Scenario::caller().invite().may(100).may(180).expect(200).ack(1).pause(2_000);
    let caller = caller.request("BYE", 2, "", None).expect(200);
    let phone =
        Scenario::phone().respond(200, "", Some("sendrecv")).receive("ACK").receive("BYE").respond_in_call(200, None);
    let (mut caller, mut phones) = bench.begin("u1", &caller, &[phone]);
    caller.sound_port();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for message in rubbish() {
        socket.send_to(&message, bench.service.address).unwrap();
        let mut stream = TcpStream::connect(bench.service.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        // The service may close while we still write.
        let _ = stream.write_all(&message);
        let mut answer = [0; 512];
        if let Ok(length @ 1..) = stream.read(&mut answer) {
            let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
            assert!(answer.starts_with("SIP/2.0 400") || answer == "\r\n", "{answer}");
        }
    }
    // Half a message, byte by byte, then nothing.
    let mut slow = TcpStream::connect(bench.service.address).unwrap();
    for byte in b"OPTIONS sip:line@127.0.0.1 SIP/2.0\r\nVi" {
        slow.write_all(&[*byte]).unwrap();
    }
    assert!(bench.service.ask(bench.service.options().as_bytes()).is_some_and(|a| a.starts_with("SIP/2.0 200")));
    caller.succeeds();
    phones.remove(0).succeeds();
    assert!(bench.service.is_alive());
}

/// The answer to an INVITE with this body and these extra lines.
fn invite(service: &crate::service::Service, extra: &str, body: &str) -> String {
    let (to, id) = (service.address, rand::random::<u32>());
    let text = format!(
        "INVITE sip:line@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {to};rport;branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\n\
         From: <sip:+15550100@{to}>;tag=1\r\nTo: <sip:line@{to}>\r\nCall-ID: {id}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:t@{to}>\r\n{extra}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut answer = service.ask(text.as_bytes()).unwrap_or_default();
    answer.truncate(answer.find("\r\n").unwrap_or(answer.len()));
    answer
}

#[test]
fn descriptions_that_cannot_be_used_are_refused_with_their_own_code() {
    let bench = bench(1, "udp");
    let head = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n";
    let ask = |body: &str| invite(&bench.service, "", body);
    assert!(ask("this is no description").starts_with("SIP/2.0 400"), "{}", ask("this is no description"));
    let video = format!("{head}m=video 9000 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n");
    assert!(ask(&video).starts_with("SIP/2.0 488"), "{}", ask(&video));
    let no_address = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9000 RTP/AVP 0\r\n";
    assert!(ask(no_address).starts_with("SIP/2.0 4"), "{}", ask(no_address));
}

#[test]
fn a_service_that_cannot_start_says_why_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |text: &str| {
        let file = folder.path().join("callward.toml");
        std::fs::write(&file, text).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_callward"))
            .args(["serve", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, words) = serve("[sip]\nlissten = []\n");
    assert_eq!(code, Some(1));
    assert!(words.contains("callward.toml:2:1") && words.contains("did you mean `listen`"), "{words}");
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (code, words) = serve(&format!("[sip]\nlisten = [\"udp://{}\"]\n", taken.local_addr().unwrap()));
    assert_eq!(code, Some(1));
    assert!(words.contains("is another service using it?"), "{words}");
}

#[test]
fn damaged_weights_cost_the_screening_and_not_the_call() {
    let cache = tempfile::tempdir().unwrap();
    std::fs::create_dir(cache.path().join("onnxruntime")).unwrap();
    std::fs::write(cache.path().join("onnxruntime/libonnxruntime.so"), b"\x7fELF, and nothing more").unwrap();
    let more = format!("[models]\ncache = {:?}\n", cache.path());
    let mut bench = bench_with("127.0.0.1", 1, "udp", &more);
    let caller = Scenario::caller().invite().may(100).may(180).expect(200).ack(1).pause(300);
    let phone = Scenario::phone().respond(200, "", Some("sendrecv")).receive("ACK");
    let phone = phone.receive("BYE").respond_in_call(200, None);
    bench.play("u1", &caller.request("BYE", 2, "", None).expect(200), &[phone]);
    assert_eq!(bench.service.wait_for("call_ended")["verdict"], "unscreened");
    assert!(
        bench.service.log().contains("is damaged; run `callward models fetch onnxruntime`"),
        "{}",
        bench.service.log()
    );
    assert!(bench.service.is_alive());
}
