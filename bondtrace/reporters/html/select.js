// SPDX-License-Identifier: GPL-2.0-or-later
// --- which kinds of journeys are selected, and what is counted of these ---

/** How many journeys of each kind are selected, and in words what is not as it was asked for. */
function selectedOf(criteria, report) {
  const { list } = report.kinds;
  const asksOfSteps = [criteria.taps, criteria.unseen, criteria.outcomes, criteria.dropped, criteria.devices,
    criteria.paths].some(values => values.length);
  const times = timesOf(criteria, report.timeline);
  const packets = times ? packetsIn(times, report.timeline, list.length) : list.map(kind => kind.packets);
  const rest = list.reduce((sum, kind, place) => sum + (kind.is_rest && asksOfSteps ? packets[place] : 0), 0);
  const holds = list.map(kind => !asksOfSteps || !kind.is_rest && holdsFor(kind, criteria, report.kinds));
  return { packets: packets.map((count, place) => holds[place] ? count : 0), holds, times, rest };
}

/** The bins of time and of durations that hold what is asked for; null where no times are. Bins are not cut, so what
    they hold may be a little more. */
function timesOf({ slower, since, until }, { width_ns: width, bins, edges_ns: edges }) {
  if (slower === null && since === null && until === null) return null;
  const inside = value => Math.min(bins, Math.max(0, value));
  const long = slower === null ? 0 : Math.max(0, edges.findLastIndex(edge => edge <= slower));
  return { from: since === null ? 0 : inside(Math.floor(since / width)),
    to: until === null ? bins : inside(Math.ceil(until / width)), long, isLong: slower !== null,
    isFrom: since !== null, isTo: until !== null };
}

function packetsIn({ from, to, long }, { kind, when, long: longs, journeys }, kinds) {
  const packets = new Array(kinds).fill(0);
  for (let cell = 0; cell < kind.length; cell++) {
    if (when[cell] >= from && when[cell] < to && longs[cell] >= long) packets[kind[cell]] += journeys[cell];
  }
  return packets;
}

const inTimes = (one, times, { width_ns: width, edges_ns: edges }) => !times || (one.since_ns >= times.from * width &&
  one.since_ns < times.to * width && one.took_ns >= edges[times.long]);

/** Does a kind fulfil what is asked of its steps? As analysis/select.py does. */
function holdsFor(kind, criteria, kinds) {
  const { taps, unseen, outcomes, dropped, devices, paths } = criteria;
  const means = tap => !taps.length || taps.some(name => answersTo(name, kinds.taps[tap]));
  const did = ([tap, outcome]) => (!outcomes.length || outcomes.includes(outcome)) && means(tap);
  if (outcomes.length && !kind.outcomes.some(did)) return false;
  if (unseen.length && !kinds.absences[kind.absent].some(one => unseen.includes(one.reason) && one.taps.some(means)))
    return false;
  if (taps.length && !outcomes.length && !unseen.length && !kind.outcomes.some(did)) return false;
  const reasons = kind.drops.map(([drop]) => kinds.drops[drop].reason);
  if (dropped.length && !dropped.some(wanted => reasons.some(reason => !wanted || reason === wanted))) return false;
  const names = kind.visited.map(device => kinds.devices[device]);
  if (devices.length && !devices.some(name => names.includes(name))) return false;
  return !paths.length || paths.some(path => inOrder(path, names));
}

function answersTo(name, tap) {
  const inBrackets = /\[(\d{1,20})\]$/.exec(name);
  if (inBrackets) return BigInt(inBrackets[1]) === BigInt(tap.inode);
  const wanted = /^\d+$/.test(name) ? String(BigInt(name)) : name;
  return wanted === tap.inode || tap.names.includes(wanted);
}

function inOrder(path, names) {
  let place = 0;
  return path.every(device => (place = names.indexOf(device, place) + 1) > 0);
}

