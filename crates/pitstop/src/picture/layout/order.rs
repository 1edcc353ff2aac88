//! The order of a column: each item at the barycentre of its neighbours, as long as that takes crossings away.

use super::Layered;

/// How often all columns are gone through. Crossings hardly fall after that.
const SWEEPS: usize = 12;

/// Orders all columns.
pub(super) fn order(graph: &mut Layered) {
    let mut best = (crossings(graph), graph.columns.clone());
    for sweep in 0..SWEEPS {
        let many = graph.columns.len();
        if sweep % 2 == 0 {
            (1..many).for_each(|column| sort(graph, column, true));
        } else {
            (0..many.saturating_sub(1)).rev().for_each(|column| sort(graph, column, false));
        }
        let found = crossings(graph);
        if found < best.0 {
            best = (found, graph.columns.clone());
        }
    }
    graph.columns = best.1;
}

/// Sorts a column by what stands left or right of it. What has no neighbour there keeps its place among the others.
fn sort(graph: &mut Layered, column: usize, by_left: bool) {
    let ranks = graph.ranks();
    let neighbours = if by_left { &graph.left } else { &graph.right };
    let items = &graph.columns[column];
    let scale = graph.columns[if by_left { column - 1 } else { column + 1 }].len().max(1);
    let mut keyed: Vec<(u64, usize, usize)> = Vec::with_capacity(items.len());
    let mut steps = 0;
    for (rank, &item) in items.iter().enumerate() {
        let near = &neighbours[item];
        steps += near.len() + 1;
        // Integers, so that equal means are equal: in 65,536ths of a place.
        let mean = if near.is_empty() {
            (rank * scale / items.len()) as u64 * 65_536
        } else {
            near.iter().map(|&other| ranks[other] as u64 * 65_536).sum::<u64>() / near.len() as u64
        };
        keyed.push((mean, rank, item));
    }
    keyed.sort_unstable();
    graph.columns[column] = keyed.into_iter().map(|(.., item)| item).collect();
    graph.steps += steps;
}

/// How many pairs of segments cross (Barth, Jünger and Mutzel: inversions, counted with a tree of sums).
pub(super) fn crossings(graph: &mut Layered) -> u64 {
    let ranks = graph.ranks();
    let mut all = 0;
    for column in &graph.columns {
        let mut ends = Vec::new();
        for &item in column {
            let mut of_item: Vec<usize> = graph.right[item].iter().map(|&other| ranks[other]).collect();
            of_item.sort_unstable();
            ends.extend(of_item);
        }
        graph.steps += ends.len();
        let size = ends.iter().max().map_or(0, |last| last + 1);
        let mut tree = vec![0_u64; size + 1];
        for (before, &end) in ends.iter().enumerate() {
            let mut not_after = 0;
            let mut at = end + 1;
            while at > 0 {
                not_after += tree[at];
                at &= at - 1;
            }
            all += before as u64 - not_after;
            let mut at = end + 1;
            while at <= size {
                tree[at] += 1;
                at += at & at.wrapping_neg();
            }
        }
    }
    all
}
