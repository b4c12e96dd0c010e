//! Listening sockets: several on one port, one per worker.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1_024;

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
