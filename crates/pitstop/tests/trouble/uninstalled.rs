//! `check` before anything is installed: wheels, source distributions, locks; and those that are made to harm.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::snapshot::{assert_same, snapshot};
use crate::venv::{PYTHON, Ran, Venv};

/// A name of a wheel that every Python takes.
const ANY: &str = "needy-1.0-py3-none-any.whl";

/// Writes a wheel from names and contents.
fn wheel(venv: &Venv, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let path = venv.beside(name);
    let mut zip = ZipWriter::new(File::create(&path).unwrap());
    for (name, bytes) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    path
}

/// The wheel of the package that lacks a library.
fn needy(venv: &Venv, name: &str) -> PathBuf {
    let module = fs::read(venv.module()).unwrap();
    let inside = format!("needy/{}", venv.module().file_name().unwrap().to_str().unwrap());
    let record = format!("needy/__init__.py,,\n{inside},,\nneedy-1.0.dist-info/RECORD,,\n");
    wheel(
        venv,
        name,
        &[("needy/__init__.py", b""), (&inside, &module), ("needy-1.0.dist-info/RECORD", record.as_bytes())],
    )
}

fn check(venv: &Venv, words: &str, path: &Path) -> Ran {
    venv.pitstop_on(&format!("check --python {PYTHON} {words}"), path)
}

#[test]
fn a_wheel_tells_what_it_will_lack_before_it_is_installed() {
    let venv = Venv::lacking();
    let ran = check(&venv, "", &needy(&venv, ANY));
    ran.ends(
        1,
        &["needy-1.0-py3-none-any.whl: Python 3.", "libpstest.so.1", "needy 1.0", "once these are installed"],
    );
    let json = check(&venv, "--json --static", &needy(&venv, ANY)).json();
    assert_eq!(json["missing"][0]["soname"], "libpstest.so.1");
    assert_eq!(json["missing"][0]["needed_by"][0]["package"], "needy");
}

#[test]
fn wheels_are_checked_together_so_that_one_may_bring_what_another_needs() {
    let venv = Venv::lacking();
    let library = fs::read(venv.library()).unwrap();
    let giver = wheel(
        &venv,
        "giver-2.0-py3-none-any.whl",
        &[("needy/../x", b""), ("giver-2.0.dist-info/RECORD", b"")],
    );
    // First one that is refused, so that nothing of it may count.
    let words = format!("{}", giver.display());
    check(&venv, &words, &needy(&venv, ANY)).ends(3, &["outside of site-packages", "libpstest.so.1"]);
    wheel(
        &venv,
        "giver-2.0-py3-none-any.whl",
        &[("giver/libpstest.so.1", &library), ("giver-2.0.dist-info/RECORD", b"giver/libpstest.so.1,,\n")],
    );
    let ran = check(&venv, &words, &needy(&venv, ANY));
    ran.ends(1, &["libpstest.so.1", "another wheel: giver/libpstest.so.1"]);
}

#[test]
fn a_wheel_for_another_machine_libc_or_python_is_refused_before_anything_else() {
    let venv = Venv::lacking();
    for (tags, words) in [
        ("py3-none-manylinux2014_aarch64", "built for aarch64"),
        ("py3-none-musllinux_1_2_x86_64", "built for musl"),
        ("py3-none-manylinux_2_99_x86_64", "built for glibc 2.99 or later"),
        ("cp27-cp27mu-manylinux1_x86_64", "built for another Python (cp27-cp27mu)"),
    ] {
        let ran = check(&venv, "", &needy(&venv, &format!("needy-1.0-{tags}.whl")));
        ran.ends(1, &["cannot be installed here: ", words, "1 package has no wheel that fits"]);
        assert!(!ran.out.contains("libpstest"), "{ran:?}");
    }
}

#[test]
fn a_wheel_made_to_harm_writes_nothing_outside_and_is_named_with_the_reason() {
    let venv = Venv::lacking();
    fs::create_dir(venv.beside("keep")).unwrap();
    let dist_info: (&str, &[u8]) = ("needy-1.0.dist-info/RECORD", b"");
    let before = snapshot(&venv.beside("keep"));
    let escape = format!("../../../../../../../..{}/keep/x.py", venv.beside("").display());
    let absolute = format!("{}/keep/x.py", venv.beside("").display());
    for name in [escape.as_str(), &absolute, "a/../../x.py", "a\\..\\x.py"] {
        let path = wheel(&venv, ANY, &[(name, b"x"), dist_info]);
        check(&venv, "", &path).ends(3, &["could not be read: it holds ", "outside of site-packages"]);
    }
    let path = venv.beside(ANY);
    let mut zip = ZipWriter::new(File::create(&path).unwrap());
    zip.add_symlink("needy", "/etc", SimpleFileOptions::default()).unwrap();
    zip.start_file("needy/passwd.py", SimpleFileOptions::default()).unwrap();
    zip.finish().unwrap();
    check(&venv, "", &path).ends(3, &["a symbolic link, \"needy\""]);
    assert_same(&before, &snapshot(&venv.beside("keep")), "something was written outside");
}

