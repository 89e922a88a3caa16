// Has the live part of a page ask for itself anew (htmx) as soon as the server tells of a change. Without this script, or where
// the stream is held back, the part does so once a minute; without any script it is as it was when the page was loaded.
"use strict";
(() => {
  const SETTLE = 250, PAUSE = 1500, AGAIN = 10000, LATE = 1500; // milliseconds
  let source = null, timer = 0, last = 0;
  const part = () => document.getElementById("live");

  function ask() {
    timer = 0;
    const here = part();
    if (!here) return;
    // Whoever looks at a value of a chart, or fills in a form, goes on undisturbed.
    if (here.querySelector(".chart:hover, .chart:focus-within, form:focus-within")) { plan(PAUSE); return; }
    last = Date.now();
    window.htmx.trigger(here, "news");
  }
  function plan(wait) {
    if (!timer) timer = setTimeout(ask, Math.max(wait, last + PAUSE - Date.now()));
  }
  function listen() {
    if (source || document.hidden || !part()?.dataset.events) return;
    source = new EventSource(part().dataset.events);
    for (const topic of [...part().dataset.topics.split(" "), "reset"]) source.addEventListener(topic, () => plan(SETTLE));
    // Of what changed before the stream was open nothing is told.
    source.onopen = () => { if (performance.now() > LATE) plan(SETTLE); };
    source.onerror = () => {
      if (source && source.readyState === EventSource.CLOSED) { source = null; setTimeout(listen, AGAIN); }
    };
  }
  function leave() {
    if (source) source.close();
    source = null;
  }
  // A browser has few connections to a server, and a tab that nobody looks at needs none.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) leave(); else if (part()) { listen(); plan(0); }
  });
  addEventListener("pagehide", leave);
  addEventListener("pageshow", listen);
})();
