//! Where the parts of a picture stand: layers from left to right, and in each an order with few crossings.
//!
//! This is the way of Sugiyama, Tagawa and Toda ("Methods for Visual Understanding of Hierarchical System Structures",
//! 1981): layers by the longest way to a box, places on the way of long arrows, orders by barycentres. What differs
//! is that arrows to one box share their places on the way, so that a library that everybody needs is one lane and
//! not a hundred. The same graph always comes to the same numbers.

mod order;
mod place;

use std::collections::{BTreeMap, BTreeSet};

/// Height of a box, in pixels like all that follows.
pub(super) const BOX: i64 = 38;
/// Height of a lane, in which arrows pass boxes by.
const LANE: i64 = 6;
/// Room below a box, and below a lane.
const GAP: (i64, i64) = (10, 3);
/// Room between columns, for the arrows that bend there: at least, and at most.
const GUTTER: (i64, i64) = (56, 180);

/// A box to be placed.
#[derive(Clone, Debug)]
pub(super) struct Size {
    /// Its width.
    pub(super) width: i64,
    /// The first layer in which it may stand.
    pub(super) first_layer: usize,
}

/// An arrow to be drawn between two boxes.
#[derive(Clone, Debug)]
pub(super) struct Arrow {
    /// Where it starts.
    pub(super) from: usize,
    /// Where it ends.
    pub(super) to: usize,
    /// Arrows of different kinds share no lane.
    pub(super) kind: u8,
}

/// What stands in a column: a box, or a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The column.
    pub(super) layer: usize,
    /// The left edge.
    pub(super) x: i64,
    /// The upper edge.
    pub(super) y: i64,
    /// The width.
    pub(super) width: i64,
    /// The height.
    pub(super) height: i64,
}

impl Place {
    /// The height at which arrows touch it.
    pub(super) const fn middle(&self) -> i64 {
        self.y + self.height / 2
    }

    const fn bottom(&self) -> i64 {
        self.y + self.height
    }
}

/// A part of one or more arrows: from a place to one in the next column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The place on the left.
    pub(super) left: usize,
    /// The place on the right.
    pub(super) right: usize,
    /// Whether its arrows go from right to left: they close a circle.
    pub(super) back: bool,
    /// The arrows that go through it.
    pub(super) arrows: Vec<usize>,
}

/// Where everything stands.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Boxes first, in the order given; then lanes.
    pub(super) places: Vec<Place>,
    /// Parts of arrows.
    pub(super) segments: Vec<Segment>,
    /// The left edge and width of each column.
    pub(super) columns: Vec<(i64, i64)>,
    /// The width of all.
    pub(super) width: i64,
    /// The height of all.
    pub(super) height: i64,
    /// How often a place or a segment was looked at: the time that it took, counted.
    #[cfg(test)]
    pub(super) steps: usize,
}

/// Places boxes and arrows.
pub(super) fn layout(boxes: &[Size], arrows: &[Arrow]) -> Layout {
    let back = backward(boxes.len(), arrows);
    let layers = layers(boxes, arrows, &back);
    let (lanes, segments) = route(&layers, arrows, &back);
    let layer_of: Vec<usize> = layers.iter().copied().chain(lanes).collect();
    let mut graph = Layered::new(&layer_of, boxes.len(), &segments);
    order::order(&mut graph);
    let tops = place::heights(&mut graph);
    let height = (0..layer_of.len()).map(|item| tops[item] + graph.height(item)).max().unwrap_or(0);
    let columns = columns(boxes, &layers, &segments, graph.columns.len(), &layer_of);
    let places: Vec<Place> = (0..layer_of.len())
        .map(|item| {
            let (x, width) = columns[layer_of[item]];
            Place { layer: layer_of[item], x, y: tops[item], width, height: graph.height(item) }
        })
        .collect();
    debug_assert!(places.iter().all(|place| place.bottom() <= height));
    let width = columns.last().map_or(0, |(x, width)| x + width);
    Layout {
        places,
        segments,
        columns,
        width,
        height,
        #[cfg(test)]
        steps: graph.steps,
    }
}

/// Boxes and lanes in their columns.
struct Layered {
    /// How many of the items are boxes.
    boxes: usize,
    /// The items of each column, from above.
    columns: Vec<Vec<usize>>,
    /// Of each item, its neighbours on the left.
    left: Vec<Vec<usize>>,
    /// And on the right.
    right: Vec<Vec<usize>>,
    steps: usize,
}

impl Layered {
    fn new(layer_of: &[usize], boxes: usize, segments: &[Segment]) -> Self {
        let many = layer_of.iter().max().map_or(0, |last| last + 1);
        let mut columns = vec![Vec::new(); many];
        for (item, &layer) in layer_of.iter().enumerate() {
            columns[layer].push(item);
        }
        let (mut left, mut right) = (vec![Vec::new(); layer_of.len()], vec![Vec::new(); layer_of.len()]);
        for segment in segments {
            left[segment.right].push(segment.left);
            right[segment.left].push(segment.right);
        }
        Self { boxes, columns, left, right, steps: 0 }
    }

