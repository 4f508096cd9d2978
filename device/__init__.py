"""The part of emopi that runs on a Raspberry Pi: audio -> features -> model -> decision -> sink.

Imports neither TensorFlow nor scipy, and nothing of `emopi.train` or `emopi.convert`.

pipeline.py          the signal path, one page
sources/, sinks/     where samples come from, where decisions go
commands/, config/   how a person asks for it
sensor.py            all day long; service.py, watchdog.py: under systemd
bench/, doctor/      how fast it is here, what is wrong with it
flash/               a card that installs it
"""
