// SPDX-License-Identifier: GPL-2.0-or-later
// --- the selection, and all that follows from it ---

let selection = { holds: report.kinds.list.map(() => true), times: null, isAll: true, journeys: summary.journeys };

/** Select what a line of options asks for, and draw all of that; say what is wrong with the line where it is wrong. */
function select(text) {
  let criteria;
  try {
    criteria = criteriaOf(text, report);
  } catch (error) {
    at("select-error").textContent = error.message;
    return;
  }
  at("select-error").textContent = "";
  at("select").value = text.trim();
  const isAll = !text.trim();
  const found = selectedOf(criteria, report);
  const counted = isAll ? summary : countedOf(found, summary, report);
  selection = { ...found, isAll, journeys: counted.journeys };
  at("selected").replaceChildren(...(isAll ? [] : said(text.trim(), criteria, found, counted)).map(line => make("li", {}, line)));
  at("clear").hidden = isAll;
  document.body.classList.toggle("is-selection", !isAll);
  draw(counted);
  history.replaceState(null, "", isAll ? location.pathname + location.search : `#select=${encodeURIComponent(text.trim())}`);
}

function said(text, criteria, { times, rest }, counted) {
  const lines = [`selected: ${number(counted.journeys)} of ${number(summary.journeys)} journeys by ${text}`];
  const { width_ns: width, bins, edges_ns: edges } = report.timeline;
  if (times) {
    const parts = [...(times.isFrom ? [`from ${span(times.from * width)} on`] : []),
      ...(times.isTo ? [`to ${span(Math.min(times.to, bins) * width)}`] : []),
      ...(times.isLong ? [`that took ${duration(edges[times.long])} or longer`] : [])];
    lines.push(`times are counted in bins, which are not cut: these are the journeys ${parts.join(", ")}` +
      (times.isFrom || times.isTo ? " (after the first one began)" : ""));
  }
  if (rest) lines.push(`of ${many(rest, "packet")} of rare kinds the page does not know enough to select them: they are ` +
    "left out. bondtrace report FILE with the same options counts them");
  return [...lines, ...unknownNames(criteria, report)];
}

const span = ns => ns === 0 ? "the first journey" : `+${duration(ns)}`;

function draw(counted) {
  const taken = selection.isAll ? report.flow.paths : pathsOf(selection);
  figures(counted, selection.isAll ? report.flow.paths_total : taken.filter(path => path.packets).length);
  taps(counted);
  flow(taken, counted.journeys);
  drawTime();
  search();
}

/** The page's paths with the selected packets that took them. */
function pathsOf({ packets, times }) {
  const taken = report.flow.paths.map(path => ({ ...path, packets: 0, example: null }));
  report.kinds.list.forEach((kind, number) => {
    if (kind.is_rest || !packets[number]) return;
    const path = taken[kind.path];
    path.packets += packets[number];
    path.example ??= exampleOf(number, times, report);
  });
  return taken;
}

// --- the box ---

function box() {
  at("select").addEventListener("keydown", event => { if (event.key === "Enter") select(at("select").value); });
  at("apply").addEventListener("click", () => select(at("select").value));
  at("clear").addEventListener("click", () => select(""));
  at("choices").replaceChildren(...choices().map(([option, values]) => chooser(option, values)));
}

/** The options, each with the values that select something. */
function choices() {
  const { list: kinds, taps, absences, drops, devices } = report.kinds;
  const told = kinds.filter(kind => !kind.is_rest);
  const offered = new Set(told.flatMap(kind => kind.outcomes.map(([tap]) => taps[tap].inode)));
  const absent = new Set(absences.flatMap(one => one.map(({ reason }) => reason)));
  const ways = new Set(told.map(kind => kind.visited.filter((one, place, all) => one !== all[place - 1])
    .map(one => devices[one]).join(">")));
  const known = Object.entries(summary.taps).map(([inode, tap]) => [inode, `${tap.name ?? ""} [${inode}]`.trim()]);
  const { edges_ns: edges, width_ns: width, bins } = report.timeline;
  const least = report.timeline.long.reduce((a, b) => Math.min(a, b), Infinity);
  const most = report.timeline.long.reduce((a, b) => Math.max(a, b), 0);
  const spans = ["1us", "10us", "100us", "1ms", "10ms", "100ms", "1s", "10s"].filter(one => spanOf(one) > edges[least] &&
    spanOf(one) < (edges[most + 1] ?? Infinity));
  const moments = report.clock ? [...Array(9).keys()].map(one => `+${((report.clock.first_ns +
    (one + 1) * bins * width / 10) / 1e9).toFixed(6)}s`) : [];
  return [
    ["--tap", known.filter(([inode]) => offered.has(inode)).map(([, name]) => name)],
    ["--unseen", report.names.reasons.filter(name => absent.has(name))],
    ["--outcome", report.names.outcomes.filter(name => told.some(kind => kind.outcomes.some(one => one[1] === name)))],
    ["--dropped", ["", ...new Set(drops.map(one => one.reason).filter(Boolean))].filter(() => drops.length)],
    ["--dev", [...new Set(devices)]],
    ["--path", [...ways].filter(way => way.includes(">")).slice(0, 50)],
    ["--slower", spans], ["--since", moments], ["--until", moments],
  ];
}

function chooser(option, values) {
  const shown = values.slice(0, 500).map(value => make("option", { value }, value || "for any reason"));
  const select_ = make("select", { disabled: !values.length, title: option }, make("option", { value: "-" }, option), ...shown);
  select_.setAttribute("aria-label", `add ${option}`);
  select_.addEventListener("change", () => {
    const words = select_.value ? `${option} ${quoted(select_.value)}` : option;
    const others = option in TIMES ? without(at("select").value, option) : at("select").value;
    select_.selectedIndex = 0;
    select(`${others.trim()} ${words}`);
  });
  return select_;
}

/** The line without an option that can be there once. */
function without(text, option) {
  try {
    const words = splitWords(text);
    const place = words.indexOf(option);
    return place < 0 ? text : [...words.slice(0, place), ...words.slice(place + 2)].map(quoted).join(" ");
  } catch {
    return text;
  }
}

/** What the address asks for: #journey-7, or #select= and a line. */
function fromAddress() {
  const [, journey, line] = /^#(?:journey-(\d+)|select=(.*))$/.exec(location.hash) ?? [];
  let text = "";
  try {
    text = decodeURIComponent(line ?? "");
  } catch {
    text = line;
  }
  select(text);
  if (at("select-error").textContent) {
    at("select").value = text;
    draw(summary);
  }
  if (journey && byId.has(Number(journey))) openJourney(Number(journey));
}

/** Plotly's colours are not CSS: draw again when the theme changes, but not for the printer, which would not wait. */
function recolour() {
  if (matchMedia("print").matches) return;
  pictures();
}

function pictures() {
  drawFlow();
  drawTime();
}

header();
time();
steps();
journeys();
box();
fromAddress();
addEventListener("hashchange", fromAddress);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
addEventListener("beforeprint", () => document.querySelectorAll("#paths-details, #trivial-details")
  .forEach(one => one.setAttribute("open", "")));
performance.mark("tables");
// Plotly comes behind this script, and takes a while: all else is there before.
addEventListener("DOMContentLoaded", () => {
  pictures();
  document.documentElement.dataset.drawn = "yes";
});
