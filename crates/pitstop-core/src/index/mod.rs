//! Indexes of package sets: which store path holds which files.
//!
//! Here are the values that every source gives (nix-index databases, binary caches, Debian's Contents, a local store)
//! and every reader takes, and the formats that they are written in: bytes in, values out. Opening, fetching and
//! writing are the host's.

pub mod cache_info;
pub mod contents;
pub mod database;
mod files;
pub mod frcode;
pub mod ls;
pub mod narinfo;
pub mod nix_env;
mod package;
pub mod release;
pub mod search;
pub mod sonames;
pub mod store_paths;

pub use files::{Entry, Node};
pub use package::{Origin, Package, StorePath};
