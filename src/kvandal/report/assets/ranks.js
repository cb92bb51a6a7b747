// Rank correlations: numbers across, parameters down.
const rankLabels = (width) => (narrow(width) ? 108 : 290);
const rankTop = (spec, width) => (narrow(width) ? 128 : 118);
const rankHeight = (spec, width) => rankTop(spec, width) + 8 + 25 * spec.rows.length;
const rankColour = (rho) => ramp("rank", (rho + 1) / 2);
const rankKeys = () => scaleOf(RAMPS.rank, "\u22121 falls with it", "+1 rises with it", "rank correlation");
const signed = (rho) => (rho > 0 ? "+" : "") + grouped(rho, 2);
const rankChart = (spec, width) => {
  const c = colours(), small = narrow(width), label = rankLabels(width);
  const short = (key) => (small ? key.split(".").pop() : key.replace(/^rack_models\.[^.]+\./, "rack: "));
  const dark = (rho) => Math.abs(rho) > 0.55;
  return {
    ...base(),
    grid: { left: label, right: 10, top: rankTop(spec, width), bottom: 4 },
    xAxis: {
      type: "category", data: spec.columns, position: "top", ...axisStyle(), axisTick: { show: false }, splitLine: { show: false }, axisLine: { show: false },
      axisLabel: { ...axisStyle().axisLabel, color: c.text, interval: 0, rotate: small ? 90 : 52, hideOverlap: false, margin: 6 },
    },
    yAxis: {
      type: "category", data: spec.rows, inverse: true, ...axisStyle(), axisTick: { show: false }, splitLine: { show: false }, axisLine: { show: false },
      axisLabel: { ...axisStyle().axisLabel, color: c.text, interval: 0, hideOverlap: false, width: label - 8, overflow: "truncate", formatter: short },
    },
    tooltip: {
      ...base().tooltip, trigger: "item",
      formatter: (item) => {
        const [column, row, rho, matters] = spec.cells[item.dataIndex];
        const verdict = rho === null ? "does not change" : matters ? "matters" : "may be chance";
        return tipRows(spec.rows[row], [[null, spec.columns[column], rho === null ? "not known" : signed(rho)], [null, "verdict", verdict]]);
      },
    },
    series: [{
      type: "custom", data: spec.cells.map(([x, y, rho]) => [x, y, rho === null ? "-" : rho]), progressive: 0, encode: { x: 0, y: 1 },
      renderItem: (params, api) => {
        const [, , rho, matters] = spec.cells[params.dataIndex];
        const [x, y] = api.coord([api.value(0), api.value(1)]), [w, h] = api.size([1, 1]);
        const shape = { x: x - w / 2 + 0.5, y: y - h / 2 + 0.5, width: Math.max(1, w - 1), height: Math.max(1, h - 1) };
        const fill = rho === null ? c.none : rankColour(matters ? rho : 0);
        const children = [{ type: "rect", shape, style: { fill } }];
        if (rho !== null && matters && w > 24) {
          children.push({ type: "text", silent: true, style: { x, y, text: signed(rho), fill: dark(rho) ? "#ffffff" : "#1c232b", font: `10.5px ${FONT}`, textAlign: "center", textVerticalAlign: "middle", align: "center", verticalAlign: "middle" } });
        }
        return { type: "group", children };
      },
    }],
  };
};
