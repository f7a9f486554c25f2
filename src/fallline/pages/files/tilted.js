// The tilted view: a scene's relief and its trajectories on a canvas. fallline.tilted(canvas, player) draws one frame.
(() => {
  "use strict";
  const fallline = (window.fallline = window.fallline || {});
  const ELEVATION = (38 * Math.PI) / 180;
  const RISE = 0.55; // the relief's height in parts of half the map's width
  const surfaces = new WeakMap();

  fallline.tilted = (canvas, player) => {
    const { clientWidth, clientHeight } = canvas.parentElement;
    const ratio = window.devicePixelRatio || 1;
    const size = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    const { scene } = player;
    const project = projection(scene, size, Number(player.controls.turn.value));
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, ...size);
    context.drawImage(surface(canvas, player, project, size), 0, 0);
    for (const trail of player.trails) if (trail.shown) path(context, player, trail, project, ratio);
  };

  // Parts of the map's width and height and of the relief to the canvas, seen from above and from one side.
  function projection(scene, [width, height], turn) {
    const [sine, cosine] = [Math.sin((turn * Math.PI) / 180), Math.cos((turn * Math.PI) / 180)];
    const shape = scene.height / scene.width;
    const reach = Math.hypot(1, shape);
    const unit = Math.min(width / (2 * reach), height / (2 * reach * Math.sin(ELEVATION) + RISE)) * 0.96;
    return (across, down, rise) => {
      const [x, y] = [2 * across - 1, (1 - 2 * down) * shape];
      const depth = x * sine + y * cosine;
      return [
        width / 2 + (x * cosine - y * sine) * unit,
        height / 2 - (depth * Math.sin(ELEVATION) + (rise - 0.5) * RISE * Math.cos(ELEVATION)) * unit,
        depth,
      ];
    };
  }

  // The relief changes with the scene, the turn, the size and the colours alone: it is kept between frames.
  function surface(canvas, player, project, size) {
    const bands = [...player.parts.ground.querySelectorAll(".fl-band")].map((band) => getComputedStyle(band));
    const colours = bands.map((style) => style.fill);
    const key = [...size, player.controls.turn.value, ...colours].join();
    const kept = surfaces.get(canvas);
    if (kept && kept.key === key && kept.scene === player.scene) return kept.image;
    const image = Object.assign(document.createElement("canvas"), { width: size[0], height: size[1] });
    relief(image.getContext("2d"), player.scene.relief, project, colours, bands[0].stroke);
    surfaces.set(canvas, { key, scene: player.scene, image });
    return image;
  }

  // Cells from the far ones to the near ones, each over those behind it.
  function relief(context, { rows, columns, values }, project, colours, edge) {
    const corner = (row, column) => {
      const value = values[row * columns + column];
      return value === null ? null : [...project(column / (columns - 1), 1 - row / (rows - 1), value / 1000), value];
    };
    const far = (row, column) => project(column / (columns - 1), 1 - row / (rows - 1), 0)[2];
    const order = (count, backwards) => Array.from({ length: count - 1 }, (_, i) => (backwards ? count - 2 - i : i));
    const rowOrder = order(rows, far(rows - 1, 0) > far(0, 0));
    const columnOrder = order(columns, far(0, columns - 1) > far(0, 0));
    context.strokeStyle = edge;
    context.lineWidth = 0.5;
    for (const row of rowOrder) {
      for (const column of columnOrder) {
        const around = [[row, column], [row, column + 1], [row + 1, column + 1], [row + 1, column]];
        const corners = around.map(([i, j]) => corner(i, j));
        if (corners.includes(null)) continue;
        const mean = corners.reduce((sum, one) => sum + one[3], 0) / 4000;
        context.fillStyle = colours[Math.min(colours.length - 1, Math.floor(mean * colours.length))];
        context.beginPath();
        for (const [x, y] of corners) context.lineTo(x, y);
        context.closePath();
        context.fill();
        context.stroke();
      }
    }
  }

  function path(context, player, trail, project, ratio) {
    const { scene, step } = player;
    const style = getComputedStyle(trail.line);
    const last = Math.min(step, trail.last);
    context.strokeStyle = context.fillStyle = style.stroke;
    context.lineWidth = 2 * ratio;
    const dashes = style.strokeDasharray === "none" ? [] : style.strokeDasharray.split(",");
    context.setLineDash(dashes.map((dash) => parseFloat(dash) * ratio));
    context.beginPath();
    let [here, drawn] = [null, false];
    for (let index = 0; index <= last; index++) {
      const [across, down] = [trail.places[index][0] / scene.width, trail.places[index][1] / scene.height];
      const rise = height(scene.relief, across, 1 - down);
      here = rise === null ? null : project(across, down, rise);
      if (here && drawn) context.lineTo(here[0], here[1]);
      else if (here) context.moveTo(here[0], here[1]);
      drawn = here !== null;
    }
    context.stroke();
    if (!here) return;
    context.beginPath();
    context.arc(here[0], here[1], 5 * ratio, 0, 2 * Math.PI);
    context.fill();
  }

  // The relief's height between the grid's points; null where there is none.
  function height({ rows, columns, values }, across, up) {
    if (!(across >= 0 && across <= 1 && up >= 0 && up <= 1)) return null;
    const [x, y] = [across * (columns - 1), up * (rows - 1)];
    const [column, row] = [Math.min(Math.floor(x), columns - 2), Math.min(Math.floor(y), rows - 2)];
    const at = (i, j) => values[i * columns + j];
    const corners = [at(row, column), at(row, column + 1), at(row + 1, column), at(row + 1, column + 1)];
    if (corners.includes(null)) return null;
    const [right, above] = [x - column, y - row];
    const between = (low, high, part) => low + part * (high - low);
    const [lower, upper] = [between(corners[0], corners[1], right), between(corners[2], corners[3], right)];
    return between(lower, upper, above) / 1000;
  }
})();
