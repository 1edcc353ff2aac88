//! Store paths, what they refer to, and how each is reached from a package set; held in few bytes for each.

use std::cell::RefCell;
use std::collections::VecDeque;

use foldhash::HashMap;
use pitstop_core::index::{Origin, Package, StorePath};

/// A store path of a [`Graph`].
pub(super) type Id = u32;

/// A hash as it stands in a store path.
pub(super) type Hash = [u8; 32];

/// The hash of a store path. [`StorePath::parse`] lets none of another length through; a wrong one would only be padded.
pub(super) fn hash_of(path: &StorePath) -> Hash {
    let mut hash = [b'0'; 32];
    for (to, from) in hash.iter_mut().zip(path.hash.bytes()) {
        *to = from;
    }
    hash
}

#[derive(Debug)]
struct Node {
    hash: Hash,
    name: Box<str>,
    /// Attribute and output of a path that the package set names itself, with a NUL between.
    attribute: Option<Box<str>>,
    system: u16,
    /// The length of its archive, in bytes; 0 where it is not known, since none is empty.
    size: u64,
    references: Box<[Id]>,
}

/// Store paths and their references.
#[derive(Debug)]
pub(super) struct Graph {
    store_dir: String,
    ids: HashMap<Hash, Id>,
    nodes: Vec<Node>,
    /// Paths that were asked for, in the order in which they came.
    roots: Vec<Id>,
    systems: Vec<Option<String>>,
}

impl Graph {
    pub(super) fn new(store_dir: &str) -> Self {
        Self {
            store_dir: store_dir.to_owned(),
            ids: HashMap::default(),
            nodes: Vec::new(),
            roots: Vec::new(),
            systems: vec![None],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The id of a path, a new one where it was not known.
    pub(super) fn id(&mut self, path: &StorePath) -> Id {
        let hash = hash_of(path);
        let next = Id::try_from(self.nodes.len()).unwrap_or(Id::MAX);
        let id = *self.ids.entry(hash).or_insert(next);
        if id == next {
            let name = path.name.as_str().into();
            self.nodes.push(Node {
                hash,
                name,
                attribute: None,
                system: 0,
                size: 0,
                references: Box::default(),
            });
        }
        id
    }

    fn known(&self, path: &StorePath) -> Option<Id> {
        self.ids.get(&hash_of(path)).copied()
    }

    /// Adds a path that is asked for by name alone.
    pub(super) fn add_path(&mut self, path: &StorePath) {
        let known = self.nodes.len();
        let id = self.id(path);
        if self.nodes.len() > known {
            self.roots.push(id);
        }
    }

    /// Adds an output of an attribute. Of several attributes that give the same path the shortest is kept, as nix-index
    /// does; of equally short ones the first by letters, so that the order of the list does not matter.
    pub(super) fn add_package(&mut self, package: &Package) {
        self.add_path(&package.path);
        let Origin { attribute, output, system, .. } = &package.origin;
        let system = self.systems.iter().position(|known| known == system).unwrap_or_else(|| {
            self.systems.push(system.clone());
            self.systems.len() - 1
        });
        let id = self.id(&package.path);
        let node = &mut self.nodes[id as usize];
        let held = node.attribute.as_deref().and_then(|held| held.split_once('\0'));
        let is_better = held.is_none_or(|(held, held_output)| {
            (attribute.len(), attribute.as_str(), output.as_str()) < (held.len(), held, held_output)
        });
        if is_better {
            node.attribute = Some(format!("{attribute}\0{output}").into());
            node.system = u16::try_from(system).unwrap_or_default();
        }
    }

    pub(super) fn path(&self, id: Id) -> StorePath {
        let node = &self.nodes[id as usize];
        StorePath {
            store_dir: self.store_dir.clone(),
            hash: String::from_utf8_lossy(&node.hash).into_owned(),
            name: node.name.to_string(),
        }
    }

    /// Says how long a path's archive is, in bytes (0 where that is not known), and what it refers to.
    pub(super) fn refer(&mut self, id: Id, size: u64, references: &[StorePath]) {
        let ids = references.iter().map(|reference| self.id(reference)).collect();
        let node = &mut self.nodes[id as usize];
        (node.size, node.references) = (size, ids);
    }

    pub(super) fn references(&self, id: Id) -> &[Id] {
        &self.nodes[id as usize].references
    }

    pub(super) fn roots(&self) -> &[Id] {
        &self.roots
    }

    /// Every path that is reached from what was asked for, with its origin: first the attributes by name, then what
    /// was asked for by path, then the closures, nearest first. It depends on the graph alone, not on the order in
    /// which it was found.
    pub(super) fn reached(&self) -> Vec<(Id, Id)> {
        self.reached_from(self.roots.clone())
    }

    fn reached_from(&self, mut roots: Vec<Id>) -> Vec<(Id, Id)> {
        let key = |id: &Id| {
            let node = &self.nodes[*id as usize];
            (node.attribute.is_none(), node.attribute.as_deref(), &*node.name, node.hash)
        };
        roots.sort_unstable_by(|one, other| key(one).cmp(&key(other)));
        let mut seen = vec![false; self.nodes.len()];
        for root in &roots {
            seen[*root as usize] = true;
        }
        let mut queue: VecDeque<(Id, Id)> = roots.iter().map(|root| (*root, *root)).collect();
        let mut reached = Vec::with_capacity(self.nodes.len());
        while let Some((id, root)) = queue.pop_front() {
            reached.push((id, root));
            for reference in &self.nodes[id as usize].references {
                if !std::mem::replace(&mut seen[*reference as usize], true) {
                    queue.push_back((*reference, root));
                }
            }
        }
        reached
    }

    /// The same where everything was asked for by path, and some of it has an attribute: what is in the closure of an
    /// attribute is its, the rest stands for itself.
    pub(super) fn reached_named_first(&self) -> Vec<(Id, Id)> {
        let named = |id: &Id| self.nodes[*id as usize].attribute.is_some();
        let mut reached = self.reached_from(self.roots.iter().copied().filter(named).collect());
        let mut seen = vec![false; self.nodes.len()];
        for (id, _) in &reached {
            seen[*id as usize] = true;
        }
        let mut rest: Vec<Id> = self.roots.iter().copied().filter(|id| !seen[*id as usize]).collect();
        rest.sort_unstable_by_key(|id| (&*self.nodes[*id as usize].name, self.nodes[*id as usize].hash));
        reached.extend(rest.into_iter().map(|id| (id, id)));
        reached
    }

    /// A path with its origin: the attribute that gives it, or whose closure it is in. Where a path was asked for by
    /// name alone, its name stands for the attribute, and it is not top-level: no attribute is known to give it.
    pub(super) fn package(&self, id: Id, root: Id) -> Package {
        let node = &self.nodes[root as usize];
        let origin = match node.attribute.as_deref().and_then(|held| held.split_once('\0')) {
            Some((attribute, output)) => Origin {
                attribute: attribute.to_owned(),
                output: output.to_owned(),
                toplevel: id == root,
                system: self.systems.get(usize::from(node.system)).cloned().flatten(),
            },
            None => Origin {
                attribute: node.name.to_string(),
                output: "out".to_owned(),
                toplevel: false,
                system: None,
            },
        };
        Package { path: self.path(id), origin }
    }
}

/// The sizes of closures.
#[derive(Debug)]
pub struct Closures<'g> {
    graph: &'g Graph,
    /// The last question in which each path was met.
    met: RefCell<(u32, Vec<u32>)>,
}

impl<'g> Closures<'g> {
    pub(super) fn of(graph: &'g Graph) -> Self {
        Self { graph, met: RefCell::new((0, vec![0; graph.len()])) }
    }

