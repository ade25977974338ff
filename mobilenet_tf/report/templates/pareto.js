"use strict";
// A click on a heading sorts by it; what is pointed at lights up in the plots and in the table.
const number = (cell) => parseFloat(cell.textContent.replace(/,/g, "").replace("\u2212", "-"));
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((heading, column) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.ariaSort !== "descending";
      for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
      heading.ariaSort = down ? "descending" : "ascending";
      const key = (row) => row.children[column];
      const order = (a, b) => {
        const [x, y] = [number(key(a)), number(key(b))];
        if (isNaN(x) || isNaN(y)) {
          return isNaN(x) && isNaN(y) ? key(a).textContent.localeCompare(key(b).textContent)
            : isNaN(x) - isNaN(y);  // what is missing comes last
        }
        return down ? y - x : x - y;
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}
const marks = [...document.querySelectorAll("svg a")];
const light = (id, on) => {
  document.getElementById(id)?.classList.toggle("lit", on);
  for (const mark of marks) {
    if (mark.getAttribute("xlink:href") === `#${id}`) mark.classList.toggle("lit", on);
  }
};
for (const thing of [...marks, ...document.querySelectorAll("tr[id]")]) {
  const id = thing.id || thing.getAttribute("xlink:href").slice(1);
  thing.addEventListener("pointerenter", () => light(id, true));
  thing.addEventListener("pointerleave", () => light(id, false));
}
