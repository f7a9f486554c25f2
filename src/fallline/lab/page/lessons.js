// The lessons: each sets the page, and says in a sentence what to look for.
import { fill, find } from "/elements.js";
import { stateOf } from "/state.js";

export function lessons(lab) {
  const { presets } = lab.catalogue;
  const select = find("lesson");
  const names = presets.map(({ name }) => name);
  fill(select, [["", "Settings of your own"], ...names.map((name, index) => [name, `${index + 1}. ${name}`])]);

  function choose(index) {
    const preset = presets[index];
    lab.replace(stateOf(preset, lab.catalogue, lab.state));
    if (preset.state.tab) find(`tab-${preset.state.tab}`).scrollIntoView({ block: "nearest" });
  }

  select.addEventListener("change", () => {
    if (select.value) choose(names.indexOf(select.value));
    else {
      lab.state.lesson = "";
      lab.write();
      show();
    }
  });
  find("lesson-before").addEventListener("click", () => choose(names.indexOf(lab.state.lesson) - 1));
  find("lesson-after").addEventListener("click", () => choose(names.indexOf(lab.state.lesson) + 1));

  function show() {
    const index = names.indexOf(lab.state.lesson);
    const sentence = index < 0 ? "Move a control, or drag the start: the picture follows." : presets[index].sentence;
    select.value = lab.state.lesson;
    find("sentence").textContent = sentence;
    find("lesson-before").disabled = index <= 0;
    find("lesson-after").disabled = index === names.length - 1;
  }

  return { show };
}
