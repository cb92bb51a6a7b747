// From what is to be drawn (data) to how it is drawn (ECharts options).
const FONT = getComputedStyle(document.body).fontFamily;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const escapeText = (text) => echarts.format.encodeHTML(String(text));
const grouped = (value, decimals = 0) => {
  if (value === null || value === undefined || !Number.isFinite(value)) return "not known";
  const [whole, part] = Math.abs(value).toFixed(decimals).split(".");
  const text = whole.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f") + (part ? "." + part : "");
  return value < 0 && /[1-9]/.test(text) ? "\u2212" + text : text;
};
const tick = (value) => grouped(value, (String(Number(value.toFixed(4))).split(".")[1] || "").length);
const span = (seconds) => {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return tick(Math.round((seconds / size) * 10) / 10) + "\u00a0" + unit;
  }
  return tick(Math.round(seconds * 10) / 10) + "\u00a0s";
};
const two = (value) => String(value).padStart(2, "0");
const moment = (ms) => {
  const t = new Date(ms);
  return `${t.getUTCDate()} ${MONTHS[t.getUTCMonth()]} ${t.getUTCFullYear()} ${two(t.getUTCHours())}:${two(t.getUTCMinutes())}`;
};
const narrow = (width) => width < 520;

const base = () => {
  const c = colours();
  return {
    animation: false, useUTC: true, backgroundColor: "transparent",
    textStyle: { fontFamily: FONT, color: c.text, fontSize: 12 },
    legend: { show: false },
    tooltip: {
      confine: true, backgroundColor: c.tip, borderColor: c.rule, borderWidth: 1, padding: [8, 10], transitionDuration: 0,
      textStyle: { color: c.text, fontSize: 12, fontFamily: FONT }, extraCssText: "box-shadow:0 2px 10px rgba(0,0,0,.12);border-radius:3px",
    },
  };
};
const axisStyle = () => {
  const c = colours();
  return {
    axisLine: { lineStyle: { color: c.rule } }, axisTick: { lineStyle: { color: c.rule } },
    axisLabel: { color: c.muted, fontSize: 11, hideOverlap: true },
    nameTextStyle: { color: c.muted, fontSize: 11 }, splitLine: { lineStyle: { color: c.grid } },
  };
};
const tipRows = (head, rows) =>
  `<div class="tip"><b>${escapeText(head)}</b><table>` +
  rows.map(([colour, name, text]) =>
    `<tr><td><i style="background:${colour || "transparent"}"></i>${escapeText(name)}</td><td>${escapeText(text)}</td></tr>`).join("") + "</table></div>";
const niceAbove = (value) => {
  const unit = 10 ** Math.floor(Math.log10(value)) / 4;
  return Math.ceil((value * 1.01) / unit) * unit;
};

