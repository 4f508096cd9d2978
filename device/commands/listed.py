"""What `emopi --help` says of each command, so that it need not import them all to ask.

To look for entry points, and to load what they name, takes several times as long as the rest of
that help. A test holds this list against both.
"""

from __future__ import annotations

COMMANDS = {
    "bench": "Measure how fast each MODEL decides on this machine, stage by stage, and what it "
    "needs.",
    "bundle": "Make one archive that installs emopi on a Raspberry Pi without a network.",
    "calibrate": "Make a profile of your own voice, for listen --profile and classify --profile.",
    "classify": "Say which emotion each CLIP sounds like: one answer for the whole recording.",
    "compare": "Set two or more MODELs against each other: same clips, same pipeline, same "
    "machine, one run.",
    "config": "Check and show the settings of emopi listen, one TOML file.",
    "convert": "Convert the finished training RUN to TFLite, with contract and card.",
    "dataset": "Get RAVDESS, and check what you have of it or of another corpus.",
    "devices": "List every input device with its sample rates, channels and formats.",
    "doctor": "Examine software, model, speed, machine and microphone; say what to do about each "
    "fault.",
    "evaluate": "Score MODEL on the test clips of a protocol, through the device's own pipeline.",
    "flash": "Prepare a CARD, so that its first boot makes the Raspberry Pi a sensor.",
    "install-service": "Let systemd run emopi listen from boot on, and start it again whatever "
    "happens.",
    "listen": "Listen to a microphone or a file and say, every half second, what emotion it "
    "sounds like.",
    "reproduce": "Train, convert and score every fold of every protocol; write RESULTS.md and its "
    "figures.",
    "train": "Train the cnn or the lstm on the training side of a protocol's fold.",
}
"""Name of each command, and the first paragraph of its help; in alphabetical order."""
