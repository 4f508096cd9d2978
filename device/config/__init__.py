"""The settings of the sensor: one TOML file, read, checked and written."""
