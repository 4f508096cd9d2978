"""The command `emopi bundle`."""

from __future__ import annotations

import json
from pathlib import Path

import click

file_type = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option(
    "--target",
    required=True,
    metavar="NAME",
    help="trixie-aarch64, bookworm-aarch64, bookworm-armhf (32-bit), or bookworm-x86_64 for a "
    "trial in a virtual machine.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    help="File, or folder for emopi-VERSION-TARGET.tar.gz. Default: the current folder.",
)
@click.option(
    "--model",
    metavar="MODEL",
    help="What the sensor uses: a .tflite file, or the name of a shipped one. Default: cnn-int8.",
)
@click.option(
    "--config", type=file_type, help="Settings that the service begins with, where it has none."
)
@click.option(
    "--wheel", type=file_type, help="A wheel of emopi. Default: the emopi that runs this command."
)
@click.option(
    "--packages/--no-packages",
    default=True,
    show_default=True,
    help="With Debian's packages for the microphone, fetched by apt-get.",
)
@click.option("--mirror", default="http://deb.debian.org/debian", show_default=True)
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="For what is fetched; may be deleted. Default: ~/.cache/emopi/bundle.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, not a path.")
def bundle(
    target: str,
    out: Path,
    model: str | None,
    config: Path | None,
    wheel: Path | None,
    packages: bool,
    mirror: str,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Make one archive that installs emopi on a Raspberry Pi without a network.

    It holds emopi, the wheels that it needs there, Debian's packages for the microphone, settings,
    and install.sh. Take it there, unpack it, and run: sudo ./install.sh

    The newest versions that fit are taken. What is fetched is kept, so an interrupted call goes on
    when it is typed again; of the same versions the archive has the same bytes.
    """
    import hashlib

    from emopi.convert.offline.bundle import Wishes, chosen_model, make_bundle
    from emopi.convert.offline.own_wheel import read_wheel, running_wheel
    from emopi.convert.offline.targets import find_target
    from emopi.device.config.settings import Settings, read_settings
    from emopi.device.files import check_folder, write_atomically
    from emopi.train.dataset import default_cache

    its = find_target(target)
    settings = read_settings(config) if config else Settings.default()
    settings, models = chosen_model(settings, model)
    own = read_wheel(_content(wheel), str(wheel)) if wheel else running_wheel()
    is_folder = out.is_dir() or out.suffix != ".gz"
    check_folder(out if is_folder else out.parent)
    wishes = Wishes(settings, models, packages, mirror)
    folder = cache or default_cache() / "bundle"
    made = make_bundle(
        its, own, wishes, folder, lambda text: click.echo(f"emopi: {text}", err=True)
    )
    path = out / made.file if is_folder else out
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, made.content)
    if as_json:
        digest = hashlib.sha256(made.content).hexdigest()
        facts = {"file": str(path), "bytes": len(made.content), "sha256": digest, **made.facts}
        click.echo(json.dumps(facts))
    else:
        click.echo(str(path))


def _content(path: Path) -> bytes:
    from emopi.device.errors import BundleError

    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}; expected a wheel") from None
