//! The graph of a flow. Nothing here recurses: ten thousand steps may stand in a row.

use super::{Ancestors, Need};

pub(super) struct Graph {
    /// What each step waits for, each once.
    needs: Vec<Vec<usize>>,
    /// The steps that wait for each, each once, ascending.
    pub(super) dependents: Vec<Vec<usize>>,
    /// Steps in an order in which none comes before what it waits for; those on cycles, and behind them, are
    /// not among it.
    order: Vec<usize>,
}

impl Graph {
    pub(super) fn of<'n>(needs: impl Iterator<Item = &'n [Need]>) -> Self {
        let steps = |needs: &[Need]| {
            let mut steps: Vec<usize> = needs.iter().map(|need| need.step).collect();
            steps.sort_unstable();
            steps.dedup();
            steps
        };
        let needs: Vec<Vec<usize>> = needs.map(steps).collect();
        let mut dependents = vec![Vec::new(); needs.len()];
        for (step, needs) in needs.iter().enumerate() {
            for &need in needs {
                if let Some(list) = dependents.get_mut(need) {
                    list.push(step);
                }
            }
        }
        let order = sorted(&needs, &dependents);
        Self { needs, dependents, order }
    }

    /// For each step all that come before it. Only for a graph without cycles.
    pub(super) fn ancestors(&self) -> Vec<Ancestors> {
        let mut all: Vec<Ancestors> = vec![Ancestors::default(); self.needs.len()];
        for &step in &self.order {
            let mut own = Ancestors::default();
            for &need in self.needs.get(step).into_iter().flatten() {
                if let Some(before) = all.get(need) {
                    own.extend(before);
                }
                own.insert(need);
            }
            if let Some(slot) = all.get_mut(step) {
                *slot = own;
            }
        }
        all
    }

    /// A way round each group of steps that wait for each other, none of them twice.
    pub(super) fn cycles(&self) -> Vec<Vec<usize>> {
        let mut state = vec![Mark::Open; self.needs.len()];
        for &step in &self.order {
            mark(&mut state, step, Mark::Done);
        }
        let mut cycles = Vec::new();
        for start in 0..self.needs.len() {
            cycles.extend(self.walk(start, &mut state));
        }
        cycles
    }

    /// Goes from need to need until it meets itself. Every step left over waits for another one left over, so
    /// that a walk ends only on its own track or on that of an earlier walk.
    fn walk(&self, start: usize, state: &mut [Mark]) -> Option<Vec<usize>> {
        let mut track = Vec::new();
        let mut step = start;
        while state.get(step) == Some(&Mark::Open) {
            mark(state, step, Mark::OnTrack);
            track.push(step);
            let left = |need: &&usize| state.get(**need).is_some_and(|mark| *mark != Mark::Done);
            match self.needs.get(step).and_then(|needs| needs.iter().find(left)) {
                Some(&next) => step = next,
                None => break,
            }
        }
        let from = track.iter().position(|on_track| *on_track == step);
        for &step in &track {
            mark(state, step, Mark::Done);
        }
        let cycle = track.split_off(from?);
        // A walk that ran out of needs ends on its last step, which is a cycle only if it needs itself.
        let last = cycle.last()?;
        let closed = self
            .needs
            .get(*last)
            .is_some_and(|needs| cycle.first().is_some_and(|first| needs.contains(first)));
        closed.then_some(cycle)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Open,
    OnTrack,
    Done,
}

fn mark(state: &mut [Mark], step: usize, mark: Mark) {
    if let Some(slot) = state.get_mut(step) {
        *slot = mark;
    }
}

fn sorted(needs: &[Vec<usize>], dependents: &[Vec<usize>]) -> Vec<usize> {
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut order: Vec<usize> = (0..needs.len()).filter(|step| open.get(*step) == Some(&0)).collect();
    let mut next = 0;
    while let Some(&step) = order.get(next) {
        next += 1;
        for &dependent in dependents.get(step).into_iter().flatten() {
            let Some(open) = open.get_mut(dependent) else { continue };
            *open -= 1;
            if *open == 0 {
                order.push(dependent);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::NeedKind, *};

    fn graph(needs: &[Vec<usize>]) -> Graph {
        let need = |step: &usize| Need { step: *step, kind: NeedKind::Reference, port: None };
        let needs: Vec<Vec<Need>> = needs.iter().map(|needs| needs.iter().map(need).collect()).collect();
        Graph::of(needs.iter().map(Vec::as_slice))
    }

    #[test]
    fn ancestors_are_transitive() {
        let graph = graph(&[vec![], vec![0], vec![1, 0, 1], vec![]]);
        assert!(graph.cycles().is_empty());
        let ancestors: Vec<Vec<usize>> = graph.ancestors().iter().map(|set| set.iter().collect()).collect();
        assert_eq!(ancestors, [vec![], vec![0], vec![0, 1], vec![]]);
        assert_eq!(graph.dependents, [vec![1, 2], vec![2], vec![], vec![]]);
    }

    #[test]
    fn each_cycle_is_named_once() {
        // 0 and 1 wait for each other, 2 for itself, 3 stands behind a cycle, 4 to 6 go round.
        let graph = graph(&[vec![1], vec![0], vec![2], vec![0], vec![5], vec![6], vec![4, 3]]);
        assert_eq!(graph.cycles(), [vec![0, 1], vec![2], vec![4, 5, 6]]);
    }

    proptest! {
        #[test]
        fn a_cycle_is_found_exactly_where_there_is_one(edges in prop::collection::vec((0usize..12, 0usize..12), 0..30)) {
            let mut needs = vec![Vec::new(); 12];
            edges.iter().for_each(|(from, to)| needs[*from].push(*to));
            let graph = graph(&needs);
            let cycles = graph.cycles();
            prop_assert_eq!(cycles.is_empty(), graph.order.len() == 12);
            for cycle in cycles {
                for (step, next) in cycle.iter().zip(cycle.iter().cycle().skip(1)) {
                    prop_assert!(needs[*step].contains(next));
                }
            }
        }
    }
}
