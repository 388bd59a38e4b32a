//! A TCP proxy in front of an HTTP server that can be told to fail: it reads each request whole, and then forwards it,
//! or does what a bad day would do.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection ends in the middle of the body.
    Cut,
    /// 503, and the server hears nothing of it.
    Unavailable,
    /// The server does it, but its reply is lost.
    LoseReply,
    /// The server does it, after a while.
    Slow(Duration),
}

/// Decides by the first line of a request what happens to it.
type Weather = Box<dyn Fn(&str) -> Option<Fault> + Send + Sync>;

struct Rule {
    fault: Fault,
    verb: &'static str,
    part: String,
    left: usize,
}

/// The proxy; its threads end with the test program.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    weather: OnceLock<Weather>,
    seen: Mutex<Vec<String>>,
}

impl Shared {
    /// What happens to the request that begins with `line`.
    fn fault(&self, line: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        let hit = rules
            .iter_mut()
            .find(|rule| rule.left > 0 && line.starts_with(rule.verb) && line.contains(&rule.part));
        if let Some(rule) = hit {
            rule.left -= 1;
            return Some(rule.fault);
        }
        self.weather.get()?(line)
    }
}

impl Proxy {
    /// In front of the server on `port`.
    pub(crate) fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { port: listener.local_addr().unwrap().port(), shared: Arc::default() };
        let shared = Arc::clone(&proxy.shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A connection that breaks is what this is for.
                std::thread::spawn(move || serve(client, port, &shared));
            }
        });
        proxy
    }

    /// From here on `weather` decides what happens to requests that no rule is for.
    pub(crate) fn under(&self, weather: impl Fn(&str) -> Option<Fault> + Send + Sync + 'static) {
        assert!(self.shared.weather.set(Box::new(weather)).is_ok(), "there is one weather");
    }

    /// The next `times` requests with this verb and this text in their address fail so.
    pub(crate) fn fail(&self, fault: Fault, verb: &'static str, part: &str, times: usize) {
        self.shared.rules.lock().unwrap().push(Rule { fault, verb, part: part.to_owned(), left: times });
    }

    /// Faults that have not happened yet.
    pub(crate) fn faults_left(&self) -> usize {
        self.shared.rules.lock().unwrap().iter().map(|rule| rule.left).sum()
    }

    /// Heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }
}

fn serve(mut client: TcpStream, port: u16, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let head = head_of(&mut reader)?;
    shared.seen.lock().unwrap().push(head.clone());
    let fault = shared.fault(head.lines().next().unwrap_or_default());
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    if fault == Some(Fault::Cut) {
        let half = body.len() / 2;
        reader.read_exact(&mut body[..half])?;
        return client.shutdown(Shutdown::Both);
    }
    reader.read_exact(&mut body)?;
    if fault == Some(Fault::Unavailable) {
        return client.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    if let Some(Fault::Slow(time)) = fault {
        std::thread::sleep(time);
    }
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    // One request a connection, so that its end is the end of the reply.
    let (first, rest) = head.split_once("\r\n").unwrap();
    let rest: Vec<&str> =
        rest.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:")).collect();
    write!(server, "{first}\r\n{}\r\nconnection: close\r\n\r\n", rest.join("\r\n"))?;
    server.write_all(&body)?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply)?;
    if fault == Some(Fault::LoseReply) {
        return client.shutdown(Shutdown::Both);
    }
    client.write_all(&reply)
}

/// Everything up to the empty line, without it.
fn head_of(client: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head.trim_end().to_owned())
}
