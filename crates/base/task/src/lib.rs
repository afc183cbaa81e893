//! Spawn with token, tracker, span; shutdown.
