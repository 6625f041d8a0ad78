// SPDX-License-Identifier: GPL-2.0-or-later
// --- paths ---

const PICTURED = 40;
let pictured = { links: [], columns: [] };

/** The paths that so many journeys took, the most frequent first. */
function flow(paths, journeys) {
  const { stops, listed } = report.flow;
  const taken = paths.filter(path => path.packets).sort((a, b) => b.packets - a.packets);
  pictured = pictureOf(taken.slice(0, PICTURED), stops.length);
  const drawn = taken.slice(0, PICTURED).reduce((sum, path) => sum + path.packets, 0);
  at("flow-note").textContent = drawn < journeys ? "The picture has the most frequent paths; " +
    `${many(journeys - drawn, "packet")} took others.` : "";
  const used = Object.keys(STYLES).filter(name => stops.some((stop, place) => stop.style === name &&
    pictured.columns[place] !== undefined));
  at("flow-legend").replaceChildren(...used.flatMap(name => {
    const chip = make("span", { className: "chip" });
    chip.style.background = `var(--${name})`;
    return [chip, STYLES[name]];
  }));
  table("paths", ["packets", "for example", "path"], taken.slice(0, listed).map(path => [cell(path.packets),
    make("td", {}, journeyLink(path.example)), make("td", {}, ...path.stops.flatMap((stop, place) => {
      const name = make("span", { className: "stop" }, called(stops[stop]));
      name.style.borderColor = `var(--${stops[stop].style})`;
      return place ? [" → ", name] : [name];
    }))]));
  const left = journeys - taken.slice(0, listed).reduce((sum, path) => sum + path.packets, 0);
  at("paths-note").textContent = left ? `Less frequent paths, of ${many(left, "packet")}, are left out.` : "";
  at("flow-scroll").hidden = !taken.length;
  drawFlow();
}

/** The links of some paths; and for every stop on them the largest number of links before it. */
function pictureOf(paths, count) {
  const links = new Map();
  const columns = new Array(count);
  paths.forEach(({ stops, packets }) => stops.forEach((target, place) => {
    columns[target] ??= 0;
    if (!place) return;
    const key = `${stops[place - 1]} ${target}`;
    if (!links.has(key)) links.set(key, { source: stops[place - 1], target, packets: 0 });
    links.get(key).packets += packets;
  }));
  const all = [...links.values()];
  for (let moved = true; moved;) {
    const behind = all.filter(({ source, target }) => columns[target] <= columns[source]);
    behind.forEach(({ source, target }) => { columns[target] = Math.max(columns[target], columns[source] + 1); });
    moved = behind.length > 0;
  }
  return { links: all, columns };
}

/** The colour of a link is that of what it leads to, or of the verdict that it comes from. */
function linkStyle(source, target) {
  return target.style === "plain" && source.verdict ? source.style : target.style;
}

