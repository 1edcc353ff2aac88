//! The zstd stream of a database, unpacked by one thread while another looks at what it gave before.
//!
//! A few blocks go round between the two, so memory does not grow with the database; zstd's window (128 MiB in
//! nix-index's databases) is the most of it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// What a block holds, in bytes: it and what is made of it fit a processor's second cache.
const BLOCK: usize = 64 << 10;
/// Room before a block for the line that the block before it began, so that lines are never put together elsewhere.
const HEADROOM: usize = 8 << 10;
/// Blocks on their way.
const BLOCKS: usize = 4;
/// What is asked of zstd at once: as much as nix-locate asks, whose order of answers follows from it
/// (`pitstop_core::index::search`).
const READ: usize = 8 << 10;

/// Why a stream ended before its end.
#[derive(Debug)]
pub(super) struct Broken {
    /// What zstd or the system says.
    pub(super) source: io::Error,
    /// How much of the packed stream was taken, in bytes.
    pub(super) packed: u64,
    /// How much was unpacked until then, in bytes.
    pub(super) unpacked: u64,
}

/// A file that counts.
struct Counted {
    file: File,
    read: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

struct Block {
    /// What was unpacked stands behind the headroom.
    bytes: Vec<u8>,
    /// The end of each read, in bytes from the start of the stream.
    reads: Vec<u64>,
}

/// What a reader of the stream is shown at once.
pub(super) struct Piece<'a> {
    /// What it has not taken yet. Ever more comes where it takes nothing.
    pub(super) bytes: &'a [u8],
    /// The ends of the reads that these bytes came by, in bytes from the start of the stream; perhaps some before them.
    pub(super) reads: &'a [u64],
}

/// Unpacks what follows in `file`. `take` is shown what there is, and says how much of it is done with, or that it
/// wants no more. At the end, `left` is what was never taken; where the stream is broken, all before that was shown.
pub(super) fn unpack<E>(
    file: File,
    mut take: impl FnMut(Piece<'_>) -> ControlFlow<Result<(), E>, usize>,
) -> Result<Result<Vec<u8>, E>, Broken> {
    thread::scope(|scope| {
        let (full, filled) = sync_channel(BLOCKS);
        let (spent, empty) = sync_channel(BLOCKS);
        for _ in 0..BLOCKS {
            let block = Block { bytes: Vec::new(), reads: Vec::new() };
            // There is room for all of them.
            let _ = spent.send(block);
        }
        scope.spawn(move || fill(file, &full, &empty));
        let mut left: Vec<u8> = Vec::new();
        let mut reads: Vec<u64> = Vec::new();
        let mut taken = 0_u64;
        for block in filled {
            let mut block: Block = block?;
            reads.retain(|&end| end > taken);
            reads.extend(&block.reads);
            let fits = HEADROOM.checked_sub(left.len());
            if let Some(start) = fits {
                block.bytes[start..HEADROOM].copy_from_slice(&left);
            } else {
                left.extend_from_slice(&block.bytes[HEADROOM..]);
            }
            let bytes = fits.map_or(&left[..], |start| &block.bytes[start..]);
            match take(Piece { bytes, reads: &reads }) {
                ControlFlow::Break(done) => return Ok(done.map(|()| Vec::new())),
                ControlFlow::Continue(done) => {
                    taken += done as u64;
                    match fits {
                        None => drop(left.drain(..done)),
                        Some(_) => left = bytes[done..].to_vec(),
                    }
                }
            }
            // The other thread is gone once all was read.
            let _ = spent.send(block);
        }
        Ok(Ok(left))
    })
}

/// Fills blocks until the stream ends, breaks, or nobody wants more.
fn fill(file: File, full: &SyncSender<Result<Block, Broken>>, empty: &Receiver<Block>) {
    let mut unpacked = 0;
    let counted = Counted { file, read: 0 };
    let mut decoder = match zstd::Decoder::new(counted) {
        Ok(decoder) => decoder,
        Err(source) => {
            let _ = full.send(Err(Broken { source, packed: 0, unpacked }));
            return;
        }
    };
    for mut block in empty {
        block.bytes.resize(HEADROOM + BLOCK, 0);
        block.reads.clear();
        let mut end = HEADROOM;
        let mut ended = Ok(false);
        while end + READ <= block.bytes.len() {
            match decoder.read(&mut block.bytes[end..end + READ]) {
                Ok(0) => ended = Ok(true),
                Ok(read) => {
                    end += read;
                    unpacked += read as u64;
                    block.reads.push(unpacked);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => ended = Err(error),
            }
            break;
        }
        block.bytes.truncate(end);
        if full.send(Ok(block)).is_err() {
            return;
        }
        match ended {
            Ok(false) => {}
            Ok(true) => return,
            Err(source) => {
                let input: &BufReader<Counted> = decoder.get_ref();
                let packed = input.get_ref().read - input.buffer().len() as u64;
                let _ = full.send(Err(Broken { source, packed, unpacked }));
                return;
            }
        }
    }
}
