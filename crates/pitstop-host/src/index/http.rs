//! GET over HTTP(S): with retries, a pace that servers may set, and limits on all that they send.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::resolver;
use super::room::Room;
use crate::provide::Interrupt;

/// What we call ourselves.
const USER_AGENT: &str = concat!("pitstop/", env!("CARGO_PKG_VERSION"));
/// What we can undo, see [`super::decode`].
const ACCEPT_ENCODING: &str = "zstd, br, gzip";
/// How many redirects are followed.
const REDIRECTS_MAX: u32 = 5;
/// The first wait between two tries; each later one is twice as long.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// The longest wait between two tries.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// The longest wait that a server may ask for; where it asks for more, we give up.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);
/// How often an answer that makes no sense is asked for again: it may be a proxy's, but it may as well stay.
const GARBAGE_TRIES_MAX: u32 = 3;
/// How often a wish to stop is looked for while waiting.
const TICK: Duration = Duration::from_millis(50);

/// How to ask.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// A server that sends nothing for so long has stalled.
    pub stall: Duration,
    /// How often a request that failed is made again.
    pub retries: u32,
    /// How many connections are kept open.
    pub connections: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { stall: Duration::from_secs(30), retries: 6, connections: 16 }
    }
}

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {reason}{}", after(*tries))]
pub struct FetchError {
    /// What was asked for.
    pub url: String,
    /// How often.
    pub tries: u32,
    /// What happened the last time.
    pub reason: Reason,
}

fn after(tries: u32) -> impl fmt::Display {
    fmt::from_fn(move |to| if tries > 1 { write!(to, " (after {tries} tries)") } else { Ok(()) })
}

/// What went wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The connection, the name, the protocol.
    #[error("{0}")]
    Transport(#[from] ureq::Error),
    /// The body ended early, or could not be read.
    #[error("the body could not be read: {0}")]
    Body(#[source] io::Error),
    /// The server refuses.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// The server wants us to wait for longer than we do.
    #[error("the server asks to wait for {} s", .0.as_secs())]
    Wait(Duration),
    /// The file is larger than any honest one.
    #[error("it is larger than {} MB", .0 / 1_000_000)]
    Large(u64),
    /// The answer is not what was asked for.
    #[error("{0}")]
    Garbage(String),
    /// Somebody asked us to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Reason {
    /// Whether the same request may succeed a little later.
    fn passes(&self) -> bool {
        match self {
            Self::Transport(error) => !matches!(
                error,
                ureq::Error::BadUri(_)
                    | ureq::Error::Http(_)
                    | ureq::Error::InvalidProxyUrl
                    | ureq::Error::TooManyRedirects
                    | ureq::Error::RedirectFailed
                    | ureq::Error::Rustls(_)
                    | ureq::Error::Tls(_)
                    | ureq::Error::LargeResponseHeader(..)
            ),
            Self::Body(_) | Self::Garbage(_) => true,
            Self::Status(status) => status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429),
            Self::Wait(_) | Self::Large(_) | Self::Interrupted => false,
        }
    }
}

/// An answer, as it came.
#[derive(Debug)]
pub struct Answer {
    /// Its body, still encoded.
    pub body: Vec<u8>,
    /// How it is encoded, by the server's word.
    pub encoding: Option<String>,
    /// Whether the server said where the body ends, so that we know that it is whole.
    pub framed: bool,
}

/// How large a body may be, and where it may take room from.
pub struct Allowance<'a> {
    /// The most bytes that are taken from the server.
    pub bytes: u64,
    /// The room for large bodies.
    pub room: Room<'a>,
}

/// What is counted over a client's life.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests made, retries among them.
    pub requests: AtomicU64,
    /// Bytes of bodies received, as they were sent.
    pub bytes: AtomicU64,
}

/// Makes requests. Shared by all threads; connections are kept open between requests.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    settings: Settings,
    interrupt: Interrupt,
    /// A server that is too busy asked that nobody comes before this.
    not_before: Mutex<Option<Instant>>,
    /// What was done so far.
    pub counters: Counters,
}

