// The viewer of an examination: NiiVue draws the image and one mask over it, which this script makes of the masks that are shown.
// What it shows and where it is read from stands in the page, in the attribute data-view.
"use strict";
(async () => {
  const byId = (id) => document.getElementById(id);
  const root = byId("viewer");
  const view = JSON.parse(root.dataset.view);
  if (!document.createElement("canvas").getContext("webgl2")) {
    location.replace(view.slices + location.search); // the same, as pictures that the server makes
    return;
  }
  const IDS = 256; // every label id that a mask can hold
  const LEAD = 8; // entries of a colour table before that of id 0
  const OUTLYING = [255, 255, 255]; // an id without a structure: white, so that it cannot pass for one
  const TYPES = { axial: 0, coronal: 1, sagittal: 2, planes: 3, volume: 4 };
  const FRONT = [165, 12]; // azimuth and elevation at which the volume is seen from the front: right is on the left there too
  const structures = new Map(view.structures.map((one) => [one.id, one]));
  const colors = new Map(view.structures.map((one) => [one.id, one.color]));
  const kinds = new Map(view.differences.map((one) => [one.id, one.color]));
  const isOn = new Uint8Array(IDS).fill(1, 1);
  const masks = new Map(); // id -> NiiVue's image
  const chosen = { image: view.image, first: view.first || "", second: view.second || "", shown: view.shown };
  let image = null, loaded = "", overlay = null, beside = null, places = [], complete = true, place = -1, plane = "planes", request = 0;

  const nv = new niivue.Niivue({
    isRadiologicalConvention: true, // the patient's right is on the viewer's left
    sagittalNoseLeft: true,
    isNearestInterpolation: true,
    isOrientationTextVisible: true,
    showAllOrientationMarkers: true,
    isOrientCube: true,
    multiplanarShowRender: 0,
    multiplanarPadPixels: 14,
    dragAndDropEnabled: false, // no file from elsewhere over a patient's image
    crosshairWidth: 1,
    crosshairWidthUnit: "mm",
    crosshairColor: [1, 0.85, 0.3, 0.9],
    fontColor: [0.56, 0.78, 1, 1],
    fontMinPx: 15,
    loadingText: "",
    logLevel: "error",
  });
  // Masks are never interpolated: between two structures that would show colours of others. The image may be smooth.
  const interpolate = nv.updateInterpolation.bind(nv);
  nv.updateInterpolation = (layer) => interpolate(layer, layer === 0);

  const say = (text, kind = "neutral") => {
    byId("message").textContent = text;
    byId("message").className = kind;
    byId("message").hidden = !text;
  };
  const fail = (error) => {
    root.dataset.state = "failed";
    say(error.message || String(error), "bad");
  };
  const guarded = (work) => (...given) => Promise.resolve(work(...given)).catch(fail);

  async function ask(address) {
    const reply = await fetch(address, { headers: { Accept: "application/json, application/gzip" } });
    if (reply.ok) return reply;
    const problem = await reply.json().catch(() => ({}));
    throw new Error(problem.detail || `The server answered ${reply.status}; load the page again.`);
  }
  const read = async (address, name, options = {}) =>
    niivue.NVImage.loadFromUrl({ buffer: await (await ask(address)).arrayBuffer(), url: name, name: `${name}.nii.gz`, ...options });

  // The table has a colour for every id: NiiVue paints ids beyond its end in the last colour, and muscle would look like liver.
  // It begins below 0: NiiVue moves values in the first 1/128 of a table, of a long one the ids 0 and 1, to the next colours.
  function tableOf(known) {
    const table = { R: [], G: [], B: [], A: [], I: [], labels: [] };
    for (let id = -LEAD; id < IDS; id++) {
      const [red, green, blue] = known.get(id) || OUTLYING;
      table.R.push(red); table.G.push(green); table.B.push(blue);
      table.A.push(id > 0 ? 255 : 0); table.I.push(id); table.labels.push(String(id));
    }
    return table;
  }

  function voxelsOf(id) {
    return masks.has(id) ? masks.get(id).img : null;
  }

  function sameGrid(a, b) {
    const numbers = (one) => [...one.hdr.dims.slice(1, 4), ...one.hdr.affine.flat()];
    const other = numbers(b);
    return numbers(a).every((value, k) => Math.abs(value - other[k]) < 1e-3);
  }

  // The annotations of neighbouring stations, where they show this part of the body: a layer of their own over the mask.
  const pale = new Map(view.structures.map((one) => [one.id, one.color.map((part) => Math.round((part + 255) / 2))]));
  function paintNeighbours() {
    if (!beside || !nv.volumes.includes(beside.image)) return;
    beside.ids.forEach((id, k) => { beside.image.img[k] = isOn[id] ? id : 0; });
    beside.image.setColormapLabel(tableOf(pale));
  }
  const showNeighbours = guarded(async () => {
    const wanted = byId("neighbours").checked;
    if (wanted && !beside) {
      say("Loading the neighbouring stations…");
      const found = await read(view.neighbours, "neighbours", { cal_min: 0, cal_max: IDS - 1 });
      found.img = Uint8Array.from(found.img);
      beside = { image: found, ids: found.img.slice() };
      say("");
    }
    if (!beside || byId("neighbours").checked !== wanted) return;
    const shown = nv.volumes.includes(beside.image);
    if (wanted && !shown) {
      beside.image.opacity = Number(byId("opacity").value);
      nv.addVolume(beside.image);
    } else if (!wanted && shown) nv.removeVolume(beside.image);
    root.dataset.neighbours = wanted ? "on" : "off";
    paintNeighbours();
    nv.updateGLVolume();
    nv.createOnLocationChange();
  });

  // Fill the overlay with what is shown; ids are compared exactly.
  function compose() {
    paintNeighbours();
    const a = voxelsOf(chosen.first), b = voxelsOf(chosen.second);
    if (!overlay) { nv.updateGLVolume(); return; }
    const out = overlay.img;
    if (chosen.shown === "differences" && a && b) {
      for (let k = 0; k < out.length; k++) {
        out[k] = a[k] === b[k] || !(isOn[a[k]] || isOn[b[k]]) ? 0 : b[k] === 0 ? 1 : a[k] === 0 ? 2 : 3;
      }
      overlay.setColormapLabel(tableOf(kinds));
    } else {
      const source = { first: a, second: b }[chosen.shown];
      if (source) for (let k = 0; k < out.length; k++) out[k] = isOn[source[k]] ? source[k] : 0;
      else out.fill(0);
      overlay.setColormapLabel(tableOf(colors));
    }
    nv.updateGLVolume();
    nv.createOnLocationChange();
  }

  async function loadMask(id) {
    if (!id || masks.has(id)) return;
    const mask = await read(view.masks.find((one) => one.id === id).url, id, { cal_min: 0, cal_max: IDS - 1 });
    mask.img = Uint8Array.from(mask.img); // ids are at most 255
    masks.set(id, mask);
  }

  const loadMasks = guarded(async () => {
    const own = ++request;
    await Promise.all([loadMask(chosen.first), loadMask(chosen.second)]);
    if (own !== request) return; // others have been chosen meanwhile
    const [a, b] = [masks.get(chosen.first), masks.get(chosen.second)];
    if (a && b && !sameGrid(a, b)) throw new Error("These two masks do not lie on one grid and cannot be compared.");
    if (overlay) nv.removeVolume(overlay);
    overlay = a || b ? (a || b).clone() : null;
    if (overlay) {
      overlay.cal_min = 0; overlay.cal_max = IDS - 1;
      overlay.opacity = Number(byId("opacity").value);
      overlay.setColormapLabel(tableOf(colors));
      nv.addVolume(overlay);
    }
    listStructures();
    compose();
    root.dataset.state = "ready";
    say("");
    await listDifferences(own);
  });

  async function listDifferences(own) {
    places = []; place = -1;
    byId("differences").hidden = !(chosen.first && chosen.second && chosen.first !== chosen.second);
    if (!byId("differences").hidden) {
      byId("place").textContent = "Looking for differences…";
      const query = new URLSearchParams({ first: chosen.first, second: chosen.second });
      const found = await (await ask(`${view.places}?${query}`)).json();
      if (own !== request) return;
      ({ places, complete } = found);
    }
    tellPlace();
  }

  const placesShown = () => places.filter((one) => isOn[one.structure]);

  function tellPlace() {
    const shown = placesShown();
    byId("previous").disabled = byId("next").disabled = !shown.length;
    if (!shown.length) byId("place").textContent = places.length ? "None in the structures that are on." : "None.";
    else if (place < 0) byId("place").textContent = complete ? `${shown.length} places, largest first.` : `The ${shown.length} largest places.`;
    else {
      const one = shown[place];
      const sides = [one.only_first_ml, one.only_second_ml].map((ml) => ml.toFixed(2));
      byId("place").textContent = `${place + 1} of ${shown.length}: ${one.name}, ${sides[0]} ml only in the first, ${sides[1]} ml only in the second`;
    }
  }

  function jump(step) {
    const shown = placesShown();
    if (!shown.length) return;
    place = place < 0 ? (step > 0 ? 0 : shown.length - 1) : (place + step + shown.length) % shown.length;
    goTo(shown[place].mm);
    tellPlace();
  }

  function goTo(mm) {
    nv.scene.crosshairPos = nv.mm2frac(mm);
    nv.drawScene();
    nv.createOnLocationChange();
  }

  // Centre on the voxel of a structure that is nearest to its centre of mass.
  function goToStructure(id) {
    const mask = [chosen.shown === "second" ? chosen.second : chosen.first, chosen.second].map((one) => masks.get(one)).find((one) => one && one.img.includes(id));
    if (!mask) return;
    const [nx, ny] = mask.hdr.dims.slice(1, 3), points = [];
    mask.img.forEach((value, k) => { if (value === id) points.push([k % nx, Math.floor(k / nx) % ny, Math.floor(k / (nx * ny))]); });
    const mean = [0, 1, 2].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
    const far = (point) => point.reduce((sum, value, axis) => sum + (value - mean[axis]) ** 2, 0);
    const nearest = points.reduce((best, point) => (far(point) < far(best) ? point : best));
    goTo(mask.hdr.affine.slice(0, 3).map((row) => row[3] + nearest.reduce((sum, value, axis) => sum + row[axis] * value, 0)));
  }

  function swatch(color) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    svg.setAttribute("class", "swatch"); svg.setAttribute("viewBox", "0 0 12 12"); svg.setAttribute("aria-hidden", "true");
    square.setAttribute("width", "12"); square.setAttribute("height", "12"); square.setAttribute("rx", "2");
    square.setAttribute("fill", `rgb(${color.join(",")})`);
    svg.append(square);
    return svg;
  }

  const element = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  function listStructures() {
    const counts = [chosen.first, chosen.second].map((id) => {
      const found = new Uint32Array(IDS);
      (voxelsOf(id) || []).forEach((value) => found[value]++);
      return found;
    });
    const list = byId("structures");
    list.replaceChildren();
    const millilitres = masks.size ? [...masks.values()][0].hdr.pixDims.slice(1, 4).reduce((a, b) => a * b) / 1000 : 0;
    for (let id = 1; id < IDS; id++) {
      if (!counts[0][id] && !counts[1][id]) continue;
      const name = structures.has(id) ? structures.get(id).shown_name : `unknown label id ${id}`;
      const box = element("input", { type: "checkbox", checked: Boolean(isOn[id]) });
      box.dataset.id = id;
      box.addEventListener("change", () => { isOn[id] = Number(box.checked); place = -1; compose(); tellPlace(); });
      const volumes = counts.filter((_, k) => [chosen.first, chosen.second][k]).map((one) => (one[id] * millilitres).toFixed(1));
      const go = element("button", { type: "button", className: "go", title: `Go to ${name}` }, `${volumes.join(" | ")} ml`);
      go.setAttribute("aria-label", `Go to ${name}, ${volumes.join(" and ")} ml`);
      go.addEventListener("click", () => goToStructure(id));
      list.append(element("li", {}, element("label", { className: "tick" }, box, swatch(colors.get(id) || OUTLYING), element("span", {}, name)), go));
    }
    byId("no-structures").hidden = list.children.length > 0;
  }

  function switchAll(on) {
    isOn.fill(on, 1);
    byId("structures").querySelectorAll("input").forEach((box) => { box.checked = Boolean(on); });
    place = -1; compose(); tellPlace();
  }

  // Window and level of the image: width and centre of the grey values from black to white.
  function showWindow() {
    const { cal_min: low, cal_max: high } = image;
    byId("level").value = (low + high) / 2;
    byId("width").value = high - low;
    byId("grey").textContent = `${Math.round(low)} to ${Math.round(high)}`;
  }
  function setWindow() {
    const level = Number(byId("level").value), width = Math.max(Number(byId("width").value), 1e-6);
    image.cal_min = level - width / 2; image.cal_max = level + width / 2;
    byId("grey").textContent = `${Math.round(image.cal_min)} to ${Math.round(image.cal_max)}`;
    nv.updateGLVolume();
  }
  function resetWindow() {
    image.cal_min = image.robust_min; image.cal_max = image.robust_max;
    showWindow(); nv.updateGLVolume();
  }

  const loadImage = guarded(async () => {
    const wanted = view.images.find((one) => one.id === chosen.image);
    say(`Loading ${wanted.sequence || "the image"}…`);
    const next = await read(wanted.url, wanted.id).catch((error) => {
      if (image) { chosen.image = loaded; byId("image").value = loaded; remember(); } // what is on the screen
      throw error;
    });
    if (wanted.id !== chosen.image) return;
    const before = image, where = before ? [...nv.scene.crosshairPos] : null;
    image = next; loaded = wanted.id;
    nv.addVolume(image);
    if (before) { nv.setVolume(image, 0); nv.removeVolume(before); nv.scene.crosshairPos = where; }
    const step = (image.global_max - image.global_min) / 500;
    Object.assign(byId("level"), { min: image.global_min, max: image.global_max, step });
    Object.assign(byId("width"), { min: step, max: image.global_max - image.global_min, step });
    showWindow();
    setPlane(plane);
    nv.createOnLocationChange();
    say("");
  });

  // In three dimensions the image would hide the structures: it is left out where there is a mask.
  function setPlane(name) {
    plane = name;
    nv.setSliceType(TYPES[name]);
    if (image) nv.setOpacity(0, name === "volume" && overlay ? 0 : 1);
    if (name === "volume") nv.setRenderAzimuthElevation(...FRONT);
    root.dataset.plane = name;
  }

  function remember() {
    const query = new URLSearchParams(Object.entries(chosen).map(([name, value]) => [name, value || "-"]));
    history.replaceState(null, "", `${location.pathname}?${query}`);
    byId("plain").href = `${view.slices}?${query}`;
  }

  nv.onLocationChange = ({ mm }) => {
    const point = [...mm].slice(0, 3);
    const letters = [["R", "L"], ["A", "P"], ["S", "I"]];
    const parts = [point.map((value, axis) => `${value < 0 ? letters[axis][1] : letters[axis][0]} ${Math.abs(value).toFixed(0)}`).join(" · ") + " mm"];
    const valueIn = (one) => one.getValue(...one.mm2vox(point));
    if (image) parts.push(`grey value ${Math.round(valueIn(image))}`);
    for (const [word, id] of [["first", chosen.first], ["second", chosen.second]]) {
      if (!masks.has(id)) continue;
      const label = valueIn(masks.get(id));
      parts.push(`${word}: ${label ? (structures.get(label) || { shown_name: `unknown label id ${label}` }).shown_name : "no structure"}`);
    }
    if (beside && nv.volumes.includes(beside.image)) {
      const label = valueIn(beside.image);
      parts.push(`neighbour: ${label ? (structures.get(label) || { shown_name: `unknown label id ${label}` }).shown_name : "no structure"}`);
    }
    byId("where").textContent = parts.join("; ");
  };
  nv.onIntensityChange = () => { if (image) showWindow(); };

  function bind() {
    byId("controls").addEventListener("submit", (event) => event.preventDefault());
    document.querySelectorAll('input[name="plane"]').forEach((one) => one.addEventListener("change", () => setPlane(one.value)));
    document.querySelectorAll('input[name="shown"]').forEach((one) => one.addEventListener("change", () => { chosen.shown = one.value; remember(); compose(); }));
    byId("image").addEventListener("change", () => { chosen.image = byId("image").value; remember(); loadImage(); });
    for (const name of ["first", "second"]) {
      byId(name).addEventListener("change", () => { chosen[name] = byId(name).value.replace(/^-$/, ""); remember(); loadMasks(); });
    }
    byId("opacity").addEventListener("input", () => {
      for (const one of [overlay, beside && beside.image]) {
        if (one && nv.volumes.includes(one)) nv.setOpacity(nv.volumes.indexOf(one), Number(byId("opacity").value));
      }
    });
    if (byId("neighbours")) byId("neighbours").addEventListener("change", showNeighbours);
    byId("level").addEventListener("input", setWindow);
    byId("width").addEventListener("input", setWindow);
    byId("reset").addEventListener("click", resetWindow);
    byId("all").addEventListener("click", () => switchAll(1));
    byId("none").addEventListener("click", () => switchAll(0));
    byId("next").addEventListener("click", () => jump(1));
    byId("previous").addEventListener("click", () => jump(-1));
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
      if (event.key === "n") jump(1);
      else if (event.key === "p") jump(-1);
    });
    // NiiVue's own keys move by the axes of the scan, to the other side of the screen: these go through the slices.
    byId("canvas").addEventListener("keydown", (event) => {
      const step = { ArrowUp: 1, ArrowDown: -1, PageUp: 5, PageDown: -5 }[event.key];
      if (event.key !== "n" && event.key !== "p") event.stopImmediatePropagation();
      if (!step) return;
      event.preventDefault();
      if (plane === "volume") nv.setRenderAzimuthElevation(nv.scene.renderAzimuth + 5 * step, nv.scene.renderElevation);
      else nv.moveCrosshairInVox(...{ coronal: [0, step, 0], sagittal: [step, 0, 0] }[plane] || [0, 0, step]);
    }, { capture: true });
  }

  bind();
  remember();
  try {
    await nv.attachToCanvas(byId("canvas"));
  } catch {
    location.replace(view.slices + location.search);
    return;
  }
  await loadImage();
  if (image) await loadMasks();
  if (image && view.neighbours_on) await showNeighbours();
})();
