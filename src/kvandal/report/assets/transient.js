// Seconds and hertz: the charts of `kvandal transient`.
const limitLines = (marks) => ({
  silent: true, symbol: "none", lineStyle: { color: colours().unmet, type: "solid", width: 1 },
  data: marks.map((m) => ({ yAxis: m.value, label: { formatter: m.name, position: "insideStartTop", color: colours().unmet, fontSize: 11 } })),
});
const plainLine = (s, data) => ({
  name: s.name, type: "line", yAxisIndex: s.axis || 0, symbol: "none", color: role(s.role), data, silent: true, emphasis: { disabled: true },
  lineStyle: { width: s.style === "thin" ? 0.7 : 1.4, color: role(s.role), type: s.style.startsWith("dashed") ? [5, 3] : "solid" }, z: s.style === "thin" ? 2 : 4,
});
const overSeconds = (spec, width) => {
  const side = 54, right = spec.units.length > 1 ? 46 : 16, c = colours();
  const series = spec.series.map((s) => plainLine(s, s.values.map((v, i) => [spec.first + i * spec.step, v])));
  if (spec.marks.length) series[0].markLine = limitLines(spec.marks);
  const most = spec.marks.length ? Math.max(...spec.marks.map((m) => m.value)) : null, least = spec.marks.length ? Math.min(...spec.marks.map((m) => m.value)) : null;
  return {
    ...base(),
    grid: { left: side, right, top: 28, bottom: printing ? 40 : 74 },
    xAxis: {
      type: "value", min: 0, max: spec.seconds, name: "seconds into the window", nameLocation: "middle", nameGap: 26, ...axisStyle(), splitLine: { show: false },
      splitNumber: narrow(width) ? 4 : 9, axisLabel: { ...axisStyle().axisLabel, formatter: tick },
    },
    yAxis: spec.units.map((name, i) => ({
      type: "value", name, nameGap: 10, position: i ? "right" : "left", scale: true, ...axisStyle(), nameTextStyle: { ...axisStyle().nameTextStyle, align: i ? "right" : "left" },
      axisLine: { show: false }, axisTick: { show: false }, splitLine: i ? { show: false } : axisStyle().splitLine, axisLabel: { ...axisStyle().axisLabel, formatter: tick },
      max: most !== null && i === 0 ? (value) => Math.ceil(Math.max(value.max, most) * 1.05) : undefined,
      min: least !== null && i === 0 ? (value) => Math.floor(Math.min(value.min, least) - Math.abs(Math.min(value.min, least)) * 0.05) : undefined,
    })),
    tooltip: {
      ...base().tooltip, trigger: "axis", axisPointer: { type: "line", lineStyle: { color: c.muted, width: 1 } },
      formatter: (items) => {
        const at = items[0].dataIndex;
        return tipRows(grouped(spec.first + at * spec.step, 2) + "\u00a0s",
          spec.series.map((s) => [role(s.role), s.name, grouped(s.values[at], spec.decimals[s.axis || 0]) + "\u00a0" + spec.units[s.axis || 0]]));
      },
    },
    dataZoom: [{
      type: "slider", show: !printing, height: 18, bottom: 8, left: side, right, start: 0, end: 100, borderColor: c.rule, fillerColor: "rgba(90,130,170,.14)",
      backgroundColor: "transparent", dataBackground: { lineStyle: { opacity: 0 }, areaStyle: { opacity: 0 } }, selectedDataBackground: { lineStyle: { opacity: 0 }, areaStyle: { opacity: 0 } },
      handleSize: "90%", handleStyle: { color: c.paper, borderColor: c.muted }, moveHandleSize: 0, showDetail: false, brushSelect: false, filterMode: "none",
    }],
    series,
  };
};
const spectrum = (spec) => {
  const series = spec.series.map((s) => plainLine(s, s.values.map((v, i) => [spec.hz[i], v])));
  if (spec.marks.length) series[0].markLine = limitLines(spec.marks);
  series[0].markArea = {
    silent: true, itemStyle: { color: colours().grid, opacity: 0.6 },
    label: { color: colours().muted, fontSize: 11, position: "insideTop" }, data: [[{ name: "regulated band", xAxis: spec.band[0] }, { xAxis: spec.band[1] }]],
  };
  const log = { type: "log", logBase: 10, ...axisStyle(), axisLabel: { ...axisStyle().axisLabel, formatter: (v) => String(Number(v.toPrecision(3))) } };
  return {
    ...base(),
    grid: { left: 58, right: 16, top: 28, bottom: 44 },
    xAxis: { ...log, min: spec.hz[0], max: spec.hz[spec.hz.length - 1], name: "frequency [Hz]", nameLocation: "middle", nameGap: 26, splitLine: { show: false } },
    yAxis: { ...log, min: spec.lowest, name: "amplitude [MW]", nameGap: 10, nameTextStyle: { ...axisStyle().nameTextStyle, align: "left" } },
    tooltip: {
      ...base().tooltip, trigger: "axis", axisPointer: { type: "line", lineStyle: { color: colours().muted, width: 1 } },
      formatter: (items) => {
        const at = items[0].dataIndex;
        return tipRows(grouped(spec.hz[at], 3) + "\u00a0Hz", spec.series.map((s) => [role(s.role), s.name, grouped(s.values[at], 4) + "\u00a0MW"]));
      },
    },
    series,
  };
};
