//! Worlds written as text, and what is said of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::{BString, ByteSlice};

use super::*;
use crate::elf::{Class, Encoding, Target};
use crate::files::{FakeFiles, Files, Opened};
use crate::ldso::{Environment, Loader, Process};

/// A Python in a store, as on NixOS: it brings zlib and its loader looks nowhere but beside its libc.
const PYTHON: &str = "\
/store/glibc/lib/ld.so soname=ld.so
/store/glibc/lib/libc.so.6 soname=libc.so.6 defines=GLIBC_2.17,GLIBC_2.36
/store/glibc/lib/libm.so.6 soname=libm.so.6 needed=libc.so.6
/store/zlib/lib/libz.so.1 soname=libz.so.1 needed=libc.so.6 runpath=/store/glibc/lib
/store/python/bin/python exec loader=/store/glibc/lib/ld.so needed=libc.so.6 runpath=/store/glibc/lib
/store/python/lib/zlib.so needed=libz.so.1,libc.so.6 runpath=/store/zlib/lib
";

struct World {
    files: FakeFiles,
    natives: Vec<Native>,
    provided: BTreeMap<BString, PathBuf>,
    requires: Vec<(usize, usize)>,
    named: Vec<PathBuf>,
    asks: Vec<Ask>,
    given_up: BTreeSet<BString>,
}

impl World {
    /// Files of the environment: a fixture line each, with role and package in front.
    fn new(lines: &[(Role, Option<usize>, &str)]) -> Self {
        let fixture: String = lines.iter().flat_map(|(.., line)| [*line, "\n"]).collect();
        let files = FakeFiles::new(&format!("{PYTHON}{fixture}"));
        let native = |(role, package, line): &(Role, Option<usize>, &str)| {
            let path = PathBuf::from(line.split(' ').next().unwrap());
            let Opened::Elf(id, elf) = files.open(&path) else { panic!("{line}") };
            Native { path, id, elf, role: *role, package: *package }
        };
        let natives = lines.iter().map(native).collect();
        Self {
            files,
            natives,
            provided: BTreeMap::new(),
            requires: Vec::new(),
            named: Vec::new(),
            asks: Vec::new(),
            given_up: BTreeSet::new(),
        }
    }

    fn provide(mut self, soname: &str, line: &str) -> Self {
        self.files.add(line);
        self.provided.insert(soname.into(), PathBuf::from(line.split(' ').next().unwrap()));
        self
    }

    fn process(&self) -> Process<'_> {
        let target = Target { class: Class::Bits64, encoding: Encoding::Little, machine: 62 };
        let help = "Shared library search path:\n  /store/glibc/lib (system search path)\n";
        let diagnostics = "path.system_dirs[0x0]=\"/store/glibc/lib/\"\n";
        let path = Path::new("/store/glibc/lib/ld.so");
        let loader = Loader::from_diagnostics(path, target, diagnostics, help).unwrap();
        let python = Path::new("/store/python/bin/python");
        Process::start(Arc::new(loader), &self.files, python, Environment::default()).unwrap()
    }

    fn diagnose(&self) -> Diagnosis {
        diagnose(&Question {
            natives: &self.natives,
            process: &self.process(),
            provided: &self.provided,
            requires: &|one, other| self.requires.contains(&(one, other)),
            named: &|native| self.named.contains(&native.path),
            asks: &self.asks,
            given_up: &self.given_up,
        })
    }
}

fn sonames(diagnosis: &Diagnosis) -> Vec<&str> {
    diagnosis.missing.iter().map(|missing| missing.soname.to_str().unwrap()).collect()
}

#[test]
fn a_missing_library_is_told_with_who_asks_and_which_versions() {
    let world = World::new(&[
        (Role::Extension, Some(0), "/v/numpy/a.so needed=libz.so.1,libc.so.6 wants=libz.so.1:ZLIB_1.2.9"),
        (Role::Extension, Some(0), "/v/numpy/b.so needed=libb.so runpath=$ORIGIN/../numpy.libs"),
        (Role::Library, Some(0), "/v/numpy.libs/libb.so soname=libb.so needed=libz.so.1,libm.so.6"),
    ]);
    let diagnosis = world.diagnose();
    assert_eq!(sonames(&diagnosis), ["libz.so.1"]);
    let missing = &diagnosis.missing[0];
    assert_eq!(missing.versions.iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>(), ["ZLIB_1.2.9"]);
    let askers: Vec<_> =
        missing.askers.iter().map(|asker| (asker.root, asker.by.to_str().unwrap())).collect();
    assert_eq!(askers, [(0, "/v/numpy/a.so"), (1, "/v/numpy.libs/libb.so")]);
    assert!(!diagnosis.is_well());
}

