"use strict";
// Draws what /events sends and /timeline answers. No library, nothing from elsewhere.

const NO_SPEECH = "no speech";
const UNSURE = "unsure";
const STALE_MS = 5000; // without a decision for so long, the page says so
const SPEAK_AFTER_MS = 3000; // a label must hold for so long to be read out,
const SPEAK_EVERY_MS = 10000; // and so long must have passed since the last one
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(share * 100)} %`;

let lastDecision = 0;
let labels = [];

function make(name, attributes = {}, text = "") {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

// --- now ---

function buildBars(names) {
  labels = names;
  byId("emotions").replaceChildren(...names.map((name) => {
    const row = make("li", { "data-label": name });
    const bar = make("span", {
      class: "bar", role: "meter", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": 100,
    });
    bar.append(make("span"));
    row.append(make("span", { class: "name" }, name), bar, make("span", { class: "value" }));
    return row;
  }));
}

function setBar(bar, share, now, text) {
  bar.firstElementChild.style.setProperty("--share", Math.min(Math.max(share, 0), 1).toFixed(4));
  bar.setAttribute("aria-valuenow", now);
  bar.setAttribute("aria-valuetext", text);
}

function setText(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function likeliest(probabilities) {
  return Object.entries(probabilities).reduce((a, b) => (b[1] > a[1] ? b : a))[0];
}

function showDecision(decision) {
  lastDecision = Date.now();
  byId("now").classList.remove("stale");
  const names = Object.keys(decision.probabilities);
  if (names.join() !== labels.join()) buildBars(names);
  const speaks = decision.label !== NO_SPEECH;
  const most = speaks ? likeliest(decision.probabilities) : null;
  for (const row of byId("emotions").children) {
    const share = decision.probabilities[row.dataset.label];
    row.classList.toggle("most", row.dataset.label === most);
    row.lastElementChild.textContent = speaks ? percent(share) : "–";
    setBar(row.children[1], share, Math.round(share * 100), percent(share));
  }
  setText("label", decision.label);
  byId("label").dataset.label = decision.label;
  const sure = percent(decision.confidence);
  setText("confidence", !speaks ? "" : decision.label === UNSURE ? `${most}? ${sure}` : sure);
  const level = `${Math.round(decision.level_dbfs)} dBFS`;
  setBar(byId("level"), 1 + decision.level_dbfs / 80, Math.round(decision.level_dbfs), level);
  setText("level-value", level);
  setText("latency", `${decision.latency_ms.toFixed(1)} ms`);
  setText("heard", duration(decision.time_s));
  setText("overflows", decision.overflows ? `${decision.overflows} times` : "none");
  setText("model", decision.model);
  speak(decision.label);
}

// What a screen reader says: labels that hold, now and then.
const spoken = { label: "", since: 0, said: "", at: 0 };
function speak(label) {
  const now = Date.now();
  if (label !== spoken.label) Object.assign(spoken, { label, since: now });
  const holds = now - spoken.since >= SPEAK_AFTER_MS;
  if (holds && label !== spoken.said && now - spoken.at >= SPEAK_EVERY_MS) {
    Object.assign(spoken, { said: label, at: now });
    setText("said", label === NO_SPEECH ? "no speech" : `sounds ${label}`);
  }
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function showTrouble(text) {
  const trouble = byId("trouble");
  trouble.hidden = !text;
  trouble.textContent = text;
}

function showBoard(board) {
  const warm = board.temperature_c === null ? "unknown" : `${Math.round(board.temperature_c)} °C`;
  const now = (board.throttling || []).filter((one) => one.endsWith("now"));
  setText("temperature", [warm, ...now].join(", "));
}

function setConnection(live, text) {
  byId("connection").classList.toggle("live", live);
  setText("connection", text);
}

function listen() {
  const events = new EventSource("events");
  const on = (name, act) =>
    events.addEventListener(name, (event) => act(JSON.parse(event.data)));
  events.onopen = () => setConnection(true, "connected");
  events.onerror = () => {
    setConnection(false, "no connection, trying again");
    byId("now").classList.add("stale");
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
  on("decision", showDecision);
  on("trouble", (trouble) => showTrouble(trouble.text));
  on("board", showBoard);
}

setInterval(() => {
  const stale = lastDecision && Date.now() - lastDecision > STALE_MS;
  byId("now").classList.toggle("stale", Boolean(stale));
}, 1000);

// --- timeline ---

let timer = 0;

async function loadTimeline() {
  clearTimeout(timer);
  const hours = document.querySelector("[name=hours]:checked").value;
  try {
    const answer = await fetch(`timeline?hours=${hours}`);
    if (answer.ok) drawTimeline(await answer.json(), Number(hours));
  } finally {
    timer = setTimeout(loadTimeline, 30000);
  }
}

function drawTimeline(timeline, hours) {
  const chart = byId("chart");
  chart.setAttribute("viewBox", `0 0 ${timeline.counts.length} 100`);
  chart.replaceChildren(...timeline.counts.map((counts, index) => column(timeline, counts, index)));
  chart.setAttribute("aria-label", `The last ${hours} h: ${summary(timeline)}`);
  drawTicks(timeline);
  drawNumbers(timeline);
}

function column(timeline, counts, index) {
  const group = document.createElementNS(SVG, "g");
  group.setAttribute("aria-hidden", "true"); // 120 of them: the chart's label sums up
  const all = Object.values(counts).reduce((a, b) => a + b, 0);
  if (!all) return group;
  const title = document.createElementNS(SVG, "title");
  const parts = Object.entries(counts).map(([label, count]) => `${label} ${percent(count / all)}`);
  title.textContent = `${clock(timeline.start_ms + index * timeline.slice_ms)}: ${parts.join(", ")}`;
  group.append(title, rectangle(index, 99, 1, "heard"));
  let foot = 98;
  for (const label of new Set([...labels, ...Object.keys(counts)])) {
    if (label === NO_SPEECH || !counts[label]) continue;
    const height = (98 * counts[label]) / all;
    foot -= height;
    const part = rectangle(index, foot, height, "");
    part.dataset.label = label;
    group.append(part);
  }
  return group;
}

function rectangle(x, y, height, kind) {
  const one = document.createElementNS(SVG, "rect");
  const size = { x: x + (kind ? 0 : 0.08), y, width: kind ? 1 : 0.84, height, class: kind };
  for (const [key, value] of Object.entries(size)) one.setAttribute(key, value);
  return one;
}

const clock = (ms) =>
  new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

function drawTicks(timeline) {
  const length = timeline.slice_ms * timeline.counts.length;
  const ticks = [0, 1, 2, 3].map((part) => clock(timeline.start_ms + (length * part) / 4));
  byId("ticks").replaceChildren(...[...ticks, "now"].map((text) => make("span", {}, text)));
}

function totals(timeline) {
  const sum = {};
  for (const counts of timeline.counts)
    for (const [label, count] of Object.entries(counts)) sum[label] = (sum[label] || 0) + count;
  return sum;
}

function speechOf(sum) {
  return Object.entries(sum).filter(([label]) => label !== NO_SPEECH).sort((a, b) => b[1] - a[1]);
}

function summary(timeline) {
  const speech = speechOf(totals(timeline));
  const all = speech.reduce((a, [, count]) => a + count, 0);
  if (!all) return "no speech";
  return `of all speech ${speech.map(([label, n]) => `${label} ${percent(n / all)}`).join(", ")}`;
}

function drawNumbers(timeline) {
  const speech = speechOf(totals(timeline));
  const all = speech.reduce((a, [, count]) => a + count, 0);
  const rows = speech.map(([label, count]) => {
    const row = make("tr", { "data-label": label });
    row.append(
      make("th", { scope: "row" }, label),
      make("td", {}, duration(count * timeline.decision_s)),
      make("td", {}, percent(count / all)),
    );
    return row;
  });
  if (!rows.length) {
    rows.push(make("tr"));
    rows[0].append(make("td", { colspan: 3 }, "no speech"));
  }
  byId("numbers").replaceChildren(...rows);
}

for (const choice of document.querySelectorAll("[name=hours]"))
  choice.addEventListener("change", loadTimeline);
listen();
setTimeout(loadTimeline, 800); // the first decision names the labels
