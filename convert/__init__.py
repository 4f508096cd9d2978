"""Keras to TFLite: calibrate -> quantize -> prove -> bundle.

Imports `emopi.device` and `emopi.train`.
"""
