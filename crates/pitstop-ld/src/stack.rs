//! What the kernel leaves on the stack, and how one variable is put in and taken out again.
//!
//! A variable that the caller has set gets a new text: its pointer is changed. One that the caller has not set needs a
//! place. The block moves down, and opens two words behind the environment, so that it stays aligned:
//!
//! ```text
//!          as the kernel left it          while the loader works         when the program begins
//! low                                 sp  argc                       sp  argc
//!                                         argv…, 0                       argv…, 0
//!      sp  argc                           variable 1 … n                 variable 1 … n
//!          argv…, 0                       LD_LIBRARY_PATH=…              0
//!          variable 1 … n                 "" (a filler)                  AT_IGNORE
//!          0                              0                              0
//!          AT_…, value, …                 AT_…, value, …                 AT_…, value, …
//!          AT_NULL, 0                     AT_NULL, 0                     AT_NULL, 0
//!                                         record, text                   record, cut text
//! high     texts of all of them           texts of all of them           texts of all of them
//! ```
//!
//! So each pointer into the block that the loader keeps (`environ`, `_dl_auxv`) stays right, and a program that walks from
//! the environment to the auxiliary vector, as Go's and static C start code do, still comes out there.
//!
//! [`Record`] lies behind the vector: what is to be put back, found again by its mark. No text of the caller's is ever
//! written to, so `/proc/PID/environ` stays the caller's.

use core::ops::Range;

use crate::auxv::{AT_IGNORE, AT_NULL};

/// The sizes of the block at the stack pointer: `argc`, the arguments, the variables, the auxiliary vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Arguments.
    pub arguments: usize,
    /// Variables.
    pub variables: usize,
    /// Pairs of the auxiliary vector, its end included.
    pub pairs: usize,
}

impl Layout {
    /// Measures a block, whose words `word` gives by index. Ends when `word` gives zeros, as at the end of each part.
    pub fn measure(word: impl Fn(usize) -> usize) -> Layout {
        let arguments = word(0);
        let mut layout = Layout { arguments, variables: 0, pairs: 1 };
        while word(layout.variables_start() + layout.variables) != 0 {
            layout.variables += 1;
        }
        let start = layout.vector().start;
        while word(start + (layout.pairs - 1) * 2) != AT_NULL {
            layout.pairs += 1;
        }
        layout
    }

    /// The index of the first variable's pointer.
    #[must_use]
    pub fn variables_start(&self) -> usize {
        self.arguments + 2
    }

    /// Where the auxiliary vector lies, in words.
    #[must_use]
    pub fn vector(&self) -> Range<usize> {
        let start = self.variables_start() + self.variables + 1;
        start..start + self.pairs * 2
    }

    /// Words in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.vector().end
    }

    /// Whether there is nothing; a block has at least its `argc`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// Words that a variable which the caller has not set opens: itself and a filler, so that the stack stays aligned.
pub const OPENED: usize = 2;
/// Words of a record: a multiple of the stack's alignment.
pub const RECORD_LEN: usize = 10;
/// What a record begins with: no address, and no kind of pair.
const MARK: [usize; 2] = [0x9d1f_6c5e_b3a7_4482, 0xc62b_90e4_175d_fa38];

/// What is put back when the real loader has done its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Where the program begins.
    pub entry: usize,
    /// The index of `AT_ENTRY`'s value in the block.
    pub entry_at: usize,
    /// The index of the first variable.
    pub variables_at: usize,
    /// The index of the auxiliary vector.
    pub vector_at: usize,
    /// The address of the variable's text as the real loader sees it.
    pub text: usize,
    /// The address of the text that the caller gave; 0 where the caller gave none.
    pub given: usize,
    /// The address of the filler; 0 where the caller set the variable.
    pub filler: usize,
    /// The length at which the text is cut, so that a copy of its pointer, too, shows what the caller gave.
    pub cut: usize,
}

impl Record {
    fn words(&self) -> [usize; RECORD_LEN] {
        let [first, second] = MARK;
        let Record { entry, entry_at, variables_at, vector_at, text, given, filler, cut } = *self;
        [first, second, entry, entry_at, variables_at, vector_at, text, given, filler, cut]
    }

    fn read(words: [usize; RECORD_LEN]) -> Record {
        let [_, _, entry, entry_at, variables_at, vector_at, text, given, filler, cut] = words;
        Record { entry, entry_at, variables_at, vector_at, text, given, filler, cut }
    }

