# SPDX-License-Identifier: GPL-2.0-or-later
"""Late records: the steps that ran after their packet's core call go from records of their own to their passes.

A late record (a tap, protocol handler or drop) belongs to the pass that it names as its parent, or, in list mode, to
the pass of its list receive with the same skb; a drop of a clone to that with the same data (``head``). The drop of
another skb than its parent's has its bytes: it is a copy of the parent's packet if they are, but for what NAT rewrites;
else of the latest pass with that skb and those bytes, or those inside of it (a packet that had waited, or was taken
out of its tunnel later). What comes beyond IP is, in list mode, of a clone or a copy in the same ways.
"""

from __future__ import annotations

import numpy as np

from ..format.wire import (
    DROPPED_CLONE,
    FUNCTIONS,
    NETNS_NEXT_STEP,
    RECORD_INSIDE_LIST,
    RECORD_LATE,
    RECORD_RX,
    STEP,
    STEP_DROP,
    STEP_NETNS,
    STEPS_BEYOND_IP,
    Array,
    Passes,
)
from ..util.arrays import alike, first_like, mix, previous_like, upper_half
from . import rewritten, shapes
from .whereabouts import namespaces

_NONE, _UNDECIDED = -1, -2  # in place of a pass
_LISTS = [func for func, name in FUNCTIONS.items() if name.endswith("_list_rcv")]


def merge_late(passes: Passes) -> Passes:
    """Move the steps of late records to the passes they belong to. A late record whose passes are not found stays as
    it is."""
    if not (passes.records["kind"] == RECORD_LATE).any():
        return passes
    owner = passes.of_step
    enters = passes.steps["kind"] == STEP_NETNS
    late = (passes.records["kind"] == RECORD_LATE).take(owner)
    moved = np.flatnonzero(late & ~enters)
    target, is_clone = _late_targets(passes, owner[moved], passes.steps[moved])
    of_others = np.isin(passes.steps["kind"][moved], (STEP_DROP, *STEPS_BEYOND_IP))
    strays = moved[(target < 0) & of_others]  # of packets that were never recorded: of no use
    found = target >= 0
    steps, owner = passes.steps.copy(), owner.copy()
    steps["result"][moved[is_clone & (passes.steps["kind"][moved] == STEP_DROP)]] = DROPPED_CLONE
    moved, target = moved[found], target[found]
    begins_ns = passes.records["time_ns"].astype(np.int64)
    shift = begins_ns.take(owner[moved]) - begins_ns.take(target)
    steps["t_ns"][moved] = np.clip(steps["t_ns"][moved] + shift, 0, 0xFFFFFFFF)
    named, places = _with_namespaces(passes, steps, moved, target)
    owner[moved] = target
    keep = np.ones(len(owner), bool)
    keep[strays] = False
    keep[np.flatnonzero(late & enters & np.isin(np.arange(len(owner)) + 1, moved))] = False
    owner, steps = np.insert(owner, places, owner[places]), np.insert(steps, places, named)
    return _regroup(passes, steps, owner, np.insert(keep, places, True))


def _with_namespaces(passes: Passes, steps: Array, moved: Array, target: Array) -> tuple[Array, Array]:
    """Return the steps that are to name the namespaces of late steps, shape (k,), and before which steps they go:
    where a late step's device is not, or may not be, in the namespace that its new pass is in."""
    netns = namespaces(passes.records["netns"], passes.steps, passes.offsets)
    enters = np.flatnonzero(passes.steps["kind"] == STEP_NETNS)
    passes_entering = passes.having(enters)
    differs = netns[moved] != passes.records["netns"][target]
    may = differs | (np.isin(target, passes_entering) & ~np.isin(steps["func"][moved], _LISTS))
    places = moved[may]
    named = steps[places].copy()
    named["kind"], named["result"], named["arg"] = STEP_NETNS, NETNS_NEXT_STEP, netns[places]
    return named, places


