"use strict";
// Sorting, filtering and opening of the table of claims, and larger figures. Without a script all is shown.
for (const table of document.querySelectorAll("table.claims")) {
  const bodies = () => [...table.tBodies];
  const open = (body, yes) => {
    const button = body.querySelector(".opener");
    if (!button) return;
    button.setAttribute("aria-expanded", String(yes));
    document.getElementById(button.getAttribute("aria-controls")).hidden = !yes;
  };
  const isOpen = (body) => body.querySelector(".opener")?.getAttribute("aria-expanded") === "true";
  bodies().forEach((body) => open(body, false));

  table.addEventListener("click", (event) => {
    const opener = event.target.closest(".opener");
    if (opener) {
      const body = opener.closest("tbody");
      open(body, !isOpen(body));
    }
    const sorter = event.target.closest("button[data-sort]");
    if (sorter) sort(sorter);
  });

  const value = (body, key) => {
    const text = body.dataset[key] ?? "";
    const number = Number(text);
    return text !== "" && !Number.isNaN(number) ? number : text;
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en");
  };
  const sort = (button) => {
    const head = button.closest("th");
    const falling = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const key = button.dataset.sort;
    const sign = falling ? -1 : 1;
    const ordered = bodies().sort(
      (a, b) => sign * compare(value(a, key), value(b, key)) || a.dataset.number - b.dataset.number
    );
    table.append(...ordered);
  };

  const form = document.querySelector(`form[data-table="${table.id}"]`);
  const show = (body) => {
    // A link into the table leads to a row that is there to be seen, and opens it.
    if (!body || !table.contains(body)) return;
    body.hidden = false;
    open(body, true);
    body.scrollIntoView();
    body.querySelector(".opener")?.focus({ preventScroll: true });
  };
  const follow = () => show(location.hash ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null);
  window.addEventListener("hashchange", follow);

  if (form) {
    const count = form.querySelector(".shown");
    const filter = () => {
      const wanted = new Set([...form.querySelectorAll("input:checked")].map((box) => box.value));
      let seen = 0;
      for (const body of bodies()) {
        body.hidden = !wanted.has(body.dataset.verdict);
        seen += body.hidden ? 0 : 1;
      }
      count.textContent = `${seen} of ${bodies().length} rows are shown`;
    };
    form.addEventListener("change", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-open]");
      if (button) bodies().forEach((body) => open(body, button.dataset.open === "true"));
    });
    form.hidden = false;
    filter();
  }
  follow();
}

for (const button of document.querySelectorAll(".enlarge")) {
  const picture = document.getElementById(button.getAttribute("aria-controls"));
  button.hidden = false;
  button.addEventListener("click", () => {
    const large = picture.classList.toggle("large");
    button.setAttribute("aria-pressed", String(large));
    if (large) picture.setAttribute("tabindex", "0");
    else picture.removeAttribute("tabindex");
  });
}