const overTime = (spec, width, zoom) => {
  const c = colours(), count = Math.max(...spec.series.map((s) => s.values.length));
  const end = spec.start + spec.step * count;
  const unit = (s) => spec.units[s.axis], side = 54;
  const series = spec.series.map((s) => {
    const area = s.style === "area" || s.style === "below", colour = role(s.role);
    const drawn = {
      name: s.name, type: "line", yAxisIndex: s.axis, symbol: "none", color: colour, z: area ? 2 : 4,
      data: s.values.map((v, i) => [spec.start + i * spec.step, v]), emphasis: { disabled: true }, silent: true,
      lineStyle: { width: area ? 0.6 : s.style === "line" ? 1.4 : s.style === "thin" ? 0.7 : 1.5, color: colour, type: s.style.startsWith("dashed") ? [5, 3] : "solid" },
    };
    if (area) Object.assign(drawn, { stack: s.style + s.axis, areaStyle: { color: colour, opacity: 1 } });
    if (s.style.endsWith("step")) drawn.step = "end";
    return drawn;
  });
  if (spec.marks.length && series.length) {
    series[0].markLine = {
      silent: true, symbol: "none", lineStyle: { color: c.unmet, type: "solid", width: 1 },
      data: spec.marks.map((m) => ({ yAxis: m.value, label: { formatter: m.name, position: "insideStartTop", color: c.unmet, fontSize: 11 } })),
    };
  }
  const top = spec.marks.length ? Math.max(...spec.marks.map((m) => m.value)) : null;
  return {
    ...base(),
    grid: { left: side, right: spec.units.length > 1 ? 46 : 16, top: 28, bottom: printing ? 24 : 62 },
    xAxis: {
      type: "time", min: spec.start, max: end, ...axisStyle(), splitLine: { show: false }, splitNumber: narrow(width) ? 4 : 9,
      axisLabel: { ...axisStyle().axisLabel, formatter: { year: "{yyyy}", month: "{MMM}", day: "{d} {MMM}", hour: "{HH}:{mm}", minute: "{HH}:{mm}" } },
    },
    yAxis: spec.units.map((name, i) => ({
      type: "value", name, nameLocation: "end", nameGap: 10, position: i ? "right" : "left", scale: !spec.zero[i], ...axisStyle(),
      nameTextStyle: { ...axisStyle().nameTextStyle, align: i ? "right" : "left" }, axisLine: { show: false }, axisTick: { show: false },
      splitLine: i ? { show: false } : axisStyle().splitLine, axisLabel: { ...axisStyle().axisLabel, formatter: tick },
      splitNumber: 5, max: top !== null && i === 0 ? (value) => niceAbove(Math.max(value.max, top)) : undefined,
    })),
    tooltip: {
      ...base().tooltip, trigger: "axis", axisPointer: { type: "line", lineStyle: { color: c.muted, width: 1 } },
      formatter: (items) => {
        const at = items[0].dataIndex;
        const rows = spec.series.map((s) => [role(s.role), s.name, s.values[at] === null ? "not known" : grouped(s.values[at], spec.decimals[s.axis]) + "\u00a0" + unit(s)]);
        return tipRows(moment(spec.start + at * spec.step) + " UTC", rows);
      },
    },
    dataZoom: [{
      type: "slider", show: !printing, height: 18, bottom: 8, left: side, right: spec.units.length > 1 ? 46 : 16, startValue: zoom ? zoom[0] : spec.start, endValue: zoom ? zoom[1] : end,
      minValueSpan: Math.min(spec.step * 12, end - spec.start), borderColor: c.rule, fillerColor: "rgba(90,130,170,.14)", backgroundColor: "transparent",
      dataBackground: { lineStyle: { opacity: 0 }, areaStyle: { opacity: 0 } }, selectedDataBackground: { lineStyle: { opacity: 0 }, areaStyle: { opacity: 0 } },
      handleSize: "90%", handleStyle: { color: c.paper, borderColor: c.muted }, moveHandleSize: 0, showDetail: false, brushSelect: false, filterMode: "none",
    }],
    series,
  };
};

const mapRange = (spec) => {
  // All but the outermost hundredths span the scale: one odd hour must not grey out a year.
  const known = spec.values.filter((v) => v !== null).sort((a, b) => a - b);
  const at = (share) => known[Math.round(share * (known.length - 1))];
  const [low, high] = at(0.01) === at(0.99) ? [at(0.01) - 0.5, at(0.01) + 0.5] : [at(0.01), at(0.99)];
  return [low, high, at(0) < low, at(1) > high];
};
const scaleOf = (steps, low, high, what) =>
  `<span class="scale"><span>${low}</span><i style="background:linear-gradient(90deg,${steps.join(",")})"></i><span>${high}</span><span class="what">${escapeText(what)}</span></span>`;
