//! ELF files made by hand: any class, byte order and machine, without a compiler.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "part of tests")]

/// Where the file is loaded: not at 0, so that addresses and offsets cannot be mistaken for each other.
pub(crate) const BASE: u64 = 0x4_0000;

/// What to put in; everything is optional.
#[derive(Clone, Default)]
pub(crate) struct Made {
    pub(crate) narrow: bool,
    pub(crate) big: bool,
    pub(crate) machine: u16,
    /// `PT_INTERP`, with its terminator.
    pub(crate) interp: Option<Vec<u8>>,
    /// The content of `PT_NOTE`: owner, type, payload.
    pub(crate) notes: Vec<(Vec<u8>, u32, Vec<u8>)>,
    /// Tags with a string for a value.
    pub(crate) strings: Vec<(u64, String)>,
    /// Tags with a number for a value.
    pub(crate) numbers: Vec<(u64, u64)>,
    /// File, and versions with their flags.
    pub(crate) verneed: Vec<(String, Vec<(String, u16)>)>,
    /// Name and flags.
    pub(crate) verdef: Vec<(String, u16)>,
    /// Name, and whether it is defined; reached through `DT_HASH`.
    pub(crate) symbols: Vec<(String, bool)>,
    /// Words of the hash table have 64 bits.
    pub(crate) wide_hash: bool,
}

pub(crate) const NEEDED: u64 = 1;
pub(crate) const HASH: u64 = 4;
pub(crate) const STRTAB: u64 = 5;
pub(crate) const SYMTAB: u64 = 6;
pub(crate) const STRSZ: u64 = 10;
pub(crate) const SONAME: u64 = 14;
pub(crate) const RPATH: u64 = 15;
pub(crate) const RUNPATH: u64 = 29;
pub(crate) const VERDEF: u64 = 0x6fff_fffc;
pub(crate) const FLAGS_1: u64 = 0x6fff_fffb;
pub(crate) const VERNEED: u64 = 0x6fff_fffe;

impl Made {
    fn half(&self, value: u16) -> Vec<u8> {
        if self.big { value.to_be_bytes().into() } else { value.to_le_bytes().into() }
    }

    fn word(&self, value: u32) -> Vec<u8> {
        if self.big { value.to_be_bytes().into() } else { value.to_le_bytes().into() }
    }

    fn long(&self, value: u64) -> Vec<u8> {
        if self.narrow {
            self.word(u32::try_from(value).unwrap())
        } else if self.big {
            value.to_be_bytes().into()
        } else {
            value.to_le_bytes().into()
        }
    }

    /// The file's bytes.
    pub(crate) fn build(&self) -> Vec<u8> {
        let (header, entry) = if self.narrow { (52, 32) } else { (64, 56) };
        let start = header + 4 * entry;
        let mut body = Vec::new();
        let mut texts = vec![0];
        let interp = self.interp.as_ref().map(|path| place(&mut body, start, path));
        let notes = self.notes();
        let notes_at = place(&mut body, start, &notes);
        let verneed = self.verneed(&mut texts);
        let verdef = self.verdef(&mut texts);
        let mut dynamic: Vec<(u64, u64)> =
            self.strings.iter().map(|(tag, text)| (*tag, add(&mut texts, text).into())).collect();
        dynamic.extend(&self.numbers);
        for (tag, table) in [(VERNEED, verneed), (VERDEF, verdef)] {
            if !table.is_empty() {
                dynamic.push((tag, BASE + place(&mut body, start, &table)));
            }
        }
        if !self.symbols.is_empty() {
            let (table, hash) = self.symbols(&mut texts);
            dynamic.push((SYMTAB, BASE + place(&mut body, start, &table)));
            dynamic.push((HASH, BASE + place(&mut body, start, &hash)));
        }
        dynamic.push((STRTAB, BASE + place(&mut body, start, &texts)));
        dynamic.push((STRSZ, texts.len() as u64));
        dynamic.push((0, 0));
        let entries: Vec<u8> =
            dynamic.iter().flat_map(|(tag, value)| [self.long(*tag), self.long(*value)].concat()).collect();
        let dynamic_at = place(&mut body, start, &entries);
        let mut file = self.header(entry);
        let end = start as u64 + body.len() as u64;
        file.extend(self.segment(1, 0, end));
        file.extend(self.segment(2, dynamic_at, entries.len() as u64));
        file.extend(self.segment(4, notes_at, notes.len() as u64));
        let length = self.interp.as_ref().map_or(0, Vec::len) as u64;
        file.extend(self.segment(if interp.is_some() { 3 } else { 0 }, interp.unwrap_or(0), length));
        file.extend(body);
        file
    }

    fn header(&self, entry: usize) -> Vec<u8> {
        let class = if self.narrow { 1 } else { 2 };
        let data = if self.big { 2 } else { 1 };
        let header = if self.narrow { 52 } else { 64 };
        [
            vec![0x7f, b'E', b'L', b'F', class, data, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0],
            self.half(3),
            self.half(self.machine),
            self.word(1),
            self.long(0),
            self.long(header),
            self.long(0),
            self.word(0),
            self.half(u16::try_from(header).unwrap()),
            self.half(u16::try_from(entry).unwrap()),
            self.half(4),
            self.half(0),
            self.half(0),
            self.half(0),
        ]
        .concat()
    }

