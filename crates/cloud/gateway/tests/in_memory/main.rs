//! A gateway over streams in memory, with every port in a test's hand.

mod authority;
mod durability;
mod world;
