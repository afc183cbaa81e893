//! TLS set-up, HTTP client and server glue, MQTT driver for both roles.
