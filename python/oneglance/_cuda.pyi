"""
CUDA part of oneglance. Addresses in, on the current device; the caller's stream.
"""
from __future__ import annotations
import typing
__all__: list[str] = ['LaunchError', 'card', 'device_count', 'philox_uniforms', 'row_norms2', 'synchronize']
class LaunchError(RuntimeError):
    pass
def card(device: typing.SupportsInt | typing.SupportsIndex) -> dict[str, typing.Any]:
    """
    name, capability (90 for 9.0), n_processors, memory_bytes, l2_bytes of a device.
    """
def device_count() -> int:
    """
    Devices this process can use; 0 without a driver or a card.
    """
def philox_uniforms(seed: typing.SupportsInt | typing.SupportsIndex, purpose: typing.SupportsInt | typing.SupportsIndex, draw: typing.SupportsInt | typing.SupportsIndex, items: typing.SupportsInt | typing.SupportsIndex, n_items: typing.SupportsInt | typing.SupportsIndex, out: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Uniforms in [0, 1) for int64 items: the bits of the CPU.
    """
def row_norms2(rows: typing.SupportsInt | typing.SupportsIndex, type: typing.SupportsInt | typing.SupportsIndex, n_rows: typing.SupportsInt | typing.SupportsIndex, n_dims: typing.SupportsInt | typing.SupportsIndex, row_stride: typing.SupportsInt | typing.SupportsIndex, out: typing.SupportsInt | typing.SupportsIndex, n_bad: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    float64 |row|^2 of every row; rows with NaN or infinity are added to the int64 n_bad.
    """
def synchronize(stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Waits for the stream; raises LaunchError when work on it has failed.
    """