def _regroup(passes: Passes, steps: Array, owner: Array, keep: Array) -> Passes:
    """Give the steps that are kept to their new owners, in order of time; remove late records without steps."""
    steps, owner = steps[keep], owner[keep]
    order = np.lexsort((steps["t_ns"], owner))
    counts = np.bincount(owner, minlength=len(passes))
    records = passes.records.copy()
    records["steps"] = counts
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    whole = Passes(records, steps[order].astype(STEP, copy=False), offsets)
    return whole.take((records["kind"] != RECORD_LATE) | (counts > 0))


def _late_targets(passes: Passes, owner: Array, steps: Array) -> tuple[Array, Array]:
    """Return the pass to which each late step belongs, or -1; and whether that is of a clone of its packet. Both have
    the shape of ``owner``."""
    records = passes.records
    drops = steps["kind"] == STEP_DROP
    # skb_low of a drop's step is not the skb's
    skb_low = np.where(drops, records["skb"][owner].astype(np.uint32), steps["skb_low"])
    cpu, kind = upper_half(records["cpu"]), records["kind"]
    parent = records["parent"].take(owner)
    at = np.flatnonzero(kind != RECORD_LATE)
    nested = _last_like((cpu | records["seq"]).take(at), cpu.take(owner) | parent)
    targets = np.where((nested >= 0) & (parent > 0), at.take(nested), -1) if len(at) else np.full(len(owner), -1)
    is_apart = (parent > 0) | (records["frame"].take(owner) == 0)  # within another packet's pass, or outside every pass
    of_others = np.flatnonzero(drops & is_apart & (records["captured"].take(owner) > 0))
    at = np.flatnonzero((kind == RECORD_RX) & (records["flags"] & RECORD_INSIDE_LIST == 0))
    _, _, which = alike(cpu | records["frame"])
    frame = upper_half(which)
    both = np.stack([records["skb"].take(at) & np.uint64(0xFFFFFFFF), records["last_skb"].take(at)], axis=1)
    listed = _last_like((frame.take(at)[:, None] | both).reshape(-1), frame.take(owner) | skb_low)
    rest = (targets < 0) & (listed >= 0)
    targets[rest] = at[listed[rest] // 2]
    head = records["head"].take(owner)
    shared = _last_like((frame | records["head"]).take(at), frame.take(owner) | head)
    clones = drops & (targets < 0) & (shared >= 0) & (head > 0)
    targets[clones] = at[shared[clones]]
    described = records["captured"].take(owner) > 0
    beyond = np.flatnonzero(described & (np.isin(steps["kind"], STEPS_BEYOND_IP) | (drops & ~is_apart)))
    if len(beyond):
        found = _of_same_bytes(records, which, at, owner[beyond])
        # A packet out of a tunnel has other bytes than it came with: there the address has to do.
        told = (found != _NONE) | ~drops[beyond]
        targets[beyond[told]] = np.maximum(found[told], -1)
        clones[beyond[told]] = drops[beyond[told]] & ~_has_skb(records, found[told], owner[beyond[told]])
    targets[of_others], clones[of_others] = _of_other_skbs(records, owner[of_others], targets[of_others])
    return targets, clones


def _of_same_bytes(records: Array, frames: Array, at: Array, late: Array) -> Array:
    """Return for late records, shape (n,) of their places, the pass of the same list receive whose packet each has:
    with the same bytes, or where there is none, the same but for what NAT rewrites; ``_NONE`` where no pass has them,
    ``_UNDECIDED`` where several have and it cannot be told of which packet it is.

    :param frames: a number for each record that is the same within a list receive.
    :param at: the places of the passes.
    """
    some = at.take(np.flatnonzero(np.isin(frames.take(at), frames.take(late))))
    found = np.full(len(late), _NONE)
    passes = records.take(some)
    for prints in (shapes.prints, rewritten.prints):
        rest = np.flatnonzero(found == _NONE)
        if not len(some) or not len(rest):
            break
        theirs = mix(frames.take(late.take(rest)), prints(records.take(late.take(rest))))
        found[rest] = _of_like(records, some, mix(frames.take(some), prints(passes)), late.take(rest), theirs)
    return found


def _of_like(records: Array, passes: Array, prints: Array, late: Array, wanted: Array) -> Array:
    """Return for late records that of the passes, both by their places, whose print is the wanted one. Of several it is
    the one with the same skb, or the same data: a copy of the data is in the packet's own skb, a clone has the packet's
    data. Where the two are of different packets one of them was freed, and which is not known."""
    _, counts, which = alike(prints)
    found = _last_like(prints, wanted)
    several = np.flatnonzero((found >= 0) & (counts.take(which.take(found)) > 1))
    found = np.where(found >= 0, passes.take(found), _NONE)
    if not len(several):
        return found
    skb, head = records["skb"][late[several]].astype(np.uint32), records["head"][late[several]]
    last, first, data = (
        _last_like(mix(prints, theirs), mix(wanted[several], own))
        for theirs, own in (
            (records["last_skb"][passes], skb),
            (records["skb"][passes].astype(np.uint32), skb),
            (records["head"][passes], head),
        )
    )
    by_skb = np.where(last >= 0, last, first)
    by_data = np.where(head > 0, data, -1)
    agreed = (by_skb < 0) | (by_data < 0) | (by_skb == by_data)
    chosen = np.where(agreed, np.maximum(by_skb, by_data), -1)
    found[several] = np.where(chosen >= 0, passes.take(chosen), _UNDECIDED)
    return found


def _has_skb(records: Array, passes: Array, late: Array) -> Array:
    """Return for pairs of a pass (or a negative number) and a late record, by their places, whether the record is of
    the pass's own skb, and not of a clone."""
    low = records["skb"][late].astype(np.uint32)
    own: Array = (low == records["skb"][passes].astype(np.uint32)) | (low == records["last_skb"][passes])
    return own | (passes < 0)


def _of_other_skbs(records: Array, late: Array, parents: Array) -> tuple[Array, Array]:
    """Return for drops, by their late records and these records' parents (or -1), the pass of whose packet each skb is,
    -1 where none is, and whether it is a copy; both have the shape of ``late``."""
    dropped, copies = records[late], np.zeros(len(late), bool)
    nested = np.flatnonzero(parents >= 0)
    copies[nested] = rewritten.alike_but_for_addresses(dropped[nested], records[parents[nested]])
    targets = np.where(copies, parents, -1)
    rest = np.flatnonzero(~copies)
    earlier = _latest_of_skb(records, dropped[rest])
    rest, earlier = rest.compress(earlier >= 0), earlier.compress(earlier >= 0)
    passes = records[earlier]
    same = rewritten.alike_but_for_addresses(dropped[rest], passes)
    same |= rewritten.compare(passes, dropped[rest], "unwrapped")[0]
    targets[rest[same]] = earlier[same]
    return targets, copies


def _latest_of_skb(records: Array, dropped: Array) -> Array:
    """Return for late records the last pass that began with the same skb before their time, or -1."""
    passes = np.flatnonzero((records["kind"] != RECORD_LATE) & (first_like(dropped["skb"], records["skb"]) >= 0))
    places = np.concatenate([np.full(len(dropped), -1), passes])
    skb = np.concatenate([dropped["skb"], records["skb"].take(passes)])
    order = np.lexsort((places, np.concatenate([dropped["time_ns"], records["time_ns"].take(passes)])))
    before = previous_like(skb.take(order), places.take(order) >= 0)
    found = np.full(len(order), -1)
    found[order] = np.where(before >= 0, places.take(order).take(before), -1)
    return found[: len(dropped)]


def _last_like(keys: Array, wanted: Array) -> Array:
    """Return for each wanted number the last place in ``keys`` that has it, or -1."""
    found = first_like(keys[::-1], wanted)
    return np.where(found >= 0, len(keys) - 1 - found, -1)
