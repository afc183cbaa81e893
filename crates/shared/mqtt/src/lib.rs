//! Packets, topic trie, session and broker state, sans-IO.
