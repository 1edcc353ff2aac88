//! Our answers held against the real loader of this machine.
//!
//! Each test builds a small world, asks `ld.so` (`LD_TRACE_LOADED_OBJECTS`) what it loads, and asks us. Where the
//! machine has no glibc for x86-64 there is nobody to ask, and the tests pass without a word.

mod support;

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use support::image::Image;
use support::{Answer, Folder, LOADER, agree, host_loader, run, write};

/// One file of a world: where, and what it says.
fn put(folder: &Folder, path: &str, image: &Image) -> PathBuf {
    let path = folder.path(path);
    write(&path, &image.bytes());
    path
}

fn program(needed: &[&str]) -> Image {
    Image { loader: Some(LOADER.to_owned()), ..library(needed) }
}

fn library(needed: &[&str]) -> Image {
    Image { needed: needed.iter().map(|&name| name.to_owned()).collect(), ..Image::default() }
}

fn paths(folder: &Folder, below: &[&str]) -> Vec<PathBuf> {
    below.iter().map(|path| folder.path(path)).collect()
}

/// Compares, and returns what both said.
#[track_caller]
fn check(folder: &Folder, library_path: Option<&str>) -> Answer {
    agree(&folder.path("app/main"), library_path, &folder.path("app"))
}

/// Builds with the compiler: `gcc ARGUMENTS`, with `@` standing for the folder.
fn gcc(folder: &Folder, arguments: &str) {
    let source = folder.path("empty.c");
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    std::fs::write(folder.path("lib.c"), "int f(void) { return 1; }\n").unwrap();
    let arguments = arguments.replace('@', folder.text());
    run("gcc", arguments.split_whitespace());
}

macro_rules! need_host {
    () => {
        if host_loader().is_none() {
            return;
        }
    };
}

#[test]
fn case_a_the_variable_alone_finds_a_library() {
    need_host!();
    let folder = Folder::new("case-a");
    folder.path("app/main");
    folder.path("one/x");
    gcc(&folder, "-shared -o @/one/liba.so @/lib.c");
    gcc(&folder, "-o @/app/main @/empty.c -Wl,--no-as-needed -L@/one -la");
    let answer = check(&folder, Some(folder.path("one").to_str().unwrap()));
    assert_eq!(answer.loaded[0], folder.path("one/liba.so"));
    assert_eq!(check(&folder, None).missing, ["liba.so"]);
}

#[test]
fn case_b_the_programs_rpath_is_inherited_by_a_dependency() {
    need_host!();
    let folder = Folder::new("case-b");
    folder.path("app/main");
    folder.path("one/x");
    gcc(&folder, "-shared -o @/one/libb.so @/lib.c");
    gcc(&folder, "-shared -o @/one/liba.so @/lib.c -Wl,--no-as-needed -L@/one -lb");
    let link = "-o @/app/main @/empty.c -Wl,--no-as-needed,--disable-new-dtags,-rpath,@/one -L@/one -la";
    gcc(&folder, &format!("{link} -Wl,-rpath-link,@/one"));
    let answer = check(&folder, None);
    assert!(answer.loaded.contains(&folder.path("one/libb.so")));
    assert_eq!(answer.missing, [""; 0]);
}

#[test]
fn case_c_the_variable_comes_before_runpath_and_after_rpath() {
    need_host!();
    for (tags, winner) in [("--enable-new-dtags", "two"), ("--disable-new-dtags", "one")] {
        let folder = Folder::new("case-c");
        folder.path("app/main");
        folder.path("one/x");
        folder.path("two/x");
        gcc(&folder, "-shared -o @/one/liba.so @/lib.c");
        gcc(&folder, "-shared -o @/two/liba.so @/lib.c");
        gcc(&folder, &format!("-o @/app/main @/empty.c -Wl,--no-as-needed,{tags},-rpath,@/one -L@/one -la"));
        let answer = check(&folder, Some(folder.path("two").to_str().unwrap()));
        assert_eq!(answer.loaded[0], folder.path(winner).join("liba.so"));
    }
}