#[test]
fn a_bundled_library_is_judged_as_its_importer_reaches_it() {
    let world = World::new(&[
        (Role::Extension, Some(0), "/v/numpy/a.so needed=libgfortran.so rpath=$ORIGIN/../numpy.libs"),
        (Role::Library, Some(0), "/v/numpy.libs/libgfortran.so needed=libquadmath.so"),
        (Role::Library, Some(0), "/v/numpy.libs/libquadmath.so"),
    ]);
    let diagnosis = world.diagnose();
    assert!(diagnosis.is_well(), "{diagnosis:?}");
    assert_eq!(diagnosis.roots, [0]);
}

#[test]
fn a_plugin_that_nothing_links_or_names_is_optional() {
    let plugin = (Role::Library, Some(0), "/v/Qt6/plugins/libqxcb.so needed=libxcb-cursor.so.0");
    let mut world = World::new(&[plugin]);
    let diagnosis = world.diagnose();
    assert!(diagnosis.missing[0].optional);
    assert!(diagnosis.is_well());

    world.named.push(PathBuf::from("/v/Qt6/plugins/libqxcb.so"));
    let diagnosis = world.diagnose();
    assert!(!diagnosis.missing[0].optional);
}

#[test]
fn what_a_plugin_needs_is_loaded_before_the_modules_that_bring_its_opener() {
    let lines = [
        (Role::Extension, Some(1), "/v/P/QtCore.so needed=libQt6Core.so runpath=$ORIGIN/../lib"),
        (Role::Extension, Some(1), "/v/P/QtGui.so needed=libQt6Gui.so,libQt6Core.so runpath=$ORIGIN/../lib"),
        (Role::Library, Some(0), "/v/lib/libQt6Core.so soname=libQt6Core.so runpath=$ORIGIN"),
        (
            Role::Library,
            Some(0),
            "/v/lib/libQt6Gui.so soname=libQt6Gui.so needed=libQt6Core.so runpath=$ORIGIN",
        ),
        (
            Role::Library,
            Some(0),
            "/v/plugins/libqxcb.so needed=libQt6Gui.so,libxcb-cursor.so.0 runpath=$ORIGIN/../lib",
        ),
    ];
    let mut world = World::new(&lines).provide("libxcb-cursor.so.0", "/store/x/libxcb-cursor.so.0");
    let cursor = vec![PathBuf::from("/store/x/libxcb-cursor.so.0")];
    assert_eq!(world.diagnose().preloads, BTreeMap::from([(1, cursor.clone()), (4, cursor.clone())]));
    // What Python code opens is served then.
    world.named.push(PathBuf::from("/v/plugins/libqxcb.so"));
    assert_eq!(world.diagnose().preloads, BTreeMap::from([(4, cursor)]));
}

#[test]
fn a_plugin_is_left_as_it_is_where_its_needs_would_bring_another_file_for_a_library_of_its_package() {
    let lines = [
        (Role::Extension, Some(1), "/v/P/QtCore.so needed=libQt6Core.so runpath=$ORIGIN/../lib"),
        (Role::Library, Some(0), "/v/lib/libQt6Core.so soname=libQt6Core.so runpath=$ORIGIN"),
        (
            Role::Library,
            Some(0),
            "/v/plugins/libview.so needed=libQt6Core.so,libQt6Web.so runpath=$ORIGIN/../lib",
        ),
    ];
    let web = "/store/qt/libQt6Web.so soname=libQt6Web.so needed=libQt6Core.so runpath=$ORIGIN";
    let mut world = World::new(&lines).provide("libQt6Web.so", web);
    world.files.add("/store/qt/libQt6Core.so soname=libQt6Core.so");
    assert_eq!(world.diagnose().preloads, BTreeMap::new());
}

