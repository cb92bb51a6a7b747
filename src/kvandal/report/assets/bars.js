// Bars that lie: one value per name, longest first.
const barsHeight = (count) => 50 + 32 * Math.max(1, count);
const bars = (spec, width) => {
  const c = colours(), most = Math.max(...spec.rows.map((r) => r.value));
  const text = (r) => grouped(r.value, spec.decimals) + "\u00a0" + spec.unit;
  return {
    ...base(),
    grid: { left: 4, right: 16, top: 4, bottom: 26, containLabel: true },
    yAxis: { type: "category", inverse: true, data: spec.rows.map((r) => r.name), ...axisStyle(), axisTick: { show: false }, splitLine: { show: false }, axisLabel: { ...axisStyle().axisLabel, color: c.text, fontSize: narrow(width) ? 10.5 : 12, interval: 0, hideOverlap: false } },
    xAxis: { type: "value", min: 0, name: spec.unit, nameLocation: "middle", nameGap: 24, ...axisStyle(), splitNumber: narrow(width) ? 3 : 6, axisLabel: { ...axisStyle().axisLabel, formatter: tick } },
    tooltip: { ...base().tooltip, trigger: "item", formatter: (item) => tipRows(item.name, [[role(spec.rows[item.dataIndex].role), spec.rows[item.dataIndex].note, text(spec.rows[item.dataIndex])]]) },
    series: [{
      type: "bar", barWidth: "58%", emphasis: { disabled: true },
      data: spec.rows.map((r) => ({
        value: r.value, itemStyle: { color: role(r.role) },
        label: { show: true, formatter: text(r), position: r.value > most * 0.7 ? "insideRight" : "right", color: r.value > most * 0.7 ? c.paper : c.text, fontSize: 11.5 },
      })),
    }],
  };
};
// Bars that lie, cut into parts: one row per name, one colour per series.
const stacks = (spec, width) => ({
  ...base(),
  grid: { left: 4, right: 16, top: 4, bottom: 26, containLabel: true },
  yAxis: { type: "category", inverse: true, data: spec.names, ...axisStyle(), axisTick: { show: false }, splitLine: { show: false }, axisLabel: { ...axisStyle().axisLabel, color: colours().text, fontSize: narrow(width) ? 10.5 : 12, interval: 0, hideOverlap: false } },
  xAxis: { type: "value", min: 0, name: spec.unit, nameLocation: "middle", nameGap: 24, ...axisStyle(), splitNumber: narrow(width) ? 3 : 6, axisLabel: { ...axisStyle().axisLabel, formatter: tick } },
  tooltip: { ...base().tooltip, trigger: "axis", axisPointer: { type: "shadow" }, formatter: (items) => tipRows(items[0].name, items.map((item) => [role(spec.series.find((s) => s.name === item.seriesName).role), item.seriesName, grouped(item.value, 0) + "\u00a0" + spec.unit])) },
  series: spec.series.map((s) => ({ name: s.name, type: "bar", stack: "all", barWidth: "58%", emphasis: { disabled: true }, data: s.values, itemStyle: { color: role(s.role) } })),
});
