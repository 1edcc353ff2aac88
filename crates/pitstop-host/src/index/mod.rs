//! Building and fetching indexes of package sets: from binary caches, the local store, and what others built.

pub mod cache;
pub mod crawl;
mod decode;
mod graph;
pub mod http;
mod journal;
pub mod local;
mod pack;
pub mod room;
pub mod roots;
