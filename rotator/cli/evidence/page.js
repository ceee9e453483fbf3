// Makes tables sortable. Without it they stand in the order that they were written in.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    // No <button>: browsers leave those out of heads that are repeated on printed pages.
    const button = document.createElement("span");
    button.setAttribute("role", "button");
    button.tabIndex = 0;
    button.textContent = head.textContent;
    head.textContent = "";
    head.append(button);
    const sort = () => {
      const falling = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const numbers = head.classList.contains("n") || head.classList.contains("t");
      const key = (row) => {
        const cell = row.cells[column];
        const text = cell.dataset.sort ?? cell.textContent;
        return numbers ? (text === "" ? NaN : Number(text)) : text.toLocaleLowerCase();
      };
      const compare = (one, other) => {
        if (numbers && (Number.isNaN(one.key) || Number.isNaN(other.key))) {
          return Number.isNaN(one.key) - Number.isNaN(other.key);
        }
        const order = one.key < other.key ? -1 : one.key > other.key ? 1 : 0;
        return falling ? -order : order;
      };
      const rows = [...body.rows].map((row) => ({ row, key: key(row) }));
      rows.sort(compare);
      body.append(...rows.map((each) => each.row));
    };
    button.addEventListener("click", sort);
    button.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        sort();
      }
    });
  });
}
