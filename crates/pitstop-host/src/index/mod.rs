//! Indexes of package sets, as files: opened, written and fetched here; what stands in them is `pitstop_core::index`'s.

pub mod database;
pub mod places;
mod unpack;
