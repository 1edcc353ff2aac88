//! The heights of a column: each item as near to its neighbours as those above and below let it.
//!
//! With the order fixed, the least sum of squared distances to where each item would like to be is an isotonic
//! regression, which "pool adjacent violators" solves exactly in one pass.

use super::Layered;

/// How often all columns are gone through; the last time from left to right.
const SWEEPS: usize = 9;

/// The upper edge of each item.
pub(super) fn heights(graph: &mut Layered) -> Vec<i64> {
    let mut tops = vec![0; graph.left.len()];
    for column in &graph.columns {
        let mut y = 0;
        for &item in column {
            tops[item] = y;
            y += graph.room(item);
        }
    }
    for sweep in 0..SWEEPS {
        let by_left = sweep % 2 == 0;
        let many = graph.columns.len();
        for step in 0..many {
            let column = if by_left { step } else { many - 1 - step };
            settle(graph, column, by_left, &mut tops);
        }
    }
    let least = tops.iter().min().copied().unwrap_or(0);
    tops.iter().map(|top| top - least).collect()
}

fn settle(graph: &mut Layered, column: usize, by_left: bool, tops: &mut [i64]) {
    let (near, far) = if by_left { (&graph.left, &graph.right) } else { (&graph.right, &graph.left) };
    let middle = |item: usize| tops[item] + graph.height(item) / 2;
    let mut wishes = Vec::new();
    let mut steps = 0;
    // Below this offset the items are free of each other's heights.
    let mut offset = 0;
    for &item in &graph.columns[column] {
        let side = if near[item].is_empty() { &far[item] } else { &near[item] };
        steps += side.len() + 1;
        let wish = if side.is_empty() {
            middle(item)
        } else {
            side.iter().map(|&other| middle(other)).sum::<i64>() / i64::try_from(side.len()).unwrap_or(1)
        };
        // A lane that bends is harder to follow than a box that stands aside.
        let weight = if graph.is_lane(item) { 4 } else { 1 };
        wishes.push((wish - graph.height(item) / 2 - offset, weight));
        offset += graph.room(item);
    }
    graph.steps += steps;
    let mut offset = 0;
    for (&item, level) in graph.columns[column].iter().zip(pooled(&wishes)) {
        tops[item] = level + offset;
        offset += graph.room(item);
    }
}

/// Values that never fall and are nearest to the wishes.
fn pooled(wishes: &[(i64, i64)]) -> Vec<i64> {
    struct Pool {
        sum: i64,
        weight: i64,
        many: usize,
    }
    let mut pools: Vec<Pool> = Vec::new();
    for &(wish, weight) in wishes {
        let mut pool = Pool { sum: wish * weight, weight, many: 1 };
        while let Some(last) =
            pools.pop_if(|last| last.sum.div_euclid(last.weight) > pool.sum.div_euclid(pool.weight))
        {
            pool = Pool {
                sum: pool.sum + last.sum,
                weight: pool.weight + last.weight,
                many: pool.many + last.many,
            };
        }
        pools.push(pool);
    }
    pools.iter().flat_map(|pool| std::iter::repeat_n(pool.sum.div_euclid(pool.weight), pool.many)).collect()
}
