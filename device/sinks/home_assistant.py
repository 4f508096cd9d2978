"""What Home Assistant is told of the sensor, so that it needs no settings there.

One retained message describes the device and its entities (MQTT discovery, device form).
"""

from __future__ import annotations

import dataclasses
from importlib.metadata import version
from typing import Any

from emopi.device.decision import NO_SPEECH, UNSURE, Decision

EXPIRE_FACTOR = 6
"""An entity is unavailable after so many missed states."""


@dataclasses.dataclass(frozen=True, slots=True)
class Topics:
    """Where a sensor publishes."""

    device_id: str
    """Unique on the broker; of letters, digits, "_" and "-"."""

    @property
    def state(self) -> str:
        """Retained: the newest decision, for who wants to know how it is now."""
        return f"emopi/{self.device_id}/state"

    @property
    def decisions(self) -> str:
        """Every decision, in order, late ones too."""
        return f"emopi/{self.device_id}/decisions"

    @property
    def notices(self) -> str:
        """What has happened to the microphone, in order with the decisions."""
        return f"emopi/{self.device_id}/notices"

    @property
    def availability(self) -> str:
        """Retained: "online" or "offline"."""
        return f"emopi/{self.device_id}/availability"

    def discovery(self, prefix: str) -> str:
        """Retained: the description of the device."""
        return f"{prefix}/device/{self.device_id}/config"


def describe(decision: Decision, topics: Topics, name: str, state_every_s: float) -> dict[str, Any]:
    """The discovery message of the sensor that has said `decision`."""
    labels = [*decision.probabilities, UNSURE, NO_SPEECH]
    return {
        "dev": {
            "ids": [topics.device_id],
            "name": name,
            "mf": "emopi",
            "mdl": decision.model,
            "sw": version("emopi"),
        },
        "o": {"name": "emopi", "sw": version("emopi")},
        "avty_t": topics.availability,
        "stat_t": topics.state,
        "qos": 1,
        "cmps": {
            key: {
                "p": "sensor",
                "unique_id": f"{topics.device_id}_{key}",
                "default_entity_id": f"sensor.{_slug(topics.device_id)}_{key}",
                "exp_aft": max(30, round(EXPIRE_FACTOR * state_every_s)),
                **fields,
            }
            for key, fields in _components(labels).items()
        },
    }


def _components(labels: list[str]) -> dict[str, dict[str, Any]]:
    return {
        "emotion": {
            "name": "Emotion",
            "device_class": "enum",
            "options": labels,
            "icon": "mdi:emoticon-outline",
            "val_tpl": "{{ value_json.label }}",
        },
        "confidence": {
            "name": "Confidence",
            "unit_of_meas": "%",
            "stat_cla": "measurement",
            "icon": "mdi:percent-outline",
            "val_tpl": "{{ (value_json.confidence * 100) | round(0) }}",
        },
        "level": {
            "name": "Level",
            "unit_of_meas": "dBFS",
            "stat_cla": "measurement",
            "icon": "mdi:microphone",
            "val_tpl": "{{ value_json.level_dbfs }}",
        },
        "latency": {
            "name": "Latency",
            "device_class": "duration",
            "unit_of_meas": "ms",
            "stat_cla": "measurement",
            "ent_cat": "diagnostic",
            "val_tpl": "{{ value_json.latency_ms }}",
        },
    }


def _slug(text: str) -> str:
    """As Home Assistant writes ids: small letters, digits and "_"."""
    return "".join(c if c.isalnum() else "_" for c in text.lower())
