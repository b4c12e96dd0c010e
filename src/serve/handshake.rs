//! TLS handshakes of one worker: bounded in time and number, so that who is slow about it holds nothing for long.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// From the connection to the end of its handshake.
const WITHIN: Duration = Duration::from_secs(10);
/// At once; each holds up to 64 KiB of what its client says. As many as may wait to be accepted.
const MOST: usize = 1_024;

pub struct Handshakes {
    acceptor: TlsAcceptor,
    turns: Turns,
}

impl Handshakes {
    pub fn new(acceptor: TlsAcceptor) -> Handshakes {
        Handshakes { acceptor, turns: Turns::new(MOST) }
    }

    /// None when it is no good or takes too long.
    pub async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let handshake = async {
            // Who says nothing holds no more than its socket.
            stream.readable().await.ok()?;
            let (_turn, ousted) = self.turns.enter();
            tokio::select! {
                biased;
                accepted = self.acceptor.accept(stream) => accepted.ok(),
                _ = ousted => None,
            }
        };
        timeout(WITHIN, handshake).await.ok().flatten()
    }
}

/// When there are too many, the oldest goes: a good client needs two round trips, one that only wants to hold
/// something is among those that have been here longest.
struct Turns {
    most: usize,
    next: Cell<u64>,
    /// In the order in which they came. Dropping one ousts it.
    inside: RefCell<BTreeMap<u64, oneshot::Sender<()>>>,
}

struct Turn<'t> {
    turns: &'t Turns,
    number: u64,
}

impl Turns {
    fn new(most: usize) -> Turns {
        Turns { most, next: Cell::new(0), inside: RefCell::default() }
    }

    fn enter(&self) -> (Turn<'_>, oneshot::Receiver<()>) {
        let (oust, ousted) = oneshot::channel();
        let number = self.next.replace(self.next.get() + 1);
        let mut inside = self.inside.borrow_mut();
        inside.insert(number, oust);
        if inside.len() > self.most {
            inside.pop_first();
        }
        (Turn { turns: self, number }, ousted)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.inside.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use oneshot::error::TryRecvError;

    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let turns = Turns::new(2);
        let mut inside: Vec<_> = (0..3).map(|_| turns.enter()).collect();
        let states = |inside: &mut [(Turn, oneshot::Receiver<()>)]| {
            inside.iter_mut().map(|(_, ousted)| ousted.try_recv().unwrap_err()).collect::<Vec<_>>()
        };
        assert_eq!(states(&mut inside), [TryRecvError::Closed, TryRecvError::Empty, TryRecvError::Empty]);
        // One that is done leaves room.
        inside.remove(2);
        inside.push(turns.enter());
        assert_eq!(states(&mut inside), [TryRecvError::Closed, TryRecvError::Empty, TryRecvError::Empty]);
        drop(inside);
        assert!(turns.inside.borrow().is_empty());
    }
}
