// What every page of the administrator's area does by itself; docs/admin.md lists the attributes that ask for it.
"use strict";

const texts = document.body.dataset;
const TOAST_SECONDS = { success: 5, info: 6, warning: 10, error: 12 };

// Messages in the corner.

function toast(kind, text) {
  const box = document.createElement("div");
  box.className = `toast ${kind}`;
  const line = document.createElement("span");
  line.textContent = text;
  box.append(line);
  document.getElementById("toasts").append(box);
  arm(box, kind);
}

function arm(box, kind) {
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "✕";
  close.setAttribute("aria-label", texts.textClose);
  close.addEventListener("click", () => box.remove());
  box.append(close);
  let timer = 0;
  const start = () => { timer = setTimeout(() => box.remove(), (TOAST_SECONDS[kind] || 6) * 1000); };
  box.addEventListener("pointerenter", () => clearTimeout(timer));
  box.addEventListener("pointerleave", start);
  start();
}

for (const box of document.querySelectorAll("[data-toast]")) {
  arm(box, ["success", "info", "warning", "error"].find((kind) => box.classList.contains(kind)));
}

// Questions before what cannot be undone: `data-confirm` on a button, `hx-confirm` on what htmx sends.

const dialog = document.getElementById("confirm");
const yes = document.getElementById("confirm-yes");

function ask(question, source) {
  document.getElementById("confirm-text").textContent = question;
  yes.textContent = source.dataset.confirmAction || yes.dataset.default;
  yes.classList.toggle("danger", source.classList.contains("danger"));
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

document.addEventListener("submit", async (event) => {
  const button = event.submitter;
  const form = event.target;
  if (form.method === "dialog" || event.defaultPrevented) return;
  if (button?.dataset.confirm && !button.dataset.confirmed) {
    event.preventDefault();
    event.stopImmediatePropagation();
    if (await ask(button.dataset.confirm, button)) {
      button.dataset.confirmed = "yes";
      form.requestSubmit(button);
      delete button.dataset.confirmed;
    }
  }
}, true);

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method === "dialog") return;
  delete form.dataset.changed;
  event.submitter?.setAttribute("aria-busy", "true");
  progress(true);
});

document.body.addEventListener("htmx:confirm", async (event) => {
  if (!event.detail.question) return;
  event.preventDefault();
  if (await ask(event.detail.question, event.detail.elt)) event.detail.issueRequest(true);
});

// Something is under way.

let running = 0;

function progress(begins) {
  running = Math.max(0, running + (begins ? 1 : -1));
  document.getElementById("progress").classList.toggle("on", running > 0);
}

document.body.addEventListener("htmx:beforeRequest", () => progress(true));
document.body.addEventListener("htmx:afterRequest", () => progress(false));
window.addEventListener("pageshow", () => {
  running = 0;
  progress(false);
  for (const button of document.querySelectorAll("[aria-busy=true]")) button.removeAttribute("aria-busy");
});

// Failures of what htmx sends.

document.body.addEventListener("htmx:responseError", (event) => {
  const answer = event.detail.xhr;
  let text = "";
  try {
    text = JSON.parse(answer.responseText).message;
  } catch {
    text = "";
  }
  toast("error", answer.status === 401 ? texts.textSignedOut : text || texts.textFailed);
});
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.body.addEventListener(name, () => toast("error", texts.textOffline));
}

// Changes that are not saved yet: `data-guard` on a form.

document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-guard]");
  if (form) form.dataset.changed = "yes";
});
document.body.addEventListener("htmx:afterRequest", (event) => {
  const form = event.target.closest?.("form[data-guard]");
  if (form && event.detail.successful) delete form.dataset.changed;
});
window.addEventListener("beforeunload", (event) => {
  if (document.querySelector("form[data-changed]")) event.preventDefault();
});

// The keyboard: Ctrl+S sends `form[data-save]`, "/" goes to the search.

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.code === "KeyS") {
    const form = event.target.closest?.("form[data-save]") || document.querySelector("form[data-save]");
    if (!form) return;
    event.preventDefault();
    form.requestSubmit(form.querySelector("[type=submit]"));
  } else if (event.key === "/" && !event.ctrlKey && !event.target.closest("input, select, textarea")) {
    const search = document.querySelector("input[type=search]");
    if (!search) return;
    event.preventDefault();
    search.focus();
  }
});

// `data-copy="text"` on a button; an open menu closes on a click elsewhere and on Escape.

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) {
    await navigator.clipboard.writeText(button.dataset.copy);
    toast("success", texts.textCopied);
  }
  for (const menu of document.querySelectorAll(".menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll(".menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// The chosen tab is in sight on a narrow screen.

document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