#[test]
fn a_broken_wheel_is_a_finding() {
    let venv = Venv::lacking();
    let path = needy(&venv, ANY);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    check(&venv, "", &path).ends(3, &["needy-1.0-py3-none-any.whl could not be read: "]);
    fs::write(&path, b"no zip at all").unwrap();
    check(&venv, "", &path).ends(3, &["needy-1.0-py3-none-any.whl could not be read: "]);
    let path = wheel(&venv, ANY, &[("needy.py", b"")]);
    check(&venv, "", &path).ends(3, &["it has no .dist-info folder"]);
    let path = wheel(&venv, ANY, &[("needy-1.0.dist-info/METADATA", b"")]);
    check(&venv, "", &path).ends(3, &["it has no needy-1.0.dist-info/RECORD"]);
    let path = wheel(&venv, ANY, &[("needy-1.0.dist-info/RECORD", b"needy/gone.py,,\n")]);
    check(&venv, "", &path).ends(3, &["its RECORD lists needy/gone.py, which it does not hold"]);
    let path = needy(&venv, "needy.whl");
    check(&venv, "", &path).ends(3, &["its name is not NAME-VERSION"]);
    check(&venv, "", &venv.beside("gone-1-py3-none-any.whl")).ends(3, &["gone-1", "No such file"]);
}

#[test]
fn a_native_file_that_unpacks_to_gigabytes_takes_no_memory_to_speak_of() {
    let venv = Venv::lacking();
    let path = venv.beside(ANY);
    let mut zip = ZipWriter::new(File::create(&path).unwrap());
    let module = fs::read(venv.module()).unwrap();
    let name = format!("needy/{}", venv.module().file_name().unwrap().to_str().unwrap());
    zip.start_file(name, SimpleFileOptions::default().large_file(true)).unwrap();
    zip.write_all(&module).unwrap();
    let zeros = vec![0; 16 << 20];
    for _ in 0..128 {
        zip.write_all(&zeros).unwrap();
    }
    zip.start_file("needy-1.0.dist-info/RECORD", SimpleFileOptions::default()).unwrap();
    zip.finish().unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 16 << 20, "it is a bomb");
    // Two gigabytes unpacked, within one of address space, stacks of threads included.
    let words = ["check", "--python", PYTHON, path.to_str().unwrap()];
    let ran = Ran::of(venv.around(&["prlimit", "--as=1000000000"], words).output().unwrap());
    ran.ends(1, &["libpstest.so.1"]);
}

#[test]
fn a_wheel_whose_record_is_a_bomb_or_whose_names_are_many_takes_no_memory_to_speak_of() {
    let venv = Venv::lacking();
    let path = venv.beside(ANY);
    let limited = || {
        let words = ["check", "--python", PYTHON, path.to_str().unwrap()];
        Ran::of(venv.around(&["prlimit", "--as=1000000000"], words).output().unwrap())
    };
    let zeros = vec![0; 16 << 20];
    for bomb in ["needy-1.0.dist-info/RECORD", "needy-1.0.dist-info/METADATA", "needy/__init__.py"] {
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        zip.start_file(bomb, SimpleFileOptions::default().large_file(true)).unwrap();
        for _ in 0..128 {
            zip.write_all(&zeros).unwrap();
        }
        if !bomb.ends_with("RECORD") {
            zip.start_file("needy-1.0.dist-info/RECORD", SimpleFileOptions::default()).unwrap();
        }
        zip.finish().unwrap();
        let ran = limited();
        assert!(matches!(ran.code, Some(0 | 3)), "{bomb}: {ran:?}");
    }
    // A RECORD that says nothing of what is there: the wheel itself tells.
    let module = fs::read(venv.module()).unwrap();
    let name = format!("needy/{}", venv.module().file_name().unwrap().to_str().unwrap());
    wheel(&venv, ANY, &[(&name, &module), ("needy-1.0.dist-info/RECORD", b"")]);
    limited().ends(1, &["libpstest.so.1", "needy 1.0"]);
}

#[test]
fn a_lock_that_cannot_be_read_is_refused_with_its_line() {
    let venv = Venv::lacking();
    let lock = venv.beside("uv.lock");
    for (text, words) in [
        ("version = 1\n<<<<<<< HEAD\n", "uv.lock: line 2: "),
        ("version = 9\n", "uv.lock: it is of version 9"),
        ("\u{feff}\0", "uv.lock: line 1: "),
    ] {
        fs::write(&lock, text).unwrap();
        check(&venv, "", &lock).ends(2, &[words, "hint: "]);
    }
    let project = venv.beside("pyproject.toml");
    fs::write(&project, "[tool.poetry.dependencies]\nnumpy = '*'\n").unwrap();
    check(&venv, "", &project).ends(2, &["run `poetry lock`"]);
}

#[test]
fn a_lock_names_what_must_be_built_and_what_has_no_wheel_and_reads_wheels_beside_it() {
    let venv = Venv::lacking();
    needy(&venv, ANY);
    let text = format!(
        "lock-version = '1.0'\n\
         [[packages]]\nname = 'needy'\nversion = '1.0'\nwheels = [{{path = '{ANY}', hashes = {{}}}}]\n\
         [[packages]]\nname = 'other'\nversion = '2'\nwheels = [{{url = 'https://x.example/other-2-py3-none-win_amd64.whl', hashes = {{}}}}]\n\
         [[packages]]\nname = 'source'\nversion = '3'\nsdist = {{url = 'https://x.example/source-3.tar.gz', hashes = {{}}}}\n\
         [[packages]]\nname = 'never'\nmarker = \"sys_platform == 'win32'\"\n"
    );
    let lock = venv.beside("pylock.toml");
    fs::write(&lock, text).unwrap();
    let ran = check(&venv, "", &lock);
    ran.ends(1, &["other 2 cannot be installed here: ", "source 3 must be built first", "libpstest.so.1"]);
    assert!(!ran.out.contains("never"), "{ran:?}");
}

#[test]
fn what_would_have_to_be_fetched_is_not_under_static() {
    let venv = Venv::lacking();
    let list = venv.beside("requirements.txt");
    fs::write(&list, "needy\n").unwrap();
    check(&venv, "--static", &list).ends(2, &["only be fetched by running an installer", "hint: "]);
}
