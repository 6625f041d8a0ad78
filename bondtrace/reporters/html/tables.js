// SPDX-License-Identifier: GPL-2.0-or-later
// --- what it is a trace of, how far it can be trusted, and the tables ---

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
}

/** The figures at the top. */
function figures(counted, paths) {
  const dropped = harmless => counted.dropped.reduce((sum, one) =>
    sum + (Boolean(one.harmless) === harmless ? one.packets : 0), 0);
  const counts = [["journeys", "packets", counted.journeys], ["incomplete", "of them incomplete", counted.incomplete],
    ["taps", "taps", Object.keys(counted.taps).length], ["paths", "different paths", paths],
    ["dropped", "dropped by the kernel", dropped(false)], ["by-design", "dropped by design", dropped(true)]];
  at("counts").replaceChildren(...counts.map(([name, text, value]) => {
    const shown = make("dd", {}, number(value));
    shown.dataset.count = name;
    return make("div", { className: name === "dropped" && value ? "lost" : "" }, make("dt", {}, text), shown);
  }));
}

function taps(counted) {
  const several = new Set(counted.passed.map(place => place.netns)).size > 1;
  const all = Object.entries(counted.taps).map(([inode, tap]) => ({ inode, ...tap, dev: tap.dev ?? "unknown",
    title: `${tap.name ?? ""} [${inode}]`.trim() }));
  all.sort((a, b) => a.dev.localeCompare(b.dev) || a.title.localeCompare(b.title));
  const kinds = report.names.outcomes.filter(name => all.some(tap => tap.outcomes?.[name]));
  const twice = all.some(tap => tap.twice);
  const places = counted.passed.map(place => `${place.dev} ${place.direction}` +
    (several ? ` ${report.namespaces[place.netns]}` : ""));
  const row = tap => [make("th", { scope: "row" }, tap.title), boundTo(tap),
    ...tap.devices.map(heat), ...kinds.map(name => tap.watched ? cell(tap.outcomes[name] ?? 0) : notWatched()),
    ...(twice ? [tap.watched ? cell(tap.twice) : notWatched()] : []),
    ...(tap.watched ? [cell(sumOf(tap.unseen)), make("td", {}, mostly(tap.unseen))] : [notWatched(), make("td")])];
  const passed = [make("th", { scope: "row" }, "(packets that passed)"), make("td"),
    ...counted.passed.map(place => cell(place.packets))];
  table("table", ["tap", "bound to", ...places, ...kinds, ...(twice ? ["twice"] : []), "unseen", "mostly because"],
    [...all.map(row), passed]);
  absences(all);
  drops(counted.dropped);
}

function boundTo(tap) {
  return tap.ended ? make("td", { title: tap.ended }, `${tap.dev} (ended: ${tap.ended})`) : make("td", {}, tap.dev);
}

const sumOf = unseen => Object.values(unseen).reduce((sum, one) => sum + one.packets, 0);

/** The most telling reason; with its share where another one is more frequent (analysis/telling.py). */
function mostly(unseen) {
  const ranked = Object.entries(unseen).sort(([, a], [, b]) => (a.trivial === a.packets) - (b.trivial === b.packets));
  if (!ranked.length) return "";
  const [reason, { packets }] = ranked[0];
  return packets === Math.max(...ranked.map(([, one]) => one.packets)) ? reason
    : `${reason} (${number(packets)} of ${number(sumOf(unseen))})`;
}

/** Those that tell something; and, folded, those that are no news. */
function absences(all) {
  const each = all.flatMap(tap => Object.entries(tap.unseen).map(([reason, one]) => ({ tap, reason, ...one })));
  const head = ({ tap }, packets) => [make("th", { scope: "row" }, tap.title), cell(packets)];
  const trivial = each.filter(one => one.trivial);
  table("unseen", ["tap", "packets", "reason", "in a sentence", "for example"], each.filter(one => one.packets > one.trivial)
    .map(one => [...head(one, one.packets - one.trivial), make("td", {}, one.reason), make("td", {}, one.detail),
      make("td", {}, journeyLink(one.example))]));
  table("trivial", ["tap", "packets", "reason", "the tap is one"], trivial.map(one =>
    [...head(one, one.trivial), make("td", {}, one.reason), make("td", {}, report.names.no_news[one.reason] ?? "")]));
  at("trivial-details").hidden = !trivial.length;
  at("trivial-summary").textContent = `${many(trivial.reduce((sum, one) => sum + one.trivial, 0), "more absence")} ` +
    `of ${many(new Set(trivial.map(one => one.tap.inode)).size, "tap")}, which are no news: ` +
    [...new Set(trivial.map(one => report.names.no_news[one.reason]))].join(", ");
}

/** Those by which somebody lost a packet; and those by design. */
function drops(dropped) {
  const cells = one => [cell(one.packets), ...[one.dev, one.function, one.reason ?? "it gives none"].map(text =>
    make("td", {}, text))];
  const headings = ["packets", "on", "in", "the kernel's reason"];
  const harmless = dropped.filter(one => one.harmless);
  table("dropped", headings, dropped.filter(one => !one.harmless).map(cells));
  table("by-design", [...headings, "why nobody lost anything"], harmless.map(one =>
    [...cells(one), make("td", {}, one.harmless)]));
  at("by-design-part").hidden = !harmless.length;
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