function drawFlow() {
  const places = report.flow.stops.map((_, place) => place).filter(place => pictured.columns[place] !== undefined);
  if (!places.length || !window.Plotly) return;
  const stops = places.map(place => ({ ...report.flow.stops[place], column: pictured.columns[place] }));
  const columns = 1 + Math.max(...stops.map(stop => stop.column));
  const links = pictured.links.map(link => ({ ...link, source: places.indexOf(link.source),
    target: places.indexOf(link.target) }));
  const through = stops.map((_, place) => Math.max(
    links.filter(link => link.target === place).reduce((sum, link) => sum + link.packets, 0),
    links.filter(link => link.source === place).reduce((sum, link) => sum + link.packets, 0)));
  const labels = stops.map((stop, place) => [`${stop.label}${stop.again ? " (again)" : ""}`,
    `${stop.detail} (${number(through[place])})`.trim()].map(shortened));
  const inner = labels.filter((_, place) => links.some(link => link.source === place)).flat();
  const longest = Math.max(...inner.map(text => text.length));
  const outer = labels.filter((_, place) => stops[place].column === columns - 1).flat();
  const right = Math.max(...outer.map(text => text.length)) * 6.8 + 12;
  const width = Math.max(at("flow-chart").parentElement.clientWidth, (columns - 1) * (longest * 6.8 + 24) + right);
  const tallest = Math.max(...stops.map(stop => stops.filter(other => other.column === stop.column).length));
  at("flow-chart").style.setProperty("--print-zoom", Math.min(1, 1000 / width));
  Plotly.react("flow-chart", [{
    type: "sankey", arrangement: "fixed", valueformat: ",d",
    node: { label: labels.map(parts => parts.map(plain).join("<br>")), align: "left", pad: 34,
      customdata: stops.map((stop, place) => plain(`${called(stop)}: ${number(through[place])} packets`)), thickness: 12,
      color: stops.map(stop => colour(stop.style)), line: { width: 0 }, hovertemplate: "%{customdata}<extra></extra>" },
    link: { source: links.map(link => link.source), target: links.map(link => link.target),
      value: links.map(link => link.packets), color: links.map(link => seen(colour(linkStyle(stops[link.source], stops[link.target])), 0.38)),
      customdata: links.map(link => plain(`${called(stops[link.source])} → ${called(stops[link.target])}: ` +
        `${number(link.packets)} packets`)),
      hovertemplate: "%{customdata}<extra></extra>" },
  }], { width, height: Math.max(300, 54 * tallest + 60), margin: { l: 10, r: right, t: 14, b: 14 },
    font: { size: 12, family: FONT }, paper_bgcolor: "rgba(0,0,0,0)" }, { displayModeBar: false }).then(() => {
    // plotly puts the labels of the last column on the links that lead there
    document.querySelectorAll("#flow-chart text.node-label[text-anchor=end]").forEach(text => {
      text.setAttribute("text-anchor", "start");
      text.style.textAnchor = "start";
      text.setAttribute("transform", text.getAttribute("transform").replace(/\(\s*-[\d.]+/, "(15"));
    });
  });
}

// --- over time ---

const NO_DEVICE = "any device";

function time() {
  const choices = report.kinds.begun.map((device, place) => make("option", { value: String(place) }, device));
  at("time-device").replaceChildren(make("option", { value: "" }, NO_DEVICE), ...choices);
  at("time-device").addEventListener("change", drawTime);
}

/** Journeys by bin of time, for what became of them: those that are selected, and began on the chosen device. */
function timeSeries() {
  const { bins, kind: kinds, when, long, journeys } = report.timeline;
  const { holds, times } = selection;
  const chosen = at("time-device").value;
  const series = new Map();
  const row = name => series.get(name) ?? series.set(name, new Array(bins).fill(0)).get(name);
  kinds.forEach((number, cell) => {
    const kind = report.kinds.list[number];
    if (!holds[number] || (chosen && kind.began !== Number(chosen))) return;
    if (times && (when[cell] < times.from || when[cell] >= times.to || long[cell] < times.long)) return;
    row(report.kinds.fates[kind.fate])[when[cell]] += journeys[cell];
    if (kind.is_lost) row("dropped")[when[cell]] += journeys[cell];
  });
  return series;
}

function drawTime() {
  const { width_ns: width, bins } = report.timeline;
  at("time-note").textContent = `Journeys by when they began, in bins of ${duration(width)}, and by what the taps ` +
    "made of them.";
  const series = timeSeries();
  at("time-chart").hidden = !series.size;
  if (!series.size || !window.Plotly) return;
  const [unit, scale] = width * bins >= 2e9 ? ["s", 1e9] : ["ms", 1e6];
  const x = [...Array(bins).keys()].map(bin => bin * width / scale);
  const traces = report.kinds.fates.filter(name => series.has(name)).map(name => ({
    type: "bar", name: FATES[name], x, y: series.get(name), width: width / scale, offset: 0,
    marker: { color: colour(name), line: { width: 0 } }, hovertemplate: "%{y} %{fullData.name}<extra></extra>" }));
  if (series.has("dropped")) {
    const y = series.get("dropped").map(value => value || null);
    const few = y.filter(Boolean).length <= 60;
    traces.push({ type: "scatter", mode: few ? "markers" : "lines", line: { color: colour("dropped"), width: 2 },
      name: FATES.dropped, x: x.map(value => value + width / scale / 2), y,
      marker: { color: colour("dropped"), symbol: "x", size: 8 }, hovertemplate: "%{y} dropped by the kernel<extra></extra>" });
  }
  Plotly.react("time-chart", traces, { barmode: "stack", height: 320, margin: { l: 60, r: 15, t: 10, b: 50 },
    font: { family: FONT }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: true,
    legend: { orientation: "h", y: 1.15 }, hovermode: "x unified",
    xaxis: { title: { text: `${unit} since the first journey began` }, range: [0, bins * width / scale], zeroline: false },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: "#8a95a1", activecolor: "#2f6fd0" },
    yaxis: { title: { text: "journeys" }, rangemode: "tozero", tickformat: ",d" } },
  { displaylogo: false, responsive: true, modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]] });
}

// --- time to each step ---

function steps() {
  const { edges_ns: edges, steps: rows, left_out: left } = report.latencies;
  at("steps-note").textContent = left ? `${number(left)} less frequent kinds of steps are left out.` : "";
  if (!rows.length) return;
  const first = Math.min(...rows.map(row => row.first_bin));
  const last = Math.max(...rows.map(row => row.first_bin + row.bins.length));
  const edge = bin => bin <= 0 ? 0 : edges[Math.min(bin, edges.length) - 1];
  at("steps-axis").textContent = `${duration(edge(first))} to ${duration(edge(last))}`;
  table("latencies", ["on", "step", "function", "steps", "least", "median", "mean", "99 %", "most", "how many took how long"],
    rows.map(row => [make("td", {}, row.device), make("td", {}, row.kind), make("td", {}, row.function),
      cell(row.count, "number steps"),
      ...[row.least_ns, row.median_ns, row.mean_ns, row.p99_ns, row.most_ns].map(value => cell(duration(value))),
      make("td", {}, bars(row, first, last, edge))]));
}

function bars(row, first, last, edge) {
  const [wide, high, name] = [Math.max(3, Math.min(14, 420 / (last - first))), 34, "http://www.w3.org/2000/svg"];
  const draw = (tag, values) => {
    const element = document.createElementNS(name, tag);
    Object.entries(values).forEach(([key, value]) => element.setAttribute(key, value));
    return element;
  };
  const svg = draw("svg", { class: "bars", width: (last - first) * wide, height: high, role: "img",
    "aria-label": `${row.count} steps from ${duration(row.least_ns)} to ${duration(row.most_ns)}` });
  svg.append(draw("line", { x1: 0, x2: (last - first) * wide, y1: high - 0.5, y2: high - 0.5 }));
  const most = Math.max(...row.bins);
  row.bins.forEach((count, place) => {
    if (!count) return;
    const bin = row.first_bin + place;
    const height = Math.max(2, (high - 2) * count / most);
    const bar = draw("rect", { x: (bin - first) * wide, y: high - 1 - height, width: wide - 1, height });
    const title = draw("title", {});
    title.textContent = `${number(count)} from ${duration(edge(bin))} to ${duration(edge(bin + 1))}`;
    bar.append(title);
    svg.append(bar);
  });
  return svg;
}

