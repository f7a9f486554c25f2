// What was tried in this visit, the newest first: each picture that was looked at for a moment.
import { addressOf } from "/address.js";
import { element, find } from "/elements.js";
import { text } from "/numbers.js";
import { LOOK } from "/state.js";

const MOMENT = 1000; // milliseconds: what is passed by on the way to another picture was not tried
const KEPT = 50;

export function tried() {
  const table = find("tried");
  let [timer, count, last] = [null, 0, ""];

  // A picture is shown: after a moment it is one that was tried.
  function settle(state, { scene, rates }) {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const address = addressOf({ ...state, ...LOOK });
      if (address === last) return;
      last = address;
      table.tHead.after(rows(address, scene, rates));
      while (table.tBodies.length > KEPT) table.tBodies[KEPT].remove();
    }, MOMENT);
  }

  function rows(address, scene, rates) {
    count += 1;
    const link = element("a", { href: address }, `${count}. ${scene.title}`);
    const head = element("th", { scope: "rowgroup", rowspan: rates.length }, link);
    return element("tbody", {}, ...scene.trajectories.map(({ losses, outcome }, index) => {
      const { name, lr } = rates[index];
      const loss = losses.at(-1);
      const cells = [name, text(lr, 4), loss === null ? "not a number" : text(loss, 4), outcome];
      return element("tr", {}, ...(index ? [] : [head]), ...cells.map((cell) => element("td", {}, cell)));
    }));
  }

  return { settle };
}
