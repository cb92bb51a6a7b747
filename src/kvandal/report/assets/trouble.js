"use strict";
// What goes wrong in the page is shown at its top, never swallowed.
(() => {
  const box = document.getElementById("trouble");
  const show = (text) => {
    box.hidden = false;
    const line = document.createElement("p");
    line.textContent = "This page could not be drawn in full: " + text;
    box.append(line);
  };
  window.addEventListener("error", (event) => show(event.message || String(event.error)));
  window.addEventListener("unhandledrejection", (event) => show(String(event.reason)));
})();
