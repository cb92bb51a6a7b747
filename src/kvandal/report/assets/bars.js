// Bars that lie: one value per name, longest first.
const barsHeight = (spec) => 50 + 32 * Math.max(1, spec.rows.length);
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
