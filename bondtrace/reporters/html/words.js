// SPDX-License-Identifier: GPL-2.0-or-later
// --- what is typed into the box: the options of the command line ---

const CHOICES = { "--unseen": "reasons", "--outcome": "outcomes" };
const LISTS = { "--tap": "taps", "--unseen": "unseen", "--outcome": "outcomes", "--dropped": "dropped", "--dev": "devices",
  "--path": "paths" };
const TIMES = { "--slower": "slower", "--since": "since", "--until": "until" };
const UNITS_NS = { ns: 1, us: 1e3, "µs": 1e3, ms: 1e6, "": 1e9, s: 1e9, m: 60e9, h: 3600e9, d: 86400e9 };
const DAY_S = 86400;

/** The words of a line as a shell would see them. */
function splitWords(text) {
  const words = [];
  let [word, quote] = [null, ""];
  for (let place = 0; place < text.length; place++) {
    const char = text[place];
    if (quote && char === quote) quote = "";
    else if (quote !== "'" && char === "\\" && place + 1 < text.length) word = (word ?? "") + text[++place];
    else if (quote) word += char;
    else if (char === "'" || char === '"') [word, quote] = [word ?? "", char];
    else if (/\s/.test(char)) {
      if (word !== null) words.push(word);
      word = null;
    } else word = (word ?? "") + char;
  }
  if (quote) throw new Error(`a quotation mark (${quote}) is not closed`);
  return word === null ? words : [...words, word];
}

const quoted = word => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, `'"'"'`)}'`;

/** What a line asks for: lists of values, and times in ns; null for a time that is not asked for. */
function criteriaOf(text, report) {
  const found = { taps: [], unseen: [], outcomes: [], dropped: [], devices: [], paths: [],
    slower: null, since: null, until: null };
  const words = splitWords(text);
  while (words.length) {
    const [, option, attached] = /^(--?[\w-]+)(?:=([^]*))?$/.exec(words[0]) ?? [];
    if (option === "-f" || option === "--filter" || !option) throw new Error(noOption(words[0]));
    if (!(option in LISTS) && !(option in TIMES)) throw new Error(`there is no option ${option} here: there are ` +
      `${[...Object.keys(LISTS), ...Object.keys(TIMES)].join(", ")}`);
    words.shift();
    if (option === "--dropped") {
      const reason = attached ?? (/^[A-Z][A-Z0-9_]+$/.test(words[0] ?? "") ? words.shift() : "");
      found.dropped.push(reason.toUpperCase());
      continue;
    }
    if (attached === undefined && !words.length) throw new Error(`${option} needs a value`);
    add(found, option, attached ?? words.shift(), report);
  }
  return found;
}

function noOption(word) {
  return `${word} is no option. A tcpdump filter cannot run in this page, which has no packets: ` +
    "bondtrace report FILE FILTER makes a page of those that it matches";
}

function add(found, option, value, report) {
  const choices = CHOICES[option] && report.names[CHOICES[option]];
  if (choices && !choices.includes(value)) throw new Error(`${option} ${value}: there is ${choices.join(", ")}`);
  if (option === "--path") {
    const devices = value.split(/[>→]/).map(name => name.trim());
    if (!devices.every(Boolean)) throw new Error(`${value} is no path: name devices in their order, as in 'eth0>bond0'`);
    found.paths.push(devices);
  } else if (option === "--slower") found.slower = spanOf(value);
  else if (option in TIMES) found[TIMES[option]] = momentOf(value, report.clock);
  else found[LISTS[option]].push(value);
}

function spanOf(value) {
  const [, digits, unit] = /^(\d{1,12}(?:\.\d{1,9})?)(ns|us|µs|ms|s|m|h|d)?$/.exec(value) ?? [];
  if (!digits) throw new Error(`${value} is no length of time: give one as 50us, 1ms, 1.5s or 10m`);
  return Math.round(Number(digits) * UNITS_NS[unit ?? ""]);
}

/** A moment in ns after the first journey began. Seconds since 1970 and the rest are kept apart: both together are too
    long for a number here. */
function momentOf(value, clock) {
  if (!clock) throw new Error("this recording does not hold the start of its trace, so times are not known");
  if (value.startsWith("+")) return spanOf(value.slice(1)) - clock.first_ns;
  const [, date, hours, minutes, seconds, fraction, zone] = new RegExp("^(?:(\\d{4}-\\d\\d-\\d\\d)(?:[T ]|$))?" +
    "(?:(\\d\\d?):(\\d\\d)(?::(\\d\\d)(?:[.,](\\d{1,9}))?)?(Z|[+-]\\d\\d:?\\d\\d)?)?$").exec(value) ?? [];
  if (!date && !hours || zone && !date || hours > 23 || minutes > 59 || seconds > 59)
    throw new Error(`${value} is no time: give one as 12:30, 12:30:05.25, 2026-11-27T12:30 or +90s (after the begin)`);
  const ahead = zone ? zoneOf(zone) : clock.ahead_s;
  if (ahead === null) throw new Error(`the clocks changed during this trace: give ${value} with a date and a zone, or ` +
    "as +90s");
  const day = date ? Date.parse(`${date}T00:00:00Z`) / 1e3 : Math.floor((clock.begin_s + ahead) / DAY_S) * DAY_S;
  if (Number.isNaN(day)) throw new Error(`${value} is no time: there is no such day`);
  const since = day + Number(hours ?? 0) * 3600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0) - ahead - clock.begin_s;
  return since * 1e9 + Number((fraction ?? "").padEnd(9, "0")) - clock.begin_rest_ns - clock.first_ns;
}

function zoneOf(zone) {
  if (zone === "Z") return 0;
  return (zone[0] === "-" ? -1 : 1) * (Number(zone.slice(1, 3)) * 3600 + Number(zone.slice(-2)) * 60);
}
