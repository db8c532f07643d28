// The list of queries: filtered, sorted, and written in batches, so that ten thousand of them cost nothing.

const BATCH = 100;
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const input = (id) => document.getElementById(id);
const page = read("data");
const loaded = new Map();

/** A data set, parsed when it is first looked at. */
function dataSet(place) {
  if (!loaded.has(place)) loaded.set(place, read(`data-${place}`));
  return loaded.get(place);
}

const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(3);
const written = (value) => (value === null ? "–" : value.toFixed(3));

/** All queries of a data set as rows: place of the set and of the query, scores of A and B, difference. */
function rowsOf(place, state) {
  const data = dataSet(place);
  const valuesOf = (name) => data.systems.find((system) => system.name === name)?.scores[state.measure] ?? null;
  const [valuesA, valuesB] = [valuesOf(state.a), valuesOf(state.b)];
  return data.queries.map((record, query) => {
    const of = (values) => scoreOf(data, record, state.measure, values);
    const [a, b] = [of(valuesA), of(valuesB)];
    return { place, query, record, a, b, difference: a === null || b === null ? null : a - b };
  });
}

/** Whether a row passes the text and the comparison; "beats" follows the measure's direction. */
function passes(row, state) {
  const lead = page.measures[state.measure].lower ? -row.difference : row.difference;
  if (state.show !== "all" && row.difference === null) return false;
  if (state.show === "a" && !(lead > 0)) return false;
  if (state.show === "b" && !(lead < 0)) return false;
  if (state.show === "same" && lead !== 0) return false;
  if (state.show === "differ" && lead === 0) return false;
  if (!state.text) return true;
  const record = row.record;
  record.searched ??= [record.question, record.id, ...record.answers].join("\n").toLowerCase();
  return record.searched.includes(state.text);
}

const orders = {
  down: (one, other) => other.difference - one.difference,
  up: (one, other) => one.difference - other.difference,
  size: (one, other) => Math.abs(other.difference) - Math.abs(one.difference),
};

function sorted(rows, order) {
  if (!orders[order]) return rows;
  const scored = rows.filter((row) => row.difference !== null).sort(orders[order]);
  return scored.concat(rows.filter((row) => row.difference === null));
}

function stateNow() {
  return {
    text: input("text").value.trim().toLowerCase(), set: input("set").value, measure: Number(input("measure").value),
    a: input("a").value, b: input("b").value, show: input("show").value, sort: input("sort").value,
  };
}

let state = null;
let rows = [];
let shown = 0;

function refresh() {
  state = stateNow();
  const places = state.set === "all" ? page.sets.map((_, place) => place) : [Number(state.set)];
  const all = places.flatMap((place) => rowsOf(place, state));
  rows = sorted(all.filter((row) => passes(row, state)), state.sort);
  shown = 0;
  input("rows").replaceChildren();
  input("count").textContent = summary(all.length);
  more();
}

function summary(total) {
  const lower = page.measures[state.measure].lower;
  const lead = rows.filter((row) => row.difference !== null).map((row) => (lower ? -row.difference : row.difference));
  const ahead = lead.filter((value) => value > 0).length;
  const behind = lead.filter((value) => value < 0).length;
  const number = (value) => value.toLocaleString("en");
  return `${number(rows.length)} of ${number(total)} queries: A better on ${number(ahead)}, B better on ${number(behind)}, ` +
    `equal on ${number(lead.length - ahead - behind)}` + (lead.length < rows.length ? `, ${number(rows.length - lead.length)} without both scores.` : ".");
}

/** Writes the next batch of rows. */
function more() {
  const next = rows.slice(shown, shown + BATCH);
  input("rows").append(...next.map(line));
  shown += next.length;
  const left = rows.length - shown;
  input("more").hidden = left === 0;
  input("more").textContent = `Show more (${left.toLocaleString("en")} left)`;
}

function line(row) {
  const question = element("span", "question", element("bdi", "", row.record.question || "(no question)"));
  if (state.set === "all") question.append(element("span", "from", page.sets[row.place].name));
  const numbers = [written(row.a), written(row.b), row.difference === null ? "–" : signed(row.difference)];
  const head = element("summary", "row", question, ...numbers.map((text) => element("span", "number", text)));
  const made = element("details", "query", head);
  made.addEventListener("toggle", () => {
    if (made.open && made.children.length === 1) {
      made.append(detail(dataSet(row.place), row.query, page.measures, state.a, state.measure));
      bringEvidence(made);
    }
  });
  return made;
}

function fill(id, names, chosen) {
  input(id).replaceChildren(...names.map(([name, value]) => new Option(name, value, false, value === chosen)));
}

function start() {
  const sets = page.sets.map((one, place) => [`${one.name} (${one.queries.toLocaleString("en")})`, String(place)]);
  if (sets.length > 1) sets.push(["all data sets", "all"]);
  const systems = page.systems.map((name) => [name, name]);
  fill("set", sets, "0");
  fill("measure", page.measures.map((one, place) => [one.name, String(place)]), String(page.first));
  fill("a", systems, page.systems.find((name) => name !== page.baseline) ?? page.baseline);
  fill("b", systems, page.baseline);
  let waiting = 0;
  input("filters").addEventListener("submit", (event) => event.preventDefault());
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(refresh, 120);
  };
  for (const event of ["input", "change"]) input("filters").addEventListener(event, soon);
  input("more").addEventListener("click", more);
  new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) more(); }, { rootMargin: "400px" }).observe(input("more"));
  // paper cannot be opened: all tables of differences are printed
  addEventListener("beforeprint", () => {
    for (const table of document.querySelectorAll(".set details")) table.open = true;
  });
  refresh();
}

start();
