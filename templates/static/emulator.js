"use strict";

const CLOSED_SHOWN = 6;
const labels = JSON.parse(document.body.dataset.labels);
const byId = (id) => document.getElementById(id);
let state = JSON.parse(document.body.dataset.state);
let ahead = 0;
let isDrawn = false;
let noticeTimer = 0;

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children.filter((child) => child !== null));
  return made;
}

function reconcile(parent, items, keyOf, make, update) {
  const kept = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    const child = kept.get(key) ?? arrived(make(item));
    kept.delete(key);
    child.dataset.key = key;
    update?.(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  kept.forEach((child) => child.remove());
}

function arrived(child) {
  child.classList.toggle("arrived", isDrawn);
  return child;
}

const now = () => Date.now() / 1000 + ahead;
const two = (number) => String(number).padStart(2, "0");

function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${two(whole % 60)}`;
}

function clock(seconds) {
  const at = new Date(seconds * 1000);
  const thousandth = String(at.getMilliseconds()).padStart(3, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${thousandth}`;
}

function readable(phone) {
  const digits = phone.replace(/\D/g, "");
  const parts = /^(375)(\d\d)(\d{3})(\d\d)(\d\d)$/.exec(digits);
  return parts ? `+${parts[1]} ${parts[2]} ${parts[3]}-${parts[4]}-${parts[5]}` : phone;
}

function initials(name) {
  return name.split(" ").map((word) => word[0]).join("").slice(0, 2);
}

/* Screens */

function makeScreen(manager) {
  const person = element("div", "person",
    element("span", "avatar", initials(manager.name)),
    element("div", "",
      element("b", "", manager.name),
      element("small", "", element("span", "where"), " · ", element("span", "state"))));
  const screen = element("article", "panel screen", person, element("div", "desk"));
  screen.setAttribute("aria-label", manager.name);
  return screen;
}

function updateScreen(screen, manager) {
  screen.querySelector(".where").textContent = manager.code ? `${labels.extension} ${manager.code}` : labels.no_code;
  const status = screen.querySelector(".state");
  status.className = `state ${manager.status}`;
  status.textContent = labels[manager.status];
  const popups = state.popups.filter((popup) => popup.user_id === manager.id && isShown(popup));
  popups.sort((one, other) => Boolean(one.closed_at) - Boolean(other.closed_at) || other.at - one.at);
  screen.classList.toggle("ringing", popups.some((popup) => !popup.closed_at));
  const cards = popups.length ? popups : [null];
  reconcile(screen.querySelector(".desk"), cards, keyOfCard, makeCard, updateCard);
  offerDial(screen, manager);
}

const isShown = (popup) => !popup.closed_at || now() - popup.closed_at < CLOSED_SHOWN;
const keyOfCard = (popup) => popup ? `${popup.call_id} ${popup.at}` : "idle";

function makeCard(popup) {
  if (!popup) return element("p", "idle", labels.idle);
  const line = popup.line ? element("span", "", `${labels.line} ${readable(popup.line)}`) : null;
  return element("div", `popup ${popup.direction}`,
    element("div", "head", element("b", "", heading(popup)), element("span", "timer")),
    element("div", "phone", readable(popup.phone)),
    element("div", popup.customer ? "who" : "who new", popup.customer ?? labels.new_customer),
    element("div", "facts", line, element("span", "", received(popup))));
}

function received(popup) {
  if (popup.delay === null) return `${labels.received} ${clock(popup.at)}`;
  return `${popup.delay.toLocaleString(document.documentElement.lang)} ${labels.after_dial}`;
}

const heading = (popup) => `${popup.direction === "in" ? "↙" : "↗"} ${labels[popup.direction]}`;

function updateCard(card, popup) {
  if (!popup) return;
  card.classList.toggle("closed", Boolean(popup.closed_at));
  const word = popup.closed_at ? `${labels[popup.status]} · ` : "";
  card.querySelector(".timer").textContent = word + span((popup.closed_at ?? now()) - popup.at);
}

function offerDial(screen, manager) {
  const form = screen.querySelector(".dial");
  const wanted = state.callable && manager.code;
  if (!wanted) form?.remove();
  else if (!form) screen.append(makeDial(manager));
}

function makeDial(manager) {
  const input = element("input", "");
  input.type = "tel";
  input.placeholder = labels.dial;
  input.setAttribute("aria-label", labels.dial);
  const button = element("button", "", "↗");
  button.title = labels.call;
  button.setAttribute("aria-label", labels.call);
  const form = element("form", "dial", input, button);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) dial(manager.id, input.value.trim());
  });
  return form;
}

