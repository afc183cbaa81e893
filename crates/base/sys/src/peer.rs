//! Who is at the other end of a Unix socket.

use crate::SystemError;
use std::os::fd::AsFd;

/// What the kernel knows about the process that connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// The process that connected; it may have ended since.
    pub pid: u32,
    /// Its effective user.
    pub user_id: u32,
    /// Its effective primary group.
    pub group_id: u32,
}

/// Reads `SO_PEERCRED` of a connected Unix stream socket.
pub fn peer_credentials(socket: impl AsFd) -> Result<PeerCredentials, SystemError> {
    let found = rustix::net::sockopt::socket_peercred(socket)
        .map_err(SystemError::call("read the credentials of a peer"))?;
    Ok(PeerCredentials {
        pid: found.pid.as_raw_nonzero().get().unsigned_abs(),
        user_id: found.uid.as_raw(),
        group_id: found.gid.as_raw(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_pair_of_sockets_names_this_process() {
        let (left, _right) = UnixStream::pair().expect("a pair of sockets");
        let peer = peer_credentials(&left).expect("a connected socket has a peer");
        assert_eq!(peer.pid, std::process::id());
        assert_eq!(peer.user_id, crate::own_user_id());
        assert_eq!(peer.group_id, crate::own_group_id());
    }
}
