#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn boxes(layers: &[usize]) -> Vec<Size> {
    layers.iter().map(|&first_layer| Size { width: 100, first_layer }).collect()
}

fn arrows(pairs: &[(usize, usize)]) -> Vec<Arrow> {
    pairs.iter().map(|&(from, to)| Arrow { from, to, kind: 0 }).collect()
}

/// Numbers that look random and are always the same (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// Packages, files of theirs, and libraries that need each other, now and then in circles.
fn made_up(nodes: usize, seed: u64) -> (Vec<Size>, Vec<Arrow>) {
    let mut dice = Dice(seed);
    let (packages, files) = (nodes / 20 + 1, nodes / 2);
    let layer = |node| {
        if node < packages {
            0
        } else if node < packages + files {
            1
        } else {
            2
        }
    };
    let mut pairs = Vec::new();
    for node in packages..nodes {
        if node < packages + files {
            pairs.push((dice.below(packages), node));
        }
        for _ in 0..dice.below(4) {
            pairs.push((node, packages + files + dice.below(nodes - packages - files)));
        }
    }
    (boxes(&(0..nodes).map(layer).collect::<Vec<_>>()), arrows(&pairs))
}

/// All that must hold of any layout.
fn is_sound(layout: &Layout, boxes: &[Size], arrows: &[Arrow]) {
    let places = &layout.places;
    let mut columns: BTreeMap<usize, Vec<&Place>> = BTreeMap::new();
    for place in places {
        assert!(place.x >= 0 && place.y >= 0, "{place:?}");
        assert!(place.x + place.width <= layout.width && place.bottom() <= layout.height, "{place:?}");
        columns.entry(place.layer).or_default().push(place);
    }
    for column in columns.values_mut() {
        column.sort_by_key(|place| place.y);
        for pair in column.windows(2) {
            assert!(pair[0].bottom() < pair[1].y, "two lie on each other: {pair:?}");
        }
    }
    for pair in layout.columns.windows(2) {
        assert!(pair[0].0 + pair[0].1 < pair[1].0, "no room between columns: {pair:?}");
    }
    // Following an arrow's segments leads from its one end to the other.
    for (number, arrow) in arrows.iter().enumerate().filter(|(_, arrow)| arrow.from != arrow.to) {
        let mut parts: Vec<&Segment> =
            layout.segments.iter().filter(|segment| segment.arrows.contains(&number)).collect();
        parts.sort_by_key(|part| places[part.left].layer);
        let back = parts[0].back;
        let ends = (parts[0].left, parts.last().unwrap().right);
        assert_eq!(ends, if back { (arrow.to, arrow.from) } else { (arrow.from, arrow.to) });
        for part in &parts {
            assert_eq!(places[part.left].layer + 1, places[part.right].layer, "it passes a column by");
        }
        for pair in parts.windows(2) {
            assert_eq!(pair[0].right, pair[1].left, "the arrow is torn");
            assert!(pair[0].right >= boxes.len(), "it goes through a box");
        }
    }
}

#[test]
fn no_boxes_overlap_and_every_arrow_joins_its_boxes() {
    for seed in 1..40 {
        let (boxes, arrows) = made_up(12 + usize::try_from(seed).unwrap() * 3, seed);
        is_sound(&layout(&boxes, &arrows), &boxes, &arrows);
    }
}

#[test]
fn circles_are_drawn() {
    let boxes = boxes(&[0, 1, 1, 1]);
    let arrows = arrows(&[(0, 1), (1, 2), (2, 3), (3, 1), (2, 2)]);
    let layout = layout(&boxes, &arrows);
    is_sound(&layout, &boxes, &arrows);
    let layers: Vec<usize> = layout.places[..4].iter().map(|place| place.layer).collect();
    assert_eq!(layers, [0, 1, 2, 3]);
    assert!(layout.segments.iter().any(|segment| segment.back && segment.arrows == [3]));
}

#[test]
fn nothing_and_one_box_have_a_layout() {
    let none = layout(&[], &[]);
    assert_eq!((none.width, none.height), (0, 0));
    let one = layout(&boxes(&[1]), &[]);
    assert_eq!((one.width, one.height, one.columns.len()), (100, BOX, 1));
}

#[test]
fn arrows_to_one_box_share_their_lane() {
    // Ten files need the last, past one that some of them need.
    let mut pairs: Vec<(usize, usize)> = (0..10).map(|file| (file, 11)).collect();
    pairs.extend([(0, 10), (10, 11)]);
    let boxes = boxes(&[1; 12]);
    let arrows = arrows(&pairs);
    let layout = layout(&boxes, &arrows);
    is_sound(&layout, &boxes, &arrows);
    assert_eq!(layout.places.len(), 13, "one lane beside the boxes");
    let shared = layout.segments.iter().find(|segment| segment.left == 12).unwrap();
    assert_eq!(shared.arrows.len(), 10);
}

#[test]
fn what_can_be_drawn_without_crossings_is() {
    // Two packages with two files each, given crosswise.
    let boxes = boxes(&[0, 0, 1, 1, 1, 1]);
    let arrows = arrows(&[(0, 3), (0, 5), (1, 2), (1, 4)]);
    let back = vec![false; 4];
    let layers = layers(&boxes, &arrows, &back);
    let (lanes, segments) = route(&layers, &arrows, &back);
    assert!(lanes.is_empty());
    let mut graph = Layered::new(&layers, boxes.len(), &segments);
    assert_eq!(order::crossings(&mut graph), 3);
    order::order(&mut graph);
    assert_eq!(order::crossings(&mut graph), 0);
}

#[test]
fn five_hundred_boxes_take_bounded_steps_and_room() {
    let (boxes, arrows) = made_up(500, 7);
    let layout = layout(&boxes, &arrows);
    is_sound(&layout, &boxes, &arrows);
    let items = layout.places.len() + layout.segments.len();
    // Each of the sweeps looks at each item and each of its neighbours a few times.
    assert!(layout.steps < items * 60, "{} steps for {items} items", layout.steps);
    let tallest = (0..layout.columns.len())
        .map(|layer| {
            layout
                .places
                .iter()
                .filter(|place| place.layer == layer)
                .map(|place| place.height + GAP.0)
                .sum::<i64>()
        })
        .max()
        .unwrap();
    assert!(layout.height < tallest * 2, "{} high, though its tallest column needs {tallest}", layout.height);
}

#[test]
fn the_same_graph_has_the_same_layout() {
    let (boxes, arrows) = made_up(200, 3);
    let (one, other) = (layout(&boxes, &arrows), layout(&boxes, &arrows));
    assert_eq!(one.places, other.places);
    assert_eq!(one.segments, other.segments);
}
