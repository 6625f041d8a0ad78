// SPDX-License-Identifier: GPL-2.0-or-later
// Draws the page from the two JSON objects in it. Names reach the page as text only (textContent); those that go into
// plotly, which knows a little markup, through plain().
"use strict";
(() => {
  const read = id => JSON.parse(document.getElementById(id).textContent);
  const at = id => document.getElementById(id);
  const summary = read("summary");
  const report = read("report");
  const OUTCOMES = ["captured", "filtered", "full", "ignored", "unknown"];
  const FATES = { full: "a tap had no room", captured: "captured", offered: "offered, none captured it",
    unseen: "offered to no tap", dropped: "dropped by the kernel (in addition)" };
  const STYLES = { captured: "captured", filtered: "filtered", full: "full", ignored: "ignored", ANOTHER: "ANOTHER",
    EXACT: "EXACT", PASS: "PASS", CONSUMED: "CONSUMED", protocol: "protocol handler", drop: "dropped", unknown: "unknown" };
  const FONT = 'system-ui, "DejaVu Sans", sans-serif';
  const PAGE = 100;
  const LABEL = 32;

  /** An element with properties and children; strings become text. */
  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  const number = value => String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const plain = text => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const called = stop => stop.detail ? `${stop.label}: ${stop.detail}` : stop.label;
  const shortened = text => text.length > LABEL ? `${text.slice(0, LABEL / 2 - 1)}…${text.slice(-LABEL / 2)}` : text;
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim() || "#888888";
  const seen = (hex, alpha) => `rgba(${[1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16)).join(",")},${alpha})`;

  function duration(ns) {
    if (ns < 1e3) return `${ns} ns`;
    if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} µs`;
    if (ns < 1e9) return `${(ns / 1e6).toFixed(1)} ms`;
    return `${(ns / 1e9).toFixed(2)} s`;
  }

  /** A heading row; then rows of cells. */
  function table(id, headings, rows) {
    const head = make("tr", {}, ...headings.map(text => make("th", { scope: "col" }, text)));
    if (!rows.length) {
      at(id).replaceChildren(make("caption", {}, "none"));
      return;
    }
    at(id).replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows.map(cells => make("tr", {}, ...cells))));
  }

  const cell = (value, name = "number") => make("td", { className: name }, typeof value === "number" ? number(value) : value);

  /** A button that leads to a journey, or its number where it is not in the list. */
  function journeyLink(id) {
    if (!byId.has(id)) return make("span", {}, `#${id}`);
    const button = make("button", { className: "link", type: "button" }, `#${id}`);
    button.addEventListener("click", () => openJourney(id));
    return button;
  }

  // --- what it is a trace of, and how far it can be trusted ---

  function header() {
    const trace = report.trace;
    at("name").textContent = trace.name;
    const only = trace.directions.length === 1 ? `, only ${trace.directions[0]}` : "";
    const filter = trace.filter ? `, filter ${trace.filter}` : "";
    const when = trace.first ? `; journeys began from ${trace.first} to ${trace.last}` : "";
    at("trace").textContent = `${trace.host}, Linux ${trace.kernel}${only}${filter}${when}`;
    at("trust").textContent = report.trust_line;
    if (summary.trust.does_not_see.length) FATES.unseen = "offered to no tap that was watched";
    at("trust").classList.toggle("doubt", !summary.trust.clean);
    at("notes").replaceChildren(...trace.notes.map(note => make("li", {}, note)));
    const dropped = summary.dropped.reduce((sum, one) => sum + (one.harmless ? 0 : one.packets), 0);
    const counts = [["journeys", "packets", summary.journeys], ["incomplete", "of them incomplete", summary.incomplete],
      ["taps", "taps", Object.keys(summary.taps).length], ["paths", "different paths", report.flow.paths_total],
      ["dropped", "dropped by the kernel", dropped]];
    at("counts").replaceChildren(...counts.map(([name, text, value]) => {
      const shown = make("dd", {}, number(value));
      shown.dataset.count = name;
      return make("div", {}, make("dt", {}, text), shown);
    }));
  }

  // --- paths ---

  function flow() {
    const { stops, links, columns, paths, paths_left_out: left, packets_left_out: packetsLeft } = report.flow;
    at("flow-note").textContent = left ? `The picture has the most frequent paths; ${number(left)} others, of ` +
      `${number(packetsLeft)} packets, are not in it.` : "";
    const used = Object.keys(STYLES).filter(name => stops.some(stop => stop.style === name));
    at("flow-legend").replaceChildren(...used.flatMap(name => {
      const chip = make("span", { className: "chip" });
      chip.style.background = `var(--${name})`;
      return [chip, STYLES[name]];
    }));
    table("paths", ["packets", "for example", "path"], paths.map(path => [cell(path.packets),
      make("td", {}, journeyLink(path.example)), make("td", {}, ...path.stops.flatMap((stop, place) => {
        const name = make("span", { className: "stop" }, called(stop));
        name.style.borderColor = `var(--${stop.style})`;
        return place ? [" → ", name] : [name];
      }))]));
    const more = report.flow.paths_total - paths.length;
    at("paths-note").textContent = more > 0 ? `${number(more)} less frequent paths are left out.` : "";
    if (stops.length) drawFlow(stops, links, columns);
  }

  function drawFlow(stops, links, columns) {
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
        value: links.map(link => link.packets), color: links.map(link => seen(colour(link.style), 0.38)),
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

  // --- taps and devices ---

  function taps() {
    const several = new Set(summary.passed.map(place => place.netns)).size > 1;
    const all = Object.entries(summary.taps).map(([inode, tap]) => ({ inode, ...tap, dev: tap.dev ?? "unknown",
      title: `${tap.name ?? ""} [${inode}]`.trim() }));
    all.sort((a, b) => a.dev.localeCompare(b.dev) || a.title.localeCompare(b.title));
    const kinds = OUTCOMES.filter(name => all.some(tap => tap.outcomes?.[name]));
    const twice = all.some(tap => tap.twice);
    const places = summary.passed.map(place => `${place.dev} ${place.direction}` +
      (several ? ` ${report.namespaces[place.netns]}` : ""));
    const row = tap => [make("th", { scope: "row" }, tap.title), make("td", {}, tap.dev),
      ...tap.devices.map(heat), ...kinds.map(name => tap.watched ? cell(tap.outcomes[name] ?? 0) : notWatched()),
      ...(twice ? [tap.watched ? cell(tap.twice) : notWatched()] : []),
      tap.watched ? cell(Object.values(tap.unseen).reduce((sum, one) => sum + one.packets, 0)) : notWatched()];
    const passed = [make("th", { scope: "row" }, "(packets that passed)"), make("td"),
      ...summary.passed.map(place => cell(place.packets))];
    table("table", ["tap", "bound to", ...places, ...kinds, ...(twice ? ["twice"] : []), "unseen"],
      [...all.map(row), passed]);
    table("unseen", ["tap", "packets", "reason", "in a sentence", "for example"],
      all.flatMap(tap => Object.entries(tap.unseen).map(([reason, one]) => [make("th", { scope: "row" }, tap.title),
        cell(one.packets), make("td", {}, reason), make("td", {}, one.detail), make("td", {}, journeyLink(one.example))])));
    table("dropped", ["packets", "on", "in", "the kernel's reason", "by design"], summary.dropped.map(one =>
      [cell(one.packets), ...[one.dev, one.function, one.reason ?? "it gives none", one.harmless ?? ""].map(text =>
        make("td", {}, text))]));
  }

  // Not even 0 is known of a tap whose probes are not attached.
  function notWatched() {
    return make("td", { title: "not watched in this trace" }, "?");
  }

  function heat(device) {
    if (device.offered === null) return notWatched();
    const shown = make("td", { className: "heat" }, device.offered ? `${number(device.offered)}/${number(device.captured)}` : "-");
    shown.title = `${device.dev} ${device.direction}: ${device.passed} passed, ${device.offered} offered, ${device.captured} captured`;
    shown.classList.toggle("some", device.captured < device.offered);
    if (device.offered) shown.style.setProperty("--share", 0.12 + 0.48 * Math.min(1, device.offered / device.passed));
    return shown;
  }

  // --- over time ---

  function time() {
    const { series, width_ns: width } = report.timeline;
    const devices = [...new Set(series.map(one => one.device))];
    at("time-device").replaceChildren(make("option", { value: "" }, "any device"),
      ...devices.map((device, place) => make("option", { value: String(place + 1) }, device)));
    at("time-device").addEventListener("change", drawTime);
    at("time-note").textContent = `Journeys by when they began, in bins of ${duration(width)}, and by what the taps ` +
      "made of them.";
    drawTime();
  }

  function drawTime() {
    const { series, width_ns: width, fates, extra } = report.timeline;
    const chosen = at("time-device").selectedOptions[0].value;
    const wanted = chosen ? at("time-device").selectedOptions[0].textContent : null;
    const shown = series.filter(one => wanted === null || one.device === wanted);
    if (!shown.length) return;
    const bins = shown[0].journeys.length;
    const [unit, scale] = width * bins >= 2e9 ? ["s", 1e9] : ["ms", 1e6];
    const x = [...Array(bins).keys()].map(bin => bin * width / scale);
    const sums = name => shown.filter(one => one.fate === name).reduce(
      (sum, one) => sum.map((value, bin) => value + one.journeys[bin]), new Array(bins).fill(0));
    const traces = fates.filter(name => shown.some(one => one.fate === name)).map(name => ({
      type: "bar", name: FATES[name], x, y: sums(name), width: width / scale, offset: 0,
      marker: { color: colour(name), line: { width: 0 } }, hovertemplate: "%{y} %{fullData.name}<extra></extra>" }));
    if (shown.some(one => one.fate === extra)) {
      const y = sums(extra).map(value => value || null);
      const few = y.filter(Boolean).length <= 60;
      traces.push({ type: "scatter", mode: few ? "markers" : "lines", line: { color: colour(extra), width: 2 }, name: FATES[extra], x: x.map(value => value + width / scale / 2), y,
        marker: { color: colour(extra), symbol: "x", size: 8 }, hovertemplate: "%{y} dropped by the kernel<extra></extra>" });
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

  // --- journeys ---

  const list = report.journeys.list.map(one => ({ ...one, text: [one.heading, ...one.story].join("\n").toLowerCase() }));
  const byId = new Map(list.map(one => [one.id, one]));
  let matches = list;
  let shown = 0;

  function journeys() {
    const { total } = report.journeys;
    at("journeys-note").textContent = (list.length < total
      ? `${number(list.length)} of ${number(total)} journeys are listed: one of each frequent path, those that the table ` +
        "above names, and a sample at equal distances. The figures above are of all. "
      : `All ${number(total)} journeys. `) + "Open one for its story.";
    at("search").addEventListener("input", search);
    at("more").addEventListener("click", more);
    search();
    const wanted = /^#journey-(\d+)$/.exec(location.hash);
    if (wanted && byId.has(Number(wanted[1]))) openJourney(Number(wanted[1]));
  }

  function search() {
    const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    matches = list.filter(one => words.every(word => one.text.includes(word)));
    at("found").textContent = words.length ? `${number(matches.length)} found` : "";
    at("list").replaceChildren();
    shown = 0;
    more();
  }

  function more() {
    at("list").append(...matches.slice(shown, shown + PAGE).map(item));
    shown = Math.min(matches.length, shown + PAGE);
    at("more").hidden = shown >= matches.length;
    at("more").textContent = `Show more (${number(matches.length - shown)} left)`;
  }

  function item(one) {
    const element = make("details", { id: `journey-${one.id}` }, make("summary", {}, one.heading));
    element.addEventListener("toggle", () => fill(element, one));
    return element;
  }

  function fill(element, one) {
    if (element.childElementCount === 1) element.append(...one.story.map(paragraph));
  }

  /** Branches are indented by spaces, which a browser would not show. */
  function paragraph(text) {
    const shown = make("p", {}, text.trimStart());
    shown.style.paddingLeft = `${text.length - text.trimStart().length}em`;
    return shown;
  }

  function openJourney(id) {
    at("search").value = "";
    search();
    while (!at(`journey-${id}`)) more();
    const element = at(`journey-${id}`);
    fill(element, byId.get(id));
    element.open = true;
    element.querySelector("summary").focus();
    element.scrollIntoView({ block: "start" });
    history.replaceState(null, "", `#journey-${id}`);
  }

  /** Plotly's colours are not CSS: draw again when the theme changes, but not for the printer, which would not wait. */
  function recolour() {
    if (matchMedia("print").matches) return;
    flow();
    drawTime();
  }

  header();
  taps();
  flow();
  time();
  steps();
  journeys();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  addEventListener("beforeprint", () => at("paths-details").setAttribute("open", ""));
  document.documentElement.dataset.drawn = "yes";
})();
