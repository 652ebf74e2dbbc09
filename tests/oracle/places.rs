//! Where values of a graph lie: parts of a concatenation in its matrix, and nothing where it would be overwritten.

use super::graphs::{by_hand, random_graph};
use super::plan::{Map, check_order};
use super::{Graph, random};
use selvedge::plan::{Activation, Input, Layer, LayerSpec, Operation, Output, Plan, Value, arrange};

use Value::{Input as I, Layer as L};

/// A matrix in a block: first element, rows, columns and leading dimension.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    offset: usize,
    rows: usize,
    columns: usize,
    leading_dimension: usize,
}

impl Place {
    fn of(map: &Map, name: &str) -> Self {
        let line = map.place(name);
        let (rows, columns, leading_dimension) = line.matrix.expect("a matrix");
        Self { offset: line.offset, rows, columns, leading_dimension }
    }

    fn end(&self) -> usize {
        self.offset + (self.rows - 1) * self.leading_dimension + self.columns
    }

    /// The columns of this, from one on.
    fn columns(&self, first: usize, columns: usize) -> Self {
        Self { offset: self.offset + first, columns, ..*self }
    }

    /// Whether the matrices have an element in common.
    fn overlaps(&self, other: &Self) -> bool {
        (0..self.rows).any(|i| {
            (0..other.rows).any(|j| {
                let (a, b) = (self.offset + i * self.leading_dimension, other.offset + j * other.leading_dimension);
                a < b + other.columns && b < a + self.columns
            })
        })
    }
}

/// A network of layers, with the places of their outputs and gradients.
struct Placed {
    outputs: Vec<Place>,
    gradients: Vec<Place>,
    /// Inputs that are gathered by themselves.
    inputs: usize,
}

impl Placed {
    fn new(graph: &Graph) -> Self {
        let map = Map::of(&Plan::training(graph.network(), 6, 2));
        let places = |what: &str| (0..graph.layers.len()).map(|i| Place::of(&map, &format!("layer {i} {what}"))).collect();
        let inputs = map.block.iter().filter(|line| line.name == "input").count();
        Self { outputs: places("output"), gradients: places("gradient"), inputs }
    }

    /// Whether layer `part` is computed in columns of layer `whole`, and whether its gradient lies in that of `whole`.
    fn shares(&self, part: usize, whole: usize, first: usize) -> (bool, bool) {
        let within = |places: &[Place]| places[part] == places[whole].columns(first, places[part].columns);
        (within(&self.outputs), within(&self.gradients))
    }
}

fn dense(units: usize, input: Value) -> LayerSpec {
    LayerSpec::dense(units, Activation::Tanh).of(input)
}

fn concatenate(first: Value, second: Value) -> LayerSpec {
    LayerSpec { operation: Operation::Concatenate(second), ..LayerSpec::identity().of(first) }
}

fn placed(inputs: &[usize], specs: &[LayerSpec], outputs: &[usize]) -> Placed {
    let outputs: Vec<Output> = outputs.iter().copied().map(Output::of).collect();
    Placed::new(&Graph::arrange(inputs, specs, &outputs).expect("a network"))
}

const SHARED: (bool, bool) = (true, true);
const COPIED: (bool, bool) = (false, false);

#[test]
fn parts_of_concatenations_are_computed_in_place() {
    let found = placed(&[4], &[dense(7, I(0)), dense(20, I(0)), concatenate(L(0), L(1)), dense(3, L(2))], &[3]);
    assert_eq!((found.shares(0, 2, 0), found.shares(1, 2, 7)), (SHARED, SHARED));

    // Nested, with an input that is gathered to its columns.
    let specs = [dense(7, I(0)), dense(9, I(0)), dense(5, I(0)), concatenate(L(0), L(1)), concatenate(L(3), L(2))];
    let specs = [&specs[..], &[concatenate(I(1), L(4)), dense(3, L(5))]].concat();
    let found = placed(&[4, 6], &specs, &[6]);
    assert_eq!(found.shares(4, 5, 6), SHARED);
    assert_eq!((found.shares(3, 5, 6), found.shares(2, 5, 22)), (SHARED, SHARED));
    assert_eq!((found.shares(0, 5, 6), found.shares(1, 5, 13)), (SHARED, SHARED));
    assert_eq!(found.inputs, 1);

    // A value that others take too: its gradient is a sum, of which the concatenation has one term.
    let specs = [dense(7, I(0)), dense(9, I(0)), concatenate(L(0), L(1)), dense(3, L(2)), dense(3, L(0))];
    assert_eq!(placed(&[4], &specs, &[3, 4]).shares(0, 2, 0), (true, false));
}

