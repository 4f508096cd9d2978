"""The part of emopi that runs on a Raspberry Pi: audio -> features -> model -> decision -> sink.

Imports neither TensorFlow nor scipy, and nothing of `emopi.train` or `emopi.convert`.
"""
