//! Listening sockets: several on one port, one per worker; and how many connections they may accept.

use std::net::{SocketAddr, TcpListener};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1_024;
/// Connections per worker where nobody says how many.
const MAX_CONNECTIONS: usize = 10_000;
/// Connections beyond the limit, as a part of it, that are answered but get no bids: an exchange that is told no comes
/// again at its own pace, one that is hung up on dials at once and counts an error.
const CROWD: usize = 4;
/// Open files besides connections: the log, the books, the admin listener. A log that cannot open its next file has
/// failed, so clients must never take them all.
const OTHER_FILES: u64 = 512;

/// Binds `count` sockets to one address. With port 0 the first picks a free one and the others share it.
pub fn bind_shared(address: SocketAddr, count: usize) -> std::io::Result<Vec<TcpListener>> {
    let first = bind(address, count > 1)?;
    let bound = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..count {
        listeners.push(bind(bound, true)?);
    }
    Ok(listeners)
}

/// Binds one socket that no other may share.
pub fn bind_one(address: SocketAddr) -> std::io::Result<TcpListener> {
    bind(address, false)
}

/// Open connections at which the next is closed at once.
pub fn with_crowd(max_connections: usize) -> usize {
    max_connections + max_connections.div_ceil(CROWD)
}

/// Lets the process open as many files as the connections of all workers need. Gives back how many a worker may have,
/// which is less where the system does not allow that; it says so if somebody asked for more.
pub fn make_room(asked: Option<usize>, workers: usize) -> usize {
    let max_connections = asked.unwrap_or(MAX_CONNECTIONS);
    let wanted = (with_crowd(max_connections) * workers) as u64 + OTHER_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = |limit: Option<u64>| limit.is_none_or(|limit| limit >= wanted);
    if allowed(current) {
        return max_connections;
    }
    let raised = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let current = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => raised,
        Err(_) => current.unwrap_or(raised),
    };
    let fitting = fitting(current, max_connections, workers);
    if asked.is_some_and(|asked| fitting < asked) {
        tracing::warn!(
            "limits.max_connections is {max_connections}, but this process may only have {current} files open: \
             {fitting} connections on each of {workers} workers"
        );
    }
    fitting
}

fn fitting(files: u64, max_connections: usize, workers: usize) -> usize {
    let each = files.saturating_sub(OTHER_FILES) as usize / workers;
    max_connections.min(each * CROWD / (CROWD + 1)).max(1)
}

fn bind(address: SocketAddr, shared: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest() {
        for (files, max_connections, workers, expected) in [
            (100_000, 10_000, 2, 10_000),
            (20_000, 10_000, 2, 7_795),
            (1_024, 10_000, 1, 409),
            (1_024, 10_000, 64, 6),
            (1_024, 100, 1, 100),
            (256, 10_000, 1, 1),
        ] {
            let fitting = fitting(files, max_connections, workers);
            assert_eq!(fitting, expected);
            assert!(fitting == 1 || (with_crowd(fitting) * workers) as u64 + OTHER_FILES <= files + workers as u64);
        }
        assert_eq!((with_crowd(4), with_crowd(1), with_crowd(10_000)), (5, 2, 12_500));
    }
}
