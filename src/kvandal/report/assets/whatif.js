// Differences between a base and its variant: bars about zero with their intervals, and shifts: bars stacked about zero.
const signedSpan = (seconds) => (seconds < 0 ? "\u2212" : seconds > 0 ? "+" : "") + span(Math.abs(seconds));
const plainNumber = (value) => {
  const size = Math.abs(value);
  return size >= 1000 ? grouped(value) : tick(Number(value.toPrecision(4)));
};
const signedAmount = (value, unit) => {
  if (value === null) return "not known";
  if (unit === "s") return signedSpan(value);
  return (value > 0 ? "+" : "") + plainNumber(value) + (unit ? "\u00a0" + unit : "");
};
const amountOf = (value, unit) => (value === null ? "not known" : unit === "s" ? span(value) : plainNumber(value) + (unit ? "\u00a0" + unit : ""));
const timeStep = (size) => [1, 5, 15, 60, 300, 600, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 2419200].find((step) => size / step <= 5);
const deltaHeight = (spec) => 46 + 27 * Math.max(1, spec.rows.length);
const lying = (spec, width) => ({
  grid: { left: 4, right: 18, top: 6, bottom: 34, containLabel: true },
  yAxis: {
    type: "category", inverse: true, data: spec.rows.map((r) => r.name), ...axisStyle(), axisTick: { show: false }, axisLine: { show: false }, splitLine: { show: false },
    axisLabel: { ...axisStyle().axisLabel, color: colours().text, fontSize: narrow(width) ? 10.5 : 12, interval: 0, hideOverlap: false },
  },
});
const deltas = (spec, width) => {
  const c = colours(), ends = spec.rows.flatMap((r) => [r.value, r.low, r.high]).filter((v) => v !== null);
  const most = Math.max(0, ...ends), least = Math.min(0, ...ends), reach = most - least || 1;
  const step = spec.unit === "s" ? timeStep(reach) : undefined;  // whole minutes, hours or days
  const edge = (value, outward) => (step ? step * outward(value / step) : value);
  const bar = (r) => role(r.role);
  return {
    ...base(), ...lying(spec, width),
    xAxis: {
      type: "value", min: edge(least - 0.02 * reach, Math.floor), max: edge(most + 0.02 * reach, Math.ceil), name: spec.unit === "s" ? "" : spec.unit, nameLocation: "middle", nameGap: 22, ...axisStyle(), interval: step,
      axisLabel: { ...axisStyle().axisLabel, showMinLabel: step ? undefined : false, showMaxLabel: step ? undefined : false, formatter: spec.unit === "s" ? signedSpan : tick }, splitNumber: narrow(width) ? 3 : 6,
    },
    tooltip: {
      ...base().tooltip, trigger: "item",
      formatter: (item) => {
        const r = spec.rows[item.dataIndex], rows = [[null, "base", amountOf(r.base, r.unit)], [null, "changed", amountOf(r.variant, r.unit)], [bar(r), "difference", signedAmount(r.value, spec.unit)]];
        if (r.low !== null) rows.push([null, "95 % interval", signedAmount(r.low, spec.unit) + " to " + signedAmount(r.high, spec.unit)]);
        return tipRows(r.name, rows);
      },
    },
    series: [{
      type: "custom", data: spec.rows.map((r, i) => [r.value === null ? 0 : r.value, i]), progressive: 0, encode: { x: 0, y: 1 },
      renderItem: (params, api) => {
        const r = spec.rows[params.dataIndex], at = (v) => api.coord([v, params.dataIndex]), [zero, y] = at(0), thick = Math.min(15, api.size([0, 1])[1] * 0.6);
        const children = [{ type: "line", silent: true, shape: { x1: zero, x2: zero, y1: y - api.size([0, 1])[1] / 2, y2: y + api.size([0, 1])[1] / 2 }, style: { stroke: c.muted, lineWidth: 1 } }];
        if (r.value) {
          const x = at(r.value)[0], width_ = Math.max(1.5, Math.abs(x - zero));
          children.push({ type: "rect", shape: { x: x < zero ? zero - width_ : zero, y: y - thick / 2, width: width_, height: thick }, style: { fill: bar(r), opacity: r.sure ? 1 : 0.4 } });
        }
        if (r.low !== null && r.high > r.low) {
          const [a, b] = [at(r.low)[0], at(r.high)[0]], stroke = { stroke: c.text, lineWidth: 1.2 }, cap = thick / 3;
          children.push({ type: "line", shape: { x1: a, x2: b, y1: y, y2: y }, style: stroke });
          for (const x of [a, b]) children.push({ type: "line", shape: { x1: x, x2: x, y1: y - cap, y2: y + cap }, style: stroke });
        }
        return { type: "group", children };
      },
    }],
  };
};
const shifts = (spec, width) => ({
  ...base(), ...lying(spec, width),
  xAxis: { type: "value", name: spec.unit, nameLocation: "middle", nameGap: 22, ...axisStyle(), axisLabel: { ...axisStyle().axisLabel, formatter: tick }, splitNumber: narrow(width) ? 3 : 6 },
  tooltip: {
    ...base().tooltip, trigger: "axis", axisPointer: { type: "shadow" },
    formatter: (items) => tipRows(items[0].axisValue, spec.series.map((s) => [role(s.role), s.name, signedAmount(s.values[items[0].dataIndex], spec.unit)])),
  },
  series: spec.series.map((s) => ({ name: s.name, type: "bar", stack: "all", data: s.values, color: role(s.role), barWidth: "58%", emphasis: { disabled: true } })),
});
