// The optimizers' cards: name and line, equation, learning rate, hyperparameters, schedule, decay.
import { COLOURS, element, equation, fill, find, sample, slider } from "/elements.js";
import { MOST_OPTIMIZERS } from "/state.js";

const DECAY = { low: 1e-4, high: 10, scale: "log" };
const SYMBOLS = { beta: "β", beta1: "β₁", beta2: "β₂", beta3: "β₃", rho: "ρ", alpha: "α", eps: "ε", delta: "δ" };

export const spoken = (name) => name.replaceAll("_", " ");

// `lab` is told by `lab.changed()` of what was changed in the state.
export function optimizers(lab) {
  const { rules, schedules } = lab.catalogue;
  const ruleOf = (name) => rules.find((rule) => rule.name === name);
  let cards = [];
  fill(find("rule"), rules.map(({ name }) => [name, spoken(name)]));
  find("rule").value = "adam";
  find("add").addEventListener("click", () => {
    const rule = ruleOf(find("rule").value);
    const { rates, optimizers: others } = lab.state;
    const lr = rates === "same" && others.length ? others[0].lr : rule.lr.default;
    others.push({ rule: rule.name, lr, hyperparameters: {}, schedule: null, decay: null });
    rebuilt();
  });
  for (const choice of document.querySelectorAll("input[name=rates]"))
    choice.addEventListener("change", () => {
      lab.state.rates = choice.value;
      if (choice.value === "same") setAll(lab.state.optimizers[0].lr);
      showRates();
      lab.changed();
    });

  function setAll(lr) {
    for (const one of lab.state.optimizers) one.lr = lr;
  }

  function rebuilt() {
    show();
    lab.changed();
  }

  function show() {
    const { optimizers: chosen, rates } = lab.state;
    const open = cards.filter((card) => card.details.open).map((card) => card.one);
    cards = chosen.map((one, index) => card(one, index, open.includes(one)));
    find("optimizers").replaceChildren(...cards.map((one) => one.element));
    find("add").disabled = chosen.length >= MOST_OPTIMIZERS;
    for (const choice of document.querySelectorAll("input[name=rates]")) choice.checked = choice.value === rates;
    showRates();
  }

  // The learning rates that hold: the state's, or those that the server has tuned.
  function showRates(tuned) {
    cards.forEach(({ rate, one }, index) => {
      rate.enable(lab.state.rates !== "tuned");
      rate.show(tuned ? tuned[index].lr : one.lr);
    });
  }

  function card(one, index, isOpen) {
    const rule = ruleOf(one.rule);
    const called = `of ${spoken(one.rule)}, number ${index + 1}`;
    const rate = slider("Learning rate", `Learning rate ${called}`, { ...rule.lr, scale: "log" }, (value) => {
      if (lab.state.rates === "same") setAll(value);
      one.lr = value;
      if (lab.state.rates === "same") showRates();
      lab.changed();
    });
    const name = element("h3", { tabindex: -1 }, sample(index, index), ` ${spoken(one.rule)}`);
    const remove = element("button", { type: "button", "aria-label": `Remove ${spoken(one.rule)}, number ${index + 1}`,
      disabled: lab.state.optimizers.length === 1, onclick: () => {
        lab.state.optimizers.splice(index, 1);
        rebuilt();
        cards[Math.min(index, cards.length - 1)].name.focus(); // where the next one is now
      } }, "Remove");
    const details = element("details", { open: isOpen }, element("summary", {}, "Equation and settings"),
      element("div", { class: "equation", tabindex: 0, role: "region", "aria-label": `Equation ${called}` },
        equation(rule.equation)),
      ...Object.entries(rule.hyperparameters).map(([key, known]) => hyperparameter(one, key, known, called)),
      ...("weight_decay" in rule.hyperparameters ? [] : [decay(one, called)]), schedule(one, called));
    return { one, name, rate, details,
      element: element("li", { class: `fl-colour-${index % COLOURS}` },
        element("div", { class: "row between" }, name, remove), rate.element, details) };
  }

  function hyperparameter(one, key, known, called) {
    const label = SYMBOLS[key] ?? spoken(key);
    const value = one.hyperparameters[key] ?? known.default;
    const set = (changed) => {
      one.hyperparameters[key] = changed;
      lab.changed();
    };
    if (known.scale === "choice") {
      const box = element("input", { type: "checkbox", checked: value, onchange: () => set(box.checked) });
      return element("label", {}, box, ` ${label}`);
    }
    const field = slider(label, `${spoken(key)} ${called}`, known, set);
    field.show(value);
    return field.element;
  }

  function decay(one, called) {
    const field = slider("Weight decay", `Weight decay ${called}`, DECAY, (value) => {
      one.decay = value || null;
      lab.changed();
    });
    field.show(one.decay ?? 0);
    return field.element;
  }

  function schedule(one, called) {
    const parameters = element("span", { class: "row" });
    const select = element("select", { "aria-label": `Schedule ${called}`, onchange: () => {
      one.schedule = select.value === "constant" ? null : { name: select.value };
      showParameters();
      lab.changed();
    } });
    fill(select, schedules.map(({ name }) => [name, spoken(name)]));
    select.value = one.schedule?.name ?? "constant";
    function showParameters() {
      const law = schedules.find(({ name }) => name === select.value);
      parameters.replaceChildren(...Object.entries(law.parameters).map(([key, standard]) => {
        const input = element("input", { type: "number", step: "any", value: one.schedule?.[key] ?? standard,
          oninput: () => {
            if (!Number.isFinite(input.valueAsNumber)) return;
            one.schedule[key] = input.valueAsNumber;
            lab.changed();
          } });
        return element("label", {}, `${key} `, input);
      }));
    }
    showParameters();
    return element("div", { class: "row" }, element("label", {}, "Schedule ", select), parameters);
  }

  return { show, showRates };
}
