// Tables are sorted by a click on a column's name: largest first, then smallest first, then as they were.

const NEXT = { none: "descending", descending: "ascending", ascending: "none" };

/** The figure that a cell starts with, as it is written; those without one come last. */
function figure(cell, direction) {
  const value = parseFloat(cell.textContent.trim().replaceAll(",", "").replace("−", "-"));
  return Number.isNaN(value) ? (direction === "descending" ? -Infinity : Infinity) : value;
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const given = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  heads.slice(1).forEach((head, index) => {
    // not a button element: browsers leave those out where a table's head is repeated on the next printed page
    const button = element("span", "sort", ...head.childNodes);
    button.role = "button";
    button.tabIndex = 0;
    head.replaceChildren(button);
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      button.click();
    });
    button.addEventListener("click", () => {
      const direction = NEXT[head.ariaSort ?? "none"];
      for (const other of heads) other.ariaSort = null;
      head.ariaSort = direction;
      const sign = direction === "descending" ? -1 : 1;
      const of = (row) => figure(row.cells[index + 1], direction);
      body.append(...(direction === "none" ? given : [...given].sort((one, other) => sign * (of(one) - of(other) || 0))));
    });
  });
}

document.querySelectorAll("table.sortable").forEach(makeSortable);
