// A call that still runs: its part of the page is replaced whenever the server sends a newer one. A window too many has
// no stream: it reads its page again at intervals. One that reaches nobody says so.
"use strict";

const call = document.getElementById("call");
let stream = null;
let timer = 0;

function replace(html) {
  const open = new Set([...call.querySelectorAll("details[open]")].map((item) => item.id));
  const focused = document.activeElement?.closest?.("#call details")?.id;
  call.innerHTML = html;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.querySelector("summary")?.focus();
}

// How the page follows its call: "live", "slow", "lost", or "over" when there is nothing more to follow.
function follows(how) {
  clearTimeout(timer);
  timer = 0;
  for (const notice of document.querySelectorAll("[data-following]")) notice.hidden = notice.dataset.following !== how;
  call.classList.toggle("lost", how === "lost");
}

function after(action) {
  timer ||= setTimeout(action, Number(call.dataset.again));
}

function connect() {
  timer = 0;
  stream = new EventSource(call.dataset.live);
  stream.addEventListener("open", () => follows("live"));
  stream.addEventListener("part", (event) => replace(event.data));
  stream.addEventListener("end", () => { stream.close(); follows("over"); });
  stream.addEventListener("error", () => {
    // A stream that has ended comes back by itself; one that is refused does not.
    if (stream.readyState === EventSource.CLOSED) refused();
    else after(() => follows("lost"));
  });
}

async function refused() {
  const how = await reread();
  follows(how);
  if (how !== "over") after(connect);
}

async function reread() {
  try {
    const answer = await fetch(location.href);
    if (answer.status === 401) location.reload();
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("call");
    if (!fresh) return "lost";
    replace(fresh.innerHTML);
    return fresh.dataset.live ? "slow" : "over";
  } catch {
    return "lost";
  }
}

if (call?.dataset.live) {
  connect();
  window.addEventListener("pagehide", () => { clearTimeout(timer); stream.close(); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
}
