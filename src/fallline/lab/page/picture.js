// The player in the middle: it is brought the newest picture, and tells where its start was put and what it shows.
import { find, showNumber, watchNumber } from "/elements.js";
import { ask, newest } from "/requests.js";
import { bodyOf } from "/state.js";

// `drawn(answer)` is called with each picture that is shown; `looked()` when the player shows it otherwise.
export function picture(lab, drawn, looked) {
  const box = find("player");
  let player = null;
  let restoring = true; // the player is to be put to what the state says it shows

  const request = newest(
    async (signal) => {
      box.setAttribute("aria-busy", "true");
      const answer = await ask("/api/descent", { ...bodyOf(lab.state), fragment: player === null }, signal);
      show(answer);
      lab.say("");
      drawn(answer);
    },
    (sentence) => {
      box.removeAttribute("aria-busy");
      lab.say(sentence);
    },
  );

  function show(answer) {
    if (player) player.update(answer.scene);
    else begin(answer.fragment);
    if (restoring) restore();
    showStart();
    box.removeAttribute("aria-busy");
  }

  function begin(fragment) {
    const page = new DOMParser().parseFromString(fragment, "text/html");
    box.replaceChildren(...page.body.childNodes);
    player = window.fallline.player(box);
    player.on("start", ({ x, y }) => {
      lab.state.start = [x, y];
      showStart();
      lab.changed();
    });
    player.on("step", () => player.playing || looking());
    box.addEventListener("change", looking);
    box.addEventListener("input", looking);
  }

  function looking() {
    if (restoring) return;
    const { toggles, controls, scene, step } = player;
    Object.assign(lab.state, {
      at: step === scene.steps ? null : step,
      arrows: Object.keys(toggles).filter((kind) => toggles[kind].checked),
      tilted: controls.tilted.checked,
      turn: controls.turn.valueAsNumber,
      speed: controls.speed.value,
      hidden: scene.trajectories.flatMap(({ name }, index) => (player.unchecked.has(name) ? [index] : [])),
    });
    looked();
  }

  function restore() {
    const { at, arrows, tilted, turn, speed, hidden } = lab.state;
    const set = (input, property, value, kind) => {
      if (input[property] === value) return;
      input[property] = value;
      input.dispatchEvent(new Event(kind, { bubbles: true }));
    };
    for (const [kind, box] of Object.entries(player.toggles)) set(box, "checked", arrows.includes(kind), "change");
    set(player.controls.tilted, "checked", tilted && player.scene.relief !== null, "change");
    set(player.controls.turn, "value", String(turn), "input");
    if (speed) set(player.controls.speed, "value", speed, "change");
    for (const show of player.root.querySelectorAll("[data-show]"))
      set(show, "checked", !hidden.includes(Number(show.dataset.show)), "change");
    player.seek(at ?? player.scene.steps);
    restoring = false;
  }

  // The start

  function showStart() {
    const [x, y] = lab.state.start ?? player.scene.start;
    showNumber(find("start-x"), x);
    showNumber(find("start-y"), y);
    find("start-y-label").hidden = player.scene.dimensions === 1;
  }
  for (const [index, id] of ["start-x", "start-y"].entries())
    watchNumber(find(id), (value) => {
      lab.state.start = (lab.state.start ?? player.scene.start).with(index, value);
      lab.changed();
    });
  find("start-reset").addEventListener("click", () => {
    lab.state.start = null;
    lab.changed();
  });

  // Keys play and step from anywhere on the page but where they have a use of their own.
  addEventListener("keydown", (event) => {
    if (!player || player.root.contains(event.target)) return;
    if (event.target.closest("textarea, a, [role=tab], .scroll, .equation")) return;
    player.key(event);
  });

  return { request, restore: () => (restoring = true), player: () => player };
}
