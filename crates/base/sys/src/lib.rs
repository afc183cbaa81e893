//! The only unsafe code: credentials of a peer, process groups, users, mallopt, pidfd.
