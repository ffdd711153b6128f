"""Serial ports, with a pseudo-terminal in the place of a board."""

import json
import os
import pty
import select
import threading
import tty
from contextlib import contextmanager

import numpy as np
import pytest

from mla_hw.cli.run import print_run, run
from mla_hw.design import Design
from mla_hw.errors import ConfigError, ToolError
from mla_hw.host.layers import layer_design
from mla_hw.host.link import Link, LinkError
from mla_hw.host.operation import perform
from mla_hw.host.serial_port import SerialTransport
from mla_hw.registers import ErrorCode
from tests.host.fake_core import CYCLES, FakeCore
from tests.host.fake_link import CLOCK_HZ, FakeLink, break_line

BAUD = 115_200


@contextmanager
def plugged(fake):
    """Path of a terminal, on the other side of which a fake link is while this lasts."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    stop_reader, stop_writer = os.pipe()

    def serve():
        while True:
            ready, _, _ = select.select([ours, stop_reader], [], [])
            if stop_reader in ready:
                return
            fake.write(os.read(ours, 4096))
            answer = fake.read(0)
            while answer:
                answer = answer[os.write(ours, answer) :]

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        os.write(stop_writer, b"x")
        thread.join()
        for descriptor in (ours, theirs, stop_reader, stop_writer):
            os.close(descriptor)


@contextmanager
def silent():
    """Path of a terminal with nothing behind it, and what pulls its cable."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    name = os.ttyname(theirs)
    descriptors = [ours, theirs]

    def pull():
        while descriptors:
            os.close(descriptors.pop())

    try:
        yield name, pull
    finally:
        pull()


