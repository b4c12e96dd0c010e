//! Why a model or its manifest is refused.

use std::fmt;

/// What is wrong, and where: a byte of the file, a tree and node, a key of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From the outside in: `tree 3: node 7`. Empty is the whole text.
    pub place: String,
    pub message: String,
}

/// Bytes of a message: a parser's own may repeat what stands in the file.
const MAX_MESSAGE: usize = 400;

/// A text of at most so many bytes, and a sign that there was more.
pub fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

impl Fault {
    pub fn new(place: impl Into<String>, message: impl Into<String>) -> Fault {
        Fault { place: place.into(), message: cut(message.into(), MAX_MESSAGE) }
    }

    /// The same fault, seen from one level further out.
    #[must_use]
    pub fn within(self, place: impl fmt::Display) -> Fault {
        let place = if self.place.is_empty() { place.to_string() } else { format!("{place}: {}", self.place) };
        Fault { place, message: self.message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            write!(f, "{}", self.message)
        } else {
            write!(f, "{}: {}", self.place, self.message)
        }
    }
}

impl std::error::Error for Fault {}