/** Sentences on names that nothing in the trace has. */
function unknownNames(criteria, { names, kinds }) {
  const told = [];
  const say = (what, name, there) => told.push(`no ${what} ${name} is in this trace: there ` +
    (there.length ? `are ${there.slice(0, 8).join(", ")}${there.length > 8 ? ` and ${there.length - 8} more` : ""}` : "is none"));
  const named = name => kinds.taps.some(tap => answersTo(name, tap)) || names.taps.some(tap => answersTo(name,
    { inode: /\[(\d+)\]$/.exec(tap)?.[1] ?? "0", names: [tap] }));
  criteria.taps.filter(name => !named(name)).forEach(name => say("tap", name, names.taps));
  const devices = new Set([...criteria.devices, ...criteria.paths.flat()]);
  devices.forEach(name => names.devices.includes(name) || say("device", name, names.devices));
  criteria.dropped.filter(name => name && !names.drop_reasons.includes(name)).forEach(name => names.drop_reasons.length
    ? say("drop reason", name, names.drop_reasons)
    : told.push(`the kernel of this trace tells no reasons for drops: leave out ${name}`));
  return told;
}

/** A journey of a kind that is selected, too; null where times are selected and none such is listed. */
function exampleOf(number, times, report) {
  if (!times) return report.kinds.list[number].example;
  return report.journeys.list.find(one => one.kind === number && inTimes(one, times, report.timeline))?.id ?? null;
}

/** What the tables show, of the packets that are selected: an object like the summary. */
function countedOf({ packets, times }, summary, report) {
  const { kinds } = report;
  const chosen = kinds.list.map((kind, place) => ({ kind, place, count: packets[place] })).filter(one => one.count);
  const passed = summary.passed.map(() => 0);
  const taps = new Map(Object.keys(summary.taps).map(inode => [inode, { offers: summary.passed.map(() => [0, 0]),
    outcomes: {}, unseen: {}, twice: 0 }]));
  const drops = new Map();
  const of = tap => taps.get(kinds.taps[tap].inode);
  for (const { kind, place: number, count } of chosen) {
    if (kind.is_rest) continue;
    kind.passed.forEach(place => { passed[place] += count; });
    kind.offers.forEach(([tap, place, offered, captured]) => {
      of(tap).offers[place][0] += offered * count;
      of(tap).offers[place][1] += captured * count;
    });
    kind.outcomes.forEach(([tap, name, times]) => {
      of(tap).outcomes[name] = (of(tap).outcomes[name] ?? 0) + times * count;
    });
    kind.twice.forEach(tap => { of(tap).twice += count; });
    kind.drops.forEach(([drop, times]) => drops.set(drop, (drops.get(drop) ?? 0) + times * count));
    const example = exampleOf(number, times, report);
    kinds.absences[kind.absent].forEach(one => one.taps.forEach(tap => absent(of(tap).unseen, one, count, example)));
  }
  const sum = holds => chosen.reduce((all, one) => all + (holds(one.kind) ? one.count : 0), 0);
  return {
    journeys: sum(() => true),
    incomplete: sum(kind => !kind.is_complete),
    passed: summary.passed.map((place, nth) => ({ ...place, packets: passed[nth] })).filter(place => place.packets),
    taps: Object.fromEntries(Object.entries(summary.taps) // those that are known, or were offered something
      .filter(([inode, tap]) => tap.name !== undefined || Object.keys(taps.get(inode).outcomes).length)
      .map(([inode, tap]) => [inode, tapOf(tap, taps.get(inode), passed, kinds.cells_known[inode])])),
    dropped: [...drops].map(([drop, dropped]) => ({ ...kinds.drops[drop], packets: dropped }))
      .sort((a, b) => Boolean(a.harmless) - Boolean(b.harmless) || b.packets - a.packets),
  };
}

function absent(unseen, { reason, trivial, detail }, count, example) {
  const known = unseen[reason] ??= { packets: 0, trivial: 0, example, detail: "", isTold: false };
  known.packets += count;
  if (trivial) known.trivial += count;
  else if (!known.isTold) Object.assign(known, { example, detail, isTold: true });
}

function tapOf(tap, counted, passed, isKnown) {
  const cells = tap.devices.map((place, nth) => ({ ...place, passed: passed[nth],
    offered: counted.offers[nth][0] || isKnown ? counted.offers[nth][0] : null,
    captured: counted.offers[nth][0] || isKnown ? counted.offers[nth][1] : null }));
  const unseen = Object.entries(counted.unseen).sort(([a, one], [b, other]) => other.packets - one.packets || (a < b ? -1 : 1));
  return { ...tap, devices: cells.filter(place => place.passed), outcomes: tap.watched ? counted.outcomes : null,
    unseen: Object.fromEntries(unseen), twice: tap.watched ? counted.twice : null };
}
