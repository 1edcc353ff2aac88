//! The cycles of a directed graph (Tarjan's strongly connected components).

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Nodes that lie on a cycle of two or more, each with the number of its component.
pub(crate) fn components(edges: &BTreeMap<String, BTreeSet<String>>) -> HashMap<String, usize> {
    let mut search = Search::new(edges);
    for node in edges.keys() {
        if !search.seen.contains_key(node.as_str()) {
            search.visit(node);
        }
    }
    search.found
}

struct Search<'a> {
    edges: &'a BTreeMap<String, BTreeSet<String>>,
    /// The order in which a node was met, and the earliest one it reaches.
    seen: HashMap<&'a str, usize>,
    stack: Vec<&'a str>,
    found: HashMap<String, usize>,
    components: usize,
}

impl<'a> Search<'a> {
    fn new(edges: &'a BTreeMap<String, BTreeSet<String>>) -> Search<'a> {
        Search { edges, seen: HashMap::new(), stack: Vec::new(), found: HashMap::new(), components: 0 }
    }

    /// Returns the earliest node of the stack that `node` reaches. As deep as the graph's longest
    /// chain of packages, which is some dozens.
    fn visit(&mut self, node: &'a str) -> usize {
        let order = self.seen.len();
        self.seen.insert(node, order);
        self.stack.push(node);
        let mut low = order;
        let edges = self.edges;
        for next in edges.get(node).into_iter().flatten() {
            match self.seen.get(next.as_str()) {
                None => low = low.min(self.visit(next)),
                Some(&met) if self.stack.contains(&next.as_str()) => low = low.min(met),
                Some(_) => {}
            }
        }
        if low == order {
            let from = self.stack.iter().position(|&it| it == node).unwrap_or_default();
            let component: Vec<&str> = self.stack.drain(from..).collect();
            if component.len() > 1 {
                self.components += 1;
                self.found.extend(component.iter().map(|&it| (it.to_owned(), self.components)));
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &str)]) -> BTreeMap<String, BTreeSet<String>> {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in edges {
            graph.entry((*from).to_owned()).or_default().insert((*to).to_owned());
            graph.entry((*to).to_owned()).or_default();
        }
        graph
    }

    #[test]
    fn a_chain_has_no_cycle() {
        assert!(components(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    }

    #[test]
    fn two_cycles_that_touch_only_one_way_are_two() {
        let found = components(&graph(&[("a", "b"), ("b", "a"), ("b", "c"), ("c", "d"), ("d", "c")]));
        assert_eq!(found.len(), 4);
        assert_eq!(found["a"], found["b"]);
        assert_ne!(found["b"], found["c"]);
    }
}
