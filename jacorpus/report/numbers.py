"""Numbers of a report, and how people read them.

Units: ``count`` (12,345), ``bytes`` (1.2 GB), ``share`` (a fraction of 1, shown in percent), ``s`` (seconds),
``bytes/s``, ``number`` (4 digits; 3 places with an interval), ``text`` (as it is).
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["count", "bytes", "share", "s", "bytes/s", "number", "text"]


@dataclass(frozen=True)
class Interval:
    """A number and how far it may lie off: 95 % of resampled values are within [low, high]."""

    value: float
    low: float
    high: float


Cell: TypeAlias = str | int | float | bool | Interval | None


def show(value: Cell, unit: Unit = "text") -> str:
    """A value as people read it.

    >>> show(1234567, "count"), show(0.1234, "share"), show(1536, "bytes"), show(75.0, "s"), show(0.12345, "number")
    ('1,234,567', '12.3 %', '1.54 kB', '1 min 15 s', '0.1235')
    """
    if value is None:
        return ""
    if isinstance(value, Interval):
        low, middle, high = (_bound(v, unit) for v in (value.low, value.value, value.high))
        return (middle if unit == "number" else show(value.value, unit)) + (f" [{low}, {high}]" if low != high else "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) or unit == "text":
        return str(value)
    if unit == "count":
        return f"{value:,.0f}"
    if unit == "share":
        return _show_share(value)
    if unit == "bytes":
        return _show_bytes(value)
    if unit == "bytes/s":
        return _show_bytes(value) + "/s"
    return _show_seconds(value) if unit == "s" else _show_number(value)


def _bound(value: float, unit: Unit) -> str:
    """Without the unit; a number with as many places as its neighbors."""
    return (
        f"{value:.{3 if abs(value) < 10 else 1}f}"
        if unit == "number" and abs(value) < 1000
        else show(value, unit).removesuffix(" %")
    )


def _show_share(value: float) -> str:
    percent = value * 100
    if percent < 0:
        return "−" + _show_share(-value)
    if percent == 0 or percent >= 99.95:
        return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.2f} %"
    return f"{percent:.1f} %" if percent >= 1 else f"{percent:.2g} %" if percent >= 0.001 else "< 0.001 %"


def _show_bytes(value: float) -> str:
    for name in ("B", "kB", "MB", "GB", "TB"):
        if abs(value) < 1000 or name == "TB":
            break
        value /= 1000
    return f"{value:,.0f} B" if name == "B" else f"{value:.3g} {name}" if value < 1000 else f"{value:,.0f} {name}"


def _show_seconds(value: float) -> str:
    if value < 60:
        return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"


def _show_number(value: float) -> str:
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
