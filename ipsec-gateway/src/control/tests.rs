use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::*;

const NOW: Instant = Instant::from_secs(1);

/// Creates a control with its socket in a directory of the test.
fn control(name: &str) -> (PathBuf, Control) {
    let (path, control, socket) = control_with_socket(name);
    // Its file remains for the clients of the test.
    std::mem::forget(socket);
    (path, control)
}

/// Creates a control with its socket, whose file is removed with it.
fn control_with_socket(name: &str) -> (PathBuf, Control, ControlSocket) {
    let path = std::env::temp_dir().join(format!("ipsec-gateway-{}-control-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let socket = ControlSocket::open(&path).unwrap();
    (path, Control::new(Some(socket.listener().unwrap().into())), socket)
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

fn line(stream: &UnixStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn each_client_receives_its_replies() {
    let (path, mut control) = control("replies");
    let (mut a, mut b) = (connect(&path), connect(&path));
    a.write_all(b"{\"verb\":\"status\"}\n{\"verb\":\"counters\"}\n").unwrap();
    b.write_all(b"{\"verb\":\"reload\"}\n").unwrap();
    let requests = control.poll(NOW);
    assert_eq!(requests, [(0, Request::Status), (1, Request::Reload)], "one request of each client");
    control.reply(NOW, 1, &Reply::Done(vec!["reloaded".to_owned()]));
    assert_eq!(line(&b), "{\"done\":[\"reloaded\"]}\n");
    control.reply(NOW, 0, &Reply::error("no"));
    assert_eq!(line(&a), "{\"error\":[\"no\"]}\n");
    assert_eq!(control.due(), Some(Instant::ZERO), "its next request has arrived already");
    assert_eq!(control.poll(NOW), [(0, Request::Counters)]);
    drop((a, b));
    assert_eq!((control.poll(NOW), control.clients.len()), (Vec::new(), 0));
}

#[test]
fn refused_request_does_not_end_the_client() {
    let (path, mut control) = control("refused");
    let mut client = connect(&path);
    client.write_all(b"status\n{\"verb\":\"status\"}\n").unwrap();
    assert_eq!(control.poll(NOW), []);
    assert!(line(&client).starts_with("{\"error\":[\"invalid request: "));
    assert_eq!(control.poll(NOW), [(0, Request::Status)]);
}

#[test]
fn clients_are_bounded_and_idle_ones_end() {
    let (path, mut control) = control("bounded");
    let mut clients: Vec<_> = (0..=MAX_CLIENTS).map(|_| connect(&path)).collect();
    clients[MAX_CLIENTS].write_all(b"{\"verb\":\"status\"}\n").unwrap();
    assert_eq!((control.poll(NOW), control.clients.len()), (Vec::new(), MAX_CLIENTS));
    assert_eq!(control.descriptors().count(), MAX_CLIENTS, "no further client is accepted");
    let later = control.due().unwrap();
    assert_eq!(later, NOW + client::TIMEOUT);
    control.poll(later);
    assert_eq!(control.poll(later), [(MAX_CLIENTS as u64, Request::Status)]);
    assert_eq!(clients[0].read(&mut [0]).unwrap(), 0, "the idle client is disconnected");
}

#[test]
fn events_are_log_lines_after_the_request() {
    log::open(log::LogOptions { file: Some("/dev/null".into()), ..Default::default() }).unwrap();
    let (path, mut control) = control("events");
    let mut client = connect(&path);
    log::info("before");
    client.write_all(b"{\"verb\":\"watch\"}\n").unwrap();
    assert_eq!(control.poll(NOW), [(0, Request::Watch)]);
    log::info("the configuration is read again");
    control.send_events(NOW);
    let event = line(&client);
    assert!(event.starts_with("{\"event\":{\"time\":\"20"), "{event}");
    assert!(event.trim_end().ends_with("\"text\":\"the configuration is read again\"}}"), "{event}");
    log::event(log::Event::of_sa(log::EventKind::SaUp, "west", "esp 192.0.2.1 0x1000 in"), "SA established");
    control.send_events(NOW);
    let event = line(&client).trim_end().to_owned();
    let expected = r#""text":"SA established","event":"sa_up","peer":"west","sa":"esp 192.0.2.1 0x1000 in"}}"#;
    assert!(event.ends_with(expected), "{event}");
    let Reply::Event(parsed) = serde_json::from_str(&event).unwrap() else { panic!("{event}") };
    assert_eq!(parsed.event.map(|own| own.event), Some(log::EventKind::SaUp));
    assert_eq!(control.due(), None);
    // A client that does not read is disconnected, and the event loop goes on.
    for _ in 0..200 {
        for _ in 0..100 {
            log::info("x".repeat(1000));
        }
        control.send_events(NOW);
    }
    assert_eq!(control.clients.len(), 0);
    drop(client);
}

#[test]
fn socket_without_a_statement_may_be_missing() {
    let config = |control: &str| {
        let text = format!("policies \"p\"; keys \"k\"; local 192.0.2.1; wan wan; tun ipsec0; {control}");
        crate::config::tests::config(&text, "").unwrap()
    };
    assert!(open_socket(&config("control off;").control).unwrap().is_none());
    let error = open_socket(&config("control \"/nonexistent/socket\";").control).err().unwrap();
    assert_eq!(error, "control socket /nonexistent/socket: No such file or directory (os error 2)");
}