    const fn height(&self, item: usize) -> i64 {
        if self.is_lane(item) { LANE } else { BOX }
    }

    /// The height with the room below.
    const fn room(&self, item: usize) -> i64 {
        self.height(item) + if self.is_lane(item) { GAP.1 } else { GAP.0 }
    }

    const fn is_lane(&self, item: usize) -> bool {
        item >= self.boxes
    }

    /// The place of each item in its column.
    fn ranks(&self) -> Vec<usize> {
        let mut ranks = vec![0; self.left.len()];
        for column in &self.columns {
            for (rank, &item) in column.iter().enumerate() {
                ranks[item] = rank;
            }
        }
        ranks
    }
}

/// Which arrows close a circle, found depth first. An arrow from a box to itself is one.
fn backward(boxes: usize, arrows: &[Arrow]) -> Vec<bool> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        No,
        Open,
        Done,
    }
    let mut leaving = vec![Vec::new(); boxes];
    for (number, arrow) in arrows.iter().enumerate() {
        leaving[arrow.from].push(number);
    }
    let mut back = vec![false; arrows.len()];
    let mut seen = vec![Seen::No; boxes];
    for start in 0..boxes {
        if seen[start] != Seen::No {
            continue;
        }
        seen[start] = Seen::Open;
        let mut way = vec![(start, 0)];
        while let Some((node, next)) = way.last_mut() {
            let Some(&number) = leaving[*node].get(*next) else {
                seen[*node] = Seen::Done;
                way.pop();
                continue;
            };
            *next += 1;
            let to = arrows[number].to;
            match seen[to] {
                Seen::Open => back[number] = true,
                Seen::Done => {}
                Seen::No => {
                    seen[to] = Seen::Open;
                    way.push((to, 0));
                }
            }
        }
    }
    back
}

/// The column of each box: right of all that lead to it. Columns in which nothing stands are left out.
fn layers(boxes: &[Size], arrows: &[Arrow], back: &[bool]) -> Vec<usize> {
    let forward = || arrows.iter().zip(back).filter(|(_, back)| !**back).map(|(arrow, _)| arrow);
    let mut waiting = vec![0_usize; boxes.len()];
    let mut leaving = vec![Vec::new(); boxes.len()];
    for arrow in forward() {
        waiting[arrow.to] += 1;
        leaving[arrow.from].push(arrow.to);
    }
    let mut layers: Vec<usize> = boxes.iter().map(|size| size.first_layer).collect();
    let mut ready: Vec<usize> = (0..boxes.len()).filter(|&node| waiting[node] == 0).collect();
    while let Some(node) = ready.pop() {
        for &to in &leaving[node] {
            layers[to] = layers[to].max(layers[node] + 1);
            waiting[to] -= 1;
            if waiting[to] == 0 {
                ready.push(to);
            }
        }
    }
    let used: BTreeSet<usize> = layers.iter().copied().collect();
    let numbers: BTreeMap<usize, usize> = used.into_iter().zip(0..).collect();
    layers.iter().map(|layer| numbers[layer]).collect()
}

/// Cuts arrows into parts from column to column. Gives the columns of the lanes, and the parts.
fn route(layers: &[usize], arrows: &[Arrow], back: &[bool]) -> (Vec<usize>, Vec<Segment>) {
    let mut lanes: BTreeMap<(usize, usize, u8, bool), usize> = BTreeMap::new();
    let mut lane_layers = Vec::new();
    let mut segments: BTreeMap<(usize, usize, bool), Vec<usize>> = BTreeMap::new();
    for (number, (arrow, &back)) in arrows.iter().zip(back).enumerate() {
        let (left, right) = if back { (arrow.to, arrow.from) } else { (arrow.from, arrow.to) };
        if left == right {
            continue;
        }
        let mut at = left;
        for layer in layers[left] + 1..layers[right] {
            let lane = *lanes.entry((layer, right, arrow.kind, back)).or_insert_with(|| {
                lane_layers.push(layer);
                layers.len() + lane_layers.len() - 1
            });
            segments.entry((at, lane, back)).or_default().push(number);
            at = lane;
        }
        segments.entry((at, right, back)).or_default().push(number);
    }
    let segments = segments
        .into_iter()
        .map(|((left, right, back), arrows)| Segment { left, right, back, arrows })
        .collect();
    (lane_layers, segments)
}

/// The left edge and width of each column: as wide as its widest box, and apart as what bends between needs it.
fn columns(
    boxes: &[Size],
    layers: &[usize],
    segments: &[Segment],
    many: usize,
    layer_of: &[usize],
) -> Vec<(i64, i64)> {
    let mut widths = vec![0; many];
    for (size, &layer) in boxes.iter().zip(layers) {
        widths[layer] = widths[layer].max(size.width);
    }
    let mut bends = vec![0_i64; many];
    for segment in segments {
        bends[layer_of[segment.left]] += 1;
    }
    let mut x = 0;
    let mut columns = Vec::with_capacity(many);
    for (width, bends) in widths.into_iter().zip(bends) {
        columns.push((x, width));
        x += width + (GUTTER.0 + bends).min(GUTTER.1);
    }
    columns
}

#[cfg(test)]
mod tests;