#[test]
fn case_d_a_name_in_the_link_map_is_not_searched_again() {
    need_host!();
    let folder = Folder::new("case-d");
    folder.path("app/main");
    folder.path("one/x");
    folder.path("two/x");
    gcc(&folder, "-shared -o @/one/libb.so @/lib.c");
    gcc(&folder, "-shared -o @/two/libb.so @/lib.c");
    gcc(&folder, "-shared -o @/one/liba.so @/lib.c -Wl,--no-as-needed,-rpath,@/two -L@/two -lb");
    gcc(&folder, "-o @/app/main @/empty.c -Wl,--no-as-needed,-rpath,@/one -L@/one -lb -la");
    let answer = check(&folder, None);
    assert_eq!(answer.loaded[..2], paths(&folder, &["one/libb.so", "one/liba.so"]));
    assert!(!answer.loaded.contains(&folder.path("two/libb.so")));
}

#[test]
fn case_e_runpath_is_not_inherited() {
    need_host!();
    let folder = Folder::new("case-e");
    folder.path("app/main");
    folder.path("one/x");
    gcc(&folder, "-shared -o @/one/libb.so @/lib.c");
    gcc(&folder, "-shared -o @/one/liba.so @/lib.c -Wl,--no-as-needed -L@/one -lb");
    let link = "-o @/app/main @/empty.c -Wl,--no-as-needed,--enable-new-dtags,-rpath,@/one -L@/one -la";
    gcc(&folder, &format!("{link} -Wl,-rpath-link,@/one"));
    assert_eq!(check(&folder, None).missing, ["libb.so"]);
}

#[test]
fn an_rpath_is_inherited_through_two_levels_and_nearest_first() {
    need_host!();
    let folder = Folder::new("rpath-chain");
    put(&folder, "app/main", &Image { rpath: Some("$ORIGIN/../far".into()), ..program(&["liba.so"]) });
    put(&folder, "far/liba.so", &Image { rpath: Some("$ORIGIN/../near".into()), ..library(&["libb.so"]) });
    put(&folder, "near/libb.so", &library(&["libc1.so", "libd1.so"]));
    put(&folder, "far/libc1.so", &library(&[]));
    put(&folder, "near/libc1.so", &library(&[]));
    put(&folder, "far/libd1.so", &library(&[]));
    let loaded = check(&folder, None).loaded;
    let expected = ["app/../far/liba.so", "app/../far/../near/libb.so", "app/../far/../near/libc1.so"];
    assert_eq!(loaded[..3], expected.map(|path| PathBuf::from(folder.text()).join(path)));
    assert_eq!(loaded.len(), 4);
}

#[test]
fn runpath_silences_the_rpath_beside_it_and_those_above_it() {
    need_host!();
    let folder = Folder::new("runpath-silences");
    put(&folder, "app/main", &Image { rpath: Some("$ORIGIN/a".into()), ..program(&["liba.so", "libb.so"]) });
    let both =
        Image { rpath: Some("$ORIGIN".into()), runpath: Some("/nowhere".into()), ..library(&["libx.so"]) };
    put(&folder, "app/a/liba.so", &both);
    put(&folder, "app/a/libb.so", &library(&[]));
    put(&folder, "app/a/libx.so", &library(&[]));
    assert_eq!(check(&folder, None).missing, ["libx.so"]);
}

#[test]
fn an_object_with_runpath_passes_on_what_it_inherited() {
    need_host!();
    let folder = Folder::new("runpath-passes");
    put(&folder, "app/main", &Image { runpath: Some("$ORIGIN/a".into()), ..program(&["liba.so"]) });
    put(
        &folder,
        "app/a/liba.so",
        &Image { rpath: Some("$ORIGIN/b:$ORIGIN/c".into()), ..library(&["libb.so"]) },
    );
    put(&folder, "app/a/b/libb.so", &Image { runpath: Some("$ORIGIN".into()), ..library(&["libc1.so"]) });
    put(&folder, "app/a/b/libc1.so", &library(&["libd1.so"]));
    put(&folder, "app/a/c/libd1.so", &library(&[]));
    assert_eq!(check(&folder, None).missing, [""; 0]);
}

