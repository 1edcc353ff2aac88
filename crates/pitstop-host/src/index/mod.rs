//! Indexes of package sets: reading them, building them from binary caches and the local store, and fetching what
//! others built.

pub mod cache;
pub mod contents;
pub mod crawl;
pub mod database;
mod decode;
mod graph;
pub mod http;
mod journal;
pub mod local;
pub mod mirror;
pub mod own;
mod pack;
pub mod places;
mod resolver;
pub mod room;
pub mod roots;
pub mod sonames;
mod unpack;
pub mod update;

pub use graph::Closures;
