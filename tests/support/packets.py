"""Packets that are read part by part, read whole."""

from dataclasses import replace

from gridward.core.smpc.packets import OpenPacket, write_packet


def whole(taken: OpenPacket) -> bytes:
    """Read what was taken to its end, and close it."""
    body = bytearray(taken.body.size)
    taken.body.read_into(0, memoryview(body))
    taken.body.close()
    return write_packet(replace(taken.header, body=bytes(body)))