#[test]
fn the_origin_of_a_library_is_where_it_was_opened_not_where_its_link_leads() {
    need_host!();
    let folder = Folder::new("origin-link");
    put(&folder, "app/main", &Image { runpath: Some("$ORIGIN/a".into()), ..program(&["liba.so"]) });
    put(&folder, "real/liba.so", &Image { runpath: Some("$ORIGIN".into()), ..library(&["libb.so"]) });
    put(&folder, "real/libb.so", &library(&[]));
    std::fs::create_dir_all(folder.path("app/a")).unwrap();
    symlink("../../real/liba.so", folder.path("app/a/liba.so")).unwrap();
    assert_eq!(check(&folder, None).missing, ["libb.so"]);
    put(&folder, "app/a/libb.so", &library(&[]));
    assert_eq!(check(&folder, None).loaded[1], folder.path("app/a/libb.so"));
}

#[test]
fn a_folder_may_be_a_link() {
    need_host!();
    let folder = Folder::new("lib64");
    put(&folder, "app/main", &Image { runpath: Some("$ORIGIN/lib64".into()), ..program(&["liba.so"]) });
    put(&folder, "app/lib/liba.so", &library(&[]));
    symlink("lib", folder.path("app/lib64")).unwrap();
    assert_eq!(check(&folder, None).loaded, [folder.path("app/lib64/liba.so")]);
}

#[test]
fn a_name_with_a_slash_is_a_path_and_may_have_tokens() {
    need_host!();
    let folder = Folder::new("slash");
    put(
        &folder,
        "app/main",
        &program(&["./liba.so", "$ORIGIN/b/libb.so", "libb.so", "$ORIGIN/$LIB/libd1.so"]),
    );
    put(&folder, "app/liba.so", &library(&[]));
    put(&folder, &format!("app/{}/libd1.so", host_loader().unwrap().lib), &library(&[]));
    put(&folder, "app/b/libb.so", &Image { soname: Some("libb.so".into()), ..library(&[]) });
    let answer = check(&folder, None);
    assert_eq!(answer.loaded[1], folder.path("app/b/libb.so"));
    assert_eq!(answer.loaded.len(), 3);
}

#[test]
fn an_empty_element_is_the_current_folder() {
    need_host!();
    let folder = Folder::new("empty-element");
    put(&folder, "app/main", &program(&["liba.so"]));
    put(&folder, "app/liba.so", &library(&[]));
    assert_eq!(check(&folder, Some("/nowhere:")).loaded, [PathBuf::from("liba.so")]);
    assert_eq!(check(&folder, Some(";/nowhere")).loaded, [PathBuf::from("liba.so")]);
    assert_eq!(check(&folder, Some("")).missing, ["liba.so"]);
    put(&folder, "app/main", &Image { runpath: Some(String::new()), ..program(&["liba.so"]) });
    assert_eq!(check(&folder, None).missing, ["liba.so"]);
    put(&folder, "app/main", &Image { runpath: Some("/nowhere:".into()), ..program(&["liba.so"]) });
    assert_eq!(check(&folder, None).loaded, [PathBuf::from("liba.so")]);
    put(&folder, "app/main", &Image { runpath: Some(".".into()), ..program(&["liba.so"]) });
    assert_eq!(check(&folder, None).loaded.len(), 1);
}

