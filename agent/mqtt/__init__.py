"""MQTT: one device on a broker, for home automation to command and to watch."""
