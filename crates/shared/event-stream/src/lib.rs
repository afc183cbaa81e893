//! Frames and the RPC session, sans-IO.
