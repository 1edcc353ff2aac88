//! `pitstop index build` on a real binary cache, whatever its server does: the index has what the store has, no more and
//! no less, and nothing is fetched twice without need.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod caches;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};

use caches::real::{nixbox, real};
use caches::server::{Asked, Reply, Server, WRONG};
use caches::{build, content, made_up, said};
use serde_json::Value;

/// The index of the real cache, read from its folder: its bytes.
fn expected() -> &'static [u8] {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    BUILT.get_or_init(|| {
        let url = format!("file://{}", real().cache.display());
        let (index, _) = whole(&["--cache", &url, "--packages", real().packages.to_str().unwrap()]);
        std::fs::read(index.path().join("files")).unwrap()
    })
}

/// Builds an index that must be whole.
fn whole(arguments: &[&str]) -> (tempfile::TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    let output = build(&folder.path().join("files"), arguments).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(!folder.path().join("files.journal").exists(), "the journal of a finished build is left");
    let document = serde_json::from_slice(&output.stdout).unwrap();
    (folder, document)
}

/// Builds the index of the real cache from a server, and holds it against the one from its folder.
fn same_from(server: &Server, more: &[&str]) {
    let mut arguments = vec!["--cache", &server.url, "--packages", real().packages.to_str().unwrap()];
    arguments.extend(more);
    let (folder, _) = whole(&arguments);
    assert!(std::fs::read(folder.path().join("files")).unwrap() == expected(), "the index differs");
}

fn chance(seed: u64, of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, of).hash(&mut hasher);
    hasher.finish()
}

#[test]
fn the_soname_index_is_made_with_the_database_unless_that_alone_is_wanted() {
    let url = format!("file://{}", real().cache.display());
    for (format, made) in [("all", 1), ("nix-index", 0)] {
        let folder = tempfile::tempdir().unwrap();
        let arguments =
            ["--cache", &url, "--packages", real().packages.to_str().unwrap(), "--format", format];
        let output = build(&folder.path().join("files"), &arguments).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let indexes = std::fs::read_dir(folder.path().join("cache/pitstop/index")).into_iter().flatten();
        let names = indexes.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.ends_with(".sonames")).count(), made, "--format {format}");
    }
}

#[test]
fn the_soname_index_alone_answers_without_a_database_and_knows_what_a_library_needs() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("cache");
    let own = home.join("pitstop/index");
    let url = format!("file://{}", real().cache.display());
    let ours = |command: &mut Command| {
        command.env("XDG_CACHE_HOME", &home).env_remove("NIX_INDEX_DATABASE").output().unwrap()
    };
    let mut index = Command::new(env!("CARGO_BIN_EXE_pitstop"));
    index.args(["index", "build", "--format", "soname", "--cache", &url, "--packages"]).arg(&real().packages);
    let output = ours(&mut index);
    assert!(output.status.success(), "{}", said(&output));
    let names = |folder: &Path| -> Vec<String> {
        let files = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&own), ["nix.sonames", "nix.sonames.json"]);
    let mut info = Command::new(env!("CARGO_BIN_EXE_pitstop"));
    let document: Value =
        serde_json::from_slice(&ours(info.args(["index", "info", "--json"])).stdout).unwrap();
    assert_eq!(document["sonames"][0]["source"][0], url);
    assert!(document["sonames"][0]["libraries"].as_u64().unwrap() > 20, "{document}");

    let zlib = real().paths.iter().find(|path| path.contains("-zlib-1")).unwrap();
    let best = |home: &Path| -> Value {
        let mut locate = Command::new(env!("CARGO_BIN_EXE_pitstop"));
        locate.args(["locate", "--json", "libz.so.1"]).env("XDG_CACHE_HOME", home);
        let output = locate.env_remove("NIX_INDEX_DATABASE").output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let candidates = document["sonames"][0]["candidates"].as_array().unwrap();
        candidates.iter().find(|candidate| candidate["source"] == "nix").unwrap().clone()
    };
    let found = best(&home);
    assert_eq!(found["path"], format!("{zlib}/lib/libz.so.1"));
    assert!(found["told_by"].as_str().unwrap().contains(&url), "{found}");
    // What Nix counted when it made the cache.
    let hash = &zlib["/nix/store/".len()..][..32];
    let size = |hash: &str| -> (u64, Vec<String>) {
        let info = String::from_utf8(real().file(&format!("/{hash}.narinfo")).unwrap()).unwrap();
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        let references = field("References:").split_whitespace().map(|path| path[..32].to_owned()).collect();
        (field("NarSize: ").parse().unwrap(), references)
    };
    let (mut closure, mut open) = (std::collections::BTreeMap::new(), vec![hash.to_owned()]);
    while let Some(hash) = open.pop() {
        let (bytes, references) = size(&hash);
        if closure.insert(hash, bytes).is_none() {
            open.extend(references);
        }
    }
    assert!(closure.len() > 1, "it needs nothing besides, so this shows little");
    assert_eq!(found["score"]["closure"], closure.values().sum::<u64>());

    // A database of the same holds the same, and its index as well.
    let all = folder.path().join("all");
    let mut index = Command::new(env!("CARGO_BIN_EXE_pitstop"));
    index.args(["index", "build", "--compression", "3", "--cache", &url, "--packages"]);
    let output = index.arg(&real().packages).env("XDG_CACHE_HOME", &all).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(best(&all)["score"], found["score"]);
}