    fn segment(&self, kind: u32, offset: u64, length: u64) -> Vec<u8> {
        let (kind, flags) = (self.word(kind), self.word(4));
        let place = [self.long(offset), self.long(BASE + offset), self.long(BASE + offset)].concat();
        let sizes = [self.long(length), self.long(length)].concat();
        let align = self.long(4);
        if self.narrow {
            [kind, place, sizes, flags, align].concat()
        } else {
            [kind, flags, place, sizes, align].concat()
        }
    }

    fn notes(&self) -> Vec<u8> {
        let mut table = Vec::new();
        for (owner, kind, payload) in &self.notes {
            let sizes = [owner.len(), payload.len()].map(|size| self.word(u32::try_from(size).unwrap()));
            table.extend(sizes.concat());
            table.extend(self.word(*kind));
            for part in [owner, payload] {
                table.extend(part);
                table.resize(table.len().next_multiple_of(4), 0);
            }
        }
        table
    }

    fn verneed(&self, texts: &mut Vec<u8>) -> Vec<u8> {
        let mut table = Vec::new();
        for (index, (file, versions)) in self.verneed.iter().enumerate() {
            let count = u16::try_from(versions.len()).unwrap();
            let next = if index + 1 == self.verneed.len() { 0 } else { 16 + 16 * u32::from(count) };
            table.extend([self.half(1), self.half(count)].concat());
            table.extend([add(texts, file), 16, next].map(|value| self.word(value)).concat());
            for (index, (name, flags)) in versions.iter().enumerate() {
                let next = if index + 1 == versions.len() { 0 } else { 16 };
                table.extend([self.word(0), self.half(*flags), self.half(2)].concat());
                table.extend([add(texts, name), next].map(|value| self.word(value)).concat());
            }
        }
        table
    }

    fn verdef(&self, texts: &mut Vec<u8>) -> Vec<u8> {
        let mut table = Vec::new();
        for (index, (name, flags)) in self.verdef.iter().enumerate() {
            let next = if index + 1 == self.verdef.len() { 0 } else { 28 };
            table.extend([1, *flags, 2, 1].map(|value| self.half(value)).concat());
            table.extend([0, 20, next, add(texts, name), 0].map(|value| self.word(value)).concat());
        }
        table
    }

    /// The symbol table, and a hash table with a single chain through it.
    fn symbols(&self, texts: &mut Vec<u8>) -> (Vec<u8>, Vec<u8>) {
        let size = if self.narrow { 16 } else { 24 };
        let mut table = vec![0; size];
        for (name, defined) in &self.symbols {
            let name = self.word(add(texts, name));
            let section = self.half(u16::from(*defined));
            let kind = vec![0x12, 0];
            let (value, length) = (self.long(0x100), self.long(8));
            table.extend(if self.narrow {
                [name, value, length, kind, section].concat()
            } else {
                [name, kind, section, value, length].concat()
            });
        }
        let count = u32::try_from(self.symbols.len()).unwrap() + 1;
        // One bucket; the chain runs from the first symbol to the last.
        let chain = (1..=count).map(|next| if next == 1 || next == count { 0 } else { next });
        let words = [1, count, 1].into_iter().chain(chain);
        let encode = |value: u32| if self.wide_hash { self.long(value.into()) } else { self.word(value) };
        (table, words.flat_map(encode).collect())
    }
}

/// Appends to the body, aligned, and gives the offset in the file.
fn place(body: &mut Vec<u8>, start: usize, bytes: &[u8]) -> u64 {
    body.resize((start + body.len()).next_multiple_of(8) - start, 0);
    let offset = start + body.len();
    body.extend(bytes);
    offset as u64
}

/// Appends to the string table and gives the index.
fn add(texts: &mut Vec<u8>, text: &str) -> u32 {
    let index = u32::try_from(texts.len()).unwrap();
    texts.extend(text.as_bytes());
    texts.push(0);
    index
}

/// A file with something of everything.
pub(crate) fn full(narrow: bool, big: bool) -> Made {
    let text = |text: &str| text.to_owned();
    Made {
        narrow,
        big,
        machine: 62,
        interp: Some(b"/lib/ld.so\0".to_vec()),
        notes: vec![
            (b"GNU\0".to_vec(), 3, vec![1; 20]),
            (
                b"FDO\0".to_vec(),
                0x407c_0c0a,
                br#"[{"soname":["liblz4.so.1"],"feature":"lz4","priority":"suggested"},{"soname":["a","b"]}]"#
                    .to_vec(),
            ),
        ],
        strings: vec![
            (NEEDED, text("libz.so.1")),
            (SONAME, text("libme.so.2")),
            (NEEDED, text("libc.so.6")),
            (RPATH, text("$ORIGIN/../libs:/old")),
            (RUNPATH, text("")),
        ],
        numbers: vec![(FLAGS_1, 0x0800_0001)],
        verneed: vec![
            (text("libz.so.1"), vec![(text("ZLIB_1.2.9"), 0)]),
            (text("libc.so.6"), vec![(text("GLIBC_2.38"), 0), (text("GLIBC_2.2.5"), 2)]),
        ],
        verdef: vec![(text("libme.so.2"), 1), (text("ME_1"), 0), (text("ME_2"), 2)],
        symbols: vec![(text("malloc"), false), (text("PyInit_me"), true), (text("other"), true)],
        wide_hash: false,
    }
}
