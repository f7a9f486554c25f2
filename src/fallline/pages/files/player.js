// Plays the trajectories of descent players. The picture is there already, drawn whole; this shows it up to a step.
// window.fallline.player(element): update(scene), seek(step), play(), pause(), step, on(event, callback).
(() => {
  "use strict";
  const fallline = (window.fallline = window.fallline || {});
  const ARROW = 0.07; // an arrow's length in parts of the map's width; only the one to the next point is to scale
  const READOUT = 100; // milliseconds between two readouts while playing: what changes faster can't be read
  const KEYS = { " ": "play", ArrowLeft: "back", ArrowRight: "forward", Home: "first", End: "last" };
  const players = new WeakMap();

  const number = (value) => (value === null ? "not a number" : String(Number(value.toPrecision(3))));
  const percent = (part) => (100 * part).toFixed(3) + "%";

  class Player {
    constructor(root) {
      const all = (kind) => [...root.querySelectorAll(`[data-${kind}]`)];
      const named = (kind) => Object.fromEntries(all(kind).map((one) => [one.dataset[kind], one]));
      this.root = root;
      this.parts = named("part");
      this.controls = named("control");
      this.toggles = named("toggle");
      this.stage = root.querySelector("[data-stage]");
      this.canvas = root.querySelector("canvas");
      this.state = root.querySelector(".fl-state");
      this.arrowsChosen = root.querySelector("[data-arrows]");
      this.listeners = { start: [], step: [], frame: [] };
      this.unchecked = new Set(); // the names of the trajectories that are not shown
      this.written = {};
      this.playing = false;
      this.start = fallline.movableStart(this);
      this.show(JSON.parse(root.querySelector(".fl-scene").textContent));
      this.listen();
      root.querySelector(".fl-controls").hidden = false;
      this.stage.tabIndex = 0;
      this.stage.setAttribute("role", "group");
      this.stage.setAttribute("aria-label", "Map. Space plays, left and right arrows step, Home and End jump.");
      if (matchMedia("(prefers-reduced-motion: reduce)").matches) this.controls.speed.value = "5";
    }

    // Scenes

    update(scene) {
      for (const [name, html] of Object.entries(scene.parts)) {
        if (this.written[name] === html) continue; // while a start is dragged, the ground stays
        this.parts[name].innerHTML = html; // escaped where it was written, in Python
        this.written[name] = html;
      }
      const atEnd = this.step === this.scene.steps;
      this.root.setAttribute("aria-label", "Descent player: " + scene.title);
      this.show(scene, atEnd ? scene.steps : Math.min(this.step, scene.steps));
      if (!this.playing && !this.start.dragging) this.say();
    }

    show(scene, step = scene.steps) {
      this.scene = scene;
      this.step = step;
      this.root.classList.toggle("fl-still", !scene.steps);
      const all = (selector) => [...this.root.querySelectorAll(selector)];
      this.cursors = all("[data-cursor]");
      this.trails = scene.trajectories.map((trajectory, index) => this.trail(trajectory, all, index));
      this.controls.scrub.max = scene.steps;
      for (const kind of ["gradient", "momentum"])
        this.toggles[kind].parentElement.hidden = !scene.trajectories.some((one) => one.arrows[kind]);
      this.controls.tilted.parentElement.hidden = scene.relief === null;
      if (scene.relief === null) this.controls.tilted.checked = false;
      this.tilt();
      for (const box of all("[data-show]")) {
        box.hidden = false;
        box.checked = !this.unchecked.has(scene.trajectories[box.dataset.show].name);
      }
      this.choose();
      this.draw();
    }

    trail(trajectory, all, index) {
      const elements = all(`[data-trail="${index}"]`);
      const findAll = (selector) => elements.flatMap((one) => [...one.querySelectorAll(selector)]);
      const [line] = findAll("polyline");
      const text = (line.whole = line.whole || line.getAttribute("points"));
      const ends = [];
      for (let space = text.indexOf(" "); space >= 0; space = text.indexOf(" ", space + 1)) ends.push(space);
      ends.push(text.length);
      return {
        ...trajectory, elements, line, text, ends, last: ends.length - 1,
        places: text.split(" ").map((pair) => pair.split(",").map(Number)),
        dot: findAll("[data-dot]")[0],
        endMarks: findAll("[data-end]"),
        arrowsDrawn: findAll("[data-arrow]"),
        now: this.root.querySelector(`[data-now="${index}"]`),
        shown: true,
      };
    }

    choose() {
      for (const trail of this.trails) {
        trail.shown = !this.unchecked.has(trail.name);
        for (const element of trail.elements) element.setAttribute("visibility", trail.shown ? "inherit" : "hidden");
      }
    }

    // One frame: only attributes are written and nothing is measured, so that nothing is laid out twice

    draw(readout = true) {
      const { step, scene } = this;
      for (const trail of this.trails) {
        const here = Math.min(step, trail.last);
        const [x, y] = trail.places[here];
        trail.line.setAttribute("points", trail.text.slice(0, trail.ends[here]));
        trail.dot.setAttribute("cx", percent(x / scene.width));
        trail.dot.setAttribute("cy", percent(y / scene.height));
        trail.dot.setAttribute("visibility", here < trail.last ? "inherit" : "hidden");
        for (const mark of trail.endMarks) mark.setAttribute("visibility", here < trail.last ? "hidden" : "inherit");
        for (const arrow of trail.arrowsDrawn) arrow.setAttribute("d", this.arrow(trail, here, arrow.dataset.arrow));
        if (readout) trail.now.textContent = this.readout(trail, here);
      }
      const across = percent(scene.steps ? step / scene.steps : 1);
      for (const cursor of this.cursors) {
        cursor.setAttribute("x1", across);
        cursor.setAttribute("x2", across);
      }
      this.controls.scrub.value = step;
      if (readout) this.controls.scrub.setAttribute("aria-valuetext", `step ${step} of ${scene.steps}`);
      if (!this.canvas.hidden) fallline.tilted(this.canvas, this);
    }

    arrow(trail, here, kind) {
      if (!this.toggles[kind].checked) return "";
      const [x, y] = trail.places[here];
      let [dx, dy] = [0, 0];
      if (kind === "step") {
        const next = trail.places[Math.min(here + 1, trail.last)];
        [dx, dy] = [next[0] - x, next[1] - y];
      } else {
        const degrees = trail.arrows[kind] && trail.arrows[kind][here];
        if (degrees === null) return "";
        const length = ARROW * this.scene.width;
        [dx, dy] = [length * Math.cos((degrees * Math.PI) / 180), length * Math.sin((degrees * Math.PI) / 180)];
      }
      const length = Math.hypot(dx, dy);
      if (length < 1) return "";
      const head = Math.min(0.3, (0.016 * this.scene.width) / length);
      const [tip, baseX, baseY] = [`${x + dx} ${y + dy}`, x + dx * (1 - head), y + dy * (1 - head)];
      const barb = (side) => `${baseX - side * dy * head * 0.6} ${baseY + side * dx * head * 0.6}`;
      return `M${x} ${y}L${tip}M${barb(1)}L${tip}L${barb(-1)}`;
    }

    readout(trail, here) {
      const rates = trail.rates[Math.min(here, trail.rates.length - 1)] || [];
      const steps = rates.map((rate, axis) => rate !== null && `${this.scene.axes[axis]} ${number(rate)}`);
      const known = steps.filter((text) => text);
      return `loss ${number(trail.losses[here])}` + (known.length ? `, effective step size ${known.join(", ")}` : "");
    }

    say() {
      const told = this.trails.filter((trail) => trail.shown).map((trail) => {
        const over = this.step >= trail.outcomeStep && trail.outcome ? `; ${trail.outcome}` : "";
        return `${trail.name}: loss ${number(trail.losses[Math.min(this.step, trail.last)])}${over}.`;
      });
      this.state.textContent = `Step ${this.step} of ${this.scene.steps}. ${told.join(" ")}`;
    }

    // Moving through the steps

    seek(step) {
      this.pause();
      this.move(Math.min(this.scene.steps, Math.max(0, Math.round(step))));
      this.say();
    }

    move(step, readout = true) {
      this.step = step;
      this.draw(readout);
      this.emit("step", step);
    }

    play() {
      if (this.playing || !this.scene.steps) return;
      this.playing = true;
      if (this.step === this.scene.steps) this.move(0);
      this.controls.play.textContent = "Pause";
      this.state.textContent = "";
      let [from, began, before, read] = [this.step, null, null, 0];
      this.restart = () => ([from, began] = [this.step, null]); // after a change of speed
      const frame = (now) => {
        if (began === null) began = now;
        const step = Math.min(this.scene.steps, from + Math.floor(((now - began) * this.controls.speed.value) / 1000));
        const readout = now - read >= READOUT;
        const start = performance.now();
        if (step !== this.step || readout) this.move(step, readout);
        if (readout) read = now;
        if (before !== null) this.emit("frame", { interval: now - before, work: performance.now() - start });
        before = now;
        if (!this.playing) return; // a listener paused it
        if (step < this.scene.steps) this.request = requestAnimationFrame(frame);
        else this.seek(step);
      };
      this.request = requestAnimationFrame(frame);
    }

    pause() {
      this.playing = false;
      cancelAnimationFrame(this.request);
      this.controls.play.textContent = "Play";
    }

    command(name) {
      if (name === "play" && !this.playing) return this.play();
      const steps = { first: 0, back: this.step - 1, play: this.step, forward: this.step + 1, last: this.scene.steps };
      return this.seek(steps[name]);
    }

    // What people do

    listen() {
      const { controls, root, stage } = this;
      for (const name of Object.values(KEYS)) controls[name].addEventListener("click", () => this.command(name));
      controls.scrub.addEventListener("input", () => {
        this.pause();
        this.move(Number(controls.scrub.value));
      });
      controls.scrub.addEventListener("change", () => this.say());
      controls.speed.addEventListener("change", () => this.playing && this.restart());
      controls.tilted.addEventListener("change", () => {
        this.tilt();
        this.draw();
      });
      controls.turn.addEventListener("input", () => this.draw());
      root.addEventListener("change", (event) => {
        if (event.target.dataset.toggle) this.draw();
        if (!event.target.dataset.show) return;
        const { name } = this.trails[event.target.dataset.show];
        if (event.target.checked) this.unchecked.delete(name);
        else this.unchecked.add(name);
        this.choose();
        this.draw();
      });
      root.addEventListener("keydown", (event) => this.key(event));
      new ResizeObserver(() => this.canvas.hidden || this.draw()).observe(stage);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
      // Paper shows the whole.
      let screen = null;
      addEventListener("beforeprint", () => {
        screen = this.step;
        this.move(this.scene.steps);
      });
      addEventListener("afterprint", () => screen !== null && this.move(screen));
    }

    key(event) {
      const name = KEYS[event.key];
      const { target } = event;
      if (!name || event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
      // What has a use for the key itself keeps it: a slider and a menu all of them, a button and a tick box the space.
      if (target.matches("select, input:not([type=checkbox]), .fl-wide")) return;
      if (event.key === " " && target.matches("button, input, summary")) return;
      event.preventDefault();
      this.command(name);
    }

    tilt() {
      this.canvas.hidden = !this.controls.tilted.checked;
      this.controls.turn.parentElement.hidden = this.canvas.hidden;
      this.arrowsChosen.hidden = !this.canvas.hidden;
      this.start.place();
    }

    on(name, callback) {
      if (!(name in this.listeners)) throw new Error(`There is no event "${name}"; there are start, step and frame.`);
      this.listeners[name].push(callback);
    }

    emit(name, value) {
      for (const callback of this.listeners[name]) callback(value);
    }
  }

  fallline.player = (element) => {
    const root = element.matches(".fl-player") ? element : element.querySelector(".fl-player");
    if (!players.has(root)) players.set(root, new Player(root));
    return players.get(root);
  };
  const begin = () => document.querySelectorAll(".fl-player").forEach(fallline.player);
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", begin);
  else begin();
})();
