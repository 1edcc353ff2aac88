//! `pitstop tree` and `why` as pictures, looked at in a real browser: Debian's Chromium, without a window.
//!
//! What it saw is kept in `target/tmp/pictures`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod native;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use native::{Lab, pitstop, stderr, stdout};

/// The red of what is missing, on light ground (`--bad` in `svg.css`).
const RED: [u8; 3] = [0xcf, 0x22, 0x2e];
/// The same on dark ground.
const LIGHT_RED: [u8; 3] = [0xff, 0x6b, 0x63];

/// Runs the browser on a page, with a profile of its own; gives what it wrote on standard output.
fn browse(page: &Path, arguments: &[&str]) -> String {
    let profile = tempfile::tempdir().unwrap();
    let browser = ["/usr/bin/chromium-headless-shell", "/usr/bin/chromium"];
    let browser = browser.iter().find(|file| Path::new(file).exists());
    let browser =
        browser.expect("no browser: `apt install chromium-headless-shell`, as `cargo xtask test` does");
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
        ])
        .args(["--force-color-profile=srgb", "--force-device-scale-factor=1", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

/// What a person would see, as rows of colours; kept as NAME.png.
fn seen(page: &Path, name: &str, size: (u32, u32), more: &[&str]) -> Vec<[u8; 3]> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{name}.png"));
    let _ = fs::remove_file(&file);
    let (shot, window) =
        (format!("--screenshot={}", file.display()), format!("--window-size={},{}", size.0, size.1));
    browse(page, &[&[shot.as_str(), &window], more].concat());
    let mut reader =
        png::Decoder::new(std::io::BufReader::new(fs::File::open(&file).unwrap())).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!((info.width, info.height), size, "{}", file.display());
    let samples = info.color_type.samples();
    bytes[..info.buffer_size()].chunks_exact(samples).map(|dot| [dot[0], dot[1], dot[2]]).collect()
}

fn count(dots: &[[u8; 3]], colour: [u8; 3]) -> usize {
    dots.iter().filter(|&&dot| dot == colour).count()
}

/// Whether more than a few colours are on it.
fn is_drawn(dots: &[[u8; 3]]) -> bool {
    dots.iter().collect::<std::collections::HashSet<_>>().len() > 20
}

/// An environment of `packages` packages with `files` modules each. Those of one package reach `libabsent.so.3` through
/// a library of their own.
fn environment(lab: &Lab, packages: usize, files: usize) -> PathBuf {
    let site = lab.venv();
    lab.library("libabsent.so.3", &[]);
    let rpath = format!("-Wl,-rpath,{}/venv/inner", lab.path().display());
    for package in 0..packages {
        let (name, inner) = (format!("pack{package}"), format!("venv/inner/libinner{package}.so.1"));
        lab.library(&inner, &["libabsent.so.3"]);
        let module = lab.module(&site, &name, "m0", &[&inner, &rpath, "-Wl,--allow-shlib-undefined"]);
        let mut record = format!("{name}/m0.abi3.so,,\n");
        for file in 1..files {
            fs::copy(&module, module.with_file_name(format!("m{file}.abi3.so"))).unwrap();
            record += &format!("{name}/m{file}.abi3.so,,\n");
        }
        fs::write(site.join(format!("{name}-1.0.dist-info/RECORD")), record).unwrap();
    }
    fs::remove_file(lab.path().join("libabsent.so.3")).unwrap();
    lab.path().join("venv")
}

#[test]
fn a_tree_is_drawn_and_what_is_missing_is_seen_in_red() {
    let lab = Lab::new();
    let venv = environment(&lab, 1, 1);
    let module = fs::canonicalize(lab.venv().join("pack0/m0.abi3.so")).unwrap();
    assert!(module.starts_with(&venv));
    let page = lab.path().join("tree.svg");
    let file = format!("--svg={}", page.display());
    let output = pitstop(&["tree", module.to_str().unwrap(), &file]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(output.stdout.is_empty(), "it was to be written to a file");
    let text = fs::read_to_string(&page).unwrap();
    for word in ["pack0 1.0", "m0.abi3.so", "libinner0.so.1", "libabsent.so.3"] {
        assert!(text.contains(&format!(">{word}</text>")), "{word}: {text}");
    }
    assert!(!text.contains("libc.so.6"), "libc's own parts are left out");
    let dots = seen(&page, "tree", (1200, 400), &[]);
    assert!(is_drawn(&dots), "the screenshot is blank");
    assert!(count(&dots, RED) > 100, "{} red dots", count(&dots, RED));

    fs::write(lab.path().join("libabsent.so.3"), "").unwrap();
    lab.library("venv/inner/libabsent.so.3", &[]);
    let output = native::command(&["tree", module.to_str().unwrap(), &file])
        .env("LD_LIBRARY_PATH", venv.join("inner"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(count(&seen(&page, "tree-whole", (1200, 400), &[]), RED), 0, "red, though nothing is missing");
}

#[test]
fn five_hundred_files_are_drawn_on_a_page_that_can_be_searched() {
    let lab = Lab::new();
    let venv = environment(&lab, 10, 50);
    let page = lab.path().join("why.html");
    let (file, venv) = (format!("--html={}", page.display()), venv.display().to_string());
    let output = pitstop(&["why", "libabsent.so.3", &venv, "--verbose", &file]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let dom = browse(&page, &["--dump-dom"]);
    // 10 packages, 500 files, 10 libraries of theirs, and the one that is missing. The script has counted them.
    assert!(dom.contains("data-boxes=\"521\""), "the script did not run: {}", &dom[..dom.len().min(2000)]);
    let dots = seen(&page, "why-500", (1600, 1000), &[]);
    assert!(is_drawn(&dots), "the screenshot is blank");

    // A search marks what it finds, and shows the ways to and from the first.
    let found = lab.path().join("found.html");
    let text = fs::read_to_string(&page).unwrap();
    fs::write(&found, text.replace("get(\"search\")", "get(\"search\") || \"libabsent\"")).unwrap();
    let dom = browse(&found, &["--dump-dom"]);
    assert!(!dom.contains("data-boxes"), "a script ran whose hash the page does not name");
}

#[test]
fn files_alike_are_one_box_and_dark_ground_has_its_own_colours() {
    let lab = Lab::new();
    let venv = environment(&lab, 4, 12).display().to_string();
    let output = pitstop(&["why", "libabsent.so.3", &venv, "--svg"]);
    let text = stdout(&output);
    assert_eq!(text.matches(">12 files alike</text>").count(), 4, "{text}");
    assert!(text.contains("pack3/m7.abi3.so"), "who hides behind a box is told");
    let page = lab.path().join("why.svg");
    fs::write(&page, &text).unwrap();
    let light = seen(&page, "why", (1200, 500), &[]);
    let dark = seen(&page, "why-dark", (1200, 500), &["--blink-settings=preferredColorScheme=0"]);
    assert!(count(&light, RED) > 100 && count(&light, LIGHT_RED) == 0, "{}", count(&light, RED));
    assert!(count(&dark, LIGHT_RED) > 100 && count(&dark, RED) == 0, "{}", count(&dark, LIGHT_RED));
}

#[test]
fn a_search_can_be_part_of_the_address() {
    let lab = Lab::new();
    let venv = environment(&lab, 2, 3).display().to_string();
    let page = lab.path().join("why.html");
    let file = format!("--html={}", page.display());
    pitstop(&["why", "libabsent.so.3", &venv, "--verbose", &file]);
    let asked = PathBuf::from(format!("{}#search=libinner1", page.display()));
    let dom = browse(&asked, &["--dump-dom"]);
    assert!(dom.contains("1 found</output>"), "{dom}");
    // The package, its three files, the library, and the missing one; not the other package's.
    assert_eq!(dom.matches(" on\" data-n=").count(), 6, "{dom}");
    seen(&asked, "why-search", (1200, 600), &[]);
}

#[test]
fn a_hostile_name_is_text_for_the_browser_too() {
    let lab = Lab::new();
    let hostile = "lib</script><script>document.title='x'</script>\u{202e}.so";
    let site = lab.venv();
    lab.gcc("", "libbad.so", &["-shared", "-fPIC", &format!("-Wl,-soname={hostile}")]);
    let module = lab.module(&site, "pack", "mod", &["libbad.so"]);
    let output = pitstop(&["tree", module.to_str().unwrap(), "--html"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let page = lab.path().join("page.html");
    fs::write(&page, stdout(&output)).unwrap();
    let dom = browse(&page, &["--dump-dom"]);
    assert!(dom.contains("data-boxes=\"3\""), "{dom}");
    assert_eq!(dom.matches("<script").count(), 1, "{dom}");
    assert!(dom.contains("\\u{202e}") && !dom.contains('\u{202e}'));
}

#[test]
fn two_answers_at_once_are_refused_and_so_is_a_place_that_cannot_be_written() {
    let program = "/bin/sh";
    for arguments in [
        &["tree", program, "--svg", "--json"][..],
        &["--json", "tree", program, "--html"],
        &["why", "libc.so.6", program, "--svg", "--html"],
        &["tree", program, "--svg=/nowhere/at/all.svg"],
        &["tree", program, "--svg=/dev/null"],
    ] {
        let output = pitstop(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}
