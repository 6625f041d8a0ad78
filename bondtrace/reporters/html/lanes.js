// SPDX-License-Identifier: GPL-2.0-or-later
// --- the passes of a journey: a row for each, a lane for each branch, and what was rewritten before it ---

const LANE_COLOURS = ["ANOTHER", "EXACT", "CONSUMED", "PASS", "captured"];
const LANES = 8; // further ones share the last

function lanes(passes) {
  const laneOf = passes.map(one => Math.min(one.lane, LANES - 1));
  const rows = passes.map((one, row) => ({ one, row, lane: laneOf[row],
    from: one.follows !== null && one.follows < row ? laneOf[one.follows] : null }));
  const spans = [...new Set(laneOf)].map(lane => ({ lane, first: laneOf.indexOf(lane),
    last: Math.max(...rows.filter(row => row.lane === lane || row.from === lane).map(({ row }) => row)) }));
  const drawn = make("ol", { className: "lanes" });
  drawn.style.setProperty("--lanes", 1 + Math.max(...laneOf));
  drawn.append(...rows.map(row => make("li", { className: "pass" }, gutter(row, spans), passOf(row.one))));
  return drawn;
}

/** The lines that run through a row, the one that leads to its dot, and the dot. */
function gutter({ row, lane, from }, spans) {
  const lines = spans.filter(span => span.first <= row && row <= span.last && span.first < span.last).map(span => {
    const line = mark("line", span.lane);
    line.classList.toggle("begins", span.first === row);
    line.classList.toggle("ends", span.last === row);
    return line;
  });
  const bridges = from === null || from === lane ? [] : [mark("bridge", Math.min(from, lane))];
  bridges.forEach(bridge => {
    bridge.style.setProperty("--wide", Math.abs(from - lane));
    bridge.style.setProperty("--colour", laneColour(lane));
  });
  return make("span", { className: "gutter" }, ...lines, ...bridges, mark("dot", lane));
}

const laneColour = lane => `var(--${LANE_COLOURS[lane % LANE_COLOURS.length]})`;

function mark(name, lane) {
  const element = make("span", { className: name });
  element.style.setProperty("--lane", lane);
  element.style.setProperty("--colour", laneColour(lane));
  return element;
}

function passOf(one) {
  const where = one.where ? ` ${one.where}` : "";
  const branch = one.is_branch ? "branch: " : "";
  const sure = one.is_inferred ? " (inferred)" : "";
  const onward = one.devices.length > 1 ? [make("span", { className: "onward" }, one.devices.join(" → "))] : [];
  const taps = one.taps.map(([outcome, count]) => chip(outcome, `${outcome} by ${many(count, "tap")}`));
  const ends = one.ends.map(({ style, text }) => chip(style, text));
  const changed = one.changed.map(phrase => make("span", { className: "rewritten" }, phrase));
  return make("div", { className: "what" }, make("b", {}, `${branch}${one.way}${where}${sure}`), " ", ...onward, ...taps,
    ...ends, ...(changed.length ? [make("div", {}, "rewritten: ", ...changed)] : []));
}

function chip(style, text) {
  const shown = make("span", { className: "tag" }, text);
  shown.style.borderColor = `var(--${style})`;
  return shown;
}
