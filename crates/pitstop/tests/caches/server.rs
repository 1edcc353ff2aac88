//! A server on loopback that speaks HTTP/1.1, keeps connections open, and fails as it is told.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a client asks for.
pub(crate) struct Asked {
    /// With its slash.
    pub(crate) path: String,
    /// How often it was asked for before.
    pub(crate) before: usize,
    /// The whole head of the request.
    pub(crate) head: String,
}

/// How the server answers.
pub(crate) enum Reply {
    /// Well: a body and its headers.
    Body(Vec<u8>, Vec<(&'static str, String)>),
    /// With a status, headers and no body.
    Status(u16, Vec<(&'static str, String)>),
    /// With a status, headers, and so much of a body that was said to be so long; then the connection ends.
    Cut(u16, Vec<u8>, usize, Vec<(&'static str, String)>),
    /// With so many bytes of a body that was said to be so long; then the connection ends.
    Short(Vec<u8>, u64),
    /// With a body whose end is the connection's.
    Unframed(Vec<u8>),
    /// With a body longer than was said; then the connection ends.
    Long(Vec<u8>, usize),
    /// Not at all, until the client leaves.
    Stall,
    /// With a reset.
    Reset,
}

/// A header that says that the answer is not what was asked for, so that it does not count as a good one.
pub(crate) const WRONG: &str = "X-Wrong";

type Handler = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A server that ends with the test.
pub(crate) struct Server {
    /// Where it is, without a slash at the end.
    pub(crate) url: String,
    log: Arc<Mutex<Vec<(String, bool)>>>,
    ended: Arc<AtomicBool>,
    address: std::net::SocketAddr,
}

impl Server {
    /// Starts a server that answers by `handler`.
    pub(crate) fn start(handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (log, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let handler: Arc<Handler> = Arc::new(handler);
        let counts = Arc::new(Mutex::new(HashMap::new()));
        let (kept, stop) = (Arc::clone(&log), Arc::clone(&ended));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (handler, log, counts) = (Arc::clone(&handler), Arc::clone(&kept), Arc::clone(&counts));
                thread::Builder::new()
                    .stack_size(256 << 10)
                    .spawn(move || {
                        // A client that left is no surprise.
                        let _ = serve(stream, &*handler, &log, &counts);
                    })
                    .unwrap();
            }
        });
        Self { url: format!("http://{address}"), log, ended, address }
    }

    /// How often each path was asked for.
    pub(crate) fn asked(&self) -> HashMap<String, usize> {
        self.counted(|_| true)
    }

    /// How often each path was answered well and whole.
    pub(crate) fn answered(&self) -> HashMap<String, usize> {
        self.counted(|well| well)
    }

    /// Forgets what was asked for.
    pub(crate) fn forget(&self) {
        self.log.lock().unwrap().clear();
    }

    fn counted(&self, wanted: impl Fn(bool) -> bool) -> HashMap<String, usize> {
        let mut counted = HashMap::new();
        for (path, _) in self.log.lock().unwrap().iter().filter(|(_, well)| wanted(*well)) {
            *counted.entry(path.clone()).or_default() += 1;
        }
        counted
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// The head of the next request, still in the socket: so that closing it unread resets the connection.
fn peek(stream: &TcpStream) -> std::io::Result<Option<String>> {
    let mut buffer = vec![0; 8 << 10];
    loop {
        let seen = stream.peek(&mut buffer)?;
        if seen == 0 {
            return Ok(None);
        }
        if let Some(end) = buffer[..seen].windows(4).position(|window| window == b"\r\n\r\n") {
            return Ok(Some(String::from_utf8_lossy(&buffer[..end + 4]).into_owned()));
        }
    }
}

fn serve(
    mut stream: TcpStream,
    handler: &Handler,
    log: &Mutex<Vec<(String, bool)>>,
    counts: &Mutex<HashMap<String, usize>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(head) = peek(&stream)? {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let before = {
            let mut counts = counts.lock().unwrap();
            let count: &mut usize = counts.entry(path.clone()).or_default();
            *count += 1;
            *count - 1
        };
        let length = head.len();
        let reply = handler(&Asked { path: path.clone(), before, head });
        let well = match &reply {
            Reply::Body(_, headers) => headers.iter().all(|(name, _)| *name != WRONG),
            Reply::Status(404, _) => true,
            _ => false,
        };
        log.lock().unwrap().push((path, well));
        if matches!(reply, Reply::Reset) {
            return Ok(());
        }
        stream.read_exact(&mut vec![0; length])?;
        if !answer(&mut stream, reply)? {
            return stream.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

/// Sends an answer; gives whether the connection stays.
fn answer(stream: &mut TcpStream, reply: Reply) -> std::io::Result<bool> {
    let head = |status: u16, length: Option<u64>, headers: &[(&str, String)]| {
        let mut head = format!("HTTP/1.1 {status} X\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(length) = length {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    };
    let (bytes, stays) = match reply {
        Reply::Body(body, headers) => ([head(200, Some(body.len() as u64), &headers), body].concat(), true),
        Reply::Cut(status, body, length, headers) => {
            ([head(status, Some(length as u64), &headers), body].concat(), false)
        }
        Reply::Status(status, headers) => (head(status, Some(0), &headers), true),
        Reply::Short(body, length) => ([head(200, Some(length), &[]), body].concat(), false),
        Reply::Unframed(body) => ([head(200, None, &[("Connection", "close".into())]), body].concat(), false),
        Reply::Long(body, length) => ([head(200, Some(length as u64), &[]), body].concat(), false),
        Reply::Reset => return Ok(false),
        Reply::Stall => {
            let _ = stream.read(&mut [0]);
            return Ok(false);
        }
    };
    stream.write_all(&bytes)?;
    Ok(stays)
}