def test_bytes_go_both_ways():
    fake = FakeLink()
    with plugged(fake) as port, SerialTransport(port, BAUD) as transport:
        link = Link(baud=BAUD)
        assert perform(link.identify(), transport).port_bytes == 8
        data = os.urandom(20_000 // 8 * 8)
        perform(link.write_memory(64, data), transport)
        assert fake.memory[64 : 64 + len(data)] == data
        assert perform(link.read_memory(64, len(data)), transport) == data
        assert transport.read(0.01) == b""


def test_what_was_said_before_is_forgotten():
    with silent() as (port, _):
        with SerialTransport(port, BAUD) as transport:
            transport.write(b"")
        with SerialTransport(port, BAUD) as transport:
            assert transport.read(0.01) == b""


@pytest.mark.parametrize("share", [0, 0.1], ids=["clean", "broken"])
def test_run(core_folder, design, hidden, tmp_path, capsys, share):
    fake = FakeLink(request=break_line(1, share), response=break_line(2, share))
    fake.core = FakeCore(design, fake.memory)
    said = []
    with plugged(fake) as port:
        report = run(
            core_folder,
            port=port,
            hidden=core_folder.parent / "rows.npz",
            baud=BAUD,
            json_path=tmp_path / "run.json",
            progress=said.append,
        )
    machine = design.machine()
    for position, row in enumerate(hidden):
        machine.write_hidden(row)
        machine.run((position,))
        np.testing.assert_array_equal(report.y_int[position], machine.y())
    assert [counters["cycles"] for counters in report.counters] == [CYCLES, CYCLES + 1, CYCLES + 2]
    assert report.seconds["core"] == pytest.approx((3 * CYCLES + 3) / CLOCK_HZ)
    assert report.tokens_per_second["core"] == pytest.approx(3 * CLOCK_HZ / (3 * CYCLES + 3))
    assert 0 < report.tokens_per_second["all"] < report.tokens_per_second["core"]
    assert said[0] == f"load {len(design.image)} bytes"
    assert said[-1] == f"token 3 of 3: {CYCLES + 2} cycles"
    stored = json.loads((tmp_path / "run.json").read_text())
    assert stored == report.to_dict()
    assert stored["hash"] == design.manifest["hash"]
    traffic = stored["traffic"]
    # A clean line spoils nothing; a machine that is busy may be late with an answer all the same.
    assert traffic["repeated"] > 0 if share else traffic["spoilt"] == 0
    print_run(report)
    shown = capsys.readouterr().out
    assert "3 tokens: " in shown
    assert "tokens/s of the core alone at 60 MHz" in shown
    assert "saturated_pack" in shown
    assert ("requests repeated" in shown) == (traffic["repeated"] + traffic["spoilt"] > 0)


@pytest.mark.parametrize("layer", [None, 2, 0])
def test_run_of_a_layer(layers_folder, tmp_path, layer):
    """One of an image of two, the first by default, in its own scales."""
    image = Design.load(layers_folder)
    chosen = layer_design(image, layer)
    with np.load(layers_folder.parent / "rows.npz") as rows:
        x = rows["x"]
    machine, wanted = chosen.machine(), []
    for position, row in enumerate(chosen.quantize_hidden(x)[0]):
        machine.write_hidden(row)
        machine.run((position,))
        wanted.append(machine.y())
    np.savez(tmp_path / "rows.npz", x=x, y=np.array(wanted) * chosen.scales["y"])
    fake = FakeLink()
    fake.core = FakeCore(image, fake.memory)
    with plugged(fake) as port:
        report = run(layers_folder, port=port, layer=layer, hidden=tmp_path / "rows.npz", baud=BAUD)
    np.testing.assert_array_equal(report.y_int, wanted)
    assert report.layer == layer
    assert report.relative_error_total == 0
    assert report.load["bytes"] > sum(
        region.size
        for regions in image.memory.layers
        for name, region in regions.items()
        if name in ("weights", "constants")
    )


def test_run_compares_with_a_reference(core_folder, design, hidden, tmp_path):
    machine = design.machine()
    machine.write_hidden(hidden[0])
    machine.run((0,))
    with np.load(core_folder.parent / "rows.npz") as rows:
        x = rows["x"][:1]
    np.savez(tmp_path / "rows.npz", x=x, y=[machine.y() * design.scales["y"] * 0.5])
    fake = FakeLink()
    fake.core = FakeCore(design, fake.memory)
    with plugged(fake) as port:
        report = run(core_folder, port=port, hidden=tmp_path / "rows.npz", baud=BAUD)
    assert report.relative_error_total == pytest.approx(1)


def test_run_verifies(core_folder, design, monkeypatch, capsys):
    fake = FakeLink()
    fake.core = FakeCore(design, fake.memory)
    options = {"hidden": core_folder.parent / "rows.npz", "baud": BAUD, "verify": True}
    said = []
    with plugged(fake) as port:
        report = run(core_folder, port=port, progress=said.append, **options)
        assert report.verified
        assert "read the image back" in said
        assert said[-1] == "golden model: token 3 of 3"
        print_run(report)
        assert "verified: the image in memory, and y of every token" in capsys.readouterr().out

        class Other:
            write_hidden = run = lambda *_: None

            def y(self):
                return np.array(report.y_int[0]) + (np.arange(design.model.hidden_size) < 5)

        monkeypatch.setattr(Design, "machine", lambda _: Other())
        message = f"^token 1: y is not that of the golden model in 5 of {design.model.hidden_size} "
        with pytest.raises(ToolError, match=message):
            run(core_folder, port=port, **options)


def test_the_bitstream_of_another_board(core_folder, design):
    fake = FakeLink(clock_hz=75_000_000)
    fake.core = FakeCore(design, fake.memory)
    wanted = "the core runs at 75 MHz, core_mhz of ulx3s-85f is 60: generate the folder for the "
    with plugged(fake) as port, pytest.raises(ConfigError, match=f"^{wanted}"):
        run(core_folder, port=port, baud=BAUD)
    assert not any(fake.memory)


def test_run_names_what_is_wrong(core_folder, design, tmp_path):
    fake = FakeLink()
    fake.core = FakeCore(design, fake.memory)
    fake.core.set("hash", 5)
    with plugged(fake) as port:
        with pytest.raises(ConfigError, match=r"configuration hash [0-9a-f]{16}, manifest\.json "):
            run(core_folder, port=port, baud=BAUD)
        fake.core = FakeCore(design, fake.memory)
        fake.core.error = ErrorCode.WRITE
        with pytest.raises(ToolError, match="the core has stopped: write refused"):
            run(core_folder, port=port, baud=BAUD)
        with pytest.raises(ConfigError, match="--layer: must be one that the image holds"):
            run(core_folder, port=port, layer=7)
        with pytest.raises(ConfigError, match="--baud: must be positive, not 0"):
            run(core_folder, port=port, baud=0)
        with pytest.raises(ConfigError, match="--json"):
            run(core_folder, port=port, json_path=tmp_path / "missing" / "run.json")


def test_nothing_answers(core_folder):
    message = "^--port {}: the link does not answer, after 5 attempts: "
    with silent() as (port, _), pytest.raises(LinkError, match=message.format(port)):
        run(core_folder, port=port, baud=3_000_000)


def test_a_port_that_does_not_exist(core_folder, tmp_path):
    port = str(tmp_path / "ttyNone")
    with pytest.raises(ConfigError, match=f"^--port {port}: does not exist$"):
        run(core_folder, port=port)


def test_a_port_that_is_busy(core_folder):
    message = "^--port {}: is busy: another program has it open$"
    with (
        silent() as (port, _),
        SerialTransport(port, BAUD),
        pytest.raises(ConfigError, match=message.format(port)),
    ):
        run(core_folder, port=port)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_no_port(core_folder, tmp_path, kind):
    path = tmp_path / "file" if kind == "file" else tmp_path
    if kind == "file":
        path.write_text("")
    with pytest.raises(ConfigError, match=f"^--port {path}: is no serial port$"):
        run(core_folder, port=str(path))


def test_a_baud_rate_that_there_is_not():
    message = "^--baud: {} has no -3 bits per second$"
    with silent() as (port, _), pytest.raises(ConfigError, match=message.format(port)):
        SerialTransport(port, -3)


def test_a_cable_that_is_pulled():
    with silent() as (port, pull), SerialTransport(port, BAUD) as transport:
        transport.write(b"half a fra")
        pull()
        with pytest.raises(LinkError, match=f"^--port {port}: is gone"):
            transport.read(0.1)
        with pytest.raises(LinkError, match=f"^--port {port}: is gone"):
            transport.write(b"me")
