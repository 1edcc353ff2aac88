//! Writes the smallest ELF files that glibc's loader will map: no code, only a dynamic section. It takes microseconds
//! where a linker takes milliseconds, and the names can be anything.

/// What a made-up file says of itself.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pub loader: Option<String>,
    pub soname: Option<String>,
    pub needed: Vec<String>,
    pub rpath: Option<String>,
    pub runpath: Option<String>,
    pub flags_1: u64,
    /// File, version, weak.
    pub wants: Vec<(String, String, bool)>,
    pub defines: Vec<String>,
    /// `ELFCLASS32` in the header. Nothing after the header is looked at then.
    pub other_class: bool,
    pub machine: Option<u16>,
    pub other_encoding: bool,
    pub kind: Option<u16>,
}

const HEAD: usize = 64;
const SEGMENT: usize = 56;

struct Strings(Vec<u8>);

impl Strings {
    fn add(&mut self, text: &str) -> u64 {
        let offset = self.0.len() as u64;
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        offset
    }
}

/// The hash of the System V gABI, by which versions are compared first.
fn hash(name: &str) -> u32 {
    let mut hash: u32 = 0;
    for byte in name.bytes() {
        hash = (hash << 4).wrapping_add(u32::from(byte));
        let high = hash & 0xF000_0000;
        hash = (hash ^ (high >> 24)) & !high;
    }
    hash
}

impl Image {
    pub fn bytes(&self) -> Vec<u8> {
        let mut strings = Strings(vec![0]);
        let mut dynamic: Vec<(u64, u64)> = Vec::new();
        let entries = [(14, &self.soname), (15, &self.rpath), (29, &self.runpath)];
        for (tag, value) in entries {
            dynamic.extend(value.as_ref().map(|value| (tag, strings.add(value))));
        }
        dynamic.extend(self.needed.iter().map(|needed| (1, strings.add(needed))).collect::<Vec<_>>());
        if self.flags_1 != 0 {
            dynamic.push((0x6fff_fffb, self.flags_1));
        }
        let needs = self.version_needs(&mut strings);
        let definitions = self.version_definitions(&mut strings);
        let segments = 2 + if self.loader.is_some() { 2 } else { 0 };
        // The loader's path, symbols, hash and version indices, then everything whose length varies.
        let mut at = HEAD + segments * SEGMENT;
        let mut body = Vec::new();
        let mut place = |body: &mut Vec<u8>, bytes: &[u8]| {
            let offset = at;
            body.extend_from_slice(bytes);
            let padding = (8 - bytes.len() % 8) % 8;
            body.extend(std::iter::repeat_n(0, padding));
            at += bytes.len() + padding;
            offset as u64
        };
        let loader = self.loader.as_ref().map(|loader| {
            let bytes = [loader.as_bytes(), b"\0"].concat();
            (place(&mut body, &bytes), bytes.len() as u64)
        });
        let symbols = place(&mut body, &[0; 24]);
        let hash: Vec<u8> = [1u32, 1, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
        let hash = place(&mut body, &hash);
        let indices = place(&mut body, &[0; 8]);
        let string_table = place(&mut body, &strings.0);
        dynamic.extend([(5, string_table), (10, strings.0.len() as u64), (6, symbols), (11, 24), (4, hash)]);
        if !self.wants.is_empty() {
            dynamic.extend([(0x6fff_fffe, place(&mut body, &needs)), (0x6fff_ffff, self.wants.len() as u64)]);
        }
        if !self.defines.is_empty() {
            let count = self.defines.len() as u64;
            dynamic.extend([(0x6fff_fffc, place(&mut body, &definitions)), (0x6fff_fffd, count)]);
        }
        if !self.wants.is_empty() || !self.defines.is_empty() {
            dynamic.push((0x6fff_fff0, indices));
        }
        dynamic.push((0, 0));
        let table: Vec<u8> = dynamic
            .iter()
            .flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat())
            .collect();
        let dynamic = (place(&mut body, &table), table.len() as u64);
        let mut file = self.head(segments);
        file.extend(self.segments(loader, dynamic, HEAD + segments * SEGMENT + body.len()));
        file.extend(body);
        file
    }

    fn head(&self, segments: usize) -> Vec<u8> {
        let mut head = vec![0x7f, b'E', b'L', b'F', if self.other_class { 1 } else { 2 }];
        head.extend([if self.other_encoding { 2 } else { 1 }, 1, 0]);
        head.extend([0; 8]);
        head.extend(self.kind.unwrap_or(3).to_le_bytes());
        head.extend(self.machine.unwrap_or(62).to_le_bytes());
        head.extend(1u32.to_le_bytes());
        head.extend([0u64, HEAD as u64, 0].iter().flat_map(|word| word.to_le_bytes()));
        head.extend(0u32.to_le_bytes());
        for half in [HEAD, SEGMENT, segments, 64, 0, 0] {
            head.extend((half as u16).to_le_bytes());
        }
        head
    }

    fn segments(&self, loader: Option<(u64, u64)>, dynamic: (u64, u64), length: usize) -> Vec<u8> {
        let mut rows: Vec<(u32, u32, u64, u64, u64)> = Vec::new();
        if let Some((offset, length)) = loader {
            rows.push((6, 4, HEAD as u64, (4 * SEGMENT) as u64, 8));
            rows.push((3, 4, offset, length, 1));
        }
        rows.push((1, 6, 0, length as u64, 0x1000));
        rows.push((2, 6, dynamic.0, dynamic.1, 8));
        let mut bytes = Vec::new();
        for (kind, flags, offset, length, align) in rows {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(flags.to_le_bytes());
            for word in [offset, offset, offset, length, length, align] {
                bytes.extend(word.to_le_bytes());
            }
        }
        bytes
    }

    fn version_needs(&self, strings: &mut Strings) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, (file, version, weak)) in self.wants.iter().enumerate() {
            let last = index + 1 == self.wants.len();
            bytes.extend(1u16.to_le_bytes());
            bytes.extend(1u16.to_le_bytes());
            bytes.extend((strings.add(file) as u32).to_le_bytes());
            bytes.extend(16u32.to_le_bytes());
            bytes.extend(if last { 0u32 } else { 32 }.to_le_bytes());
            bytes.extend(hash(version).to_le_bytes());
            bytes.extend(if *weak { 2u16 } else { 0 }.to_le_bytes());
            bytes.extend((index as u16 + 2).to_le_bytes());
            bytes.extend((strings.add(version) as u32).to_le_bytes());
            bytes.extend(0u32.to_le_bytes());
        }
        bytes
    }

    fn version_definitions(&self, strings: &mut Strings) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, version) in self.defines.iter().enumerate() {
            let last = index + 1 == self.defines.len();
            for half in [1u16, 0, index as u16 + 2, 1] {
                bytes.extend(half.to_le_bytes());
            }
            bytes.extend(hash(version).to_le_bytes());
            bytes.extend(20u32.to_le_bytes());
            bytes.extend(if last { 0u32 } else { 28 }.to_le_bytes());
            bytes.extend((strings.add(version) as u32).to_le_bytes());
            bytes.extend(0u32.to_le_bytes());
        }
        bytes
    }
}
