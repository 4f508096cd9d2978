"""The download goes on after every loss, and starts anew only where it must."""

from __future__ import annotations

import socket
import time

import pytest
from archive_server import ARCHIVE, CLIPS, FORWARD, Fetch, fail, refuse, reset, serve

from emopi.train import download


def test_goes_on_from_an_earlier_part(fetch: Fetch) -> None:
    fetch.begin_with(ARCHIVE[:FORWARD])
    assert fetch() == len(CLIPS)
    fetch.assert_unpacked()
    assert fetch.server.ranges == [f"bytes={FORWARD}-"]
    assert min(done for done, _ in fetch.watched) > FORWARD


def test_interrupted_by_hand_keeps_what_it_has(fetch: Fetch) -> None:
    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(watch=interrupt)
    have = fetch.part.stat().st_size
    assert 0 < have < len(ARCHIVE)
    assert fetch.part.read_bytes() == ARCHIVE[:have]
    assert fetch() == len(CLIPS)
    fetch.assert_unpacked()
    assert fetch.server.ranges == [None, f"bytes={have}-"]


def test_starts_anew_where_the_server_ignores_ranges(fetch: Fetch) -> None:
    fetch.begin_with(bytes(FORWARD))
    fetch.server.plan = [serve(resumable=False)]
    fetch()
    fetch.assert_unpacked()
    assert fetch.server.ranges == [f"bytes={FORWARD}-"]
    assert fetch.said[0] == "the server cannot resume; starting anew"


def test_starts_anew_where_the_server_refuses_the_range(fetch: Fetch) -> None:
    fetch.begin_with(bytes(FORWARD))
    fetch.server.plan = [refuse(416), serve()]
    fetch()
    fetch.assert_unpacked()
    assert fetch.server.ranges == [f"bytes={FORWARD}-", None]
    assert fetch.said[0] == "the server has no such range; starting anew"


def test_a_range_error_without_a_range_is_final(fetch: Fetch) -> None:
    fetch.server.plan = [refuse(416)]
    assert "the server answered 416" in fail(fetch)
    assert fetch.server.ranges == [None]


@pytest.mark.parametrize("shift", [-1, 1])
def test_starts_anew_after_another_range_than_asked_for(fetch: Fetch, shift: int) -> None:
    fetch.begin_with(ARCHIVE[:FORWARD])
    fetch.server.plan = [serve(shift=shift)]
    fetch()
    fetch.assert_unpacked()
    assert fetch.server.ranges == [f"bytes={FORWARD}-", None]
    assert fetch.said[0].startswith("the server sent another range than asked for at 0 of")


def test_a_part_larger_than_the_archive_is_dropped(fetch: Fetch) -> None:
    fetch.begin_with(ARCHIVE + b"x")
    fetch()
    fetch.assert_unpacked()
    assert fetch.server.ranges == [None]
    assert fetch.said[0] == f"{fetch.part} is larger than the archive; starting anew"


def test_a_whole_part_needs_no_network(fetch: Fetch) -> None:
    fetch.begin_with(ARCHIVE)
    assert fetch() == len(CLIPS)
    fetch.assert_unpacked()
    assert fetch.server.ranges == []


def test_goes_on_after_each_lost_connection(fetch: Fetch) -> None:
    fetch.server.plan = [serve(cut=FORWARD), serve(cut=1), serve(cut=FORWARD), serve()]
    fetch()
    fetch.assert_unpacked()
    starts = [FORWARD, FORWARD + 1, 2 * FORWARD + 1]
    assert fetch.server.ranges == [None, *(f"bytes={start}-" for start in starts)]
    assert fetch.said[0] == (
        f"the server closed the connection at {FORWARD:,} of {len(ARCHIVE):,} bytes; "
        "trying again in 0 s"
    )


def test_a_reset_connection_is_a_lost_one(fetch: Fetch) -> None:
    fetch.server.plan = [serve(cut=FORWARD, finish=reset), serve()]
    fetch()
    fetch.assert_unpacked()
    assert len(fetch.server.ranges) == 2


def test_any_number_of_losses_is_borne_while_there_is_progress(fetch: Fetch) -> None:
    fetch.server.plan = [*[serve(cut=100)] * (3 * len(download.BACKOFF_S)), serve()]
    fetch()
    fetch.assert_unpacked()


def test_pauses_grow_and_start_again_with_progress(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(download, "BACKOFF_S", (1.0, 2.0, 4.0))
    monkeypatch.setattr(time, "sleep", slept.append)
    fetch.server.plan = [
        serve(cut=100),
        serve(cut=0),
        refuse(503),
        serve(cut=100),
        refuse(429),
        serve(),
    ]
    fetch()
    assert slept == [1.0, 2.0, 4.0, 1.0, 2.0]
    assert "the server answered 503 Service Unavailable at 100 of" in fetch.said[2]


@pytest.mark.parametrize("resumable", [True, False])
def test_gives_up_without_progress_and_resumes_later(fetch: Fetch, resumable: bool) -> None:
    again = serve(cut=0) if resumable else serve(cut=FORWARD, resumable=False)
    fetch.server.plan = [serve(cut=FORWARD), again]
    assert fail(fetch) == (
        f"{fetch.server.url}: the server closed the connection; gave up with {FORWARD:,} of "
        f"{len(ARCHIVE):,} bytes. Check the network; the same command goes on from there"
    )
    assert len(fetch.server.ranges) == 1 + len(download.BACKOFF_S)
    assert fetch.part.read_bytes() == ARCHIVE[:FORWARD]
    fetch.server.plan = [serve()]
    assert fetch() == len(CLIPS)
    fetch.assert_unpacked()
    assert fetch.server.ranges[-1] == f"bytes={FORWARD}-"


def test_the_furthest_byte_ever_counts_as_progress(fetch: Fetch) -> None:
    cuts = [FORWARD, FORWARD // 2] * 10
    fetch.server.plan = [*(serve(cut=cut, resumable=False) for cut in cuts), serve()]
    assert "the server closed the connection; gave up with" in fail(fetch)
    assert len(fetch.server.ranges) == 1 + len(download.BACKOFF_S)


def test_a_silent_server_is_a_lost_connection(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", 0.3)
    wait = serve(cut=FORWARD, finish=lambda handler: handler.server.released.wait(60))
    fetch.server.plan = [wait, serve()]
    fetch()
    fetch.assert_unpacked()
    assert fetch.server.ranges == [None, f"bytes={FORWARD}-"]
    assert fetch.said[0].startswith(f"connection lost (timed out) at {FORWARD:,} of")


def test_no_server(fetch: Fetch) -> None:
    with socket.socket() as taken:  # bound, not listening: refuses every connection
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        text = fail(lambda: fetch(url=url))
    assert text.startswith(f"{url}: no connection (")
    assert f"gave up with 0 of {len(ARCHIVE):,} bytes" in text


def test_a_lasting_server_error_is_reported(fetch: Fetch) -> None:
    fetch.server.plan = [refuse(503)]
    assert "the server answered 503 Service Unavailable; gave up with 0 of" in fail(fetch)


def test_not_found_is_final(fetch: Fetch) -> None:
    fetch.begin_with(ARCHIVE[:FORWARD])
    fetch.server.plan = [refuse(404)]
    text = fail(fetch)
    assert text.startswith(f"{fetch.server.url}: the server answered 404 Not Found; look whether")
    assert "doi:10.5281/zenodo.1188976" in text
    assert len(fetch.server.ranges) == 1
    assert fetch.part.read_bytes() == ARCHIVE[:FORWARD]
