// One query opened: the documents around its evidence, as one system cut and retrieved them. Texts come from anywhere:
// they are only ever set as text, never as HTML.

const AROUND = 500;
const AROUND_HIT = 60;
const NEAR = 120;
const SNIPPET = 400;

/** An element with a class, a text or children; nothing is parsed. */
function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** The score of a query on a measure among the values of a system, null where the query does not count for it. */
function scoreOf(data, record, measure, values) {
  const place = record.counted[data.groups[measure]];
  return values && place >= 0 ? values[place] : null;
}

/** The hits of a query: rank, document, span, tokens, score, and whether the measure's cut-off lets them count. */
function hitsOf(system, query, cut) {
  const hits = [];
  let tokens = 0;
  let characters = 0;
  for (const [place, span] of system.hits[query].entries()) {
    const [doc, start, end, size] = system.spans.slice(4 * span, 4 * span + 4);
    const rank = place + 1;
    tokens += size;
    characters += end - start;
    const spent = !cut ? 0 : cut.kind === "k" ? rank : cut.kind === "tokens" ? tokens : cut.kind === "chars" ? characters : 0;
    const counts = !cut || cut.size === null || spent <= cut.size;
    hits.push({ rank, doc, start, end, size, counts, score: system.hitScores[query][rank - 1] });
  }
  return hits;
}

/** What opens under a question. */
function detail(data, query, measures, chosen, measure) {
  const record = data.queries[query];
  const box = element("div", "detail");
  box.append(
    element("p", "", `Query ${record.id}` + (record.counted.every((place) => place < 0) ? ": left out of the means" : "")),
    element("p", "", record.answers.length ? "Gold answers: " + record.answers.join(" · ") : "No gold answer given"),
    scoresTable(data, record, measures),
  );
  const select = element("select", "", ...data.systems.map((system, place) => new Option(system.name, String(place))));
  select.value = String(Math.max(0, data.systems.findIndex((system) => system.name === chosen)));
  const view = element("div", "view");
  const show = () => view.replaceChildren(...retrieval(data, query, data.systems[Number(select.value)], measures[measure]));
  select.addEventListener("change", () => {
    show();
    bringEvidence(box);
  });
  show();
  box.append(element("label", "pick", "Chunks and hits of", select), view);
  return box;
}

/** Scrolls every excerpt in an opened query to its first evidence, which may lie below other hits. */
function bringEvidence(box) {
  for (const text of box.querySelectorAll(".excerpt")) {
    const first = text.querySelector(".evidence");
    if (first) text.scrollTop = Math.max(0, first.offsetTop - text.clientHeight / 4);
  }
}

/** All systems on all measures, for one query. */
function scoresTable(data, record, measures) {
  if (record.counted.every((place) => place < 0)) return null;
  const head = element("tr", "", element("th", "", "System"), ...measures.map((one) => element("th", "number", one.name)));
  const rows = data.systems.map((system) =>
    element("tr", "", element("th", "", element("bdi", "", system.name)), ...system.scores.map((values, measure) => {
      const score = scoreOf(data, record, measure, values);
      return element("td", "number", score === null ? "–" : score.toFixed(3));
    })));
  const table = element("table", "scores", element("thead", "", head), element("tbody", "", ...rows));
  const scroll = element("div", "scroll", table);
  scroll.tabIndex = 0;
  return element("details", "", element("summary", "", "Scores of all systems"), scroll);
}

function retrieval(data, query, system, measure) {
  const record = data.queries[query];
  const hits = hitsOf(system, query, measure.cut);
  const shown = [legend(measure)];
  if (system.answers && system.answers[query]) shown.unshift(answerOf(data, record, system, system.answers[query]));
  for (const doc of new Set(record.evidence.map(([place]) => place))) {
    const source = data.documents[doc];
    shown.push(element("h4", "", "Evidence in ", element("bdi", "", source.id)), excerpt(data, doc, record, system, hits));
  }
  if (record.evidence.length) shown.splice(1, 0, element("p", "coverage", coverage(record, hits, system.found[query])));
  else shown.push(element("p", "note", "This query has no evidence."));
  shown.push(element("h4", "", `Hits of ${system.name}: ${hits.length} of ${system.found[query]}`), hitsTable(data, record, system, hits));
  return shown;
}

/** The answer of a system with the spans that it cites, and what is to be known about it. */
function answerOf(data, record, system, answer) {
  const box = element("div", "answer");
  const said = answer.text ?? (answer.failure ? "The model was not asked: " + answer.failure : "No source was found; the model was not asked.");
  const text = element("p", answer.text === null ? "note" : "said", said);
  text.dir = "auto";
  box.append(element("h4", "", "Answer of ", element("bdi", "", system.name), system.model ? ` (${system.model})` : ""), text);
  const overlaps = ([doc, start, end]) => record.evidence.some(([place, from, to]) => place === doc && from < end && start < to);
  const cited = answer.citations.map((span) => element("li", overlaps(span) ? "right" : "",
    element("bdi", "from", data.documents[span[0]].id), " ", snippet(data.documents[span[0]], { start: span[1], end: span[2] }),
    overlaps(span) ? element("span", "tag", "evidence") : null));
  if (cited.length) box.append(element("ol", "citations", ...cited));
  if (answer.unsupported.length) box.append(element("p", "note", "Not supported by a source: " + answer.unsupported.join(" ")));
  for (const reason of answer.unjudged) box.append(element("p", "note", "Not judged: " + reason));
  return box;
}

