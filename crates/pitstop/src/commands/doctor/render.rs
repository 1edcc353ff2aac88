//! The findings as a person reads them.

use super::DoctorReport;
use super::findings::Mark;
use crate::output::{Table, Tone, shown};

/// One line each.
pub(super) fn report(report: &DoctorReport) -> String {
    let mut table = Table::new(&["", "what", "here"]);
    for finding in &report.findings {
        let (mark, tone) = match finding.mark {
            Mark::Ok => ("ok", Tone::Good),
            Mark::No => ("no", Tone::Bad),
            Mark::Note => ("note", Tone::Strong),
        };
        let what = (finding.what.to_owned(), Tone::Plain);
        table.row([(mark.to_owned(), tone), what, (shown(&finding.detail), Tone::Plain)]);
    }
    table.render()
}