    /// The size in bytes of a path and of all that it needs, as archives; `None` where one of them is not known.
    #[must_use]
    pub fn bytes(&self, path: &StorePath) -> Option<u64> {
        let (question, met) = &mut *self.met.borrow_mut();
        *question += 1;
        let mut open = vec![self.graph.known(path)?];
        let mut bytes = 0_u64;
        while let Some(id) = open.pop() {
            if std::mem::replace(&mut met[id as usize], *question) == *question {
                continue;
            }
            let node = &self.graph.nodes[id as usize];
            if node.size == 0 {
                return None;
            }
            bytes = bytes.saturating_add(node.size);
            open.extend_from_slice(&node.references);
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(letter: char, name: &str) -> StorePath {
        let hash = letter.to_string().repeat(32);
        StorePath { store_dir: "/nix/store".into(), hash, name: name.into() }
    }

    fn package(letter: char, attribute: &str) -> Package {
        let origin = Origin {
            attribute: attribute.into(),
            output: "out".into(),
            toplevel: true,
            system: Some("x86_64-linux".into()),
        };
        Package { path: path(letter, attribute), origin }
    }

    #[test]
    fn the_shortest_attribute_names_a_path() {
        for order in [["pythonPackages.zlib", "zlib", "alib"], ["alib", "zlib", "pythonPackages.zlib"]] {
            let mut graph = Graph::new("/nix/store");
            for attribute in order {
                graph.add_package(&package('a', attribute));
            }
            assert_eq!(graph.reached().len(), 1);
            assert_eq!(graph.package(0, 0).origin.attribute, "alib");
        }
    }

    #[test]
    fn closures_belong_to_the_nearest_attribute_and_roots_stay_top_level() {
        let mut graph = Graph::new("/nix/store");
        graph.add_package(&package('b', "beta"));
        graph.add_package(&package('a', "alpha"));
        let (alpha, beta) = (path('a', ""), path('b', ""));
        let (alpha, beta) = (graph.known(&alpha).unwrap(), graph.known(&beta).unwrap());
        graph.refer(beta, 10, &[path('c', "c"), path('b', "beta")]);
        graph.refer(alpha, 1, &[path('b', "beta"), path('d', "d")]);
        let d = graph.known(&path('d', "")).unwrap();
        graph.refer(d, 1000, &[path('c', "c")]);
        let said: Vec<String> = graph
            .reached()
            .into_iter()
            .map(|(id, root)| {
                let package = graph.package(id, root);
                format!("{} {} {}", package.path.name, package.origin.attribute, package.origin.toplevel)
            })
            .collect();
        assert_eq!(said, ["alpha alpha true", "beta beta true", "d alpha false", "c beta false"]);
    }

    #[test]
    fn a_closure_counts_each_path_once_and_is_unknown_where_one_of_them_is() {
        let mut graph = Graph::new("/nix/store");
        let sizes = [('a', 1, "bc"), ('b', 10, "cdb"), ('c', 100, "d"), ('d', 1000, ""), ('e', 10_000, "f")];
        for (letter, size, references) in sizes {
            let id = graph.id(&path(letter, "x"));
            graph.refer(id, size, &references.chars().map(|letter| path(letter, "x")).collect::<Vec<_>>());
        }
        let closures = Closures::of(&graph);
        let of = |letter| closures.bytes(&path(letter, "x"));
        assert_eq!(['a', 'b', 'c', 'd'].map(of), [Some(1111), Some(1110), Some(1100), Some(1000)]);
        assert_eq!(['e', 'f', 'z'].map(of), [None; 3]);
    }
}