/** In words what the colours show: how much of the evidence lies within hits that count. */
function coverage(record, hits, total) {
  const counted = hits.filter((hit) => hit.counts);
  let all = 0;
  let found = 0;
  for (const doc of new Set(record.evidence.map(([place]) => place))) {
    const spans = counted.filter((hit) => hit.doc === doc).map((hit) => [hit.start, hit.end]);
    for (const [start, end] of united(record.evidence.filter(([place]) => place === doc).map((one) => one.slice(1)), 0)) {
      all += end - start;
      for (const [from, to] of runs(start, end, spans)) if (spans.some((span) => covers(span, from, to))) found += to - from;
    }
  }
  const partial = counted.length === hits.length && hits.length < total ? ` among the first ${hits.length} of ${total} hits` : "";
  const number = (value) => value.toLocaleString("en");
  return `${number(found)} of ${number(all)} characters of evidence retrieved${partial}, ` +
    `with ${number(counted.length)} hits of ${number(counted.reduce((sum, hit) => sum + hit.size, 0))} tokens before the cut-off.`;
}

function legend(measure) {
  const mark = (className, text) => element("mark", className, text);
  return element("p", "legend",
    mark("evidence hit", "evidence, retrieved"), mark("evidence", "evidence, missed"), mark("hit", "retrieved"),
    measure.cut ? mark("late", `retrieved, but beyond the cut-off of ${measure.name}`) : null,
    element("span", "", element("span", "cut"), " chunk boundary"),
    element("span", "", element("span", "rank", "1"), " rank of the hit that starts here"));
}

/** The parts of one document around evidence and hits, with what the system made of them. */
function excerpt(data, doc, record, system, hits) {
  const evidence = record.evidence.filter(([place]) => place === doc).map(([, start, end]) => [start, end]);
  const own = hits.filter((hit) => hit.doc === doc);
  const windows = evidence.map(([start, end]) => [start - AROUND, end + AROUND]);
  windows.push(...own.map((hit) => [hit.start - AROUND_HIT, hit.end + AROUND_HIT]));
  const box = element("div", "excerpt");
  box.tabIndex = 0;
  box.dir = "auto";
  const source = data.documents[doc];
  let before = 0;
  for (const [start, end, piece] of visible(united(windows, NEAR), piecesOf(source))) {
    if (start > before) box.append(gap(start - before));
    paint(box, start, end, piece, evidence, own, cutsOf(data, system, doc));
    before = end;
  }
  if (source.length > before) box.append(gap(source.length - before));
  if (!source.length) box.append(element("span", "gap", "The text of this document is not in the results."));
  return box;
}

const gap = (characters) => element("span", "gap", `… ${characters.toLocaleString("en")} characters …`);

function paint(box, start, end, piece, evidence, hits, cuts) {
  const spans = [...evidence, ...hits.map((hit) => [hit.start, hit.end])];
  const here = new Set(cuts.filter((place) => place >= start && place < end));
  for (const [from, to] of runs(start, end, [...spans, ...[...here].map((place) => [place])])) {
    if (here.has(from)) box.append(boundary());
    for (const hit of hits) if (hit.start === from) box.append(badge(hit));
    const holds = hits.filter((hit) => covers([hit.start, hit.end], from, to));
    const counted = holds.some((hit) => hit.counts);
    const classes = [];
    if (evidence.some((span) => covers(span, from, to))) classes.push("evidence");
    if (counted) classes.push("hit");
    else if (holds.length) classes.push("late");
    const text = piece.points.slice(from - piece.start, to - piece.start);
    box.append(classes.length ? element("mark", classes.join(" "), text) : text);
  }
}

function boundary() {
  const made = element("span", "cut");
  made.title = "chunk boundary";
  return made;
}

function badge(hit) {
  const made = element("span", hit.counts ? "rank" : "rank after", String(hit.rank));
  made.title = `rank ${hit.rank}, score ${hit.score}, ${hit.size} tokens`;
  made.setAttribute("aria-label", `hit of rank ${hit.rank} starts`);
  return made;
}

function hitsTable(data, record, system, hits) {
  const overlap = (hit) => record.evidence.some(([doc, start, end]) => doc === hit.doc && start < hit.end && hit.start < end);
  const rows = hits.map((hit) => element("tr", hit.counts ? "" : "late",
    element("td", "number", String(hit.rank)),
    element("td", "number", hit.score === null ? "–" : String(hit.score)),
    element("td", "number", String(hit.size)),
    element("td", "", overlap(hit) ? "yes" : "no"),
    element("td", "", element("bdi", "from", data.documents[hit.doc].id), " ", snippet(data.documents[hit.doc], hit))));
  const head = [system.ranked ? "Rank" : "Place", "Score", "Tokens", "Evidence", "Text"].map((name, place) => element("th", place < 3 ? "number" : "", name));
  const table = element("table", "hits", element("thead", "", element("tr", "", ...head)), element("tbody", "", ...rows));
  const scroll = element("div", "scroll", table);
  scroll.tabIndex = 0;
  return scroll;
}

function snippet(source, hit) {
  const found = visible([[hit.start, Math.min(hit.end, hit.start + SNIPPET)]], piecesOf(source));
  const text = found.map(([from, to, piece]) => piece.points.slice(from - piece.start, to - piece.start)).join("");
  const made = element("span", "", text + (hit.end - hit.start > SNIPPET ? "…" : ""));
  made.dir = "auto";
  return made;
}

/** The pieces of a document, made ready for cutting once. */
function piecesOf(source) {
  source.ready ??= source.pieces.map(([start, text]) => ({ start, points: new Points(text) }));
  return source.ready;
}

/** The places in a document where a chunk of the system starts or ends. */
function cutsOf(data, system, doc) {
  return data.boundaries[system.boundaries][doc] ?? [];
}
