"""Scores of model files, through the device's own pipeline: the command `emopi evaluate`.

    evaluate (one model), folder (one a fold) -> summary -> text, figures

Needs no TensorFlow, so it runs on a Raspberry Pi as well.
"""
