//! Indexes of package sets, as files: opened, written and fetched here; what stands in them is `pitstop_core::index`'s.

pub mod contents;
pub mod database;
pub mod places;
pub mod sonames;
mod unpack;
