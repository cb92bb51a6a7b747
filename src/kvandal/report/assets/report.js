// Draw all charts, keep their time axes together, and redraw for paper.
(() => {
  const specs = JSON.parse(document.getElementById("kvandal-charts").textContent);
  const PAPER = 680;
  const drawn = new Map();
  let zoom = null, following = false;

  const options = (entry) => {
    const width = printing ? PAPER : entry.box.clientWidth, spec = entry.spec;
    if (spec.kind === "time") return overTime(spec, width, zoom);
    if (spec.kind === "map") return hourMap(spec, width);
    if (spec.kind === "boxes") return boxes(spec);
    if (spec.kind === "columns") return columns(spec, width);
    if (spec.kind === "waterfall") return waterfall(spec, width);
    if (spec.kind === "bars") return bars(spec, width);
    if (spec.kind === "stacks") return stacks(spec, width);
    if (spec.kind === "ranks") return rankChart(spec, width);
    if (spec.kind === "seconds") return overSeconds(spec, width);
    if (spec.kind === "spectrum") return spectrum(spec);
    if (spec.kind === "deltas") return deltas(spec, width);
    if (spec.kind === "shifts") return shifts(spec, width);
    if (spec.kind === "tradeoff") return tradeoff(spec, width);
    if (spec.kind === "panels") return panels(spec, width);
    return floorPlan(spec, width, entry.metric);
  };
  const height = (entry, width) => {
    const spec = entry.spec;
    if (spec.kind === "floor") return floorLayout(spec, width).height;
    if (spec.kind === "boxes") return 50 + 34 * Math.max(1, spec.boxes.length);
    if (spec.kind === "waterfall") return 56 + 32 * spec.steps.length;
    if (spec.kind === "bars") return barsHeight(spec.rows.length);
    if (spec.kind === "stacks") return barsHeight(spec.names.length);
    if (spec.kind === "deltas" || spec.kind === "shifts") return deltaHeight(spec);
    if (spec.kind === "panels") return panelsHeight(spec, width);
    if (spec.kind === "map") return printing ? 175 : narrow(width) ? 210 : 235;
    return printing ? 235 : narrow(width) ? 270 : 340;
  };
  const empty = (spec) => (spec.kind === "floor" ? !spec.rack.length : spec.kind === "map" ? !spec.days.length : spec.kind === "boxes" ? !spec.boxes.length : false);

  const keys = (entry) => {
    const place = document.getElementById("keys-" + entry.name), spec = entry.spec;
    if (spec.kind === "floor") { place.innerHTML = floorKeys(spec, entry.metric); return; }
    if (spec.kind === "map") { place.innerHTML = mapKeys(spec); return; }
    if (spec.kind === "ranks") { place.innerHTML = rankKeys(); return; }
    if (!spec.series) return;
    place.replaceChildren(...spec.series.map((s) => {
      const key = document.createElement("button"), mark = document.createElement("i");
      key.type = "button";
      key.setAttribute("aria-pressed", String(!entry.hidden.has(s.name)));
      mark.style.background = role(s.role);
      mark.className = s.style && s.style !== "area" && s.style !== "below" ? "stroke" + (s.style.startsWith("dashed") ? " dashed" : "") : "";
      mark.style.color = role(s.role);
      key.append(mark, s.name);
      key.addEventListener("click", () => {
        if (!entry.hidden.delete(s.name)) entry.hidden.add(s.name);
        key.setAttribute("aria-pressed", String(!entry.hidden.has(s.name)));
        entry.chart.dispatchAction({ type: "legendToggleSelect", name: s.name });
      });
      return key;
    }));
  };
  const draw = (entry) => {
    const width = printing ? PAPER : entry.box.clientWidth, tall = height(entry, width);
    entry.box.style.height = tall + "px";
    entry.chart.resize({ width: printing ? PAPER : "auto", height: tall, silent: true });
    const option = options(entry);
    option.legend.selected = Object.fromEntries([...entry.hidden].map((name) => [name, false]));
    entry.chart.setOption(option, { notMerge: true, lazyUpdate: false });
    keys(entry);
  };
  const start = (box) => {
    const name = box.dataset.chart, spec = specs[name];
    if (empty(spec)) { box.textContent = "Nothing to draw."; box.classList.add("empty"); done(box); return; }
    const width = box.clientWidth, entry = { name, box, spec, hidden: new Set(), metric: "load" };
    box.style.height = height(entry, width) + "px";
    entry.chart = echarts.init(box, null, { renderer: "canvas", devicePixelRatio: Math.max(2, window.devicePixelRatio || 1) });
    entry.chart.on("finished", () => done(box));
    if (spec.kind === "time") entry.chart.on("datazoom", () => follow(entry));
    drawn.set(name, entry);
    draw(entry);
  };
  let waiting = 0;
  const follow = (source) => {
    if (following) return;
    const { startValue, endValue } = source.chart.getOption().dataZoom[0];
    window.clearTimeout(waiting);
    waiting = window.setTimeout(() => zoomTo(startValue, endValue, source), 80);
  };
  const zoomTo = (from, to, except) => {
    following = true;
    zoom = from === null ? null : [from, to];
    for (const entry of drawn.values()) {
      if (entry.spec.kind !== "time" || entry === except) continue;
      const end = entry.spec.start + entry.spec.step * Math.max(...entry.spec.series.map((s) => s.values.length));
      entry.chart.dispatchAction({ type: "dataZoom", startValue: from === null ? entry.spec.start : from, endValue: to === null ? end : to });
    }
    following = false;
  };
  const redraw = () => drawn.forEach(draw);

  const boxesToDraw = [...document.querySelectorAll("[data-chart]")];
  const undrawn = new Set(boxesToDraw);
  const done = (box) => {
    box.dataset.drawn = "true";
    undrawn.delete(box);
    if (!undrawn.size) document.documentElement.dataset.ready = "true";
  };
  const next = () => {
    const box = boxesToDraw.shift();
    if (!box) return;
    window.setTimeout(next, 0);
    start(box);
  };
  next();

  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => {
      const [from, to] = button.dataset.zoom.split(",").map((v) => (v === "" ? null : Number(v)));
      zoomTo(from, to, null);
    });
  }
  for (const button of document.querySelectorAll("[data-metric]")) {
    button.addEventListener("click", () => {
      for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
      const entry = drawn.get("floor");
      if (!entry) return;
      entry.metric = button.dataset.metric;
      draw(entry);
    });
  }
  let settled = 0, lastWidth = window.innerWidth;
  window.addEventListener("resize", () => {
    if (printing || window.innerWidth === lastWidth) return;
    lastWidth = window.innerWidth;
    window.clearTimeout(settled);
    settled = window.setTimeout(redraw, 120);
  });
  DARK_SCREEN.addEventListener("change", () => { if (!printing) redraw(); });
  window.addEventListener("beforeprint", () => {
    printing = true;
    redraw();
    drawn.forEach((entry) => entry.chart.getZr().flush());
  });
  window.addEventListener("afterprint", () => { printing = false; redraw(); });
})();
