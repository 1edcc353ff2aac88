
"use strict";
(() => {
  const view = document.getElementById("view");
  const svg = view.querySelector("svg");
  const boxes = [...svg.querySelectorAll(".box")];
  const lines = [...svg.querySelectorAll(".lines path")];
  const size = { width: svg.viewBox.baseVal.width, height: svg.viewBox.baseVal.height };
  const found = document.getElementById("found");
  const search = document.getElementById("search");
  const ahead = new Map(), behind = new Map();
  const link = (map, from, to, line) => map.set(from, [...(map.get(from) || []), [to, line]]);
  for (const line of lines) {
    link(ahead, line.dataset.a, line.dataset.b, line);
    link(behind, line.dataset.b, line.dataset.a, line);
  }

  // What leads to a box, and where it leads.
  let pinned = null;
  const walk = (map, start, seen) => {
    const ways = [start];
    const places = new Set(ways);
    while (ways.length) {
      for (const [to, line] of map.get(ways.pop()) || []) {
        seen.add(line);
        if (!places.has(to)) { places.add(to); ways.push(to); }
      }
    }
    return places;
  };
  const show = (box) => {
    svg.classList.toggle("some", box !== null);
    const seen = new Set();
    const on = box === null ? new Set()
      : new Set([...walk(ahead, box.dataset.n, seen), ...walk(behind, box.dataset.n, seen)]);
    for (const other of boxes) other.classList.toggle("on", on.has(other.dataset.n));
    for (const line of lines) line.classList.toggle("on", seen.has(line));
  };
  for (const box of boxes) {
    box.addEventListener("pointerenter", () => { if (!pinned) show(box); });
    box.addEventListener("pointerleave", () => { if (!pinned) show(null); });
    box.addEventListener("focus", () => { if (!pinned) show(box); });
    box.addEventListener("blur", () => { if (!pinned) show(null); });
    const pin = () => { pinned = pinned === box ? null : box; show(box); };
    box.addEventListener("click", () => { if (String(getSelection()) === "") pin(); });
    box.addEventListener("keydown", (event) => { if (event.key === "Enter") pin(); });
  }

  // Size: what is in the middle, or below the pointer, stays there.
  let scale = 1;
  const zoom = (to, x = view.clientWidth / 2, y = view.clientHeight / 2) => {
    const next = Math.min(4, Math.max(0.05, to));
    const [left, top] = [(view.scrollLeft + x) / scale, (view.scrollTop + y) / scale];
    scale = next;
    svg.setAttribute("width", size.width * scale);
    svg.setAttribute("height", size.height * scale);
    view.scrollTo(left * scale - x, top * scale - y);
  };
  const fit = () => zoom(Math.min(1, view.clientWidth / size.width, view.clientHeight / size.height));
  const on = (id, act) => document.getElementById(id)?.addEventListener("click", act);
  on("larger", () => zoom(scale * 1.25));
  on("smaller", () => zoom(scale / 1.25));
  on("fit", fit);
  on("full", () => zoom(1));
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const at = view.getBoundingClientRect();
    zoom(scale * Math.exp(-event.deltaY / 400), event.clientX - at.left, event.clientY - at.top);
  }, { passive: false });

  // The ground can be dragged; names can be selected.
  let held = null;
  view.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("text, .box")) return;
    held = [event.clientX + view.scrollLeft, event.clientY + view.scrollTop];
    view.classList.add("held");
    view.setPointerCapture(event.pointerId);
  });
  view.addEventListener("pointermove", (event) => {
    if (held) view.scrollTo(held[0] - event.clientX, held[1] - event.clientY);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    view.addEventListener(end, () => { held = null; view.classList.remove("held"); });
  }

  // Search, and steps from one to the next.
  let at = -1;
  const go = (list) => {
    if (!list.length) return;
    at = (at + 1) % list.length;
    list[at].scrollIntoView({ block: "center", inline: "center" });
    list[at].focus({ preventScroll: true });
  };
  const hits = () => boxes.filter((box) => box.classList.contains("hit"));
  const look = () => {
    const words = search.value.trim().toLowerCase();
    at = -1;
    for (const box of boxes) {
      box.classList.toggle("hit", words !== "" && box.querySelector("title").textContent.toLowerCase().includes(words));
    }
    found.textContent = words === "" ? "" : `${hits().length} found`;
  };
  search.addEventListener("input", look);
  search.addEventListener("keydown", (event) => { if (event.key === "Enter") go(hits()); });
  on("missing", () => go(boxes.filter((box) => box.classList.contains("missing"))));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { pinned = null; show(null); search.value = ""; look(); }
  });

  // `#search=NAME` opens the page with a search done, so that a place in the picture can be sent on.
  const asked = new URLSearchParams(location.hash.slice(1)).get("search");
  if (asked) { search.value = asked; look(); pinned = hits()[0] || null; show(pinned); }
  document.documentElement.dataset.boxes = boxes.length;
  document.documentElement.dataset.lines = lines.length;
})();
