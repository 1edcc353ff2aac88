//! A made-up binary cache of any size, whose answers are worked out as they are asked for.

use std::fmt::Write as _;
use std::path::Path;

use super::server::{Asked, Reply};

/// So many files does each package have.
pub(crate) const FILES: usize = 60;

/// The store path of a package.
pub(crate) fn store_path(number: usize) -> String {
    format!("{number:032}-package-{number}-1.0")
}

/// What a server of a cache with so many packages answers: each refers to the one before and to a shared one.
pub(crate) fn reply(packages: usize, asked: &Asked) -> Reply {
    if asked.path == "/nix-cache-info" {
        return Reply::Body(b"StoreDir: /nix/store\n".to_vec(), Vec::new());
    }
    let name = asked.path.trim_start_matches('/');
    let number = name.split('.').next().and_then(|hash| hash.parse().ok());
    let Some(number) = number.filter(|number: &usize| *number < packages) else {
        return Reply::Status(404, Vec::new());
    };
    let body = if name.ends_with(".narinfo") { narinfo(number) } else { listing(number) };
    Reply::Body(body.into_bytes(), Vec::new())
}

fn narinfo(number: usize) -> String {
    let references = format!("{} {}", store_path(number.saturating_sub(1)), store_path(number / 100));
    format!(
        "StorePath: /nix/store/{}\nURL: nar/{number}.nar.xz\nCompression: xz\nNarHash: sha256:0\nNarSize: 1\n\
         References: {references}\n",
        store_path(number)
    )
}

fn listing(number: usize) -> String {
    let mut files = String::new();
    for file in 0..FILES {
        let comma = if file == 0 { "" } else { "," };
        let _ = write!(
            files,
            r#"{comma}"file-{number}-{file}.txt":{{"type":"regular","size":{file},"narOffset":{file}}}"#
        );
    }
    format!(
        r#"{{"version":1,"root":{{"type":"directory","entries":{{"share":{{"type":"directory","entries":{{"doc":{{"type":"directory","entries":{{{files}}}}}}}}}}}}}}}"#
    )
}

/// Writes the list of its packages: all but every tenth, which only others refer to.
pub(crate) fn write_packages(packages: usize, to: &Path) {
    let mut xml = String::from("<?xml version='1.0' encoding='utf-8'?>\n<items>\n");
    for number in (0..packages).filter(|number| number % 10 != 3) {
        let _ = writeln!(
            xml,
            "<item attrPath=\"set.package{number}\" system=\"x86_64-linux\"><output name=\"out\" path=\"/nix/store/{}\" /></item>",
            store_path(number)
        );
    }
    xml.push_str("</items>\n");
    std::fs::write(to, xml).unwrap();
}
