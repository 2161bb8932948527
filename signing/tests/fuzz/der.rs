//! Changes in the tree of a DER file: lengths agree again afterwards, so that a parser is led into
//! the structure instead of stopping at the first header. Now and then BER comes out of it.

use crate::hostile::{MOST, Rng};

/// One element; what is inside OCTET STRING and BIT STRING is followed where it is DER itself.
#[derive(Clone)]
struct Node {
    tag: u8,
    /// Octets before the children: the count of unused bits of a BIT STRING.
    lead: Vec<u8>,
    body: Body,
}

#[derive(Clone)]
enum Body {
    Octets(Vec<u8>),
    Children(Vec<Node>),
}

/// Contents that mean something in a certificate, a signature or a token.
const CONTENTS: [&[u8]; 20] = [
    b"",
    b"\x00",
    b"\x01",
    b"\x02",
    b"\xff",
    b"\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02",
    b"\x60\x86\x48\x01\x65\x03\x04\x02\x01",
    b"\x60\x86\x48\x01\x65\x03\x04\x02\x03",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\x88\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"260230000000Z",
    b"491231235959Z",
    b"99991231235959Z",
    b"20261123083530.123456789123456789Z",
    b"00000000000000Z",
    b"\xff\xfe\xed\xa0\x80",
    b"\x00\x00\x00\x00",
];
const TAGS: [u8; 16] = [
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x13, 0x17, 0x18, 0x24, 0x30, 0x31, 0xa0, 0xa1, 0x80,
];

/// One of `samples`, changed as octets or as a tree.
pub(crate) fn mutant(rng: &mut Rng, samples: &[Vec<u8>]) -> Vec<u8> {
    const WORDS: [&[u8]; 8] = [
        b"\x30\x80",
        b"\x24\x80",
        b"\x00\x00",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x88\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x1f\xff\xff\xff\x7f",
        b"\x02\x01\x00",
        b"\x05\x00",
    ];
    if rng.once_in(4) {
        return crate::hostile::bytes(rng, samples, &WORDS);
    }
    let mut trees: Vec<Node> = samples.iter().filter_map(|s| tree(s)).collect();
    let other = rng.pick(&trees).clone();
    let chosen = rng.below(trees.len());
    let mut root = trees.swap_remove(chosen);
    for _ in 0..=rng.below(4) {
        let mut at = rng.below(count(&root));
        change(rng, &mut root, &mut at, &other);
    }
    let mut out = Vec::new();
    let odd = if rng.once_in(4) { Some(&mut *rng) } else { None };
    write(&root, &mut out, odd);
    out.truncate(MOST);
    out
}

/// `payload` inside `depth` constructed elements.
pub(crate) fn nested(depth: usize, indefinite: bool, tag: u8, payload: &[u8]) -> Vec<u8> {
    if indefinite {
        let ends = vec![0; 2 * depth];
        return [[tag, 0x80].repeat(depth), payload.to_vec(), ends].concat();
    }
    // From the inside out, headers last to first.
    let (mut heads, mut length) = (Vec::new(), payload.len());
    for _ in 0..depth {
        let head = header(tag, length);
        length += head.len();
        heads.push(head);
    }
    heads.reverse();
    [heads.concat(), payload.to_vec()].concat()
}

fn header(tag: u8, length: usize) -> Vec<u8> {
    match u8::try_from(length) {
        Ok(short @ 0..0x80) => vec![tag, short],
        _ => {
            let digits: Vec<u8> =
                length.to_be_bytes().into_iter().skip_while(|digit| *digit == 0).collect();
            [vec![tag, 0x80 | digits.len() as u8], digits].concat()
        }
    }
}

fn tree(der: &[u8]) -> Option<Node> {
    let (node, rest) = element(der)?;
    rest.is_empty().then_some(node)
}

fn element(der: &[u8]) -> Option<(Node, &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f).min(4))?;
        (digits.iter().fold(0, |sum, d| sum << 8 | usize::from(*d)), rest)
    };
    let (value, rest) = rest.split_at_checked(length)?;
    let (lead, inside) = match tag {
        3 if value.first() == Some(&0) => value.split_at(1),
        _ => value.split_at(0),
    };
    let body = if tag & 0x20 != 0 || matches!(tag, 3 | 4) { elements(inside) } else { None };
    let node = match body {
        Some(children) => Node { tag, lead: lead.to_vec(), body: Body::Children(children) },
        None => Node { tag, lead: Vec::new(), body: Body::Octets(value.to_vec()) },
    };
    Some((node, rest))
}

