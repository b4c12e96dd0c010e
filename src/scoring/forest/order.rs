//! The proof that trees are trees, and their breadth-first order.

use super::tree::{Node, Tree, Trees};
use crate::scoring::fault::Fault;

/// For each tree its reachable nodes, breadth first, siblings side by side, left before right.
pub type Order = Vec<u32>;

/// Steps of a row at most, from the roots of all trees to the deepest leaves: some 0.3 ms. A request waits for 64 rows.
const MAX_STEPS: usize = 250_000;

pub fn prove(trees: &Trees) -> Result<Vec<Order>, Fault> {
    let mut orders = Vec::with_capacity(trees.trees.len());
    let mut steps = 0;
    for (number, tree) in trees.trees.iter().enumerate() {
        let (order, depth) = prove_tree(tree, trees).map_err(|fault| fault.within(format!("tree {number}")))?;
        orders.push(order);
        steps += depth;
    }
    if steps > MAX_STEPS {
        let why = format!("a row may take {steps} steps, the depths of all trees, at most {MAX_STEPS} are supported");
        return Err(Fault::new("", why));
    }
    for (number, linear) in trees.linear.iter().enumerate() {
        let finite = linear.constant.is_finite() && linear.fallback.is_finite();
        if !finite || linear.terms.iter().any(|&(f, factor)| f as usize >= trees.features || !factor.is_finite()) {
            return Err(Fault::new(format!("linear leaf {number}"), "a coefficient or a feature is out of range"));
        }
    }
    Ok(orders)
}

/// The order, and the nodes on the longest way to a leaf.
fn prove_tree(tree: &Tree, trees: &Trees) -> Result<(Order, usize), Fault> {
    if tree.class as usize >= trees.classes {
        return Err(Fault::new("", format!("class {} of {}", tree.class, trees.classes)));
    }
    if tree.nodes.is_empty() {
        return Err(Fault::new("", "has no nodes"));
    }
    let mut reached = vec![false; tree.nodes.len()];
    let mut order: Order = vec![0];
    reached[0] = true;
    let (mut next, mut depth, mut level_end) = (0, 0, 0);
    while next < order.len() {
        if next == level_end {
            (depth, level_end) = (depth + 1, order.len());
        }
        let at = order[next] as usize;
        let node = &tree.nodes[at];
        let fault = |message: String| Err(Fault::new(format!("node {at}"), message));
        next += 1;
        if let Some(feature) = node.feature().filter(|&feature| feature as usize >= trees.features) {
            return fault(format!("splits feature {feature} of {}", trees.features));
        }
        match node {
            Node::Leaf { value } if !value.is_finite() => return fault(format!("the leaf is {value}")),
            Node::LinearLeaf { linear } if *linear as usize >= trees.linear.len() => {
                return fault(format!("linear leaf {linear} does not exist"));
            }
            Node::AtMost { at, .. } if at.is_nan() => return fault("the threshold is NaN".to_owned()),
            Node::Category(split) if trees.categories.get(split.listed.clone()).is_none() => {
                return fault("its categories are out of range".to_owned());
            }
            _ => {}
        }
        let Some((left, right)) = node.children() else { continue };
        for child in [left, right] {
            let Some(seen) = usize::try_from(child).ok().and_then(|child| reached.get_mut(child)) else {
                return fault(format!("child {child} of {} nodes", tree.nodes.len()));
            };
            if std::mem::replace(seen, true) {
                return fault(format!("child {child} has another parent: a cycle or a shared branch"));
            }
            order.push(child as u32);
        }
    }
    Ok((order, depth))
}
