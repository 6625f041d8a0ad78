// SPDX-License-Identifier: GPL-2.0-or-later
// --- journeys ---

const PAGE = 100;
const list = report.journeys.list.map(one => ({ ...one, passes: report.journeys.ways[one.way],
  trivial: report.journeys.absences[one.trivial] }));
const textOf = one => one.text ??= [one.heading, ...one.story, ...one.trivial].join("\n").toLowerCase();
const byId = new Map(list.map(one => [one.id, one]));
let matches = list;
let shown = 0;

/** A button that leads to a journey, or its number where it is not in the list; null for none. */
function journeyLink(id) {
  if (id === null) return "";
  if (!byId.has(id)) return make("span", {}, `#${id}`);
  const button = make("button", { className: "link", type: "button" }, `#${id}`);
  button.addEventListener("click", () => openJourney(id));
  return button;
}

function journeys() {
  at("search").addEventListener("input", search);
  at("more").addEventListener("click", more);
}

/** List the journeys that are selected and have the words that are searched. */
function search() {
  const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const selected = list.filter(one => selection.holds[one.kind] && inTimes(one, selection.times, report.timeline));
  matches = selected.filter(one => words.every(word => textOf(one).includes(word)));
  at("found").textContent = words.length ? `${number(matches.length)} found` : "";
  const { total } = report.journeys;
  at("journeys-note").textContent = (selection.isAll
    ? list.length < total
      ? `${number(list.length)} of ${number(total)} journeys are listed: one of each frequent path, those that the table ` +
        "above names, and a sample at equal distances. The figures above are of all. "
      : `All ${number(total)} journeys. `
    : `${number(selected.length)} of the ${many(selection.journeys, "selected journey")} ` +
      `${selected.length === 1 ? "is" : "are"} listed. `) + "Open one for its way and its story.";
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
  if (element.childElementCount > 1) return;
  if (one.passes.length) element.append(lanes(one.passes));
  element.append(...one.story.map(paragraph));
  if (one.trivial.length) element.append(make("details", { className: "no-news" },
    make("summary", {}, `${one.no_news}.`), ...one.trivial.map(paragraph)));
}

/** Branches are indented by spaces, which a browser would not show: by a bar for each. */
function paragraph(text) {
  const depth = (text.length - text.trimStart().length) / 2;
  const shown = make("p", {}, text.trimStart());
  shown.style.setProperty("--depth", depth);
  shown.classList.toggle("branch", depth > 0);
  return shown;
}

/** Show a journey; one that is not selected ends the selection. */
function openJourney(id) {
  const one = byId.get(id);
  at("search").value = "";
  if (!selection.holds[one.kind] || !inTimes(one, selection.times, report.timeline)) select("");
  else search();
  while (!at(`journey-${id}`)) more();
  const element = at(`journey-${id}`);
  fill(element, one);
  element.open = true;
  element.querySelector("summary").focus();
  element.scrollIntoView({ block: "start" });
  history.replaceState(null, "", `#journey-${id}`);
}