fn elements(mut der: &[u8]) -> Option<Vec<Node>> {
    let mut out = Vec::new();
    while !der.is_empty() {
        let (node, rest) = element(der)?;
        out.push(node);
        der = rest;
    }
    Some(out)
}

fn count(node: &Node) -> usize {
    match &node.body {
        Body::Octets(_) => 1,
        Body::Children(children) => 1 + children.iter().map(count).sum::<usize>(),
    }
}

fn nth(node: &Node, at: &mut usize) -> Option<Node> {
    if *at == 0 {
        return Some(node.clone());
    }
    *at -= 1;
    let Body::Children(children) = &node.body else { return None };
    children.iter().find_map(|child| nth(child, at))
}

fn change(rng: &mut Rng, node: &mut Node, at: &mut usize, other: &Node) -> bool {
    if *at == 0 {
        alter(rng, node, other);
        return true;
    }
    *at -= 1;
    let Body::Children(children) = &mut node.body else { return false };
    children.iter_mut().any(|child| change(rng, child, at, other))
}

fn alter(rng: &mut Rng, node: &mut Node, other: &Node) {
    match (rng.below(8), &mut node.body) {
        (0, _) => node.tag = *rng.pick(&TAGS),
        (1, _) => {
            let mut at = rng.below(count(other));
            if let Some(piece) = nth(other, &mut at) {
                *node = piece;
            }
        }
        (2, _) => {
            let depth = if rng.once_in(4) { rng.below(200) } else { 1 };
            for _ in 0..depth {
                let inner = Body::Children(vec![node.clone()]);
                *node = Node { tag: *rng.pick(&[0x30, 0x31, 0xa0]), lead: Vec::new(), body: inner };
            }
        }
        (3 | 4, Body::Children(children)) if !children.is_empty() => {
            drop(children.remove(rng.below(children.len())));
        }
        (5, Body::Children(children)) if !children.is_empty() => {
            let twin = rng.pick(children).clone();
            let room = 20_000 / count(&twin);
            let times = if rng.once_in(8) { rng.below(room) } else { 1 };
            children.extend(std::iter::repeat_n(twin, times));
        }
        (6, Body::Children(children)) => children.reverse(),
        (3 | 4, Body::Octets(octets)) if !octets.is_empty() => {
            let at = rng.below(octets.len());
            octets[at] ^= 1 << rng.below(8);
        }
        (5, Body::Octets(octets)) => octets.resize(rng.below(2 * octets.len() + 2), 0),
        (_, body) => *body = Body::Octets(rng.pick(&CONTENTS).to_vec()),
    }
}

/// Writes with right lengths; with `odd`, some of them in a form that only BER has.
fn write(node: &Node, out: &mut Vec<u8>, mut odd: Option<&mut Rng>) {
    let mut value = node.lead.clone();
    match &node.body {
        Body::Octets(octets) => value.extend_from_slice(octets),
        Body::Children(children) => {
            for child in children {
                write(child, &mut value, odd.as_deref_mut());
            }
        }
    }
    let form = odd.map_or(9, |rng| rng.below(8));
    let plain = header(node.tag, value.len());
    match (form, &node.body) {
        // Indefinite.
        (0 | 1, Body::Children(_)) if node.tag & 0x20 != 0 => {
            out.extend([node.tag, 0x80]);
            out.extend(value);
            out.extend([0, 0]);
        }
        // In chunks.
        (0..=2, _) if node.tag == 4 => {
            out.extend([0x24, 0x80]);
            for chunk in value.chunks(7) {
                out.extend(header(4, chunk.len()));
                out.extend_from_slice(chunk);
            }
            out.extend([0, 0]);
        }
        // More octets of length than needed.
        (3, _) => {
            out.extend([node.tag, 0x84]);
            out.extend((value.len() as u32).to_be_bytes());
            out.extend(value);
        }
        _ => {
            out.extend(plain);
            out.extend(value);
        }
    }
}
