//! MQTT client and spooler, jobs and shadow listeners, data-plane client, fleet status.