#[test]
fn a_real_cache_gives_what_the_store_has() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("files");
    std::fs::write(&index, expected()).unwrap();
    let found = content(&index);
    let paths: Vec<&String> = found.keys().collect();
    assert_eq!(paths, real().paths.iter().collect::<Vec<_>>());
    for (path, (package, entries)) in &found {
        assert_eq!(entries, &real().files[path], "{path}");
        assert!(!package.origin.attribute.is_empty());
    }
    let xml = std::fs::read_to_string(&real().packages).unwrap();
    let top = found.values().filter(|(package, _)| package.origin.toplevel);
    let named: std::collections::BTreeSet<&str> =
        xml.split("path=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(top.count(), named.len());
    assert!(named.len() < found.len(), "no path is in a closure only, so this shows little");
    let (zlib, _) = found.values().find(|(package, _)| package.path.name.starts_with("zlib-")).unwrap();
    assert_eq!((zlib.origin.attribute.as_str(), zlib.origin.output.as_str()), ("zlib", "out"));
}

#[test]
fn every_file_is_asked_for_once() {
    let server = Server::start(|asked| real().reply(asked));
    same_from(&server, &[]);
    let asked = server.asked();
    assert_eq!(asked.len(), real().paths.len() * 2 + 1);
    assert!(asked.values().all(|count| *count == 1), "{asked:?}");
}

#[test]
fn bodies_may_be_compressed_whether_or_not_the_server_says_so() {
    for (program, encoding) in [
        (&["zstd", "-c"][..], "zstd"),
        (&["xz", "-c"], "xz"),
        (&["brotli", "-c"], "br"),
        (&["gzip", "-c"], "gzip"),
    ] {
        for marked in [true, false] {
            let server = Server::start(move |asked| match real().file(&asked.path) {
                Some(body) => {
                    let headers =
                        if marked { vec![("Content-Encoding", encoding.to_owned())] } else { vec![] };
                    Reply::Body(filter(program, &body), headers)
                }
                None => Reply::Status(404, vec![]),
            });
            same_from(&server, &[]);
        }
    }
}

#[test]
fn listings_may_be_called_ls_xz() {
    let server = Server::start(|asked| match asked.path.strip_suffix(".ls.xz") {
        Some(path) => {
            Reply::Body(filter(&["xz", "-c"], &real().file(&format!("{path}.ls")).unwrap()), vec![])
        }
        None if asked.path.strip_suffix(".ls").is_some() => Reply::Status(404, vec![]),
        None => real().reply(asked),
    });
    same_from(&server, &[]);
}

/// Runs bytes through a program.
fn filter(program: &[&str], body: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program[0]));
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(body).unwrap());
        let mut packed = Vec::new();
        output.read_to_end(&mut packed).unwrap();
        child.wait().unwrap();
        packed
    })
}

/// A fault for most first tries, and some second ones.
fn faulty(seed: u64, asked: &Asked) -> Reply {
    let well = real().reply(asked);
    let Reply::Body(body, _) = &well else { return well };
    if asked.path == "/nix-cache-info" || asked.before as u64 >= chance(seed, &asked.path) % 3 {
        return well;
    }
    let half = body[..body.len() / 2].to_vec();
    let length = body.len() as u64;
    match chance(seed, (&asked.path, asked.before)) % 64 {
        0 => Reply::Stall,
        1 => Reply::Status(429, vec![("Retry-After", "1".into())]),
        2 => Reply::Status(503, vec![("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT".into())]),
        3..12 => Reply::Status(500, vec![]),
        12..22 => Reply::Short(half, length),
        22..30 => Reply::Unframed(half),
        30..38 => Reply::Long(body.clone(), body.len() - 10),
        38..46 => Reply::Reset,
        46..54 => Reply::Body(b"<html>try later</html>".to_vec(), vec![(WRONG, "1".into())]),
        _ => {
            // Another path's answer.
            let other = real().paths.iter().map(|path| format!("/{}", &path["/nix/store/".len()..][..32]));
            let end = asked.path.rsplit('.').next().unwrap();
            let other = other.map(|path| format!("{path}.{end}")).find(|path| *path != asked.path).unwrap();
            if end == "narinfo" {
                Reply::Unframed(real().file(&other).unwrap())
            } else {
                Reply::Status(502, vec![])
            }
        }
    }
}