    /// The index of the record's first word, in a block whose words `word` gives. There must be one.
    pub fn find(word: impl Fn(usize) -> usize) -> usize {
        let [first, second] = MARK;
        let mut at = 0;
        while word(at) != first || word(at + 1) != second {
            at += 1;
        }
        at
    }
}

/// How the real loader is to see the search path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The address that its text will have.
    pub text: usize,
    /// The index, among the variables, of the one that the caller has set.
    pub variable: Option<usize>,
    /// The address of an empty text, for the second word that is opened.
    pub filler: usize,
    /// See [`Record::cut`].
    pub cut: usize,
    /// Where the program seems to begin: what `AT_ENTRY` becomes.
    pub entry: usize,
}

/// The words by which a block moves down at least, for the record and for what is opened.
#[must_use]
pub fn move_min(variable: Option<usize>) -> usize {
    RECORD_LEN + if variable.is_some() { 0 } else { OPENED }
}

/// Moves the block from the end of `words` to their start and makes the change. `entry_at` is the index of `AT_ENTRY`'s value
/// in the auxiliary vector. What lies behind the record is free for the text.
///
/// Nothing, and nothing done, where the block is not as `layout` says or has no room to move.
pub fn change(words: &mut [usize], layout: Layout, change: Change, entry_at: usize) -> Option<()> {
    let by = words.len().checked_sub(layout.len())?;
    let opened = if change.variable.is_some() { 0 } else { OPENED };
    if by < move_min(change.variable) || change.variable.is_some_and(|index| index >= layout.variables) {
        return None;
    }
    let vector = layout.vector();
    let vector_at = vector.start + opened;
    let entry_index = vector_at.checked_add(entry_at)?;
    let variables_at = layout.variables_start();
    let variables_end = variables_at + layout.variables;
    copy_down(words, by, 0, variables_end)?;
    copy_down(words, by + vector.start, vector_at, layout.pairs * 2)?;
    let slot = variables_at + change.variable.unwrap_or(layout.variables);
    let given = if change.variable.is_some() { *words.get(slot)? } else { 0 };
    *words.get_mut(slot)? = change.text;
    if opened > 0 {
        *words.get_mut(slot + 1)? = change.filler;
    }
    *words.get_mut(vector_at.checked_sub(1)?)? = 0;
    let entry = core::mem::replace(words.get_mut(entry_index)?, change.entry);
    let record = Record {
        entry,
        entry_at: entry_index,
        variables_at,
        vector_at,
        text: change.text,
        given,
        filler: if opened > 0 { change.filler } else { 0 },
        cut: change.cut,
    };
    let place = words.get_mut(vector_at + layout.pairs * 2..)?.first_chunk_mut::<RECORD_LEN>()?;
    *place = record.words();
    Some(())
}

/// Copies words towards the start, the lowest first, so that the two ranges may overlap.
fn copy_down(words: &mut [usize], from: usize, to: usize, len: usize) -> Option<()> {
    for index in 0..len {
        let word = *words.get(from + index)?;
        *words.get_mut(to + index)? = word;
    }
    Some(())
}

/// Puts back what the caller gave, in a block that ends with its record, and says what that was.
///
/// Constructors of libraries have run since, and may have taken variables out, which moves those behind; so each pointer
/// is looked for. Those who have copied the pointers see the cut text.
pub fn restore(words: &mut [usize]) -> Option<Record> {
    let (block, record) = words.split_last_chunk_mut::<RECORD_LEN>()?;
    let record = Record::read(*record);
    *block.get_mut(record.entry_at)? = record.entry;
    let variables = block.get_mut(record.variables_at..record.vector_at)?;
    if record.given != 0 {
        for variable in variables.iter_mut().take_while(|variable| **variable != 0) {
            if *variable == record.text {
                *variable = record.given;
            }
        }
        return Some(record);
    }
    let mut kept = 0;
    for index in 0..variables.len() {
        let variable = *variables.get(index)?;
        if variable == 0 {
            break;
        }
        if variable != record.text && variable != record.filler {
            *variables.get_mut(kept)? = variable;
            kept += 1;
        }
    }
    let (end, rest) = variables.get_mut(kept..)?.split_first_mut()?;
    *end = 0;
    rest.fill(0);
    // A walk to the auxiliary vector begins right behind the end. Where a constructor has left an odd number of words, there
    // was no way for such a walk before either.
    let (pairs, odd) = rest.as_chunks_mut::<2>();
    if odd.is_empty() {
        pairs.fill([AT_IGNORE, 0]);
    }
    Some(record)
}