async function dial(userId, phone) {
  const answer = await send("/_click", { account: state.account, userId, phone });
  const { status, body, error } = await answer.json();
  notify(error ?? `${labels.pbx}: ${status ?? "—"} ${String(body).slice(0, 200)}`);
}

/* History */

const TONES = { answered: "good", "no answer": "warn", busy: "warn", failed: "bad", "not allowed": "bad" };

function makeRow(call) {
  const isMissed = call.type === "in" && call.result !== "answered";
  const arrow = element("span", `arrow ${call.type} ${isMissed ? "missed" : ""}`, call.type === "in" ? "↙" : "↗");
  arrow.title = labels[call.type];
  const [day, time] = call.date.split(" ");
  const row = element("tr", "",
    element("td", "date", time, element("small", "", day.split("-").reverse().join("."))),
    element("td", "client", element("div", "number-line", arrow, readable(call.phone)), small(call.customer)),
    element("td", "manager", call.manager ?? "—", small(call.code && `${labels.extension} ${call.code}`)),
    element("td", "result", element("span", `chip ${TONES[call.result] ?? ""}`, labels[call.result])),
    element("td", "number talk", call.talk ? span(call.talk) : ""),
    element("td", "number wait", call.wait === null ? "" : span(call.wait)),
    element("td", "record", call.record ? link(call.record) : ""));
  row.querySelector(".talk").dataset.label = labels.talk;
  return row;
}

const small = (text) => text ? element("small", "", text) : null;

function updateRow(row, call) {
  if (call.uploads < 2) return;
  const cell = row.querySelector(".result");
  const mark = cell.querySelector(".repeats") ?? cell.appendChild(element("span", "repeats"));
  mark.title = labels.repeats;
  mark.textContent = `×${call.uploads}`;
}

function link(address) {
  const made = element("a", "", `▶ ${labels.listen}`);
  made.href = address;
  made.target = "_blank";
  made.rel = "noopener noreferrer";
  return made;
}

/* Totals and switches */

const TOTALS = ["requests", "events", "calls", "duplicates", "refused"];

function makeTotal(name) {
  return element("li", "", element("b", ""), labels[name]);
}

function updateTotal(item, name) {
  item.firstElementChild.textContent = state.totals[name].toLocaleString(document.documentElement.lang);
}

function pressSwitches() {
  for (const button of document.querySelectorAll("[data-switch]")) {
    const isOn = state.switches[button.dataset.switch] === JSON.parse(button.dataset.value);
    button.setAttribute("aria-pressed", String(isOn));
  }
}

async function turn(button) {
  const change = { account: state.account, [button.dataset.switch]: JSON.parse(button.dataset.value) };
  const answer = await send("/_control", change);
  if (!answer.ok) notify((await answer.json()).error);
}

/* Life */

function send(path, body, method = "POST") {
  return fetch(path, { method, body: body && JSON.stringify(body), headers: { "Content-Type": "application/json" } });
}

function notify(text) {
  const notice = byId("notice");
  notice.textContent = text;
  notice.hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => { notice.hidden = true; }, 6000);
}

function drawScreens() {
  reconcile(byId("screens"), state.managers, (manager) => manager.id, makeScreen, updateScreen);
}

function draw() {
  drawScreens();
  reconcile(byId("calls"), state.calls, (call) => call.id, makeRow, updateRow);
  reconcile(byId("totals"), TOTALS, (name) => name, makeTotal, updateTotal);
  byId("no-calls").hidden = state.calls.length > 0;
  pressSwitches();
}

function show(isLive) {
  const live = byId("live");
  live.classList.toggle("on", isLive);
  live.textContent = isLive ? live.dataset.live : live.dataset.lost;
}

function listen() {
  const source = new EventSource(`/_stream?account=${encodeURIComponent(state.account)}`);
  source.onopen = () => show(true);
  source.onerror = () => show(false);
  source.onmessage = (message) => {
    state = JSON.parse(message.data);
    ahead = state.now - Date.now() / 1000;
    draw();
  };
}

function changeAccount(event) {
  const address = new URL(location.href);
  address.searchParams.set("account", event.target.value);
  location.href = address.href;
}

byId("clear").addEventListener("click", () => send(`/_state?account=${encodeURIComponent(state.account)}`, null, "DELETE"));
byId("account")?.addEventListener("change", changeAccount);
byId("switches").addEventListener("click", (event) => {
  if (event.target.dataset.switch) turn(event.target);
});
setInterval(drawScreens, 1000);
draw();
isDrawn = true;
listen();
