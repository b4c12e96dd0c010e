//! SupplyChain and its nodes (OpenRTB 2.6 sections 3.2.25 and 3.2.26), decoded when somebody asks.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::error::RequestError;
use super::value::{int, is_object, read_object, switch, text};
use crate::json::Scanner;

/// Nodes that are looked at; a chain that is longer is none to buy from.
pub const MAX_NODES: usize = 64;

#[derive(Clone, Debug, Default)]
pub struct SupplyChain<'a> {
    /// From the owner of the place on.
    pub complete: bool,
    pub nodes: SmallVec<[Node<'a>; 4]>,
}

#[derive(Clone, Debug, Default)]
pub struct Node<'a> {
    /// Domain of the system that sells.
    pub asi: Cow<'a, str>,
    /// The seller in that system.
    pub sid: Cow<'a, str>,
}

impl<'a> SupplyChain<'a> {
    /// Reads the object as it stands in the request; none if it is not one, or a node lacks what it must have.
    pub fn parse(raw: &'a str) -> Option<SupplyChain<'a>> {
        let chain = chain(&mut Scanner::new(raw)).ok()?;
        let whole = chain.nodes.iter().all(|node| !node.asi.is_empty() && !node.sid.is_empty());
        (whole && !chain.nodes.is_empty()).then_some(chain)
    }
}

fn chain<'a>(s: &mut Scanner<'a>) -> Result<SupplyChain<'a>, RequestError> {
    let mut found = SupplyChain::default();
    if !is_object(s)? {
        return Err(RequestError::WrongType(s.place()));
    }
    read_object!(s, {
        "complete" => found.complete, switch;
        "nodes" => (), |s: &mut Scanner<'a>| s.apart(|s| nodes(s, &mut found.nodes));
    });
    Ok(found)
}

fn nodes<'a>(s: &mut Scanner<'a>, nodes: &mut SmallVec<[Node<'a>; 4]>) -> Result<(), RequestError> {
    nodes.clear();
    s.array(|s| {
        if nodes.len() == MAX_NODES || !is_object(s)? {
            return Err(RequestError::WrongType(s.place()));
        }
        let (mut asi, mut sid, mut hp) = (None, None, None);
        read_object!(s, {
            "asi" => asi, text;
            "sid" => sid, text;
            "hp" => hp, int;
        });
        // Version 1.0: every node is in the flow of payment, and says so.
        if hp != Some(1) {
            return Err(RequestError::WrongType(s.place()));
        }
        nodes.push(Node { asi: asi.unwrap_or_default(), sid: sid.unwrap_or_default() });
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_read_whole_or_not_at_all() {
        let node = r#"{"asi":"a.example","sid":"1","hp":1,"rid":"x"}"#;
        let raw = format!(r#"{{"ver":"1.0","complete":1,"nodes":[{node},{{"sid":7,"asi":"b.example","hp":1}}]}}"#);
        let chain = SupplyChain::parse(&raw).unwrap();
        assert!(chain.complete);
        let seen: Vec<_> = chain.nodes.iter().map(|n| (&*n.asi, &*n.sid)).collect();
        assert_eq!(seen, [("a.example", "1"), ("b.example", "7")]);
        assert!(!SupplyChain::parse(&format!(r#"{{"complete":0,"nodes":[{node}]}}"#)).unwrap().complete);
        let many = format!(r#"{{"nodes":[{}]}}"#, vec![node; 65].join(","));
        for broken in [
            "7",
            "{}",
            "[]",
            r#"{"nodes":[]}"#,
            r#"{"nodes":{}}"#,
            r#"{"nodes":[7]}"#,
            r#"{"nodes":[{"asi":"a.example","hp":1}]}"#,
            r#"{"nodes":[{"asi":"a.example","sid":"","hp":1}]}"#,
            r#"{"nodes":[{"asi":"a.example","sid":"1","hp":0}]}"#,
            &many,
        ] {
            assert!(SupplyChain::parse(broken).is_none(), "{broken:.60}");
        }
    }
}
