//! `cargo xtask bench index`: a made-up binary cache of any size on loopback, indexed, with time and memory for each package.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, ensure};

use super::contest::{self, Contestant};
use super::{quoted, report};

/// How many packages the caches have.
const SIZES: [usize; 4] = [12_500, 25_000, 50_000, 100_000];
/// So many files does each package have: nixpkgs' have about as many.
const FILES: usize = 100;
/// Requests under way at once.
const JOBS: usize = 64;
const SECTION: &str = "index";

/// Measures, and writes the figures into the page.
pub(super) fn run() -> Result<()> {
    let pitstop = crate::dist::command("release")?;
    let folder = std::env::temp_dir().join(format!("pitstop-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut text = report::machine(&[]);
    write!(
        text,
        "\n\n{FILES} files a package, {JOBS} requests at once, one run for each size; the server is on the same machine.\n\n\
         | packages | seconds | ms a package | processor, ms a package | peak, MiB | KiB a package above the smallest | index, MB |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    )?;
    let mut smallest: Option<(f64, f64)> = None;
    for packages in SIZES {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        thread::spawn(move || serve(&listener, packages));
        let (list, index) = (folder.join("list.xml"), folder.join("files"));
        write_packages(packages, &list)?;
        let command = format!(
            "exec env -u http_proxy -u https_proxy {} index build --quiet --json --compression 9 --jobs {JOBS} --cache http://{address} \
             --packages {} --output {}",
            quoted(&pitstop),
            quoted(&list),
            quoted(&index)
        );
        let figures = contest::once(&Contestant::new("index", command)).context("the build")?;
        let bytes = std::fs::metadata(&index).context("no index was written")?.len();
        ensure!(!folder.join("files.unlisted").exists(), "the index is partial");
        std::fs::remove_file(&index)?;
        #[expect(clippy::cast_precision_loss, reason = "a hundred thousand packages, some megabytes")]
        let (count, bytes) = (packages as f64, bytes as f64);
        let (first, peak) = *smallest.get_or_insert((count, figures.peak_mib));
        let more = if count > first { (figures.peak_mib - peak) * 1024.0 / (count - first) } else { 0.0 };
        writeln!(
            text,
            "| {packages} | {:.1} | {:.3} | {:.3} | {:.1} | {more:.2} | {:.1} |",
            figures.median_ms / 1000.0,
            figures.median_ms / count,
            figures.processor_ms / count,
            figures.peak_mib,
            bytes / 1e6
        )?;
    }
    std::fs::remove_dir_all(&folder)?;
    report::put(SECTION, &text)
}

fn serve(listener: &TcpListener, packages: usize) {
    for stream in listener.incoming().map_while(Result::ok) {
        thread::spawn(move || {
            // A client that left has what it wanted.
            let _ = answer(stream, packages);
        });
    }
}

fn answer(stream: TcpStream, packages: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        while line.trim_end() != "" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        let body = body(&path, packages);
        let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
        let body = body.unwrap_or_default();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        reader.get_mut().write_all(answer.as_bytes())?;
    }
}

fn store_path(number: usize) -> String {
    format!("{number:032}-package-{number}-1.0")
}

/// Each refers to the one before and to one that it shares with others.
fn body(path: &str, packages: usize) -> Option<String> {
    if path == "nix-cache-info" {
        return Some("StoreDir: /nix/store\n".to_owned());
    }
    let (hash, end) = path.split_once('.')?;
    let number = hash.parse().ok().filter(|number: &usize| *number < packages)?;
    if end == "narinfo" {
        let references = format!("{} {}", store_path(number.saturating_sub(1)), store_path(number / 100));
        return Some(format!(
            "StorePath: /nix/store/{}\nURL: nar/{number}.nar.xz\nCompression: xz\nNarHash: sha256:0\nNarSize: 1\n\
             References: {references}\n",
            store_path(number)
        ));
    }
    let file = |file: usize| {
        let name = number.wrapping_mul(31).wrapping_add(file.wrapping_mul(7919)) % 100_003;
        format!(r#""file-{name}-{file}.txt":{{"type":"regular","size":{name},"narOffset":{file}}}"#)
    };
    let files: Vec<String> = (0..FILES).map(file).collect();
    Some(format!(
        r#"{{"version":1,"root":{{"type":"directory","entries":{{"share":{{"type":"directory","entries":{{{}}}}}}}}}}}"#,
        files.join(",")
    ))
}

/// The list of packages: all but every tenth, which only others refer to.
fn write_packages(packages: usize, to: &Path) -> Result<()> {
    let mut xml = String::from("<?xml version='1.0' encoding='utf-8'?>\n<items>\n");
    for number in (0..packages).filter(|number| number % 10 != 3) {
        writeln!(
            xml,
            "<item attrPath=\"set.package{number}\" system=\"x86_64-linux\"><output name=\"out\" path=\"/nix/store/{}\" /></item>",
            store_path(number)
        )?;
    }
    xml.push_str("</items>\n");
    Ok(std::fs::write(to, xml)?)
}