const mapKeys = (spec) => {
  if (!spec.days.length) return "";
  const [low, high, below, above] = mapRange(spec);
  return scaleOf(RAMPS[spec.colours], (below ? "\u2264\u00a0" : "") + grouped(low, spec.decimals), (above ? "\u2265\u00a0" : "") + grouped(high, spec.decimals) + "\u00a0" + escapeText(spec.unit), "");
};
const hourMap = (spec) => {
  const [low, high] = mapRange(spec), long = spec.days.length > 70;
  const label = (iso) => { const t = new Date(iso + "T00:00:00Z"); return `${t.getUTCDate()} ${MONTHS[t.getUTCMonth()]}`; };
  const cells = spec.values.map((v, i) => [Math.floor(i / 24), i % 24, v]).filter((cell) => cell[2] !== null);
  const colour = (v) => ramp(spec.colours, (v - low) / (high - low));
  return {
    ...base(),
    grid: { left: 54, right: 16, top: 24, bottom: 22 },
    xAxis: {
      type: "category", data: spec.days, ...axisStyle(), splitLine: { show: false }, axisTick: { show: false },
      axisLabel: {
        ...axisStyle().axisLabel, formatter: (iso) => (long ? MONTHS[Number(iso.slice(5, 7)) - 1] : label(iso)),
        interval: long ? (i, iso) => (spec.per === 1 ? iso.endsWith("-01") : i % Math.ceil(spec.days.length / 12) === 0) : "auto",
      },
    },
    yAxis: {
      type: "category", data: Array.from({ length: 24 }, (_, h) => two(h) + ":00"), name: "hour of day", nameGap: 10, ...axisStyle(),
      nameTextStyle: { ...axisStyle().nameTextStyle, align: "left" }, splitLine: { show: false }, axisTick: { show: false },
      axisLabel: { ...axisStyle().axisLabel, interval: (i) => i % 6 === 0 },
    },
    tooltip: {
      ...base().tooltip, trigger: "item",
      formatter: (item) => {
        const [day, hour, value] = cells[item.dataIndex], iso = spec.days[day];
        const head = `${label(iso)} ${iso.slice(0, 4)}, ${two(hour)}:00 local` + (spec.per > 1 ? ` (mean of ${spec.per} days)` : "");
        return tipRows(head, [[colour(value), "mean of the hour", grouped(value, spec.decimals) + "\u00a0" + spec.unit]]);
      },
    },
    series: [{
      // Not ECharts' heat map: 6.1 paints that in slices of a frame, and paper cannot wait for the next frame.
      type: "custom", data: cells, progressive: 0, encode: { x: 0, y: 1 },
      renderItem: (params, api) => {
        const [x, y] = api.coord([api.value(0), api.value(1)]), [w, h] = api.size([1, 1]);
        const edge = (v) => Math.floor(v + 0.5 + 1e-6);  // one edge for both neighbours, or a seam shows
        const left = edge(x - w / 2), top = edge(y - h / 2);
        return {
          type: "rect", style: { fill: colour(api.value(2)) },
          shape: { x: left, y: top, width: Math.max(1, edge(x + w / 2) - left), height: Math.max(1, edge(y + h / 2) - top) },
        };
      },
    }],
  };
};

const boxes = (spec) => {
  const names = spec.boxes.map((b) => b.name), floorOf = (q) => q.map((v) => Math.max(1, v));
  const most = Math.max(10, ...spec.boxes.map((b) => b.q[4]));
  const ticks = [1, 10, 60, 600, 3600, 21600, 86400, 604800, 2592000, 31536000].filter((v) => v <= most * 6);
  return {
    ...base(),
    grid: { left: 4, right: 22, top: 8, bottom: 26, containLabel: true },
    yAxis: { type: "category", data: names, inverse: true, ...axisStyle(), axisTick: { show: false }, splitLine: { show: false }, axisLabel: { ...axisStyle().axisLabel, color: colours().text, fontSize: 12 } },
    xAxis: {
      type: "log", logBase: 10, min: 1, max: ticks[ticks.length - 1] >= most ? ticks.find((v) => v >= most) : most, name: "wait", nameLocation: "middle", nameGap: 0, ...axisStyle(), nameTextStyle: { opacity: 0 },
      axisLabel: { ...axisStyle().axisLabel, customValues: ticks, formatter: span }, axisTick: { customValues: ticks }, splitLine: { show: true, lineStyle: { color: colours().grid } },
    },
    tooltip: {
      ...base().tooltip, trigger: "item",
      formatter: (item) => tipRows(spec.boxes[item.dataIndex].name, ["95th percentile", "75th", "median", "25th", "5th"].map((name, i) => [null, name, span(spec.boxes[item.dataIndex].q[4 - i])])),
    },
    series: [{
      type: "boxplot", layout: "horizontal", boxWidth: [8, 22],
      data: spec.boxes.map((b) => ({ value: floorOf(b.q), itemStyle: { color: role(b.tier) + "55", borderColor: role(b.tier), borderWidth: 1.6 } })),
    }],
  };
};

