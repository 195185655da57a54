"use strict";
// Sorting and filtering of the table of claims. Without a script all rows are shown.
const table = document.querySelector("table.claims");
const form = document.querySelector("form.filter");
const bodies = () => [...table.tBodies];

const compare = (a, b) => {
  const numbers = [Number(a), Number(b)];
  const numeric = a !== "" && b !== "" && !numbers.some(Number.isNaN);
  return numeric ? numbers[0] - numbers[1] : a.localeCompare(b, "en");
};

table.tHead.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-sort]");
  if (!button) return;
  const head = button.closest("th");
  const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  const key = button.dataset.sort;
  table.append(...bodies().sort(
    (a, b) => sign * compare(a.dataset[key], b.dataset[key]) || a.dataset.number - b.dataset.number
  ));
});

const filter = () => {
  const wanted = new Set([...form.querySelectorAll("input:checked")].map((box) => box.value));
  for (const body of bodies()) body.hidden = !wanted.has(body.dataset.verdict);
  const seen = bodies().filter((body) => !body.hidden).length;
  form.querySelector(".shown").textContent = `${seen} of ${bodies().length} rows are shown`;
};
form.addEventListener("change", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.hidden = false;
filter();
