"use strict";
// Colours by role, for light and dark screens; paper is always light.
const CUSTOMERS_LIGHT = ["#2f6f8f", "#6aa84f", "#d9a441", "#a8573f", "#6b6fb5", "#4fa3a5", "#b56a94", "#8a8f3c"];
const CUSTOMERS_DARK = ["#5ba4c7", "#8cc873", "#e5bb62", "#cf7f63", "#989be0", "#74c6c6", "#d692b6", "#b5ba63"];
const LIGHT = {
  text: "#1c232b", muted: "#5b6672", rule: "#d5dae0", grid: "#e9ecf0", paper: "#ffffff", tip: "#ffffff",
  it: "#34618e", cooling: "#62abb8", losses: "#d99b3d", misc: "#a7adb4", envelope: "#20262d", peak: "#12304d",
  firm: "#34618e", assured: "#c4603d", lent: "#e3b64f", idle: "#d3d9df", broken: "#7c2b3c",
  ppa: "#3f8262", spot: "#d99b3d", sold: "#a9c3b4", price: "#8b3a6e", unmet: "#b8343d", useful: "#3f8262",
  ambient: "#3f8fd0", "fws-supply": "#57b5b0", "fws-return": "#256d6d", "tcs-supply": "#e7a24d", "tcs-return": "#c0492f",
  air: "#7d858e", none: "#eef0f3",
  hv: "#a8701c", blocks: "#d99b3d", busway: "#efcd94", "cdu-pump": "#2a7482", "fws-pump": "#4f9fad", rejection: "#86c3cc", "fan-wall": "#c2e0e4",
};
const DARK = {
  text: "#e4e8ec", muted: "#9aa5b1", rule: "#3a424b", grid: "#2a3138", paper: "#14181c", tip: "#1f252b",
  it: "#5b8fc4", cooling: "#74c3cf", losses: "#e3ac57", misc: "#7d858d", envelope: "#e4e8ec", peak: "#c4ddf5",
  firm: "#5b8fc4", assured: "#de7f5b", lent: "#e8c266", idle: "#444c55", broken: "#b5546a",
  ppa: "#5fae88", spot: "#e3ac57", sold: "#6b8577", price: "#cf7db2", unmet: "#e2636b", useful: "#5fae88",
  ambient: "#6db1ea", "fws-supply": "#74cdc8", "fws-return": "#3f9c9c", "tcs-supply": "#f0b668", "tcs-return": "#e06c50",
  air: "#a3abb3", none: "#232a31",
  hv: "#b98432", blocks: "#e3ac57", busway: "#f3d7a5", "cdu-pump": "#37808e", "fws-pump": "#5cabb9", rejection: "#8fcbd4", "fan-wall": "#c9e6ea",
};
CUSTOMERS_LIGHT.forEach((colour, i) => { LIGHT["customer-" + i] = colour; });
CUSTOMERS_DARK.forEach((colour, i) => { DARK["customer-" + i] = colour; });
const RAMPS = {
  power: ["#f1f4ee", "#cfe0d3", "#93c1ba", "#529ba5", "#2a6d8b", "#1a4468", "#12243f"],
  price: ["#f6f1ea", "#f3d9b6", "#e8b183", "#d1816a", "#a8536a", "#70355f", "#3a1f45"],
  load: ["#eef3f1", "#cfe0d3", "#93c1ba", "#529ba5", "#2a6d8b", "#1a4468", "#12243f"],
  rank: ["#1f4e79", "#5f93bd", "#b9d0e2", "#eef0f2", "#f0c9ae", "#d07f55", "#94411f"],
  count: ["#eef1f4", "#f2d9ab", "#e5a85f", "#cb6a45", "#8f2f3d", "#541a2b"],
};
const DARK_SCREEN = window.matchMedia("(prefers-color-scheme: dark)");
let printing = false;
const colours = () => (DARK_SCREEN.matches && !printing ? DARK : LIGHT);
const role = (name) => {
  const found = colours();
  if (name in found) return found[name];
  const number = Number(String(name).split("-").pop());
  return found["customer-" + (Number.isFinite(number) ? number % CUSTOMERS_LIGHT.length : 0)];
};
const ramp = (name, share) => {
  const steps = RAMPS[name];
  const place = Math.max(0, Math.min(1, share)) * (steps.length - 1);
  const low = Math.min(steps.length - 2, Math.floor(place));
  const mix = (at) => {
    const [a, b] = [steps[low], steps[low + 1]].map((hex) => parseInt(hex.slice(at, at + 2), 16));
    return Math.round(a + (b - a) * (place - low));
  };
  return `rgb(${mix(1)},${mix(3)},${mix(5)})`;
};
