//! Listeners, dispatch, wiring.
