// SPDX-License-Identifier: GPL-2.0-or-later
// The parts of the page's script are one function (reporters/html/__init__.py). Names reach the page as text only
// (textContent); those that go into plotly, which knows a little markup, through plain().
"use strict";
const read = id => JSON.parse(document.getElementById(id).textContent);
const at = id => document.getElementById(id);
const summary = read("summary");
const report = read("report");
const FATES = { full: "a tap had no room", captured: "captured", offered: "offered, none captured it",
  unseen: "offered to no tap", dropped: "dropped by the kernel (in addition)" };
const STYLES = { captured: "captured", filtered: "filtered", full: "full", ignored: "ignored", ANOTHER: "ANOTHER",
  EXACT: "EXACT", PASS: "PASS", CONSUMED: "CONSUMED", protocol: "protocol handler", drop: "dropped",
  "by-design": "dropped by design", unknown: "unknown" };
const FONT = 'system-ui, "DejaVu Sans", sans-serif';
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


const many = (count, one, more = `${one}s`) => `${number(count)} ${count === 1 ? one : more}`;
