// The pages work without this: it only keeps them fresh.
"use strict";
(() => {
  const REFRESH = 5000, FIRST = 1000, SLOWEST = 10000, PATIENCE = 10000;
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const shown = () => document.hidden
    ? new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }))
    : Promise.resolve();

  // Says since when nothing on the page is new, until the bridge answers again.
  const stale = document.getElementById("stale");
  let freshAt = Date.now();
  function away(why) {
    const seconds = Math.round((Date.now() - freshAt) / 1000);
    const clock = new Date(freshAt).toISOString().slice(11, 19);
    stale.textContent = `Not fresh: the bridge ${why}. What is shown here is of ${clock} UTC, ${seconds} s ago. It goes on by itself.`;
    stale.hidden = false;
  }

  // Parts marked data-live are taken from the page as it is now. What is open stays open.
  async function refresh() {
    for (;;) {
      await wait(REFRESH);
      await shown();
      if (!document.querySelector("[data-live]")) return;
      try {
        const answer = await fetch(location.href, { headers: { "x-refresh": "1" }, signal: AbortSignal.timeout(PATIENCE) });
        if (answer.redirected && new URL(answer.url).pathname === "/login") return location.reload();
        if (!answer.ok) {
          away(`answers with ${answer.status}`);
          continue;
        }
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const old of document.querySelectorAll("[data-live]")) {
          const now = fresh.getElementById(old.id);
          if (!now) old.remove();
          else {
            const details = now.querySelectorAll("details");
            old.querySelectorAll("details").forEach((one, at) => { if (details[at]) details[at].open = one.open; });
            if (now.outerHTML !== old.outerHTML && !old.contains(document.activeElement)) old.replaceWith(now);
          }
        }
        freshAt = Date.now();
        stale.hidden = true;
      } catch {
        away("does not answer");
      }
    }
  }

  // The log goes on where it is, also after the connection or the master was lost.
  async function follow(log) {
    const note = document.getElementById("log-note");
    let next = Number(log.dataset.next), attempt = Number(log.dataset.attempt), pause = FIRST;
    while (log.dataset.more === "true") {
      await wait(pause);
      await shown();
      try {
        const query = attempt > 0 ? `?offset=${next}&attempt=${attempt}` : `?offset=${next}`;
        const answer = await fetch(log.dataset.from + query);
        if (!answer.ok) throw new Error(`the log is not there now (${answer.status})`);
        const text = await answer.text();
        const number = (name) => Number(answer.headers.get(name) || 0);
        const seen = number("pilotfish-log-attempt");
        if (attempt === 0) attempt = seen;
        next = number("pilotfish-log-next");
        const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 40;
        if (text) log.append(text);
        if (text && atEnd) log.scrollTop = log.scrollHeight;
        pause = text ? FIRST : Math.min(pause * 1.5, SLOWEST);
        log.dataset.more = answer.headers.get("pilotfish-log-more") || "false";
        note.textContent = "";
        const newest = Number(document.getElementById("attempts")?.dataset.newest || 0);
        if (newest > attempt && !text) {
          attempt = newest;
          next = 0;
          log.append("--- the build goes on at another master ---\n");
        }
      } catch (error) {
        note.textContent = `${error.message || error}; trying again`;
        pause = Math.min(pause * 2, SLOWEST);
      }
    }
  }

  refresh();
  const log = document.getElementById("log");
  if (log) {
    log.scrollTop = log.scrollHeight;
    follow(log);
  }
})();