#[test]
fn who_can_do_without_is_not_named_beside_who_cannot() {
    for order in [[0, 1], [1, 0]] {
        let lines = [
            (
                Role::Library,
                Some(0),
                "/v/Qt6/plugins/libqsqlodbc.so needed=libodbc.so.2 wants=libodbc.so.2:PLUGIN",
            ),
            (Role::Library, Some(1), "/v/pyodbc/liba.so needed=libodbc.so.2"),
        ];
        let mut world = World::new(&order.map(|index| lines[index]));
        world.named.push(PathBuf::from("/v/pyodbc/liba.so"));
        let missing = &world.diagnose().missing[0];
        assert!(!missing.optional && missing.versions.is_empty());
        assert_eq!(missing.askers.len(), 1);
        assert_eq!(&*missing.askers[0].by, Path::new("/v/pyodbc/liba.so"));
    }
}

#[test]
fn of_libraries_that_no_module_reaches_only_the_outermost_are_roots() {
    let world = World::new(&[
        (Role::Library, Some(0), "/v/x/libouter.so needed=libinner.so rpath=$ORIGIN"),
        (Role::Library, Some(0), "/v/x/libinner.so needed=libdeep.so"),
        (Role::Library, Some(0), "/v/x/libdeep.so"),
        (Role::Library, Some(0), "/v/y/libone.so soname=libone.so needed=libtwo.so rpath=$ORIGIN"),
        (Role::Library, Some(0), "/v/y/libtwo.so soname=libtwo.so needed=libone.so rpath=$ORIGIN"),
    ]);
    assert_eq!(world.diagnose().roots, [0, 3]);
}

#[test]
fn what_the_same_package_or_a_required_one_brings_is_not_missing() {
    let mut world = World::new(&[
        (Role::Extension, Some(0), "/v/torchvision/_C.so needed=libtorch.so"),
        (Role::Library, Some(1), "/v/torch/lib/libtorch.so soname=libtorch.so needed=libz.so.1"),
    ]);
    assert_eq!(sonames(&world.diagnose()), ["libtorch.so", "libz.so.1"]);
    assert_eq!(world.diagnose().missing[0].in_wheels, [1]);
    world.requires.push((0, 1));
    assert_eq!(sonames(&world.diagnose()), ["libz.so.1"]);
}

#[test]
fn provided_libraries_are_loaded_before_what_needs_them_dependencies_first() {
    let world = World::new(&[
        (Role::Extension, Some(0), "/v/cv2/a.so needed=libGL.so.1,libz.so.1"),
        (Role::Extension, Some(0), "/v/cv2/b.so needed=libm.so.6"),
    ])
    .provide("libGL.so.1", "/apt/libGL.so.1 soname=libGL.so.1 needed=libX.so.6,libz.so.1")
    .provide("libX.so.6", "/apt/libX.so.6 soname=libX.so.6 needed=libz.so.1,libGL.so.1")
    .provide("libz.so.1", "/store/zlib/lib/libz.so.1 soname=libz.so.1");
    let diagnosis = world.diagnose();
    assert!(diagnosis.is_well(), "{diagnosis:?}");
    let order: Vec<_> = diagnosis.preloads[&0].iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(order, ["/store/zlib/lib/libz.so.1", "/apt/libX.so.6", "/apt/libGL.so.1"]);
    assert!(!diagnosis.preloads.contains_key(&1));
}

#[test]
fn a_provided_library_that_finds_its_own_dependencies_is_loaded_alone() {
    let world = World::new(&[(Role::Extension, Some(0), "/v/a.so needed=libzz.so")])
        .provide("libzz.so", "/store/zz/libzz.so soname=libzz.so needed=libz.so.1 runpath=/store/zlib/lib");
    assert_eq!(world.diagnose().preloads[&0], [PathBuf::from("/store/zz/libzz.so")]);
}

#[test]
fn what_a_provided_library_lacks_is_missing() {
    let world = World::new(&[(Role::Extension, Some(0), "/v/a.so needed=libodbc.so.2")])
        .provide("libodbc.so.2", "/apt/libodbc.so.2 soname=libodbc.so.2 needed=libltdl.so.7");
    assert_eq!(sonames(&world.diagnose()), ["libltdl.so.7"]);
}

