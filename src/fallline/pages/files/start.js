// The handle on a player's start, where the scene lets it be moved: by pointer, by a click on the map, by arrow keys.
// fallline.movableStart(player): place() puts it where the scene's start is; dragging is true meanwhile.
(() => {
  "use strict";
  const fallline = (window.fallline = window.fallline || {});
  const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const [STRIDE, LONG_STRIDE] = [0.01, 0.1]; // of an arrow key and with the shift key, in parts of the map
  const POSITIONS = 1000; // along each axis, so that a start is a round number

  fallline.movableStart = (player) => {
    const { stage, canvas, controls } = player;
    const handle = controls.start;
    const start = { dragging: false, place };
    let at = [0, 0]; // in parts of the map's width and height

    function put(across, down) {
      at = [across, down].map((part) => Math.min(1, Math.max(0, part)));
      [handle.style.left, handle.style.top] = at.map((part) => 100 * part + "%");
    }

    function place() {
      const { startMovable, startPlace, start: point } = player.scene;
      handle.hidden = !startMovable || !canvas.hidden;
      if (handle.hidden || start.dragging) return;
      put(...startPlace);
      const [x, y] = point.map((value) => Number(value.toPrecision(4)));
      handle.setAttribute("aria-label", `Start at ${x}, ${y}. The arrow keys move it.`);
    }

    function move(across, down, moving) {
      const { view, start: point, dimensions } = player.scene;
      put(across, dimensions === 1 ? at[1] : down); // a curve's start stays on its height until a new scene comes
      const value = (part, [low, high]) => low + Math.round(part * POSITIONS) * ((high - low) / POSITIONS);
      const [x, y] = [value(at[0], view[0]), dimensions === 1 ? point[1] : value(1 - at[1], view[1])];
      player.emit("start", { x: Number(x.toPrecision(6)), y: Number(y.toPrecision(6)), moving });
    }

    function follow(event, moving) {
      const box = stage.getBoundingClientRect();
      move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, moving);
    }

    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      start.dragging = true;
    });
    handle.addEventListener("pointermove", (event) => start.dragging && follow(event, true));
    handle.addEventListener("pointerup", (event) => {
      if (!start.dragging) return;
      start.dragging = false;
      follow(event, false);
    });
    handle.addEventListener("pointercancel", () => {
      start.dragging = false;
      place();
    });
    handle.addEventListener("keydown", (event) => {
      const way = WAYS[event.key];
      if (!way) return;
      event.preventDefault(); // or the player would step
      const stride = event.shiftKey ? LONG_STRIDE : STRIDE;
      move(at[0] + way[0] * stride, at[1] + way[1] * stride, false);
    });
    stage.addEventListener("click", (event) => {
      if (player.scene.startMovable && canvas.hidden && event.target !== handle) follow(event, false);
    });
    return start;
  };
})();
