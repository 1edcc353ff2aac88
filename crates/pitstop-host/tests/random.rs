//! Random small trees of made-up libraries, resolved by us and by the real loader.

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use support::image::Image;
use support::{Folder, LOADER, agree, host_loader, write};

/// Longest time for all trees together.
const TIME: Duration = Duration::from_secs(8);

/// Numbers that look random and are the same each time (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    fn some<'a>(&mut self, from: &[&'a str], most: u64) -> Vec<&'a str> {
        (0..self.below(most + 1)).map(|_| self.pick(from)).collect()
    }
}

const NAMES: [&str; 7] = ["libp.so", "libq.so", "libr.so", "libs.so.1", "libt.so.2", "libu.so", "libc.so.6"];
const FOLDERS: [&str; 6] = ["d0", "d1", "d2", "d0/sub", "d1/glibc-hwcaps/x86-64-v2", "d2/tls"];
const PATHS: [&str; 12] = [
    "$ORIGIN",
    "$ORIGIN/../d0",
    "$ORIGIN/../d1/",
    "${ORIGIN}/../d2",
    "$ORIGIN/sub",
    "/nowhere",
    "",
    ".",
    "../d0",
    "../d1//",
    "$ORIGINX",
    "$ORIGIN/../d0/sub/$FOO",
];
const VERSIONS: [&str; 3] = ["V_1", "V_2", "V_3"];

fn image(random: &mut Random) -> Image {
    let needed = random.some(&NAMES, 4);
    let mut path = || {
        let path = random.some(&PATHS, 4).join(":");
        random.one_in(2).then_some(path)
    };
    let (rpath, runpath) = (path(), path().filter(|_| random.one_in(2)));
    // Only a name that is also needed: for any other glibc stops with a failed assertion.
    let wants = needed.iter().filter(|_| random.one_in(3)).map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Image {
        soname: random.one_in(2).then(|| random.pick(&NAMES).to_owned()),
        rpath,
        runpath,
        flags_1: if random.one_in(12) { 0x800 } else { 0 },
        wants: wants
            .into_iter()
            .map(|name| (name, random.pick(&VERSIONS).to_owned(), random.one_in(4)))
            .collect(),
        defines: if random.one_in(2) {
            Vec::new()
        } else {
            random.some(&VERSIONS, 3).into_iter().map(str::to_owned).collect()
        },
        other_class: false,
        machine: random.one_in(15).then_some(183),
        needed: needed.into_iter().map(str::to_owned).collect(),
        ..Image::default()
    }
}

fn tree(random: &mut Random, root: &Path) {
    for folder in FOLDERS {
        for name in &NAMES[..6] {
            let path = root.join(folder).join(name);
            match random.below(12) {
                0..=3 => write(&path, &image(random).bytes()),
                4 => {
                    // A link to another library, which may be there or not.
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    let target = root.join(random.pick(&FOLDERS)).join(random.pick(&NAMES));
                    if target != path {
                        let _ = symlink(target, &path);
                    }
                }
                5 if random.one_in(6) => {
                    write(&path, b"no library at all, though it is named like one, and long")
                }
                _ => {}
            }
        }
    }
    let program = Image { loader: Some(LOADER.to_owned()), soname: None, machine: None, ..image(random) };
    write(&root.join("app/main"), &program.bytes());
}

#[test]
fn random_trees_resolve_as_the_loader_resolves_them() {
    if host_loader().is_none() {
        return;
    }
    let trees: u64 = std::env::var("PITSTOP_RANDOM_TREES").map_or(400, |count| count.parse().unwrap());
    let begun = Instant::now();
    let (mut done, mut loaded, mut missing, mut fatal, mut versions) = (0, 0, 0, 0, 0);
    for seed in 1..=trees {
        if begun.elapsed() > TIME && trees <= 400 {
            break;
        }
        let folder = Folder::new(&format!("random-{seed}"));
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        tree(&mut random, Path::new(folder.text()));
        let variable = random
            .one_in(2)
            .then(|| random.some(&["../d0", "../d2/", "", "/nowhere", "$ORIGIN/../d1"], 3).join(":"));
        let answer = agree(&folder.path("app/main"), variable.as_deref(), &folder.path("app"));
        done += 1;
        loaded += answer.loaded.len();
        missing += answer.missing.len();
        fatal += u32::from(answer.fatal);
        versions += answer.versions.len();
    }
    println!("{done} trees: {loaded} loaded, {missing} missing, {fatal} fatal, {versions} versions");
    // Trees in which nothing happens would prove nothing.
    assert!(loaded > done && missing > done && fatal > 0 && versions > 0);
}