#[test]
fn what_cannot_be_shared_is_copied() {
    // A layer would read one part while it writes the other beside it.
    let specs = [dense(7, I(0)), dense(9, L(0)), concatenate(L(0), L(1)), dense(3, L(2))];
    let found = placed(&[4], &specs, &[3]);
    assert!(found.shares(0, 2, 0).0 != found.shares(1, 2, 7).0, "one of two parts");
    let specs = [dense(7, I(0)), concatenate(I(0), L(0)), dense(3, L(1))];
    let found = placed(&[4], &specs, &[2]);
    assert!((found.inputs == 0) != found.shares(0, 1, 4).0, "the input or the layer");
    // Twice the same: the second time it is a copy.
    let found = placed(&[4], &[dense(7, I(0)), concatenate(L(0), L(0)), dense(3, L(1))], &[2]);
    assert_eq!((found.shares(0, 1, 0), found.shares(0, 1, 7)), ((true, false), COPIED));
    // In two concatenations: it can lie in one.
    let specs = [dense(7, I(0)), dense(9, I(0)), concatenate(L(0), L(1)), concatenate(L(1), L(0)), dense(3, L(2)), dense(3, L(3))];
    let found = placed(&[4], &specs, &[4, 5]);
    for (part, first, second) in [(0, 0, 9), (1, 7, 0)] {
        assert!(found.shares(part, 2, first).0 != found.shares(part, 3, second).0, "layer {part} in one of two");
    }
    // An output of the network keeps its values, whatever the losses of others do with theirs.
    let found = placed(&[4], &[dense(7, I(0)), dense(9, I(0)), concatenate(L(0), L(1))], &[0, 2]);
    assert_eq!((found.shares(0, 2, 0), found.shares(1, 2, 7)), (COPIED, SHARED));
}

/// Inputs that lay in a concatenation of another network are arranged anew.
#[test]
fn inputs_can_be_arranged_again() {
    let outputs = [Output::of(1)];
    let mut inputs = [Input::new(4), Input::new(6)];
    let mut arranged = |specs: [LayerSpec; 2]| {
        let mut layers = [Layer::EMPTY; 2];
        arrange(&mut inputs, &specs, &outputs, &mut layers).expect("a network");
        (inputs, layers)
    };
    let specs = [dense(7, I(0)), dense(3, L(0))];
    let first = arranged(specs);
    assert_ne!(arranged([concatenate(I(1), I(0)), dense(3, L(0))]).0, first.0, "inputs in a concatenation");
    assert_eq!(arranged(specs), first);
}

/// In which columns of layer `whole` a layer can be found.
fn columns_of(layers: &[Layer], whole: Value, part: usize) -> Vec<usize> {
    let L(i) = whole else { return Vec::new() };
    if i == part {
        return vec![0];
    }
    match layers[i].spec.operation {
        Operation::Concatenate(second) => {
            let behind = columns_of(layers, second, part).into_iter().map(|column| layers[i].in_dim + column);
            columns_of(layers, layers[i].spec.input, part).into_iter().chain(behind).collect()
        }
        _ => Vec::new(),
    }
}

/// Two outputs, and two gradients, have elements in common only where one is part of the other.
#[test]
fn nothing_else_overlaps() {
    let drawn = (0..500).map(|seed| random_graph(&mut random(seed)));
    for graph in by_hand().into_iter().map(|(_, graph)| graph).chain(drawn) {
        let found = Placed::new(&graph);
        for plan in [Plan::training(graph.network(), 6, 2), Plan::inference(graph.network(), 6, 2)] {
            let map = Map::of(&plan);
            check_order(&map.parameters, plan.parameters_len(), &format!("{graph:?}"));
            assert_eq!(map.workspace_len, plan.workspace_len(), "{graph:?}");
            assert_eq!(map.workspace_len, 2 * map.block_len + map.statistics_len + map.squares_len, "{graph:?}");
            let ends = map.block.iter().map(|line| line.offset + line.len);
            assert!(ends.max().is_some_and(|end| end <= map.block_len), "{graph:?}");
        }
        for places in [&found.outputs, &found.gradients] {
            for (j, whole) in places.iter().enumerate() {
                assert!(whole.offset < whole.end() && whole.leading_dimension >= whole.columns);
                for (i, part) in places[..j].iter().enumerate() {
                    let columns = columns_of(&graph.layers, L(j), i);
                    let is_part = columns.iter().any(|&first| *part == whole.columns(first, part.columns));
                    assert!(is_part || !part.overlaps(whole), "layers {i} and {j}: {part:?}, {whole:?}\n{graph:?}");
                }
            }
        }
        for output in found.outputs.iter() {
            assert!(found.gradients.iter().all(|gradient| !gradient.overlaps(output)), "{graph:?}");
        }
    }
}