const columns = (spec, width) => ({
  ...base(),
  grid: { left: 4, right: 12, top: 28, bottom: 4, containLabel: true },
  xAxis: { type: "category", data: spec.labels, ...axisStyle(), axisTick: { show: false }, axisLabel: { ...axisStyle().axisLabel, formatter: (t) => (narrow(width) ? t.replace("week of ", "").replace(/ \d{4}$/, "") : t.replace("week of ", "")) } },
  yAxis: { type: "value", name: spec.unit, nameGap: 10, ...axisStyle(), nameTextStyle: { ...axisStyle().nameTextStyle, align: "left" }, axisLine: { show: false }, axisTick: { show: false }, axisLabel: { ...axisStyle().axisLabel, formatter: tick }, minInterval: 1 },
  tooltip: {
    ...base().tooltip, trigger: "axis", axisPointer: { type: "shadow" },
    formatter: (items) => tipRows(items[0].axisValue, spec.series.map((s) => [role(s.role), s.name, grouped(s.values[items[0].dataIndex], spec.decimals || 0)])),
  },
  series: spec.series.map((s) => ({ name: s.name, type: "bar", data: s.values, color: role(s.role), barMaxWidth: 24, barGap: "8%", barCategoryGap: "28%", emphasis: { disabled: true } })),
});

const waterfall = (spec, width) => {
  const c = colours(), whole = spec.steps[0].value || 1, unit = whole >= 2e6 ? [1e6, "million ", 2] : [1, "", 0];
  let level = whole;
  const starts = [], bars = [];
  spec.steps.forEach((s) => {
    const value = s.value === null ? 0 : s.value;
    if (s.kind === "total") level = value;
    const start = s.kind === "total" ? 0 : Math.max(0, level - value);
    if (s.kind === "less") level = start;
    const right = start + value, share = value / whole;
    const text = s.value === null ? "not known" : `${grouped(value / unit[0], unit[2])}  ${grouped(share * 100, share < 0.1 ? 2 : 1)}\u00a0%`;
    starts.push(start);
    const position = s.kind === "total" && share > 0.4 ? "insideRight" : right > whole * 0.55 && start > whole * 0.4 ? "left" : "right";
    bars.push({ value, itemStyle: { color: role(s.role) }, label: { show: true, formatter: text, position, color: position === "insideRight" ? c.paper : c.text, fontSize: 11.5 } });
  });
  return {
    ...base(),
    grid: { left: 4, right: 16, top: 4, bottom: 26, containLabel: true },
    yAxis: { type: "category", inverse: true, data: spec.steps.map((s) => s.name), ...axisStyle(), axisTick: { show: false }, axisLabel: { ...axisStyle().axisLabel, color: c.text, fontSize: narrow(width) ? 10.5 : 12, interval: 0, hideOverlap: false } },
    xAxis: { type: "value", max: whole, name: unit[1] + spec.unit, nameLocation: "middle", nameGap: 24, ...axisStyle(), splitNumber: narrow(width) ? 3 : 6, axisLabel: { ...axisStyle().axisLabel, showMaxLabel: false, formatter: (v) => tick(v / unit[0]) } },
    tooltip: { ...base().tooltip, trigger: "item", formatter: (item) => tipRows(item.name, [[null, spec.unit, grouped(spec.steps[item.dataIndex].value)]]) },
    series: [
      { type: "bar", stack: "all", silent: true, data: starts, itemStyle: { color: "transparent" }, emphasis: { disabled: true } },
      { type: "bar", stack: "all", data: bars, barWidth: "62%", emphasis: { disabled: true } },
    ],
  };
};