#[test]
fn tokens_in_paths_are_told_from_what_only_looks_like_them() {
    need_host!();
    let folder = Folder::new("tokens");
    for path in ["$ORIGINAL", "${ORIGIN", "$FOO", "${ORIGIN}x", "$ORIGIN/$LIB", "$ORIGIN/${PLATFORM}/y"] {
        let literal = path.replace("$LIB", &host_loader().unwrap().lib);
        let literal =
            literal.replace("${PLATFORM}", host_loader().unwrap().platform.as_deref().unwrap_or(""));
        let literal = match literal.as_str() {
            "${ORIGIN}x" => "../appx".to_owned(),
            other => other.replace("$ORIGIN/", ""),
        };
        put(&folder, &format!("app/{literal}/liba.so"), &library(&[]));
        put(&folder, "app/main", &Image { runpath: Some(path.into()), ..program(&["liba.so"]) });
        assert_eq!(check(&folder, None).missing, [""; 0], "{path}");
    }
}

#[test]
fn a_folder_for_better_processors_is_preferred() {
    need_host!();
    let loader = host_loader().unwrap();
    let folder = Folder::new("hwcaps");
    put(&folder, "app/main", &Image { runpath: Some("$ORIGIN/lib".into()), ..program(&["liba.so"]) });
    put(&folder, "app/lib/liba.so", &library(&[]));
    for place in loader.subdirectories().iter().rev() {
        let path = put(&folder, &format!("app/lib/{place}/liba.so"), &library(&[]));
        assert_eq!(check(&folder, None).loaded, [path]);
    }
    assert!(!loader.subdirectories().is_empty());
}

#[test]
fn files_for_another_class_or_machine_are_passed_over() {
    need_host!();
    let folder = Folder::new("other-machine");
    let runpath = Some("$ORIGIN/32:$ORIGIN/arm:$ORIGIN/right".into());
    put(&folder, "app/main", &Image { runpath, ..program(&["liba.so", "libonly32.so"]) });
    gcc(&folder, "-c -m32 -o @/app/32.o @/lib.c");
    std::fs::create_dir_all(folder.path("app/32")).unwrap();
    run(
        "ld",
        ["-shared", "-melf_i386", "-o"]
            .map(PathBuf::from)
            .into_iter()
            .chain([folder.path("app/32/liba.so"), folder.path("app/32.o")]),
    );
    std::fs::copy(folder.path("app/32/liba.so"), folder.path("app/32/libonly32.so")).unwrap();
    put(&folder, "app/arm/liba.so", &Image { machine: Some(183), ..library(&[]) });
    put(&folder, "app/right/liba.so", &library(&[]));
    let answer = check(&folder, None);
    assert_eq!(answer.loaded, [folder.path("app/right/liba.so")]);
    assert_eq!(answer.missing, ["libonly32.so"]);
}

#[test]
fn a_file_that_is_no_library_ends_the_search() {
    need_host!();
    let folder = Folder::new("in-the-way");
    put(&folder, "app/main", &Image { runpath: Some("$ORIGIN/a:$ORIGIN/b".into()), ..program(&["liba.so"]) });
    put(&folder, "app/b/liba.so", &library(&[]));
    let in_the_way: [Vec<u8>; 6] = [
        b"/* GNU ld script: text longer than an ELF header is, so that it is read whole */".to_vec(),
        b"short".to_vec(),
        Vec::new(),
        Image { kind: Some(1), ..library(&[]) }.bytes(),
        Image { other_encoding: true, ..library(&[]) }.bytes(),
        Image { kind: Some(2), ..library(&[]) }.bytes(),
    ];
    for bytes in in_the_way {
        write(&folder.path("app/a/liba.so"), &bytes);
        assert!(check(&folder, None).fatal, "{:?}", bytes.get(..64));
    }
    put(&folder, "app/a/liba.so", &Image { flags_1: 0x0800_0000, ..library(&[]) });
    assert!(check(&folder, None).fatal, "a position-independent program");
}

