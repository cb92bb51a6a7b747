"use strict";
// Follows the site: whenever the loop has written a new version, the page is asked for again and its live parts are replaced.
(() => {
  const LEAST_MS = 1000; // between two looks
  const AGAIN_MS = 10000; // where event streams do not get through
  const sign = document.getElementById("live");
  let version = document.body.dataset.version;
  let timer = 0;
  let looked = 0;
  let looking = false;

  const say = (state, words) => {
    if (sign.dataset.state === state) return;
    sign.dataset.state = state;
    sign.lastElementChild.textContent = words;
  };

  const replace = (fresh) => {
    const focused = document.activeElement && document.activeElement.getAttribute("href");
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (other === null || other.innerHTML === part.innerHTML) continue;
      const across = [...part.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
      const held = focused !== null && part.contains(document.activeElement);
      part.replaceChildren(...document.importNode(other, true).childNodes);
      part.querySelectorAll(".scroll").forEach((one, i) => { one.scrollLeft = across[i] || 0; });
      if (held) for (const link of part.querySelectorAll("a[href]")) if (link.getAttribute("href") === focused) { link.focus(); break; }
    }
  };

  const look = async () => {
    if (looking) return;
    looking = true;
    looked = Date.now();
    try {
      const answer = await fetch(window.location.href, { cache: "no-store", credentials: "same-origin" });
      if (answer.redirected) { window.location.reload(); return; } // signed out meanwhile
      if (!answer.ok) { say("lost", "the service does not answer"); return; }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const had = document.querySelectorAll("[data-live]").length;
      if (fresh.querySelectorAll("[data-live]").length !== had) { window.location.reload(); return; } // parts came or went
      replace(fresh);
      version = fresh.body.dataset.version;
      document.body.dataset.version = version;
      say("live", "live");
    } catch {
      say("lost", "the service does not answer");
    } finally {
      looking = false;
    }
  };

  const soon = () => {
    window.clearTimeout(timer);
    if (document.hidden) return; // it is looked at again when it is seen again
    timer = window.setTimeout(look, Math.max(0, looked + LEAST_MS - Date.now()));
  };

  const follow = () => {
    const stream = new EventSource("/v1/site/events");
    stream.addEventListener("site", (event) => {
      if (event.lastEventId === version) say("live", "live");
      else soon();
    });
    stream.onopen = () => say("live", "live");
    stream.onerror = () => {
      say("lost", "not connected");
      if (stream.readyState === EventSource.CLOSED) window.setTimeout(() => { look(); follow(); }, AGAIN_MS);
    };
  };

  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
  if (document.querySelector("[data-live]") !== null) follow();
  document.documentElement.dataset.ready = "true";
})();
