// One quantity against another, and panels of what a value does to several quantities.
const amount = (value, unit) => (value === null ? "not known" : unit === "s" ? span(value) : shortNumber(value) + (unit ? "\u00a0" + unit : ""));
const shortNumber = (value) => (Math.abs(value) >= 10000 ? grouped(value) : tick(Number(value.toPrecision(5))));
const axisNumber = (unit) => (value) => (unit === "s" ? (value < 0 ? "" : span(value)) : Math.abs(value) >= 1e6 ? tick(Number((value / 1e6).toPrecision(5))) + "\u00a0M" : tick(Number(value.toPrecision(6))));
const SPANS = [1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 172800, 432000, 864000, 2592000];
// From where to where an axis goes, and by which step: close about the values, so that differences show; spans in whole steps.
const reach = (values, unit, count) => {
  const known = values.filter((v) => v !== null), low = Math.min(...known), high = Math.max(...known);
  const pad = (high - low) * 0.08 || Math.abs(high) * 0.02 || 1, from = low >= 0 ? Math.max(0, low - pad) : low - pad, to = high + pad;
  if (unit === "s") {
    const step = SPANS.find((one) => (to - from) / one <= count) || 2592000;
    return { min: Math.floor(from / step) * step, max: Math.ceil(to / step) * step, interval: step };
  }
  const raw = (to - from) / count, unitStep = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 2.5, 5, 10].map((one) => one * unitStep).find((one) => one >= raw * 0.999);
  return { min: Math.floor(from / step) * step, max: Math.ceil(to / step) * step, interval: step };
};
const valueAxis = (axis, values, count) => ({
  type: "value", ...reach(values, axis.unit, count), ...axisStyle(), axisLabel: { ...axisStyle().axisLabel, formatter: axisNumber(axis.unit) },
});
const unitOf = (axis) => (axis.unit && axis.unit !== "s" ? axis.name + " [" + axis.unit + "]" : axis.name);
const better = (axis) => (axis.better ? (axis.better > 0 ? ", more is better" : ", less is better") : "");
const tradeoff = (spec, width) => {
  const c = colours(), all = [...spec.points, ...(spec.cloud || []).map(([x, y]) => ({ x, y }))];
  const limits = spec.limits || [];
  const xs = [...all.map((p) => p.x), ...limits.filter((l) => l.axis === "x").map((l) => l.value)], ys = [...all.map((p) => p.y), ...limits.filter((l) => l.axis === "y").map((l) => l.value)];
  const marked = (name) => spec.points.filter((p) => p.series === name);
  const line = spec.line.map((index) => spec.points[index]);
  const describe = (p) => tipRows(p.name, [...p.values.map(([key, text]) => [null, key, text]), [null, spec.x.name, amount(p.x, spec.x.unit)], [null, spec.y.name, amount(p.y, spec.y.unit)]]);
  const sizes = { front: 11, best: 15 };
  return {
    ...base(),
    grid: { left: 10, right: 26, top: 30, bottom: 26, containLabel: true },
    xAxis: { ...valueAxis(spec.x, xs, narrow(width) ? 3 : 5), name: unitOf(spec.x) + better(spec.x), nameLocation: "middle", nameGap: 26 },
    yAxis: { ...valueAxis(spec.y, ys, 5), name: unitOf(spec.y) + better(spec.y), nameLocation: "end", nameTextStyle: { color: c.muted, fontSize: 11, align: "left", padding: [0, 0, 0, -2] }, nameGap: 12 },
    tooltip: { ...base().tooltip, trigger: "item" },
    series: [
      { name: "single members", type: "scatter", data: (spec.cloud || []).map(([x, y]) => [x, y]), symbolSize: 4, silent: true, itemStyle: { color: c.muted, opacity: 0.45 }, z: 1 },
      {
        name: "front", type: "line", data: line.map((p) => [p.x, p.y]), symbol: "none", silent: true, step: false, lineStyle: { color: role("it"), width: 1.2, type: [5, 4] }, z: 2,
        markLine: limits.length ? { silent: true, symbol: "none", label: { color: c.unmet, fontSize: 11, formatter: (m) => m.name, position: "insideEndTop" }, lineStyle: { color: c.unmet, type: [4, 4], width: 1 }, data: limits.map((l) => ({ [l.axis + "Axis"]: l.value, name: l.name })) } : undefined,
      },
      ...spec.series.filter((s) => s.name !== "single members").map((s) => ({
        name: s.name, type: "scatter", symbol: s.symbol || "circle", symbolSize: sizes[s.kind] || 8, z: s.kind === "best" ? 6 : s.kind === "front" ? 5 : 3,
        data: marked(s.name).map((p) => ({ value: [p.x, p.y], point: p })), itemStyle: { color: role(s.role), borderColor: c.paper, borderWidth: 1 },
        tooltip: { formatter: (item) => describe(item.data.point) },
      })),
    ],
  };
};
const panelColumns = (spec, width) => Math.min(spec.panels.length, width < 520 ? 1 : width < 900 ? 2 : 4);
const PANEL = 190;
const panelsHeight = (spec, width) => Math.ceil(spec.panels.length / panelColumns(spec, width)) * PANEL + 8;
const panels = (spec, width) => {
  const c = colours(), across = panelColumns(spec, width), part = width / across, shown = role("it");
  const at = (i) => ({ left: (i % across) * part + 6, top: Math.floor(i / across) * PANEL + 34, width: part - 22, height: PANEL - 62, containLabel: true });
  const numeric = spec.places !== null;
  const series = spec.panels.flatMap((panel, i) => {
    const place = (index) => (numeric ? spec.places[index] : index), rows = panel.mean.map((value, index) => [place(index), value === null ? "-" : value]);
    const line = { type: "line", xAxisIndex: i, yAxisIndex: i, data: rows, symbol: "circle", symbolSize: 7, color: shown, lineStyle: { width: numeric ? 1.4 : 0, color: shown }, z: 3, emphasis: { disabled: true } };
    const whisker = {
      type: "custom", xAxisIndex: i, yAxisIndex: i, silent: true, z: 2, data: rows.map(([x], index) => [x, panel.p10[index] === null ? "-" : panel.p10[index], panel.p90[index] === null ? "-" : panel.p90[index]]), encode: { x: 0, y: [1, 2] },
      renderItem: (params, api) => {
        if (panel.p10[params.dataIndex] === null) return null;
        const [x, low] = api.coord([api.value(0), api.value(1)]), high = api.coord([api.value(0), api.value(2)])[1];
        return { type: "line", shape: { x1: x, x2: x, y1: low, y2: high }, style: { stroke: shown, lineWidth: 5, opacity: 0.3 } };
      },
    };
    return [whisker, line];
  });
  return {
    ...base(),
    title: spec.panels.map((panel, i) => ({ text: unitOf(panel), left: at(i).left, top: at(i).top - 30, textStyle: { fontSize: 12, fontWeight: 550, color: c.text, fontFamily: FONT, width: part - 20, overflow: "truncate" } })),
    grid: spec.panels.map((_, i) => at(i)),
    xAxis: spec.panels.map((_, i) => ({ gridIndex: i, type: numeric ? "value" : "category", data: numeric ? undefined : spec.values, ...(numeric ? reach(spec.places, "", 4) : {}), ...axisStyle(), splitLine: { show: false }, axisLabel: { ...axisStyle().axisLabel, formatter: numeric ? axisNumber("") : undefined, showMinLabel: numeric ? false : undefined, showMaxLabel: numeric ? false : undefined } })),
    yAxis: spec.panels.map((panel, i) => ({ gridIndex: i, ...valueAxis(panel, [...panel.mean, ...panel.p10, ...panel.p90, ...(panel.mean.every((v) => v === null) ? [0] : [])], 3) })),
    tooltip: {
      ...base().tooltip, trigger: "axis",
      formatter: (items) => {
        const item = items[0], panel = spec.panels[item.axisIndex], index = item.dataIndex, rows = [[shown, "mean", amount(panel.mean[index], panel.unit)]];
        if (panel.p10[index] !== null) rows.push([null, "P10 to P90", amount(panel.p10[index], panel.unit) + " to " + amount(panel.p90[index], panel.unit)]);
        return tipRows(panel.name + ", " + spec.key + " = " + spec.values[index], rows);
      },
    },
    series,
  };
};
