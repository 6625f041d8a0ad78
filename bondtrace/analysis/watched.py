# SPDX-License-Identifier: GPL-2.0-or-later
"""What a trace does not watch, as a stage of its probe plan is not attached, and which answers depend on that stage.

Three questions, each with its own stages:

- Was the tap given packets where packets were seen? Its own stage: ring, queue or SOCK_PACKET taps (``blind_to``).
- Was it given them anywhere else? ``receive`` and ``transmit`` (``blind_way``).
- Why was it not? The rx_handlers, VLANs and protocol handlers on the way (``blind_between``, ``blind_to_delivery``).

Invariant: nothing is reported as absent because of a probe that was not attached. Where one of the first two questions
is open the tap is ``not-watched`` for that packet, and what cannot be counted is not 0 but unknown. Where only the
third is open, the absence is certain, and its reason ``unknown``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from ..format import stages
from ..format.events import Event
from ..format.stages import OF_DIRECTION, PROTOCOL_HANDLERS, essential, of_directions, phrase
from ..model import ETH_P_ALL, Tap
from ..net.rx_handlers import handler_of
from ..net.topology import Key
from .history import LAST_NS
from .scene import Scene

#: The reasons that leave open whether the tap was given the packet: no stage would have shown it; no packet of its
#: device is recorded; or it was handed to that device and may have become part of another packet.
REASON = "not-watched"
NOT_TRACED = "not-traced"
HANDED_ON = "handed-on"
OPEN = frozenset((REASON, NOT_TRACED, HANDED_ON))

_TAKES_NOTHING = (
    *OF_DIRECTION.values(),
    stages.DROPS,
    stages.TAP_HOOKS,
    stages.JOINS,
    stages.QUEUED,
    stages.QUEUE_OUTCOMES,
    stages.RING_REFUSALS,
    stages.RING_MEMBERS,
    *stages.BEYOND_IP,
    *stages.WHO_DROPPED,
)


def blind_to(tap: Tap, scene: Scene) -> Optional[str]:
    """Return why it is not known which packets this tap was given, as a sentence; ``None`` where it is known."""
    if tap.kind == "packet":
        names = [stages.SOCK_PACKET_TAPS]
    else:
        names = {"ring": [stages.RING_TAPS], "queue": [stages.QUEUE_TAPS]}.get(
            tap.buffer or "", [stages.RING_TAPS, stages.QUEUE_TAPS]
        )
    return _sentence(scene, names)


def blind_way(tap: Tap, scene: Scene) -> Optional[str]:
    """Return why it is not known whether this tap was given a packet at another place than where the packet was seen,
    as a direction is not watched; ``None`` where it is known."""
    is_offered_sent = tap.protocol == ETH_P_ALL and not tap.ignore_outgoing
    return _sentence(scene, of_directions([one for one in _asked(scene) if one == "rx" or is_offered_sent]))


def outside(tap: Tap, scene: Scene, time_ns: int) -> Optional[str]:
    """Return why it is not known what the tap was given: its device is not among the traced ones; ``None`` where it is.
    A tap of all devices is outside where none of its namespace is traced."""
    traced = scene.traced(time_ns)
    if traced is None or tap.ifindex == -1:
        return None
    if tap.ifindex == 0 and not any(netns == tap.netns for netns, _ in traced):
        name = scene.namespace_label(tap.netns)
        return f"it lives in network namespace {name}, of which this trace records nothing: bondtrace cannot tell"
    if tap.ifindex == 0 or (tap.netns, tap.ifindex) in traced:
        return None
    name = scene.device_name(tap.netns, tap.ifindex, time_ns)
    return f"bound to {name}, of which this trace records nothing: bondtrace cannot tell"


def is_outside(tap: Tap, scene: Scene) -> bool:
    """Was its device among the traced ones neither when the tap was first read nor in the end? In between it may have
    been for a while; the reasons of single packets are exact."""
    first_ns = scene.taps[tap.inode].first_ns if tap.inode in scene.taps else LAST_NS
    return outside(tap, scene, LAST_NS) is not None and outside(tap, scene, first_ns) is not None


def open_reason(tap: Optional[Tap], scene: Scene) -> Optional[str]:
    """Return the reason for which it is not known what a tap was given in all; ``None`` where it is."""
    if tap is None:
        return None
    if is_outside(tap, scene):
        return NOT_TRACED
    return REASON if blind_to(tap, scene) or blind_way(tap, scene) else None


def misses_packets(scene: Scene) -> bool:
    """Are packets of a direction that was asked for not seen at all?"""
    return bool(_missing(scene, of_directions(_asked(scene))))


def has_gaps(scene: Scene) -> bool:
    """Is any stage not attached? Otherwise every question here has an answer."""
    return any(stage.get("missing") for stage in scene.stages.values())


def cells_known(tap: Optional[Tap], scene: Scene) -> bool:
    """Is it known what the tap was given at the places where packets were seen?"""
    return tap is None or (blind_to(tap, scene) is None and not is_outside(tap, scene))


def totals_known(tap: Optional[Tap], scene: Scene) -> bool:
    """Is it known what the tap was given in total?"""
    return open_reason(tap, scene) is None


def blind_between(lower: Key, upper: Key, scene: Scene, time_ns: int) -> Optional[str]:
    """Return why it is not known how a packet got, or did not get, from a device to one that is stacked on it: the
    rx_handler of a device in between, or VLAN handling, is not attached; ``None`` where it is known."""
    names = []
    for key in scene.above(lower, time_ns):
        device = scene.device(*key, time_ns)
        if device is None or (key != upper and upper not in scene.above(key, time_ns)):
            continue
        names.append(stages.VLAN if device.kind == "vlan" else handler_of(device.kind) or "")
    return _sentence(scene, names)


def blind_above(lower: Key, scene: Scene, time_ns: int) -> Optional[str]:
    """Return the same for any device that is stacked on this one."""
    blind = (blind_between(lower, upper, scene, time_ns) for upper in sorted(scene.above(lower, time_ns)))
    return next((one for one in blind if one), None)


def blind_to_delivery(protocols: Iterable[int], scene: Scene) -> Optional[str]:
    """Return why it is not known whether a packet of these protocols (skb->protocol) reached its protocol handler;
    ``None`` where it is known."""
    return _sentence(scene, [name for one in protocols for name in PROTOCOL_HANDLERS.get(one, ())])


def blind_to_end(protocol: int, scene: Scene) -> bool:
    """Would this trace not see how a packet of this protocol ends on the device where it is: delivered, handed on by an
    rx_handler or a VLAN device, or dropped?"""
    needed = [stages.VLAN, stages.DROPS, *PROTOCOL_HANDLERS.get(protocol, ())]
    handlers = [name for name, stage in scene.stages.items() if stage.get("handler")]
    return bool(_missing(scene, [*needed, *handlers]))


def nothing_took_it(scene: Scene, direction: str) -> str:
    """Return the sentence for a pass in which nothing was seen."""
    taps = (stages.RING_TAPS, stages.QUEUE_TAPS, stages.SOCK_PACKET_TAPS, stages.FANOUT)
    asked = taps if direction == "tx" else [name for name in scene.stages if name not in _TAKES_NOTHING]
    missing = [stage["name"] for stage in _missing(scene, asked)]
    if missing:
        return f"nothing that is watched took it (not watched: {', '.join(missing)})"
    return "no tap, rx_handler or protocol handler took it"


def does_not_see(scene: Scene) -> list[str]:
    """Return which essential stages the trace is missing: a phrase for each, with the cause."""
    return [
        phrase(stage.get("tells") or stage["name"], stage["name"], stage["missing"])
        for stage in _missing(scene, essential(_asked(scene)))
    ]


def warning(phrases: list[str]) -> str:
    """Return the warning for people, from what ``does_not_see`` returned."""
    return (
        f"WARNING: this trace does not see {'; '.join(phrases)}. What depends on that is reported as not watched; "
        "`bondtrace doctor --verbose` says more"
    )


def _asked(scene: Scene) -> list[str]:
    """Return the directions that the trace was asked for."""
    return scene.start.get("directions") or list(OF_DIRECTION)


def _sentence(scene: Scene, names: Iterable[str]) -> Optional[str]:
    missing = [stage.get("without") or f"{stage['name']} is not told" for stage in _missing(scene, names)]
    return f"{'; '.join(missing)} in this trace: bondtrace cannot tell" if missing else None


def _missing(scene: Scene, names: Iterable[str]) -> list[Event]:
    found = (scene.stages.get(name) for name in dict.fromkeys(names))
    return [stage for stage in found if stage is not None and stage.get("missing")]
