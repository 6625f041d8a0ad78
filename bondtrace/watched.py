# SPDX-License-Identifier: GPL-2.0-or-later
"""What a trace does not watch, because a stage of its probe plan is not attached, and which answers rest on that stage.

What it keeps true: nothing is told as absent on the word of a probe that was not there. A tap whose own stage is
missing has no counts, not even 0, and of every packet it is ``not-watched`` whether it was given it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from .kernel.plan import ESSENTIAL, PROTOCOLS
from .model import Tap
from .scene import Event, Scene

REASON = "not-watched"
#: Reasons that leave open whether the tap was given the packet.
OPEN = (REASON, "unknown")

_RING, _QUEUE, _SPKT = "ring taps", "queue taps", "SOCK_PACKET taps"
_ETH_P_ALL = 3


def blind_to(tap: Tap, scene: Scene) -> Optional[str]:
    """Why it is not known which packets this tap was given, as a sentence; ``None`` where it is known."""
    if tap.kind == "packet":
        names = [_SPKT]
    else:
        names = {"ring": [_RING], "queue": [_QUEUE]}.get(tap.buffer or "", [_RING, _QUEUE])
    return _sentence(scene, names)


def blind_way(tap: Tap, scene: Scene) -> Optional[str]:
    """The same of the direction in which a tap may have been given a packet at another place than it was seen."""
    asked = scene.start.get("directions") or ("rx", "tx")
    names = ["receive"] if "rx" in asked else []
    if "tx" in asked and tap.protocol == _ETH_P_ALL and not tap.ignore_outgoing:
        names.append("transmit")
    return _sentence(scene, names)


def blind_to_verdict(function: str, scene: Scene) -> Optional[str]:
    """The same of what an rx_handler answered, or ``vlan_do_receive``, or whether a protocol handler had its turn."""
    return _sentence(scene, [function])


def blind_to_delivery(scene: Scene) -> Optional[str]:
    """The same of how far a packet got on a device: rx_handlers, VLANs, protocol handlers."""
    handlers = [name for name, stage in scene.stages.items() if stage.get("handler") or name.endswith("handle_frame")
                or name == "netdev_frame_hook"]
    return _sentence(scene, [*handlers, "VLAN", *PROTOCOLS])


def nothing_took_it(scene: Scene) -> str:
    """What is said of a pass in which nothing was seen."""
    missing = [stage["name"] for stage in _missing(scene, scene.stages)]
    if missing:
        return f"nothing that is watched took it (not watched: {', '.join(missing)})"
    return "no tap, rx_handler or protocol handler took it"


def does_not_see(scene: Scene) -> list[str]:
    """What the trace does not see of that which everybody asks for; a phrase each, with the cause."""
    return [f"{stage.get('tells') or stage['name']} ({stage['name']}: {stage['missing']})"
            for stage in _missing(scene, ESSENTIAL)]


def warning(phrases: list[str]) -> str:
    """The sentence for people, from ``does_not_see``."""
    return (f"WARNING: this trace does not see {'; '.join(phrases)}. What rests on that is told as not watched; "
            "`bondtrace doctor --verbose` says more")


def _sentence(scene: Scene, names: Iterable[str]) -> Optional[str]:
    missing = _missing(scene, names)
    if not missing:
        return None
    return "; ".join(f"{stage['without']} in this trace" for stage in missing) + ": bondtrace cannot tell"


def _missing(scene: Scene, names: Iterable[str]) -> list[Event]:
    found = (scene.stages.get(name) for name in names)
    return [stage for stage in found if stage is not None and stage.get("missing")]