#[test]
fn a_version_that_pythons_own_libc_lacks_is_a_mismatch_that_nothing_can_replace() {
    let world = World::new(&[(
        Role::Extension,
        Some(0),
        "/v/a.so needed=libc.so.6 wants=libc.so.6:GLIBC_2.17,GLIBC_2.38",
    )]);
    let diagnosis = world.diagnose();
    let [mismatch] = &diagnosis.mismatched[..] else { panic!("{diagnosis:?}") };
    assert_eq!(mismatch.version, "GLIBC_2.38");
    assert!(mismatch.is_pythons_own);
    assert_eq!(mismatch.found.as_deref(), Some(Path::new("/store/glibc/lib/libc.so.6")));
}

#[test]
fn a_damaged_file_in_the_way_is_named_with_the_loaders_reason() {
    let mut world = World::new(&[(
        Role::Extension,
        Some(0),
        "/v/x/a.so needed=libx.so runpath=/v/x/bad:/store/zlib/lib",
    )]);
    world.files.add("unusable /v/x/bad/libx.so file too short");
    let diagnosis = world.diagnose();
    assert_eq!(&*diagnosis.unusable[0].why, "file too short");
    assert!(!diagnosis.is_well());
}

#[test]
fn pythons_libraries_are_those_of_its_process_and_of_its_standard_library() {
    let world = World::new(&[]);
    let libraries = libraries_of_python(&world.process(), &[PathBuf::from("/store/python/lib/zlib.so")]);
    assert_eq!(libraries[b"libz.so.1".as_bstr()], Path::new("/store/zlib/lib/libz.so.1"));
    assert_eq!(libraries[b"libc.so.6".as_bstr()], Path::new("/store/glibc/lib/libc.so.6"));
    assert!(!libraries.values().any(|path| path.ends_with("zlib.so")));
}

fn ask(package: usize, sonames: &[&str], optional: bool, before: &[usize]) -> Ask {
    Ask {
        package: Some(package),
        sonames: sonames.iter().map(|&soname| soname.to_owned()).collect(),
        optional,
        how: crate::hints::How::Ctypes,
        file: Some("p/x.py".into()),
        line: 1,
        before: before.to_vec(),
    }
}

impl World {
    fn asking(mut self, ask: Ask) -> Self {
        self.asks.push(ask);
        self
    }
}

#[test]
fn a_library_asked_for_by_name_is_missing_until_it_is_provided_with_what_it_lacks_itself() {
    let mut world = World::new(&[]).asking(ask(0, &["liba.so.1"], false, &[]));
    assert_eq!(sonames(&world.diagnose()), ["liba.so.1"]);
    assert_eq!(world.diagnose().missing[0].named_by, [0]);
    world = world.provide("liba.so.1", "/p/liba.so.1 soname=liba.so.1 needed=libb.so.1");
    assert_eq!(sonames(&world.diagnose()), ["libb.so.1"]);
    assert!(world.diagnose().asked.is_empty());
    world = world.provide("libb.so.1", "/p/libb.so.1 soname=libb.so.1");
    let diagnosis = world.diagnose();
    assert!(diagnosis.is_well());
    let paths = ["/p/libb.so.1", "/p/liba.so.1"].map(PathBuf::from).to_vec();
    assert_eq!(diagnosis.asked[&0], ("liba.so.1".to_owned(), paths));
}

#[test]
fn of_alternatives_the_one_that_is_there_is_enough_and_the_next_is_asked_for_when_one_is_given_up() {
    let world = World::new(&[]).asking(ask(0, &["liba.so.2", "libm.so.6"], false, &[]));
    let diagnosis = world.diagnose();
    assert!(diagnosis.is_well());
    assert_eq!(diagnosis.asked[&0], ("libm.so.6".to_owned(), Vec::new()));
    let mut world = World::new(&[]).asking(ask(0, &["liba.so.2", "liba.so.1"], false, &[]));
    assert_eq!(sonames(&world.diagnose()), ["liba.so.2"]);
    world.given_up.insert("liba.so.2".into());
    assert_eq!(sonames(&world.diagnose()), ["liba.so.1"]);
}

