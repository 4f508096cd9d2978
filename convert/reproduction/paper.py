"""What the paper says that is reproduced here, as far as it can be set beside a figure of ours."""

from __future__ import annotations

CITATION = 'M. Saravanan and S. Rajalakshmi, "Speech Emotion Recognition Using Deep Learning"'

STATED = {"cnn": 0.93, "lstm": 0.86}
"""Accuracy in its Table 1 and figure 11: its CNN, and its RNN, which is an LSTM."""

SPLITS = ("paper-80-20", "paper-70-30")
"""It divides RAVDESS "80-20 or 70-30"."""

CLIP_FIGURES = {
    "calm": 3, "neutral": 4, "happy": 5, "angry": 6, "disgust": 7, "sad": 8, "fearful": 9,
    "surprised": 10,
}  # fmt: skip
"""Emotion to the number of the figure that shows a clip of it."""
