"use strict";
// Nothing here is needed to read or to act: it keeps what is shown fresh and draws the charts.

(() => {
  document.documentElement.classList.add("scripted");

  // Times as people say them.
  const span = (seconds) => {
    for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
      if (seconds >= length) return `${Math.round(seconds / length)} ${unit}`;
    }
    return `${Math.round(seconds)} s`;
  };
  // The server's clock counts: the page says what it was when it was made.
  const skew = Number(document.body.dataset.now || 0) * 1000 - Date.now();
  const sayTimes = () => {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const seconds = (Date.parse(time.dateTime) - Date.now() - skew) / 1000;
      const distance = Math.abs(seconds);
      const text = distance < 1 ? "now" : seconds < 0 ? `${span(distance)} ago` : `in ${span(distance)}`;
      if (time.textContent !== text) time.textContent = text;
    }
  };
  setInterval(sayTimes, 5000);

  // News: rows that are new or changed, by server-sent events. A hidden tab watches nothing.
  let stream = null;
  let paused = false;
  const place = () => document.querySelector("[data-live]");
  const button = () => document.querySelector("button.live");

  const showState = (on) => {
    const shown = button();
    if (!shown) return;
    shown.dataset.state = on ? "on" : "off";
    shown.textContent = on ? "Live" : paused ? "Paused" : "Connecting";
    shown.setAttribute("aria-pressed", String(!paused));
  };

  const put = (html) => {
    const target = place();
    if (!target) return;
    const made = document.createElement("template");
    made.innerHTML = html;
    for (const item of [...made.content.children]) {
      const there = item.id && document.getElementById(item.id);
      if (there) {
        const held = there.contains(document.activeElement) ? document.activeElement.id : "";
        const open = [...there.querySelectorAll("details[open][id]")].map((details) => details.id);
        there.replaceWith(item);
        for (const id of open) document.getElementById(id)?.setAttribute("open", "");
        if (held) document.getElementById(held)?.focus();
      } else if (target.dataset.grows !== "no") {
        item.classList.add("new");
        target.prepend(item);
        while (target.children.length > 100) target.lastElementChild.remove();
      }
    }
    document.querySelector("[data-empty]")?.remove();
    target.closest("[data-full]")?.removeAttribute("hidden");
    sayTimes();
    draw();
  };

  const disconnect = () => {
    stream?.close();
    stream = null;
    showState(false);
  };
  const connect = () => {
    const target = place();
    if (!target || stream || paused || document.hidden) return;
    const url = target.dataset.live;
    stream = new EventSource(url);
    stream.addEventListener("open", () => showState(true));
    stream.addEventListener("error", () => showState(false));
    stream.addEventListener("news", (message) => put(message.data));
  };
  const reconnect = () => { disconnect(); connect(); };

  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  document.addEventListener("click", (click) => {
    if (!click.target.closest("button.live")) return;
    paused = !paused;
    reconnect();
  });
  // A search has put other rows there.
  document.addEventListener("htmx:afterSettle", () => { sayTimes(); reconnect(); draw(); });
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", connect);

  // Charts, from the numbers in the page.
  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    return (name) => style.getPropertyValue(name).trim();
  };
  const drawn = new Map();
  const draw = () => {
    for (const [element, plot] of drawn) {
      if (!element.isConnected) { plot.destroy(); drawn.delete(element); }
    }
    for (const element of document.querySelectorAll(".chart")) {
      if (!drawn.has(element)) drawn.set(element, chart(element));
    }
  };
  const chart = (element) => {
    const { names, at, series } = JSON.parse(element.dataset.series);
    const colour = colours();
    const pad = (value) => String(value).padStart(2, "0");
    const say = (at, step) => {
      const date = new Date(at * 1000);
      if (step >= 86400) return `${pad(date.getUTCMonth() + 1)}-${pad(date.getUTCDate())}`;
      return `${pad(date.getUTCHours())}:${pad(date.getUTCMinutes())}`;
    };
    const seconds = "seconds" in element.dataset;
    const sayValue = (value) => {
      if (value === null) return ""; // between those that are told, on a logarithmic axis
      if (seconds) return value < 1 ? `${+(value * 1000).toPrecision(3)} ms` : `${value.toLocaleString("en")} s`;
      return Number.isInteger(value) ? value.toLocaleString("en") : "";
    };
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const plot = new uPlot({
      width: element.clientWidth,
      height: 180,
      padding: [8, 20, 0, 0],
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { show: false } },
      scales: { y: seconds ? { distr: 3 } : { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
      axes: [{ ...axis, size: 26, grid: { show: false }, values: (_, splits, _axis, _space, step) => splits.map((at) => say(at, step)) }, { ...axis, size: seconds ? 60 : 48, values: (_, values) => values.map(sayValue) }],
      series: [{}, ...names.map((name, index) => ({
        label: name,
        stroke: colour(`--chart-${index + 1}`),
        width: 2,
        spanGaps: seconds,
        points: { show: false },
        fill: index || seconds ? undefined : `color-mix(in srgb, ${colour("--chart-1")} 12%, transparent)`,
      }))],
    }, [at, ...series], element);
    return plot;
  };
  addEventListener("resize", () => {
    for (const [element, plot] of drawn) plot.setSize({ width: element.clientWidth, height: 180 });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const [element, plot] of drawn) { plot.destroy(); drawn.delete(element); }
    draw();
  });

  // Work on many is done in pieces: each answer asks for the next.
  const goOn = () => document.querySelector("form[data-goes-on]")?.requestSubmit();

  document.addEventListener("DOMContentLoaded", () => { sayTimes(); draw(); connect(); goOn(); });
})();
