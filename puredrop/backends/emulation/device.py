"""Devices, streams and events that do nothing: all work is done when a call returns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cupy

from .memory import heap

DEVICES = 2  # of which the second holds nothing: arrays of two devices must be told apart


class Stream:
    """A stream; what is launched on it is done at once."""

    null: Any = None
    ptd: Any = None
    _stack: list[Any] = []  # noqa: RUF012  # the streams entered by `with`, one thread

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: Any = None
    ) -> None:
        self.ptr = 0 if null else id(self)

    def synchronize(self) -> None:
        heap.check()

    def record(self, event: Any = None) -> Any:
        return event or Event()

    def wait_event(self, event: Any) -> None:
        pass

    def use(self) -> Stream:
        return self

    def __enter__(self) -> Stream:
        Stream._stack.append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        Stream._stack.pop()


Stream.null = Stream(null=True)


def current_stream(device_id: Any = None) -> Any:
    return Stream._stack[-1] if Stream._stack else Stream.null


class Event:
    """A mark in a stream, passed already."""

    done = True

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.ptr = id(self)

    def record(self, stream: Any = None) -> None:
        pass

    def synchronize(self) -> None:
        pass


class Device:
    """The device, as far as the backend asks."""

    compute_capability = "90"

    def __init__(self, device: Any = None) -> None:
        self.id = heap.device if device is None else int(device)
        self._before = heap.device

    def use(self) -> None:
        heap.device = self.id

    def synchronize(self) -> None:
        heap.check()

    @property
    def attributes(self) -> dict[str, int]:
        return {"MultiProcessorCount": 132, "MaxThreadsPerBlock": 1024}

    def __enter__(self) -> Device:
        self._before, heap.device = heap.device, self.id
        return self

    def __exit__(self, *error: Any) -> None:
        heap.device = self._before

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id


def replacements() -> Iterator[tuple[Any, str, Any]]:
    """All that must be put in place of CuPy's own."""
    cuda = cupy.cuda
    for name, what in {
        "Stream": Stream,
        "Event": Event,
        "Device": Device,
        "get_current_stream": current_stream,
    }.items():
        yield cuda, name, what
    yield cuda, "is_available", lambda: True
    yield cupy, "is_available", lambda: True
    for name, what in {
        "getDevice": lambda: heap.device,
        "getDeviceCount": lambda: DEVICES,
        "driverGetVersion": cuda.runtime.runtimeGetVersion,
        "deviceSynchronize": heap.check,
        "getDeviceProperties": lambda device: {"name": b"host emulation", "major": 9, "minor": 0},
    }.items():
        yield cuda.runtime, name, what
