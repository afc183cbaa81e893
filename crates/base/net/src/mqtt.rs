//! The MQTT driver for both roles.
