// Values of a chart where the pointer is, or where the arrow keys have led. Without this script a chart is a picture whose points
// have titles. Nothing is styled by attributes, which the pages' policy forbids; positions are set through the DOM.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const shown = new WeakMap();  // the place that is read, by chart

  const chartOf = (target) => target instanceof Element ? target.closest(".chart[data-readings]") : null;
  const readingsOf = (chart) => (chart.readings ??= JSON.parse(chart.dataset.readings));

  function show(chart, index) {
    const all = readingsOf(chart), svg = chart.querySelector("svg");
    if (!all.length) return;
    const k = Math.max(0, Math.min(all.length - 1, index));
    const [x, label, values] = all[k];
    hide(chart);
    shown.set(chart, k);
    const mark = document.createElementNS(SVG, "g");
    mark.setAttribute("class", "reading-mark");
    if (chart.dataset.bars === undefined) {
      const line = document.createElementNS(SVG, "path");
      line.setAttribute("d", `M${x} ${chart.dataset.top}V${chart.dataset.bottom}`);
      mark.append(line);
      for (const [, y] of values) {
        const dot = document.createElementNS(SVG, "circle");
        dot.setAttribute("cx", x); dot.setAttribute("cy", y); dot.setAttribute("r", 4.5);
        mark.append(dot);
      }
    }
    svg.append(mark);
    const box = document.createElement("div");
    box.className = "reading";
    const head = document.createElement("strong");
    head.textContent = label;
    box.append(head);
    for (const [name, , value] of values) {
      const row = document.createElement("span");
      row.textContent = values.length > 1 || chart.dataset.bars === undefined ? `${name} ${value}` : value;
      box.append(row);
    }
    chart.append(box);
    // Beside the place, on the side where there is room; within the chart.
    const frame = chart.getBoundingClientRect(), drawn = svg.getBoundingClientRect();
    const at = drawn.left - frame.left + x * drawn.width / svg.viewBox.baseVal.width;
    const left = at + 12 + box.offsetWidth > frame.width ? at - 12 - box.offsetWidth : at + 12;
    box.style.left = `${Math.max(0, left)}px`;
    // At the end of the chart where no value lies.
    const middle = (Number(chart.dataset.top) + Number(chart.dataset.bottom)) / 2, lowest = drawn.bottom - frame.top - 44;
    const isHigh = values.every(([, y]) => y < middle);
    box.style.top = `${isHigh ? lowest - box.offsetHeight : drawn.top - frame.top + 6}px`;
    const said = chart.querySelector(".said");
    if (said && document.activeElement === svg) said.textContent = `${label}: ${values.map(([name, , value]) => `${name} ${value}`).join(", ")}`;
  }
  function hide(chart) {
    chart.querySelector(".reading-mark")?.remove();
    chart.querySelector(".reading")?.remove();
    shown.delete(chart);
  }
  function nearest(chart, event) {
    const svg = chart.querySelector("svg"), box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    const all = readingsOf(chart);
    return all.reduce((best, [at], k) => Math.abs(at - x) < Math.abs(all[best][0] - x) ? k : best, 0);
  }
  document.addEventListener("pointermove", (event) => {
    const chart = chartOf(event.target);
    if (chart && event.target.closest("svg") === chart.querySelector("svg")) show(chart, nearest(chart, event));
  });
  document.addEventListener("pointerout", (event) => {
    const chart = chartOf(event.target);
    if (chart && chartOf(event.relatedTarget) !== chart) hide(chart);
  });
  document.addEventListener("keydown", (event) => {
    const chart = chartOf(event.target);
    if (!chart || event.target !== chart.querySelector("svg")) return;
    const last = readingsOf(chart).length - 1, here = shown.get(chart);
    const to = {ArrowLeft: (here ?? last + 1) - 1, ArrowRight: (here ?? -1) + 1, Home: 0, End: last}[event.key];
    if (event.key === "Escape") hide(chart);
    else if (to !== undefined) { show(chart, to); event.preventDefault(); }
  });
  document.addEventListener("focusout", (event) => { const chart = chartOf(event.target); if (chart) hide(chart); });
})();
