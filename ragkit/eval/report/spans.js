"use strict";
// Texts and places in them. Offsets count Unicode code points, as in the records; JavaScript's strings count UTF-16
// units, so a text with characters outside the basic plane is cut through an array.

/** A text that is cut at code points. */
class Points {
  constructor(text) {
    this.text = text;
    this.list = /[\ud800-\udfff]/.test(text) ? Array.from(text) : null;
    this.length = this.list ? this.list.length : text.length;
  }
  slice(start, end) {
    return this.list ? this.list.slice(start, end).join("") : this.text.slice(start, end);
  }
}

/** The union of [start, end) windows; those less than `near` apart become one. */
function united(windows, near) {
  const merged = [];
  for (const [start, end] of [...windows].sort((one, other) => one[0] - other[0])) {
    const last = merged[merged.length - 1];
    if (last && start <= last[1] + near) last[1] = Math.max(last[1], end);
    else merged.push([start, end]);
  }
  return merged;
}

/** What lies both in a window and in a piece that the page holds: [start, end, piece]. */
function visible(windows, pieces) {
  const found = [];
  for (const [start, end] of windows) {
    for (const piece of pieces) {
      const from = Math.max(start, piece.start);
      const to = Math.min(end, piece.start + piece.points.length);
      if (from < to) found.push([from, to, piece]);
    }
  }
  return found;
}

/** Cuts [start, end) wherever a span begins or ends: runs of text throughout which the same spans hold. */
function runs(start, end, spans) {
  const places = new Set([start, end]);
  for (const span of spans) {
    for (const place of span) if (place > start && place < end) places.add(place);
  }
  const sorted = [...places].sort((one, other) => one - other);
  return sorted.slice(1).map((place, index) => [sorted[index], place]);
}

const covers = (span, start, end) => span[0] <= start && end <= span[1];
