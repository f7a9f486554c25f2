// Copy as Python: the program that reproduces the picture, on the clipboard and in a field to read.
import { find } from "/elements.js";
import { ask } from "/requests.js";
import { bodyOf } from "/state.js";

export function program(lab) {
  find("copy-python").addEventListener("click", async () => {
    let answer;
    try {
      answer = await ask("/api/code", bodyOf(lab.state));
    } catch (error) {
      lab.say(error.message);
      return;
    }
    const text = find("python");
    text.value = answer.python;
    find("code").hidden = false;
    text.focus();
    text.select();
    try {
      await navigator.clipboard.writeText(answer.python);
      find("copied").textContent = "Copied.";
    } catch {
      find("copied").textContent =
        "The browser keeps the clipboard to itself; copy the text from here: it is selected.";
    }
  });
  find("code-close").addEventListener("click", () => {
    find("code").hidden = true;
    find("copy-python").focus();
  });
}
