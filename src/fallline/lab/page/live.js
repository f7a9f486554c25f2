// A race as it runs, told by the server's events: how far it is, each arm's standing, and its best so far.
import { chart, table } from "/chart.js";
import { element, fill } from "/elements.js";
import { ask } from "/requests.js";

export function live(lab) {
  const select = element("select", { onchange: () => choose(select.value) });
  const refresh = element("button", { type: "button", onclick: () => list() }, "Look again");
  const told = element("p", { role: "status" });
  const bar = element("progress", { "aria-label": "Runs done", max: 1, value: 0 });
  const result = element("div", { class: "result" });
  const content = element("div", {},
    element("div", { class: "row" }, element("label", {}, "Race ", select), refresh), told, bar, result);
  let [source, history] = [null, new Map()];

  async function list() {
    hide();
    let races;
    try {
      ({ races } = await ask("/api/races"));
    } catch (error) {
      told.textContent = error.message;
      return;
    }
    const standing = ({ name, problem, finished }) => `${name}, ${problem}, ${finished ? "finished" : "unfinished"}`;
    fill(select, races.map((race) => [race.name, standing(race)]));
    const some = races.length > 0;
    for (const part of [select.parentElement, bar, result]) part.hidden = !some;
    if (!some)
      told.textContent = "No race is in sight: start the lab with --storage and the file that keeps the runs.";
    else watch(races.some((race) => race.name === lab.state.race) ? lab.state.race : races[0].name);
  }

  function choose(name) {
    lab.state.race = name;
    lab.write();
    watch(name);
  }

  function watch(name) {
    hide();
    history = new Map();
    select.value = name;
    source = new EventSource(`/api/live?race=${encodeURIComponent(name)}`);
    source.addEventListener("message", (event) => show(JSON.parse(event.data)));
    source.addEventListener("error", (event) => {
      if (event.data) {
        told.textContent = JSON.parse(event.data).error;
        hide();
      }
    });
  }

  function show(now) {
    bar.max = now.planned || 1;
    bar.value = now.kept;
    const stage = now.stage ? `; stage: ${now.stage}` : "";
    const [first, ...others] = now.finished ? now.lines : [`${now.kept} of ${now.planned} runs done${stage}.`];
    if (told.textContent !== first) told.textContent = first;
    for (const { name, best } of now.arms) {
      const line = history.get(name) ?? { name, x: [], y: [] };
      history.set(name, line);
      if (line.x.at(-1) === now.kept) continue;
      line.x.push(now.kept);
      line.y.push(best);
    }
    const rows = now.arms.map((arm) => [arm.name, arm.runs, arm.diverged, arm.best, arm.final]);
    const columns = ["arm", "runs", "diverged", "best trial in validation", "its mean test score so far"];
    const series = [...history.values()];
    const axes = { x: "runs done since this page looks", y: "best validation score" };
    const moves = series.some(({ x }) => x.length > 1);
    const curve = moves ? [chart({ ...axes, series })] : [];
    const lines = others.length ? [element("ul", {}, ...others.map((line) => element("li", {}, line)))] : [];
    result.replaceChildren(...lines, ...curve, table(columns, rows, "Standing of the arms"));
    if (now.finished) hide();
  }

  function hide() {
    source?.close();
    source = null;
  }

  return { name: "live", title: "Live race", element: content, show: list, hide };
}
