//! Which values are bound to one tenant: nodes for columns, and implications between them.
//!
//! INVARIANT: a node is bound only if that follows from a condition (least solution); nothing binds itself. What a
//! recursion assumes of its earlier rows has to follow for the later ones.

/// A column of an alias, or of an intermediate result.
pub type Id = usize;

/// The node of every value that names one tenant by itself: a parameter, a constant, the context.
pub const BOUND: Id = 0;

/// The node of every value about which nothing is known.
pub const NEVER: Id = 1;

/// Who a node belongs to when it is nobody's column.
pub const NOBODY: usize = usize::MAX;

/// Nodes and implications.
#[derive(Debug)]
pub struct Graph {
    owners: Vec<usize>,
    implications: Vec<(Vec<Id>, Id)>,
    /// Nodes that induction assumes, each with what has to follow from it.
    assumptions: Vec<(Id, Id)>,
}

impl Graph {
    /// A graph with the two constants.
    pub fn new() -> Self {
        Self { owners: vec![NOBODY, NOBODY], implications: Vec::new(), assumptions: Vec::new() }
    }

    /// A new node of an alias.
    pub fn node(&mut self, owner: usize) -> Id {
        self.owners.push(owner);
        self.owners.len() - 1
    }

    /// The alias a node belongs to.
    pub fn owner(&self, id: Id) -> usize {
        self.owners.get(id).copied().unwrap_or(NOBODY)
    }

    /// States that `out` is bound as soon as all of `causes` are.
    pub fn imply(&mut self, mut causes: Vec<Id>, out: Id) {
        if out == BOUND || out == NEVER || causes.contains(&NEVER) || causes.contains(&out) {
            return;
        }
        causes.retain(|cause| *cause != BOUND);
        causes.sort_unstable();
        causes.dedup();
        self.implications.push((causes, out));
    }

    /// States that a node may be assumed to be bound as long as `proof` turns out to be bound under that assumption.
    pub fn assume(&mut self, assumed: Id, proof: Id) {
        if proof != NEVER {
            self.assumptions.push((assumed, proof));
        }
    }

    /// Which nodes are bound. An assumption without its proof is dropped, and with it what followed from it; so this is
    /// linear in the size of the graph for each dropped one.
    pub fn solve(&self) -> Vec<bool> {
        let mut kept = self.assumptions.clone();
        loop {
            let bound = self.solve_under(&kept);
            let before = kept.len();
            kept.retain(|(_, proof)| bound[*proof]);
            if kept.len() == before {
                return bound;
            }
        }
    }

    fn solve_under(&self, assumptions: &[(Id, Id)]) -> Vec<bool> {
        let mut bound = vec![false; self.owners.len()];
        bound[BOUND] = true;
        let mut waiting: Vec<usize> = Vec::with_capacity(self.implications.len());
        let mut used_by: Vec<Vec<usize>> = vec![Vec::new(); self.owners.len()];
        let mut queue = Vec::new();
        for (assumed, _) in assumptions {
            bound[*assumed] = true;
            queue.push(*assumed);
        }
        for (index, (causes, out)) in self.implications.iter().enumerate() {
            waiting.push(causes.len());
            for cause in causes {
                used_by[*cause].push(index);
            }
            if causes.is_empty() && !bound[*out] {
                bound[*out] = true;
                queue.push(*out);
            }
        }
        while let Some(id) = queue.pop() {
            for index in &used_by[id] {
                waiting[*index] -= 1;
                let out = self.implications[*index].1;
                if waiting[*index] == 0 && !bound[out] {
                    bound[out] = true;
                    queue.push(out);
                }
            }
        }
        bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_bind_nothing() {
        let mut graph = Graph::new();
        let (a, b, c) = (graph.node(0), graph.node(1), graph.node(2));
        graph.imply(vec![a], b);
        graph.imply(vec![b], a);
        graph.imply(vec![c], c);
        assert_eq!(graph.solve()[2..], [false, false, false]);
        graph.imply(vec![BOUND], a);
        assert_eq!(graph.solve()[2..], [true, true, false]);
    }

    #[test]
    fn assumptions_need_their_proof() {
        let mut graph = Graph::new();
        let (first, second, step, other) = (graph.node(0), graph.node(0), graph.node(1), graph.node(2));
        graph.assume(first, step);
        graph.assume(second, other);
        graph.imply(vec![first], step);
        assert_eq!(graph.solve()[2..], [true, false, true, false]);
        // What rests on an assumption that is dropped falls with it.
        let mut chain = Graph::new();
        let (first, second, never) = (chain.node(0), chain.node(0), chain.node(0));
        chain.assume(first, second);
        chain.assume(second, never);
        assert_eq!(chain.solve()[2..], [false, false, false]);
    }

    #[test]
    fn all_causes_are_needed() {
        let mut graph = Graph::new();
        let (a, b, c) = (graph.node(0), graph.node(1), graph.node(2));
        graph.imply(vec![a, b, BOUND], c);
        graph.imply(vec![BOUND], a);
        graph.imply(vec![NEVER], b);
        assert_eq!(graph.solve()[2..], [true, false, false]);
        graph.imply(Vec::new(), b);
        assert!(graph.solve()[c]);
    }
}