#[test]
fn what_may_not_be_read_is_passed_over() {
    need_host!();
    let folder = Folder::new("dangling");
    put(&folder, "app/main", &Image { runpath: Some("$ORIGIN/a:$ORIGIN/b".into()), ..program(&["liba.so"]) });
    put(&folder, "app/b/liba.so", &library(&[]));
    std::fs::create_dir_all(folder.path("app/a")).unwrap();
    symlink("nowhere", folder.path("app/a/liba.so")).unwrap();
    assert_eq!(check(&folder, None).loaded, [folder.path("app/b/liba.so")]);
}

#[test]
fn versions_are_held_against_definitions() {
    need_host!();
    let folder = Folder::new("versions");
    let wants = |version: &str, weak| ("liba.so".to_owned(), version.to_owned(), weak);
    let wants = vec![wants("A_1", false), wants("A_2", false), wants("A_3", true)];
    put(&folder, "app/main", &Image { runpath: Some("$ORIGIN".into()), wants, ..program(&["liba.so"]) });
    put(&folder, "app/liba.so", &Image { defines: vec!["A_1".into()], ..library(&[]) });
    let main = folder.path("app/main");
    assert_eq!(check(&folder, None).versions, [format!("A_2 for {}", main.display())]);
    put(&folder, "app/liba.so", &library(&[]));
    assert_eq!(check(&folder, None).versions, [""; 0], "no definitions at all: any version will do");
}

#[test]
fn an_object_may_refuse_the_default_folders() {
    need_host!();
    let folder = Folder::new("nodeflib");
    put(&folder, "app/main", &Image { flags_1: 0x800, ..program(&["libc.so.6"]) });
    assert_eq!(check(&folder, None).missing, ["libc.so.6"]);
    put(&folder, "app/main", &program(&["libc.so.6"]));
    assert_eq!(check(&folder, None).missing, [""; 0]);
}

#[test]
fn of_two_libraries_with_one_soname_the_first_serves_the_name() {
    need_host!();
    let folder = Folder::new("same-soname");
    let same = |needed: &[&str]| Image { soname: Some("libsame.so".into()), ..library(needed) };
    let needed = ["liba.so", "libb.so", "libsame.so"];
    put(&folder, "app/main", &Image { rpath: Some("$ORIGIN".into()), ..program(&needed) });
    put(&folder, "app/liba.so", &same(&[]));
    put(&folder, "app/libb.so", &same(&["libsame.so"]));
    put(&folder, "app/libsame.so", &library(&[]));
    assert_eq!(check(&folder, None).loaded, paths(&folder, &["app/liba.so", "app/libb.so"]));
}

#[test]
fn a_file_under_two_names_is_loaded_once_and_keeps_both() {
    need_host!();
    let folder = Folder::new("one-inode");
    put(
        &folder,
        "app/main",
        &Image { rpath: Some("$ORIGIN".into()), ..program(&["liba.so", "libb.so", "libc1.so"]) },
    );
    let file =
        put(&folder, "app/liba.so", &Image { soname: Some("libz9.so".into()), ..library(&["libz9.so"]) });
    std::fs::hard_link(&file, folder.path("app/libb.so")).unwrap();
    symlink("liba.so", folder.path("app/libc1.so")).unwrap();
    let answer = check(&folder, None);
    assert_eq!(answer.loaded, [file]);
    assert_eq!(answer.missing, [""; 0]);
}

#[test]
fn deep_chains_and_cycles_end() {
    need_host!();
    let folder = Folder::new("deep");
    put(&folder, "app/main", &Image { rpath: Some("$ORIGIN/d".into()), ..program(&["lib0.so"]) });
    for level in 0..120 {
        let (next, back) = (format!("lib{}.so", level + 1), format!("lib{}.so", level / 2));
        put(&folder, &format!("app/d/lib{level}.so"), &library(&[&next, &back]));
    }
    let answer = check(&folder, None);
    assert_eq!(answer.loaded.len(), 120);
    assert_eq!(answer.missing, ["lib120.so"]);
}
