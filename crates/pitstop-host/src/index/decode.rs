//! Undoing the compression of what a binary cache serves.
//!
//! Nix uploads listings to S3 with `ls-compression` and `.narinfo` files with `narinfo-compression` under their plain
//! names, with a `Content-Encoding` of `xz`, `zstd`, `br` or `gzip` (`s3-binary-cache-store.cc`). Mirrors and proxies
//! lose that header, so what it does not say is told from the first bytes.

use std::io::{self, Read};

use super::room::Room;

/// How much memory an xz stream may ask for; presets up to `-9` need 65 MiB.
const XZ_MEMORY_MAX: u64 = 128 << 20;

/// What a file looks like when nothing is left to undo. Brotli has no magic number: what has none and does not look
/// like this is taken for it.
pub(super) type Plain = fn(&[u8]) -> bool;

/// Undoes what the server says, and then what the bytes say.
pub(super) fn decode(
    body: Vec<u8>,
    encoding: Option<&str>,
    plain: Plain,
    limit: u64,
    room: &mut Room<'_>,
) -> io::Result<Vec<u8>> {
    let mut body = body;
    let told = encoding.unwrap_or_default().split(',').rev().map(str::trim);
    let mut undone = false;
    for name in told.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity")) {
        body = undo(&name.to_ascii_lowercase(), &body, limit, room)?;
        undone = true;
    }
    if let Some(name) = by_magic(&body) {
        return undo(name, &body, limit, room);
    }
    if !undone && !plain(&body) {
        return undo("br", &body, limit, room).map_err(|_| garbage("it is neither plain nor compressed"));
    }
    Ok(body)
}

fn garbage(words: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words.into())
}

fn by_magic(body: &[u8]) -> Option<&'static str> {
    match body {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz"),
        [0x1f, 0x8b, ..] => Some("gzip"),
        _ => None,
    }
}

fn undo(name: &str, body: &[u8], limit: u64, room: &mut Room<'_>) -> io::Result<Vec<u8>> {
    reader(name, body)
        .and_then(|reader| {
            let decoded = room.read(&mut reader.take(limit + 1))?;
            if decoded.len() as u64 > limit {
                return Err(garbage(format!("it unfolds to more than {} MB", limit / 1_000_000)));
            }
            Ok(decoded)
        })
        .map_err(|error| garbage(format!("{name}: {error}")))
}

/// A reader that undoes one compression.
pub(super) fn reader<'a>(name: &str, body: impl io::BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match name {
        "zstd" | "zst" => Box::new(zstd::Decoder::with_buffer(body)?),
        "xz" => {
            let stream =
                liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_MAX, liblzma::stream::CONCATENATED)
                    .map_err(io::Error::other)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(body, stream))
        }
        "gzip" | "x-gzip" | "gz" => Box::new(flate2::bufread::MultiGzDecoder::new(body)),
        "br" => Box::new(brotli_decompressor::Decompressor::new(body, 16 << 10)),
        _ => return Err(garbage("this compression is not known")),
    })
}
