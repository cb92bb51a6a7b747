// The floor plan: every rack where it stands.
const METRICS = {
  load: { ramp: "load", unit: "%", scale: 100, label: "mean load over TDP" },
  peak: { ramp: "load", unit: "%", scale: 100, label: "peak load over TDP" },
  broken: { ramp: "count", unit: "GPU-h", scale: 1, label: "GPU-hours broken" },
  failures: { ramp: "count", unit: "", scale: 1, label: "failures" },
};
const floorLayout = (spec, width) => {
  const across = Math.max(...spec.position) + 1, deep = Math.max(...spec.row) + 1, halls = spec.halls.length;
  const wanted = width >= 860 || printing ? 4 : width >= 560 ? 3 : 2;
  const per = Math.max(1, Math.min(halls, across > 40 ? Math.max(1, wanted - 2) : wanted));
  const between = narrow(width) ? 12 : 26;
  const w = Math.min(24, (width - 2 - between * (per - 1)) / per / across), h = w * 1.7, pair = w * 0.9;
  const rowTop = (row) => row * (h + 1) + Math.floor(row / 2) * pair;
  const hallHeight = rowTop(deep - 1) + h + 24 + between;
  return { across, per, w, h, rowTop, hallHeight, hallWidth: across * w + between, height: Math.ceil(halls / per) * hallHeight + 6 };
};
const floorScale = (spec, metric) => {
  const m = METRICS[metric], known = spec[metric].filter((v) => v !== null).sort((a, b) => a - b);
  if (!known.length) return { ...m, low: 0, high: 1, below: false, above: false };
  const at = (share) => known[Math.round(share * (known.length - 1))];
  if (m.scale === 1) return { ...m, low: 0, high: Math.max(1, at(1)), below: false, above: false };
  // Loads lie close together: the scale spans all but the outermost hundredths, which take its end colours.
  const low = Math.floor(at(0.01) * 20) / 20, high = Math.max(low + 0.05, Math.ceil(at(0.99) * 20) / 20);
  return { ...m, low, high, below: at(0) < low, above: at(1) > high };
};
const floorPlan = (spec, width, metric) => {
  const c = colours(), place = floorLayout(spec, width), scale = floorScale(spec, metric);
  const colour = (v) => (v === null ? c.none : ramp(scale.ramp, (v - scale.low) / (scale.high - scale.low || 1)));
  const corner = (hall) => [(hall % place.per) * place.hallWidth + 1, Math.floor(hall / place.per) * place.hallHeight + 6];
  const gap = place.w > 7 ? 1 : 0.5;
  return {
    ...base(),
    tooltip: {
      ...base().tooltip, trigger: "item",
      formatter: (item) => {
        if (item.seriesIndex) return "";
        const i = item.dataIndex, share = (v) => (v === null ? "not known" : grouped(v * 100, 1) + "\u00a0%");
        const amount = (v, unit, d = 1) => (v === null ? "not known" : grouped(v, d) + "\u00a0" + unit);
        return tipRows(`Rack ${spec.rack[i]}`, [
          [null, "place", `hall ${spec.halls[spec.hall[i]]}, row ${spec.label_row[i]}, position ${spec.label_position[i]}`],
          [null, "model, CDU", `${spec.models[spec.model[i]]}, ${spec.cdu[i]}`],
          [null, "mean load", `${amount(spec.mean_kw[i], "kW")} (${share(spec.load[i])})`],
          [null, "peak load", `${amount(spec.peak_kw[i], "kW")} (${share(spec.peak[i])})`],
          [null, "TDP", amount(spec.tdp_kw[i], "kW")],
          [null, "IT energy", amount(spec.energy[i], "MWh")],
          [null, "broken", amount(spec.broken[i], "GPU-hours")],
          [null, "failures", grouped(spec.failures[i])],
        ]);
      },
    },
    series: [
      {
        type: "custom", coordinateSystem: "none", data: spec[metric].map((_, i) => i), progressive: 0,
        renderItem: (params) => {
          const i = params.dataIndex, [x, y] = corner(spec.hall[i]);
          return {
            type: "rect", style: { fill: colour(spec[metric][i]) },
            shape: { x: x + spec.position[i] * place.w, y: y + 20 + place.rowTop(spec.row[i]), width: Math.max(1, place.w - gap), height: place.h - gap, r: place.w > 7 ? 1 : 0 },
            emphasis: { style: { stroke: c.text, lineWidth: 1.5 } },
          };
        },
      },
      {
        type: "custom", coordinateSystem: "none", silent: true, data: spec.halls.map((_, i) => i),
        renderItem: (params) => {
          const [x, y] = corner(params.dataIndex);
          const count = spec.hall.reduce((sum, hall) => sum + (hall === params.dataIndex), 0);
          return { type: "text", style: { x, y: y + 2, text: `Hall ${spec.halls[params.dataIndex]} · ${grouped(count)} racks`, fill: c.muted, font: `11px ${FONT}` } };
        },
      },
    ],
  };
};
const floorKeys = (spec, metric) => {
  const scale = floorScale(spec, metric), steps = RAMPS[scale.ramp];
  const show = (v) => grouped(v * scale.scale, scale.high - scale.low > 3 || scale.scale > 1 ? 0 : 1) + (scale.unit ? "\u00a0" + scale.unit : "");
  return scaleOf(steps, (scale.below ? "\u2264\u00a0" : "") + show(scale.low), (scale.above ? "\u2265\u00a0" : "") + show(scale.high), scale.label);
};