#[test]
fn faults_lose_nothing_invent_nothing_and_fetch_nothing_twice() {
    for seed in 1..=3 {
        let server = Server::start(move |asked| faulty(seed, asked));
        same_from(&server, &["--timeout", "5"]);
        assert!(
            server.asked().values().sum::<usize>() > real().paths.len() * 2 + 20,
            "there were hardly any faults"
        );
        let twice: Vec<_> = server.answered().into_iter().filter(|(_, count)| *count > 1).collect();
        assert!(twice.is_empty(), "seed {seed}: {twice:?}");
    }
}

#[test]
fn a_killed_build_goes_on_where_it_was() {
    const JOBS: usize = 4;
    for seed in 1..=3_u64 {
        let (sender, moments) = mpsc::channel();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let server = Server::start(move |asked| {
            let _ = sender.send(counted.fetch_add(1, Ordering::Relaxed));
            faulty(seed, asked)
        });
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join("files");
        let jobs = JOBS.to_string();
        let arguments = [
            "--cache",
            &server.url,
            "--packages",
            real().packages.to_str().unwrap(),
            "--jobs",
            &jobs,
            "--timeout",
            "5",
        ];
        let mut kills = 0;
        for round in 0..4 {
            let from = count.load(Ordering::Relaxed);
            let after = 5 + usize::try_from(chance(seed, round) % 40).unwrap();
            let mut child =
                build(&index, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // A build that ends first sends no more.
            while let Ok(moment) = moments.recv_timeout(std::time::Duration::from_secs(20)) {
                if moment >= from + after {
                    break;
                }
            }
            child.kill().unwrap();
            assert!(!child.wait().unwrap().success(), "it was done before it could be killed");
            assert!(!index.exists());
            kills += 1;
        }
        let output = build(&index, &arguments).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert!(std::fs::read(&index).unwrap() == expected(), "the index differs");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(document["resumed"].as_u64().unwrap() > 0, "nothing was kept");
        let answers = server.answered();
        let again: usize =
            answers.iter().filter(|(path, _)| *path != "/nix-cache-info").map(|(_, count)| count - 1).sum();
        // What was under way at a kill: a .narinfo and a .ls for each thread.
        assert!(again <= kills * JOBS * 2, "{again} files were fetched again after {kills} kills");
    }
}

/// Hash and kind of each gap that a build told of.
fn kinds(document: &Value) -> Vec<(String, String)> {
    let gaps = document["unlisted"].as_array().unwrap().iter();
    let kind = |gap: &Value| {
        let hash = &gap["path"].as_str().unwrap()["/nix/store/".len()..][..32];
        (hash.to_owned(), gap["reason"]["kind"].as_str().unwrap().to_owned())
    };
    let mut kinds: Vec<(String, String)> = gaps.map(kind).collect();
    kinds.sort();
    kinds
}

#[test]
fn what_cannot_be_listed_is_named_and_only_failures_are_asked_again() {
    let hashes: Vec<String> =
        real().paths.iter().map(|path| path["/nix/store/".len()..][..32].to_owned()).collect();
    let [absent, unlisted, broken, garbage] = [3, 5, 7, 9].map(|place| hashes[place].clone());
    let well = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (mended, names) = (Arc::clone(&well), [absent, unlisted, broken, garbage]);
    let [absent, unlisted, broken, garbage] = names.clone();
    let server = Server::start(move |asked| match asked.path.trim_start_matches('/') {
        path if path == format!("{absent}.narinfo") => Reply::Status(404, vec![]),
        path if path.starts_with(&format!("{unlisted}.ls")) => Reply::Status(404, vec![]),
        path if path == format!("{broken}.ls") && !mended.load(Ordering::Relaxed) => {
            Reply::Status(500, vec![])
        }
        path if path == format!("{garbage}.ls") && !mended.load(Ordering::Relaxed) => {
            Reply::Body(b"{\"version\":1,".to_vec(), vec![(WRONG, "1".into())])
        }
        _ => real().reply(asked),
    });
    // By path, so that what only an absent path refers to is asked for all the same.
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("store-paths.xz");
    let lines: Vec<&str> = real().paths.iter().map(String::as_str).collect();
    std::fs::write(&list, filter(&["xz", "-c"], (lines.join("\n") + "\n").as_bytes())).unwrap();
    let index = folder.path().join("files");
    let arguments = ["--cache", &server.url, "--store-paths", list.to_str().unwrap(), "--retries", "1"];
    let output = build(&index, &arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kinds = kinds(&document);
    let [absent, unlisted, broken, garbage] = names;
    let mut wanted = [
        (absent, "absent"),
        (unlisted, "no-listing"),
        (broken.clone(), "failed"),
        (garbage.clone(), "failed"),
    ]
    .map(|(hash, kind)| (hash, kind.to_owned()));
    wanted.sort();
    assert_eq!(kinds, wanted);
    assert_eq!(document["partial"], true);
    let list = std::fs::read_to_string(folder.path().join("files.unlisted")).unwrap();
    assert_eq!(list.lines().count(), 4, "{list}");
    assert_eq!(content(&index).len(), real().paths.len() - 4);
    assert!(
        content(&index).values().all(|(package, _)| !package.origin.toplevel),
        "a name was taken for an attribute"
    );

    well.store(true, Ordering::Relaxed);
    server.forget();
    let output = build(&index, &arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert_eq!(content(&index).len(), real().paths.len() - 2);
    let mut asked: Vec<String> =
        server.asked().into_keys().filter(|path| path != "/nix-cache-info").collect();
    asked.sort();
    let mut wanted: Vec<String> = [broken, garbage]
        .iter()
        .flat_map(|hash| [format!("/{hash}.ls"), format!("/{hash}.narinfo")])
        .collect();
    wanted.sort();
    assert_eq!(asked, wanted);
}

#[test]
fn outputs_that_no_cache_has_are_named() {
    let server = Server::start(|asked| real().reply(asked));
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("files");
    let output =
        build(&index, &["--cache", &server.url, "--packages", real().all_packages.to_str().unwrap()])
            .output()
            .unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("and "), "{}", said(&output));
    assert_eq!(content(&index).len(), real().paths.len());
    let xml = std::fs::read_to_string(&real().all_packages).unwrap();
    let all: std::collections::BTreeSet<&str> =
        xml.split("path=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let missing = all.iter().filter(|path| !real().paths.contains(**path)).count();
    let named = std::fs::read_to_string(folder.path().join("files.unlisted")).unwrap();
    assert_eq!(named.lines().count(), missing);
    assert!(named.lines().all(|line| line.ends_with("\tno cache has it")));
}

#[test]
fn a_hostile_listing_is_refused_before_it_takes_memory() {
    let hash = real().paths.iter().next().unwrap()["/nix/store/".len()..][..32].to_owned();
    for bomb in [false, true] {
        let name = format!("/{hash}.ls");
        let server = Server::start(move |asked| {
            if asked.path != name {
                return real().reply(asked);
            }
            if bomb {
                let zeros = Command::new("sh")
                    .args(["-c", "head -c 4294967296 /dev/zero | zstd -3 -c"])
                    .output()
                    .unwrap();
                return Reply::Body(zeros.stdout, vec![]);
            }
            Reply::Short(b"{".to_vec(), 4 << 30)
        });
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join("files");
        let list = folder.path().join("list");
        std::fs::write(&list, real().paths.iter().next().unwrap()).unwrap();
        let command = build(
            &index,
            &["--cache", &server.url, "--store-paths", list.to_str().unwrap(), "--retries", "0"],
        );
        let (output, peak_kib) = measured(&command);
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        let words = said(&output);
        let wanted = if bomb { "it unfolds to more than 268 MB" } else { "it is larger than 67 MB" };
        assert!(words.contains(wanted), "{words}");
        assert!(peak_kib < 700 << 10, "{peak_kib} KiB");
    }
}

/// Runs a command, and gives the most memory that it had at once, in KiB.
fn measured(command: &Command) -> (std::process::Output, u64) {
    const SCRIPT: &str = "import resource, subprocess, sys\n\
        ended = subprocess.run(sys.argv[2:])\n\
        open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))\n\
        sys.exit(ended.returncode)";
    let folder = tempfile::tempdir().unwrap();
    let answer = folder.path().join("peak");
    let mut outer = Command::new("python3");
    outer.args(["-c", SCRIPT]).arg(&answer).arg(command.get_program()).args(command.get_args());
    let output = outer.output().unwrap();
    let peak = std::fs::read_to_string(answer).unwrap().parse().unwrap();
    (output, peak)
}

#[test]
fn two_thousand_packages_take_two_requests_each_and_little_memory() {
    const PACKAGES: usize = 2000;
    let server = Server::start(|asked| made_up::reply(PACKAGES, asked));
    let folder = tempfile::tempdir().unwrap();
    let (index, list) = (folder.path().join("files"), folder.path().join("list.xml"));
    made_up::write_packages(PACKAGES, &list);
    let command =
        build(&index, &["--cache", &server.url, "--packages", list.to_str().unwrap(), "--jobs", "64"]);
    let (output, peak_kib) = measured(&command);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(server.asked().values().sum::<usize>(), 2 * PACKAGES + 1);
    let found = content(&index);
    assert_eq!(found.len(), PACKAGES);
    assert_eq!(found.values().filter(|(package, _)| !package.origin.toplevel).count(), PACKAGES / 10);
    assert!(found.values().all(|(_, entries)| entries.len() == made_up::FILES + 3));
    // All listings together are some 8 MB, unpacked; 64 threads and zstd's tables are most of this.
    assert!(peak_kib < 96 << 10, "{peak_kib} KiB");
}

#[test]
fn a_real_web_server_serves_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = folder.path().join("log");
    let settings = format!(
        "daemon off; worker_processes 1; pid {0}/pid; error_log {0}/errors;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log {0}/log; client_body_temp_path {0}/t1; proxy_temp_path {0}/t2; fastcgi_temp_path {0}/t3;\n\
         uwsgi_temp_path {0}/t4; scgi_temp_path {0}/t5;\n\
         gzip on; gzip_types *; gzip_min_length 100;\n\
         server {{ listen 127.0.0.1:{port}; root {1}; }} }}\n",
        folder.path().display(),
        real().cache.display()
    );
    std::fs::write(folder.path().join("conf"), settings).unwrap();
    let as_root =
        std::fs::metadata("/proc/self").is_ok_and(|facts| std::os::unix::fs::MetadataExt::uid(&facts) == 0);
    let user = if as_root { "user root; " } else { "" };
    let mut nginx = Command::new("/usr/sbin/nginx");
    nginx.arg("-e").arg(folder.path().join("errors")).arg("-c").arg(folder.path().join("conf"));
    let mut nginx =
        nginx.arg("-g").arg(user).spawn().expect("nginx is not installed: cargo xtask test installs it");
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(nginx.try_wait().unwrap().is_none(), "nginx ended");
    }
    let url = format!("http://127.0.0.1:{port}");
    let (built, _) = whole(&["--cache", &url, "--packages", real().packages.to_str().unwrap()]);
    nginx.kill().unwrap();
    nginx.wait().unwrap();
    assert!(std::fs::read(built.path().join("files")).unwrap() == expected(), "the index differs");
    assert_eq!(std::fs::read_to_string(log).unwrap().lines().count(), real().paths.len() * 2 + 1);
}

#[test]
fn the_local_store_is_indexed_without_a_network() {
    let program = nixbox().adopt(Path::new(env!("CARGO_BIN_EXE_pitstop"))).unwrap();
    real();
    let folder = tempfile::tempdir().unwrap();
    let machine = nixbox().machine().home(folder.path()).own_store(true).start().unwrap();
    std::fs::copy(&real().packages, folder.path().join("list.xml")).unwrap();
    let script = format!(
        "{} index build --store --packages list.xml --json --compression 3 --output files",
        program.display()
    );
    let ran = machine.sh(&script).unwrap();
    assert!(ran.ok, "{}{}", ran.stdout, ran.stderr);
    let valid = machine.sh("nix path-info --all | grep -v '\\.drv$'").unwrap().stdout;
    let index: PathBuf = folder.path().join("files");
    let found = content(&index);
    let valid: std::collections::BTreeSet<&str> = valid.lines().collect();
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), valid.into_iter().collect::<Vec<_>>());
    for (path, files) in &real().files {
        assert_eq!(&found[path].1, files, "{path}");
    }
    let zlib = real().paths.iter().find(|path| path.contains("-zlib-1")).unwrap();
    let (zlib, _) = &found[zlib];
    assert!(zlib.origin.toplevel && zlib.origin.attribute == "zlib", "{zlib:?}");
}
