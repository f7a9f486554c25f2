// The lab's page: one state, the parts that show it and change it, and the address that holds it.
import { addressOf, stateAt } from "/address.js";
import { find } from "/elements.js";
import { lessons } from "/lessons.js";
import { optimizers } from "/optimizers.js";
import { picture } from "/picture.js";
import { program } from "/program.js";
import { ask } from "/requests.js";
import { saving } from "/saving.js";
import { stateOf } from "/state.js";
import { surface } from "/surface.js";
import { TABS, tabs } from "/tabs.js";
import { tried } from "/tried.js";

const WRITE = 250; // milliseconds from a change until the address says it: browsers refuse to be asked too often

const lab = { catalogue: null, state: null, say, changed, showAll, replace, write };
let [parts, middle, writing] = [[], null, null];

function say(sentence) {
  if (find("error").textContent !== sentence) find("error").textContent = sentence;
}

// A control has changed the state: draw it, and let the address follow.
function changed() {
  find("notice").textContent = "";
  find("code").hidden = true; // a program of other settings than those shown would mislead
  middle.request();
  write();
}

function write() {
  clearTimeout(writing);
  writing = setTimeout(() => history.replaceState(null, "", addressOf(lab.state)), WRITE);
}

function showAll() {
  for (const part of parts) part.show();
}

// Another state takes the whole page's place: a lesson, a link, a row of what was tried.
function replace(state) {
  const { unread = [], ...known } = state;
  lab.state = known;
  middle.restore();
  showAll();
  changed();
  if (unread.length)
    find("notice").textContent = `Part of the link can't be read and was left out: ${unread.join(", ")}.`;
}

const linked = () => stateAt(location.hash, lab.catalogue, TABS);

async function begin() {
  try {
    lab.catalogue = await ask("/api/catalogue");
  } catch (error) {
    say(error.message);
    return;
  }
  const cards = optimizers(lab);
  const visit = tried();
  const follow = (answer) => {
    if (lab.state.rates === "tuned") cards.showRates(answer.rates);
    visit.settle(lab.state, answer);
  };
  middle = picture(lab, follow, write);
  parts = [lessons(lab), surface(lab), cards, tabs(lab)];
  program(lab);
  saving(middle.player);
  document.querySelector(".settings").inert = false;
  replace(linked() ?? stateOf(lab.catalogue.presets[0], lab.catalogue));
  addEventListener("hashchange", () => {
    const state = linked();
    if (state) replace(state);
  });
}

begin();