impl Client {
    /// A client that ends its waits when `interrupt` is requested.
    #[must_use]
    pub fn new(settings: Settings, interrupt: Interrupt) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        resolver::settle();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(USER_AGENT)
            .accept_encoding(ACCEPT_ENCODING)
            .max_redirects(REDIRECTS_MAX)
            .max_redirects_will_error(true)
            .timeout_connect(Some(settings.stall))
            .timeout_resolve(Some(settings.stall))
            .timeout_per_read(Some(settings.stall))
            .timeout_per_write(Some(settings.stall))
            .max_idle_connections(settings.connections)
            .max_idle_connections_per_host(settings.connections)
            .tls_config(tls)
            .build();
        Self {
            agent: config.into(),
            settings,
            interrupt,
            not_before: Mutex::new(None),
            counters: Counters::default(),
        }
    }

    /// Ends every request that is under way, with an error.
    pub fn shut_down(&self) {
        self.agent.clone().shutdown();
    }

    /// Fetches `url` and gives what `interpret` makes of it; `None` where the server has no such file.
    ///
    /// A refusal by `interpret` counts as a failed try. 403 is an absence, too: that is what buckets which cannot be
    /// listed answer, and how Nix takes it (`http-binary-cache-store.cc`).
    pub fn get<T>(
        &self,
        url: &str,
        mut allowance: Allowance<'_>,
        mut interpret: impl FnMut(Answer, &mut Room<'_>) -> Result<T, Reason>,
    ) -> Result<Option<T>, FetchError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let done = self.wait_for_turn().and_then(|()| {
                let answer = self.once(url, &mut allowance)?;
                answer.map(|answer| interpret(answer, &mut allowance.room)).transpose()
            });
            allowance.room.leave();
            let reason = match done {
                Ok(done) => return Ok(done),
                Err(_) if self.interrupt.is_requested() => Reason::Interrupted,
                Err(reason) => reason,
            };
            let tries_max = match reason {
                Reason::Garbage(_) => GARBAGE_TRIES_MAX.min(self.settings.retries + 1),
                _ => self.settings.retries + 1,
            };
            if tries >= tries_max || !reason.passes() {
                return Err(FetchError { url: url.to_owned(), tries, reason });
            }
            if self.pause(backoff(tries)).is_err() {
                return Err(FetchError { url: url.to_owned(), tries, reason: Reason::Interrupted });
            }
        }
    }

    fn once(&self, url: &str, allowance: &mut Allowance<'_>) -> Result<Option<Answer>, Reason> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let response = self.agent.get(url).call()?;
        let status = response.status();
        if matches!(status.as_u16(), 403 | 404 | 410) {
            // A body that is read to its end leaves the connection fit for the next request.
            let _ = io::copy(&mut response.into_body().into_reader().take(64 << 10), &mut io::sink());
            return Ok(None);
        }
        if !status.is_success() {
            if matches!(status.as_u16(), 429 | 503)
                && let Some(wait) = retry_after(response.headers(), SystemTime::now())
            {
                self.hold(wait)?;
            }
            return Err(Reason::Status(status));
        }
        self.body(response, allowance).map(Some)
    }

    fn body(&self, response: Response<Body>, allowance: &mut Allowance<'_>) -> Result<Answer, Reason> {
        let headers = response.headers();
        let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let encoding = value(header::CONTENT_ENCODING).map(str::to_owned);
        let length = value(header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        let framed = length.is_some() || headers.contains_key(header::TRANSFER_ENCODING);
        if length.is_some_and(|length| length > allowance.bytes) {
            return Err(Reason::Large(allowance.bytes));
        }
        let mut reader = response.into_body().into_reader().take(allowance.bytes + 1);
        let body = allowance.room.read(&mut reader).map_err(Reason::Body)?;
        self.counters.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        if body.len() as u64 > allowance.bytes {
            return Err(Reason::Large(allowance.bytes));
        }
        if let Some(length) = length
            && length != body.len() as u64
        {
            let words = format!("{length} bytes were announced and {} came", body.len());
            return Err(Reason::Body(io::Error::new(io::ErrorKind::UnexpectedEof, words)));
        }
        Ok(Answer { body, encoding, framed })
    }

    /// The response to one request, for those who read its body themselves. Not retried.
    pub(super) fn open(&self, url: &str, headers: &[(&str, String)]) -> Result<Response<Body>, Reason> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let mut request = self.agent.get(url).header("Accept-Encoding", "identity");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = request.call()?;
        if matches!(response.status().as_u16(), 429 | 503)
            && let Some(wait) = retry_after(response.headers(), SystemTime::now())
        {
            self.hold(wait)?;
        }
        Ok(response)
    }

    /// Waits before the try after `tries` failed ones; an error where there is none to be.
    pub(super) fn wait_to_retry(&self, tries: u32, reason: Reason) -> Result<(), Reason> {
        if self.interrupt.is_requested() {
            return Err(Reason::Interrupted);
        }
        if tries > self.settings.retries || !reason.passes() {
            return Err(reason);
        }
        self.pause(backoff(tries))?;
        self.wait_for_turn()
    }

    /// Nobody asks again until `wait` has passed.
    fn hold(&self, wait: Duration) -> Result<(), Reason> {
        if wait > RETRY_AFTER_MAX {
            return Err(Reason::Wait(wait));
        }
        let until = Instant::now() + wait;
        let mut not_before = self.not_before.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *not_before = (*not_before).max(Some(until));
        Ok(())
    }

    fn wait_for_turn(&self) -> Result<(), Reason> {
        let not_before = *self.not_before.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match not_before.map(|time| time.saturating_duration_since(Instant::now())) {
            Some(wait) if !wait.is_zero() => self.pause(wait),
            _ if self.interrupt.is_requested() => Err(Reason::Interrupted),
            _ => Ok(()),
        }
    }

    fn pause(&self, time: Duration) -> Result<(), Reason> {
        let end = Instant::now() + time;
        loop {
            if self.interrupt.is_requested() {
                return Err(Reason::Interrupted);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(TICK));
        }
    }
}

/// How long to wait after `tries` failed ones: doubling, and between half and the whole of that by chance, so that
/// those who failed together do not come back together.
fn backoff(tries: u32) -> Duration {
    let whole = BACKOFF_FIRST.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(BACKOFF_MAX);
    // The standard library's hasher has fresh keys each time: chance enough for this.
    let chance = RandomState::new().hash_one(tries) % 1000;
    whole / 2 + whole / 2 * u32::try_from(chance).unwrap_or_default() / 1000
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(of("120"), Some(Duration::from_mins(2)));
        assert_eq!(of("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_mins(1)));
        assert_eq!(of("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(of("soon"), None);
    }

    #[test]
    fn waits_grow_and_have_an_end() {
        for tries in 1..40 {
            let whole = BACKOFF_FIRST.saturating_mul(1 << (tries - 1).min(10)).min(BACKOFF_MAX);
            let wait = backoff(tries);
            assert!(wait >= whole / 2 && wait <= whole, "{tries}: {wait:?}");
        }
    }
}