#[test]
fn what_the_package_ships_is_not_asked_of_anybody() {
    let line = "/v/_data/liba_x86_64.so soname=liba.so.1";
    let world = World::new(&[(Role::Library, Some(0), line)]).asking(ask(0, &["liba.so.1"], false, &[]));
    assert!(world.diagnose().missing.is_empty());
    let world = World::new(&[(Role::Library, Some(0), line)]).asking(ask(1, &["liba.so.1"], false, &[]));
    assert_eq!(sonames(&world.diagnose()), ["liba.so.1"]);
}

#[test]
fn what_an_ask_can_do_without_is_optional_unless_somebody_needs_it() {
    let world = World::new(&[]).asking(ask(0, &["liba.so.1"], true, &[]));
    assert!(world.diagnose().is_well() && world.diagnose().missing[0].optional);
    let world = world.asking(ask(1, &["liba.so.1"], false, &[]));
    let missing = &world.diagnose().missing[0];
    assert!(!missing.optional);
    assert_eq!(missing.named_by, [1]);
}

#[test]
fn what_a_native_file_opens_by_name_is_loaded_before_that_file() {
    let files = [(Role::Library, Some(0), "/v/p/libglfw.so needed=libc.so.6")];
    let world = World::new(&files).asking(ask(0, &["liba.so.1"], false, &[0]));
    assert_eq!(sonames(&world.diagnose()), ["liba.so.1"]);
    let world = world.provide("liba.so.1", "/p/liba.so.1 soname=liba.so.1");
    assert_eq!(world.diagnose().preloads[&0], [PathBuf::from("/p/liba.so.1")]);
}

#[test]
fn a_module_that_its_package_can_miss_is_optional() {
    let files = [(Role::Extension, Some(0), "/v/numba/tbbpool.so needed=libtbb.so.12")];
    assert!(!World::new(&files).diagnose().is_well());
    let world = World::new(&files).asking(ask(0, &["libtbb.so.12"], true, &[0]));
    assert!(world.diagnose().is_well());
    assert_eq!(sonames(&world.diagnose()), ["libtbb.so.12"]);
}

/// On NixOS the threading layer lacks libstdc++ as well, as do modules that matter.
#[test]
fn a_module_that_its_package_can_miss_is_optional_whatever_else_it_lacks() {
    let files = [
        (Role::Extension, Some(0), "/v/numba/tbbpool.so needed=libtbb.so.12,libstdc++.so.6"),
        (Role::Extension, Some(0), "/v/numba/_dispatcher.so needed=libstdc++.so.6"),
    ];
    let world = World::new(&files).asking(ask(0, &["libtbb.so.12"], true, &[0]));
    let needed = |world: &World| -> Vec<String> {
        let diagnosis = world.diagnose();
        diagnosis.required().map(|missing| missing.soname.to_string()).collect()
    };
    assert_eq!(needed(&world), ["libstdc++.so.6"]);
    let world = world.provide("libstdc++.so.6", "/p/libstdc++.so.6 soname=libstdc++.so.6");
    assert!(world.diagnose().is_well());
    assert!(world.diagnose().missing.iter().any(|missing| missing.soname == "libtbb.so.12"));
    // One that lacks nothing that can be done without is needed as ever.
    assert!(!World::new(&files[1..]).diagnose().is_well());
}

/// pygame's SDL comes along with its modules; it is those that the hook sees.
#[test]
fn what_a_linked_library_opens_by_name_is_loaded_before_the_module_that_links_it() {
    let files = [
        (Role::Extension, Some(0), "/v/pygame/base.so needed=libSDL2.so rpath=/v/pygame.libs"),
        (Role::Library, Some(0), "/v/pygame.libs/libSDL2.so soname=libSDL2.so needed=libc.so.6"),
    ];
    let world = World::new(&files).asking(ask(0, &["liba.so.1"], true, &[1]));
    let world = world.provide("liba.so.1", "/p/liba.so.1 soname=liba.so.1");
    assert_eq!(world.diagnose().preloads[&0], [PathBuf::from("/p/liba.so.1")]);
}
