"""A whole arm64 machine, from a card that emopi flash prepared to a decision on its serial console.

    make pi-image-test

Bookworm as a Raspberry Pi runs it, without a network: the first boot runs the card's script, the
second installs the bundle and starts the sensor, which hears a recording through a sound card of
the kernel's own, snd-aloop, that is taken away and given back. Then QEMU's Raspberry Pi 3B does
the latter with the same card. The firmware, kernel, microphone and speed of a real one are not
here. The log of the console, with the seconds since power-on, is build/pi-image/console.log.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import cards
import pytest
from pi_image import card_image
from pi_image.serial_console import Console, switched_on
from support import ROOT, run_emopi

from emopi.train.corpora import LABELS

WORK = ROOT / "build/pi-image"
TOOLS = ("mmdebstrap", "qemu-system-aarch64", "mkfs.ext4", "sfdisk", "mformat", "mcopy")

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("EMOPI_PI_IMAGE") != "1",
        reason="takes ten minutes, root and Debian's mirror: make pi-image-test",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="unpacking another Debian needs root"),
    pytest.mark.skipif(
        bool(missing := [tool for tool in TOOLS if not shutil.which(tool)]),
        reason=f"{', '.join(missing)} not found (apt install qemu-system-arm qemu-user-static "
        "mmdebstrap arch-test e2fsprogs fdisk mtools)",
    ),
    pytest.mark.timeout(7200),
]

SETTINGS = """\
[decision]
hop_s = 1.0
[sinks.log]
file = "decisions.jsonl"
"""
MOST_KIB = 60 * 1024
"""Resident memory of the service, its log on, after everything."""
EMOTION = rf"decision: (\{{.*\"label\": \"(?:{'|'.join(LABELS)})\".*\}})"
JOURNAL = """\
[Journal]
ForwardToConsole=yes
TTYPath=/dev/console
MaxLevelConsole=info
"""
EXERCISE = """\
#!/bin/sh
# Speaks to the sensor, takes its microphone away and gives it back, and switches the machine off.
set -u
driver=/sys/bus/platform/drivers/snd_aloop

say() { echo "$*"; }
held() {
    pid=$(systemctl show --property MainPID --value emopi)
    say "memory, $1: $(grep -E 'VmHWM|RssAnon|RssFile' "/proc/$pid/status" | tr -s '[:space:]' ' ')"
}
speak() {
    say "speaking"
    aplay --quiet --device plughw:Loopback,1 /opt/emopi/current/example.wav || say "aplay failed"
}

until systemctl --quiet is-active emopi; do sleep 1; done
say "emopi is active"
tail --follow=name --retry --lines=0 /var/lib/emopi/decisions.jsonl 2>/dev/null |
    sed -u 's/^/decision: /' &
sleep 5
held "in silence"
speak
held "after speech"
say "unplugging"
echo snd_aloop.0 >$driver/unbind
sleep 20
say "plugging in"
echo snd_aloop.0 >$driver/bind
sleep 45
speak
sleep 10
say "restarts: $(systemctl show --property NRestarts --value emopi)"
held "at the end"
say "status: $(systemctl show --property StatusText --value emopi)"
say "over"
systemctl poweroff
"""
UNIT = """\
[Service]
ExecStart=/bin/sh /usr/local/sbin/exercise
SyslogIdentifier=exercise
"""
FILES = {
    "etc/modules-load.d/snd-aloop.conf": "snd-aloop\n",
    "etc/systemd/journald.conf.d/serial.conf": JOURNAL,
    "usr/local/sbin/exercise": EXERCISE,
    "etc/systemd/system/exercise.service": UNIT,
    "etc/systemd/system/multi-user.target.d/exercise.conf": "[Unit]\nWants=exercise.service\n",
    # each line once
    "etc/systemd/system.conf.d/quiet.conf": "[Manager]\nShowStatus=no\n",
    "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 raspberrypi\n",
    "etc/hostname": "raspberrypi\n",
}


@pytest.fixture(scope="module")
def bundle() -> Path:
    """The real archive, with Debian's packages for the microphone."""
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "settings.toml").write_text(SETTINGS)
    archive = WORK / "emopi-bookworm-aarch64.tar.gz"
    done = run_emopi(
        "bundle", "--target", "bookworm-aarch64", "--config", WORK / "settings.toml",
        "--out", archive, "--cache", WORK / "cache",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return archive


@pytest.fixture
def image(bundle: Path, tmp_path: Path) -> Path:
    """A card that emopi flash has prepared, not booted yet."""
    boot = cards.bookworm(tmp_path / "boot")
    # Raspberry Pi OS makes the root larger first: Debian has no such script
    (boot / "cmdline.txt").write_text(cards.CMDLINE + "\n")
    card = WORK / "card.img"
    card_image.write(card, card_image.debian(WORK / "systems"), boot, FILES, tmp_path / "layers")
    done = run_emopi(
        "flash", card, "--bundle", bundle, "--hostname", "sensor", "--user", "me",
        "--timezone", "Europe/Berlin", EMOPI_CARD_PASSWORD="correct horse",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return card


def test_from_a_blank_card_to_a_decision(image: Path) -> None:
    log = WORK / "console.log"
    log.unlink(missing_ok=True)
    root = card_image.debian(WORK / "systems")
    with switched_on("virt", image, root, log) as console:
        console.wait_for(r"Linux version", 120)
        console.wait_for_end(900)  # the script has set all, and systemd reboots
    assert "systemd.run" not in card_image.read(image, "cmdline.txt")
    with switched_on("virt", image, root, log) as console:
        console.wait_for(r"sensor login:", 300)
        console.wait_for(r"trying it on a recording", 1200)
        lives_through_the_exercise(console)
        console.wait_for_end(120)
    # the same card in QEMU's Raspberry Pi 3B, which has no switch
    with switched_on("raspi3b", image, root, log) as console:
        console.wait_for(r"Machine model: Raspberry Pi 3 Model B", 120)
        lives_through_the_exercise(console)
        console.wait_for(r"reboot: (Power down|System halted)", 180)
    print(f"\nthe log: {log}", file=sys.stderr)


def lives_through_the_exercise(console: Console) -> None:
    console.wait_for(r"exercise\[\d+\]: emopi is active", 900)
    console.wait_for(r"exercise\[\d+\]: speaking", 60)
    first = json.loads(console.wait_for(EMOTION, 180)[1])
    assert set(first["probabilities"]) == set(LABELS)
    console.wait_for(r"exercise\[\d+\]: unplugging", 120)
    console.wait_for(r"emopi\[\d+\]: .*has delivered nothing for", 60)
    console.wait_for(r"exercise\[\d+\]: plugging in", 60)
    console.wait_for(r"emopi\[\d+\]: .*delivers again, after", 90)
    console.wait_for(r"exercise\[\d+\]: speaking", 60)
    console.wait_for(EMOTION, 180)
    assert console.wait_for(r"exercise\[\d+\]: restarts: (\d+)", 120)[1] == "0"
    most = console.wait_for(r"exercise\[\d+\]: memory, at the end: VmHWM: (\d+) kB", 60)
    assert int(most[1]) <= MOST_KIB
    console.wait_for(r"exercise\[\d+\]: over", 60)
