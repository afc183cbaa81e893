//! MQTT and mutual TLS.
