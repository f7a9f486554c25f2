"use strict";
// Makes the report's table sortable and its code easy to copy, and draws its charts by Plotly in the place of the still
// ones; an arm that is hidden in one is hidden in all. Where the page has a picker, single runs are drawn on demand.
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const read = (id) => document.getElementById(id).textContent;

  async function unpacked(base64) {
    const letters = atob(base64);
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  // --- the leaderboard: a click sorts, another one turns the order round; what has no value stays last
  function sort(table, column) {
    const heading = table.tHead.rows[0].cells[column];
    const order = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order);
    const value = (row) => row.cells[column].dataset.value;
    const compare = (a, b) => {
      const difference = Number(a) - Number(b);
      return (Number.isNaN(difference) ? a.localeCompare(b) : difference) * (order === "ascending" ? 1 : -1);
    };
    const rows = [...table.tBodies[0].rows];
    const there = rows.filter((row) => value(row) !== undefined).sort((a, b) => compare(value(a), value(b)));
    table.tBodies[0].append(...there, ...rows.filter((row) => value(row) === undefined));
  }

  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(table, column));
      heading.append(button);
    });
  }

  // --- what is to be pasted: a button that copies it, or marks it where the browser lets no page write
  function copied(text, from) {
    const marked = () => getSelection().selectAllChildren(from);
    return navigator.clipboard ? navigator.clipboard.writeText(text).catch(marked) : marked();
  }

  for (const part of all(".command, .code pre, details pre")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await copied(part.textContent, part);
      button.textContent = getSelection().containsNode(part, true) ? "Marked" : "Copied";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    const home = part.closest("li, .code");
    if (home) home.prepend(button);
    else part.before(button);
  }

  // --- downloads: the plain file, where the page alone can only offer the compressed one
  for (const link of all("a[download$='.gz']")) {
    const base64 = link.href.slice(link.href.indexOf(",") + 1);
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      const plain = document.createElement("a");
      plain.download = link.download.replace(/\.gz$/, "");
      plain.href = URL.createObjectURL(new Blob([await unpacked(base64)]));
      plain.click();
      setTimeout(() => URL.revokeObjectURL(plain.href), 10000);
    });
  }

  // --- charts
  const colours = JSON.parse(read("colours"));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const ink = (arm) => colours[arm % colours.length][dark.matches ? 1 : 0];
  const charts = all("figure.chart").map((figure) => ({
    figure,
    live: figure.querySelector(".live"),
    data: JSON.parse(figure.querySelector("script").textContent),
    drawn: false,
  }));
  let axis = null;
  // The arms that are hidden, in all of the page, or in the part of it that stands apart.
  const hidden = new Map();
  const scope = (part) => part.closest(".apart") || document;
  const hiddenIn = (place) => hidden.get(place) || hidden.set(place, new Set()).get(place);
  const picker = document.querySelector(".picker");
  const runs = picker && picker.querySelector("[name=runs]");
  const picked = (place) => all(".key input, .picker input[value]", place).filter((box) => scope(box) === place);

  function coloured(trace) {
    const { arm, kind } = trace.meta;
    const colour = ink(arm);
    if (kind === "band") return { fillcolor: colour + "26" };
    if (kind === "faint") return { line: { ...trace.line, color: colour + "40" } };
    if (trace.mode === "lines") return { line: { ...trace.line, color: colour } };
    return { marker: { ...trace.marker, color: colour } };
  }

  function seen(chart, { arm, kind }) {
    const place = scope(chart.figure);
    if (chart.figure.querySelector(".key") && hiddenIn(place).has(arm)) return false;
    return !(kind === "faint" && place === document && runs && !runs.checked);
  }

  function traces(chart) {
    const across = chart.data.x[axis];
    return chart.data.traces.map((trace, number) => ({
      ...trace, ...coloured(trace),
      x: across ? across.values[number] : trace.x,
      visible: seen(chart, trace.meta),
    }));
  }

  function layout(chart) {
    const style = getComputedStyle(chart.live);
    const { xaxis, yaxis, ...rest } = chart.data.layout;
    const across = chart.data.x[axis];
    const look = { gridcolor: style.borderTopColor, linecolor: style.borderTopColor };
    return {
      ...rest,
      xaxis: { ...xaxis, ...look, title: across ? { text: across.title } : xaxis.title },
      yaxis: { ...yaxis, ...look },
      shapes: (rest.shapes || []).map((shape) => ({ ...shape, line: { ...shape.line, color: style.color } })),
      font: { color: style.color, family: "system-ui, sans-serif", size: 13 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 50, r: 15, t: 30, b: 45 }, hovermode: "closest", dragmode: "zoom", showlegend: false,
      modebar: { bgcolor: "rgba(0,0,0,0)", color: style.color },
    };
  }

  const settings = {
    responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "",
    modeBarButtonsToRemove: ["select2d", "lasso2d"],
  };

  function draw(chart) {
    if (!chart.drawn) {
      chart.live.hidden = false;
      chart.figure.querySelector(".still").hidden = true;
      chart.figure.classList.add("alive");
      for (const part of all(".key input, .key button", chart.figure)) part.hidden = false;
    }
    chart.drawn = true;
    window.Plotly.react(chart.live, traces(chart), layout(chart), settings);
  }

  const redraw = (chosen = charts) => chosen.filter((chart) => chart.drawn).forEach(draw);

  async function begin() {
    const script = document.createElement("script");
    script.textContent = await unpacked(read("plotly"));
    document.head.append(script);
    if (!window.Plotly) return; // the still charts stay
    for (const chooser of all(".axes, .picker")) chooser.hidden = false;
    for (const chart of charts) {
      draw(chart);
      await new Promise((resolve) => setTimeout(resolve)); // the page stays alive between two charts
    }
  }

  for (const box of all("input[name='axis']")) {
    box.addEventListener("change", () => {
      axis = box.value;
      redraw();
    });
  }
  function choose(place, arms, shown) {
    const away = hiddenIn(place);
    for (const arm of arms) shown ? away.delete(arm) : away.add(arm);
    for (const box of picked(place)) box.checked = !away.has(Number(box.value));
    for (const item of all(".key li[data-arm]", place)) item.classList.toggle("away", away.has(Number(item.dataset.arm)));
    redraw(charts.filter((chart) => scope(chart.figure) === place));
  }

  for (const box of all(".key input, .picker input[value]")) {
    if (!box.checked) hiddenIn(scope(box)).add(Number(box.value));
    box.addEventListener("change", () => choose(scope(box), [Number(box.value)], box.checked));
  }
  for (const button of all(".key button, .picker button"))
    button.addEventListener("click", () => {
      const place = scope(button);
      choose(place, picked(place).map((box) => Number(box.value)), button.value === "all");
      if (button.value === "few") choose(place, [...Array(Number(picker.dataset.few)).keys()], true);
    });
  if (runs) runs.addEventListener("change", () => redraw());
  dark.addEventListener("change", () => redraw());
  if ("DecompressionStream" in window) begin();
})();
