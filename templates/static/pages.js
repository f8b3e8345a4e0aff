"use strict";

document.documentElement.classList.add("scripted");

// Forms whose answer is a list of steps: shown as they happen, while the page stays usable.
const streams = {
  async send(form, button) {
    const target = document.querySelector(form.dataset.stream);
    const body = new URLSearchParams(new FormData(form, button));
    const address = button && button.hasAttribute("formaction") ? button.formAction : form.action;
    const buttons = form.querySelectorAll("button");
    target.replaceChildren();
    target.setAttribute("aria-busy", "true");
    buttons.forEach((other) => { other.disabled = true; });
    try {
      const answer = await fetch(address, { method: "POST", body, headers: { "HX-Request": "true" } });
      await streams.show(answer, target);
    } catch {
      target.replaceChildren(streams.lost());
    }
    buttons.forEach((other) => { other.disabled = false; });
    target.removeAttribute("aria-busy");
    htmx.process(target);
    for (const news of target.querySelectorAll("[data-happened]")) htmx.trigger(document.body, news.dataset.happened);
    if (button) button.focus({ preventScroll: true });
  },

  async show(answer, target) {
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(answer.status);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let shown = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      shown += part.value;
      target.innerHTML = shown;
    }
  },

  lost() {
    const notice = document.createElement("p");
    notice.className = "error";
    notice.textContent = document.body.dataset.textOffline;
    return notice;
  },
};

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.stream) return;
  event.preventDefault();
  streams.send(form, event.submitter);
}, true);

// Selects of extensions: 300 rows share one list of 500 numbers, copied into a row when somebody reaches for it.
const numbers = {
  list: () => document.getElementById("extensions"),

  fill(select) {
    const list = numbers.list();
    if (!list || select.dataset.filled === list.dataset.version) return;
    const value = select.value;
    const own = select.querySelector("option[value='']");
    select.replaceChildren(...[own, ...[...list.options].filter((option) => option.value).map((option) => option.cloneNode(true))]);
    if (value && ![...select.options].some((option) => option.value === value)) select.add(new Option(value, value));
    select.value = value;
    select.dataset.filled = list.dataset.version;
  },

  holder(select) {
    const option = [...(numbers.list()?.options ?? [])].find((other) => other.value === select.value);
    return option && option.dataset.user && option.dataset.user !== select.dataset.user ? option.dataset.holder : "";
  },
};

for (const kind of ["pointerdown", "focusin"]) {
  document.addEventListener(kind, (event) => {
    if (event.target.matches?.("select[data-user]")) numbers.fill(event.target);
  });
}

// Rows of people: what is not saved yet is seen, counted, and not lost by leaving the page.
const people = {
  form: () => document.getElementById("people"),
  changed: () => [...document.querySelectorAll("#people tr.changed")],

  mark(select) {
    const row = select.closest("tr");
    const changed = select.value !== select.dataset.was;
    row.classList.toggle("changed", changed);
    const from = changed ? numbers.holder(select) : "";
    const hint = row.querySelector(".from");
    hint.textContent = from ? hint.dataset.text.replace("{name}", from) : "";
    hint.hidden = !from;
    people.count();
  },

  count() {
    const bar = document.getElementById("unsaved");
    if (!bar) return;
    const count = people.changed().length;
    bar.classList.toggle("some", count > 0);
    bar.querySelector("b").textContent = count;
  },

  filter() {
    const box = document.getElementById("filter");
    if (!box) return;
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const bare = document.getElementById("bare")?.checked;
    let shown = 0;
    for (const row of document.querySelectorAll("#people tbody tr")) {
      const text = row.dataset.find;
      const fits = words.every((word) => text.includes(word)) && !(bare && row.dataset.has);
      row.hidden = !fits;
      shown += fits;
    }
    const none = document.getElementById("none");
    if (none) none.hidden = shown > 0;
  },

  suggest() {
    for (const select of document.querySelectorAll("#people select[data-suggested]")) {
      if (select.value) continue;
      numbers.fill(select);
      select.value = select.dataset.suggested;
      people.mark(select);
    }
  },

  reset() {
    for (const row of people.changed()) {
      const select = row.querySelector("select");
      select.value = select.dataset.was;
      people.mark(select);
    }
  },
};

document.addEventListener("change", (event) => {
  if (event.target.matches("select[data-user]")) people.mark(event.target);
  if (event.target.id === "bare") people.filter();
});
document.addEventListener("input", (event) => {
  if (event.target.id === "filter") people.filter();
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (button) people[button.dataset.do]();
});
document.addEventListener("htmx:afterSettle", () => {
  people.count();
  people.filter();
});
addEventListener("beforeunload", (event) => {
  if (people.changed().length) event.preventDefault();
});
